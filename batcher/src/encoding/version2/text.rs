//! Bytes that no model here knows: inputs that are no calls (code above all) and words without
//! structure. They are compressed by zstd.

use std::io::Read;

use crate::encoding::{BatchDecodeError, BatchEncodeError, MAX_INPUT_BYTES, WINDOW_LOG};

/// Bytes as a zstd frame; no bytes as nothing at all.
pub(super) fn pack(bytes: &[u8], level: i32) -> Result<Vec<u8>, BatchEncodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    zstd::bulk::compress(bytes, level)
        .map_err(|error| BatchEncodeError::Compression(error.to_string()))
}

/// The bytes in what [`pack`] gave.
pub(super) fn unpack(frame: &[u8]) -> Result<Vec<u8>, BatchDecodeError> {
    let mut bytes = Vec::new();
    if frame.is_empty() {
        return Ok(bytes);
    }
    let broken = |error: std::io::Error| BatchDecodeError::Compression(error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame)
        .map_err(broken)?
        .single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
    // One byte above the limit tells bytes at the limit from those beyond it.
    decoder
        .by_ref()
        .take(MAX_INPUT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(broken)?;
    if bytes.len() > MAX_INPUT_BYTES {
        return Err(BatchDecodeError::Inputs);
    }
    let rest = decoder.finish();
    if rest.is_empty() {
        Ok(bytes)
    } else {
        Err(BatchDecodeError::TrailingBytes(rest.len()))
    }
}
