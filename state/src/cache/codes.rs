use std::collections::VecDeque;

use alloy_primitives::{
    B256, Bytes,
    map::{B256Map, Entry},
};
use parking_lot::Mutex;

/// Code by its hash. What was looked for since it came last to its turn is not dropped.
pub(super) struct Codes {
    limit: u64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    codes: B256Map<Code>,
    /// The order in which codes are dropped.
    order: VecDeque<B256>,
    bytes: u64,
}

struct Code {
    bytes: Bytes,
    used: bool,
}

/// What an entry takes besides the code, about.
const OVERHEAD: u64 = 160;

fn size(code: &Bytes) -> u64 {
    OVERHEAD.saturating_add(code.len() as u64)
}

impl Codes {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            known: Mutex::default(),
        }
    }

    pub(super) fn get(&self, hash: &B256) -> Option<Bytes> {
        let mut known = self.known.lock();
        let code = known.codes.get_mut(hash)?;
        code.used = true;
        Some(code.bytes.clone())
    }

    pub(super) fn insert(&self, hash: B256, bytes: Bytes) {
        if size(&bytes) > self.limit {
            return;
        }
        let mut known = self.known.lock();
        let Known {
            codes,
            order,
            bytes: sum,
        } = &mut *known;
        if let Entry::Vacant(entry) = codes.entry(hash) {
            *sum = sum.saturating_add(size(&bytes));
            entry.insert(Code { bytes, used: false });
            order.push_back(hash);
        }
        while *sum > self.limit {
            let Some(first) = order.pop_front() else {
                break;
            };
            match codes.get_mut(&first) {
                Some(code) if code.used => {
                    code.used = false;
                    order.push_back(first);
                }
                _ => {
                    if let Some(code) = codes.remove(&first) {
                        *sum = sum.saturating_sub(size(&code.bytes));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(byte: u8) -> (B256, Bytes) {
        (B256::repeat_byte(byte), Bytes::from(vec![byte; 1000]))
    }

    #[test]
    fn holds_what_is_asked_for_within_its_bounds() {
        let codes = Codes::new(3 * size(&code(0).1));
        for byte in 0..=2 {
            let (hash, bytes) = code(byte);
            codes.insert(hash, bytes);
        }
        assert_eq!(codes.get(&code(0).0), Some(code(0).1));
        for byte in 3..200 {
            let (hash, bytes) = code(byte);
            codes.insert(hash, bytes);
            assert!(codes.known.lock().bytes <= codes.limit);
            assert_eq!(codes.known.lock().codes.len(), 3);
            assert_eq!(codes.known.lock().order.len(), 3);
            assert_eq!(codes.get(&code(0).0), Some(code(0).1));
        }
        codes.insert(B256::ZERO, Bytes::from(vec![0; 10_000]));
        assert_eq!(codes.get(&B256::ZERO), Some(code(0).1));
    }
}
