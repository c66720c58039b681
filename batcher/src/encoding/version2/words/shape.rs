//! What an encoder makes of an input as a whole.

use alloy_primitives::map::HashMap;

use super::Word;

/// The bytes of a call within a call, when a word may be their number: a selector and at least one
/// word, with zeros behind them to the next whole word, all within the `left` bytes that follow.
/// Multiples of whole words are left out: most are offsets.
pub(super) fn nested_length(word: &Word, left: usize) -> Option<usize> {
    let (upper, lower) = word.split_last_chunk::<4>()?;
    if upper.iter().any(|byte| *byte != 0) {
        return None;
    }
    let length = u32::from_be_bytes(*lower) as usize;
    let may_be = length >= 36 && !length.is_multiple_of(32);
    (may_be && length.checked_next_multiple_of(32)? <= left).then_some(length)
}

/// Whether an encoder takes the `length` bytes at the front of `rest` as a call within a call.
pub(super) fn looks_like_call(rest: &[u8], length: usize) -> bool {
    let padding = rest.get(length..length.next_multiple_of(32));
    let zeros = padding.is_some_and(|padding| padding.iter().all(|byte| *byte == 0));
    let shifted = rest.get(4..8) == Some(&[0; 4]) && rest.get(..4) != Some(&[0; 4]);
    zeros && (length % 32 == 4 || shifted)
}

/// Whether an encoder takes an input as words: when they seem to take less than zstd would make of
/// it. Only long inputs are worth asking zstd; most short ones are calls.
pub(in crate::encoding::version2) fn pays(input: &[u8]) -> bool {
    const LONG: usize = 1024;
    let mut seen = HashMap::<&[u8], ()>::default();
    let mut estimate = 0;
    let mut structured = 0;
    let mut count = 0;
    for word in input.get(4..).unwrap_or_default().chunks_exact(32) {
        let leading = word.iter().take_while(|byte| **byte == 0).count();
        let trailing = word.iter().rev().take_while(|byte| **byte == 0).count();
        count += 1;
        structured += usize::from(leading.max(trailing) >= 4);
        estimate += match 32 - leading.max(trailing) {
            0 => 0,
            bytes if bytes > 2 && seen.insert(word, ()).is_some() => 2,
            bytes => bytes,
        };
    }
    if input.len() < LONG {
        return count < 2 || structured * 4 >= count;
    }
    zstd::bulk::compress(input, 1).is_ok_and(|frame| estimate < frame.len())
}
