use std::io::Write;

use alloy_primitives::Bytes;

#[allow(missing_docs, reason = "generated from the artifacts")]
mod abi {
    alloy_sol_types::sol!(
        Erc20,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/contracts/artifacts/Erc20.json"
        )
    );
    alloy_sol_types::sol!(
        Hashing,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/contracts/artifacts/Hashing.json"
        )
    );
}

pub(super) use abi::{Erc20, Hashing};

/// The module of [`Erc20`]'s twin.
pub(super) const ERC20_MODULE: &[u8] = include_bytes!("../../../tests/stylus/modules/erc20.wasm");

/// The module of [`Hashing`]'s twin.
pub(super) const HASHING_MODULE: &[u8] =
    include_bytes!("../../../tests/stylus/modules/hashing.wasm");

/// A program that does nothing: `user_entrypoint` returns 0.
pub(super) const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x06\x01\x60\x01\x7f\x01\x7f\
    \x03\x02\x01\x00\
    \x05\x03\x01\x00\x01\
    \x07\x1c\x02\x06memory\x02\x00\x0fuser_entrypoint\x00\x00\
    \x0a\x06\x01\x04\x00\x41\x00\x0b";

/// Init code of an EVM contract that does nothing: its code is one STOP.
pub(super) const EMPTY_CONTRACT: &[u8] = &[0x60, 0x01, 0x5f, 0xf3];

/// First bytes of a Stylus program's code, with the byte for brotli without a dictionary.
const STYLUS_PREFIX: [u8; 4] = [0xef, 0xf0, 0x00, 0x00];

/// Brotli's best level, and its largest window.
const LEVEL: u32 = 11;
const WINDOW: u32 = 22;

/// Init code that returns a program's code, as Stylus' tools make it.
///
/// # Errors
/// None that writing into memory has.
pub(super) fn program_init_code(module: &[u8]) -> std::io::Result<Bytes> {
    let mut code = STYLUS_PREFIX.to_vec();
    brotli::CompressorWriter::new(&mut code, 4096, LEVEL, WINDOW).write_all(module)?;
    // PUSH4 length, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN.
    let length = (code.len() as u32).to_be_bytes();
    let mut init = vec![0x63];
    init.extend_from_slice(&length);
    init.extend_from_slice(&[0x80, 0x60, 12, 0x5f, 0x39, 0x5f, 0xf3]);
    init.extend_from_slice(&code);
    Ok(init.into())
}
