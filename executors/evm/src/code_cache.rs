use std::{
    cell::RefCell,
    collections::hash_map::Entry,
    sync::atomic::{AtomicU64, Ordering},
};

use alloy_primitives::{B256, Bytes, map::B256Map};
use parking_lot::RwLock;
use revm::bytecode::Bytecode;

const SHARDS: usize = 16;

/// Bytes of code that one shard holds before it starts anew: 64 MiB over all shards.
const SHARD_CAPACITY: usize = 4 << 20;

/// Bytes of code that each thread has for itself, of one cache, before it starts anew.
const OWN_CAPACITY: usize = 8 << 20;

thread_local! {
    static OWN: RefCell<Own> = RefCell::new(Own::default());
}

#[derive(Debug, Default)]
struct Own {
    /// Number of the cache that the codes are from.
    cache: u64,
    shard: Shard,
    /// Codes that were asked for in vain since it was full.
    misses: usize,
}

/// Codes that a full list of a thread's own has not before it starts anew: copying a code takes
/// longer than running a little of it.
const MISSES: usize = 16_384;

impl Own {
    /// Whether there is no room for this code, for now.
    fn is_full_with(&mut self, code: &Bytecode) -> bool {
        if self.shard.bytes.saturating_add(code.len()) <= OWN_CAPACITY {
            return false;
        }
        self.misses = self.misses.saturating_add(1);
        if self.misses >= MISSES {
            self.misses = 0;
            self.shard = Shard::default();
        }
        true
    }
}

/// Caches that there have been.
static CACHES: AtomicU64 = AtomicU64::new(0);

/// Contracts whose jump destinations are known, by code hash. Shared by all threads.
#[derive(Debug)]
pub(crate) struct CodeCache {
    number: u64,
    shards: [RwLock<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    code: B256Map<Bytecode>,
    bytes: usize,
}

impl Default for CodeCache {
    fn default() -> Self {
        Self {
            // From 1 on.
            number: CACHES.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            shards: Default::default(),
        }
    }
}

impl CodeCache {
    /// The analysed code of this hash; `load` gives the raw code when it is not known yet.
    ///
    /// Each thread has the codes that it used last for itself: counting the references to one that
    /// all threads share makes them wait for each other.
    pub(crate) fn get_or_load<E>(
        &self,
        code_hash: B256,
        load: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytecode, E> {
        OWN.with_borrow_mut(|own| {
            if own.cache != self.number {
                *own = Own {
                    cache: self.number,
                    ..Own::default()
                };
            }
            if let Some(code) = own.shard.code.get(&code_hash) {
                return Ok(code.clone());
            }
            let shared = self.get_or_load_shared(code_hash, load)?;
            if own.is_full_with(&shared) {
                return Ok(shared);
            }
            let code = analyse(Bytes::copy_from_slice(shared.original_byte_slice()));
            own.shard.insert(code_hash, code.clone(), OWN_CAPACITY);
            Ok(code)
        })
    }

    fn get_or_load_shared<E>(
        &self,
        code_hash: B256,
        load: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytecode, E> {
        // The last byte of a hash chooses the shard; the map's own hasher uses all of it.
        let Some(shard) = self.shards.get(usize::from(code_hash.0[31]) % SHARDS) else {
            return load().map(analyse);
        };
        if let Some(code) = shard.read().code.get(&code_hash) {
            return Ok(code.clone());
        }
        let code = analyse(load()?);
        shard
            .write()
            .insert(code_hash, code.clone(), SHARD_CAPACITY);
        Ok(code)
    }
}

impl Shard {
    /// A full shard starts anew: what is in use comes back at once, and the bound needs no
    /// bookkeeping on reads.
    fn insert(&mut self, code_hash: B256, code: Bytecode, capacity: usize) {
        if self.bytes.saturating_add(code.len()) > capacity {
            *self = Self::default();
        }
        let length = code.len();
        if let Entry::Vacant(entry) = self.code.entry(code_hash) {
            entry.insert(code);
            self.bytes = self.bytes.saturating_add(length);
        }
    }
}

/// Code that starts like an EIP-7702 delegation but is none is ordinary code.
fn analyse(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn stays_bounded_and_gives_the_code_that_was_loaded() {
        let cache = CodeCache::default();
        // All in one shard, and more than it holds.
        for number in 0..250u32 {
            let mut code = vec![0x5b; 24_576];
            code[..4].copy_from_slice(&number.to_be_bytes());
            let mut hash = keccak256(&code);
            hash.0[31] = 0;
            for _ in 0..2 {
                let cached = cache
                    .get_or_load(hash, || Ok::<_, Infallible>(code.clone().into()))
                    .unwrap();
                assert_eq!(cached.original_byte_slice(), code);
            }
        }
        for shard in &cache.shards {
            let shard = shard.read();
            assert!(shard.bytes <= SHARD_CAPACITY);
            assert_eq!(
                shard.bytes,
                shard.code.values().map(Bytecode::len).sum::<usize>()
            );
        }
    }

    #[test]
    fn failed_load_is_an_error_and_is_not_remembered() {
        let cache = CodeCache::default();
        let code = Bytes::from_static(&[0xef, 0x01, 0x00]);
        let hash = keccak256(&code);
        assert_eq!(cache.get_or_load(hash, || Err("disk")), Err("disk"));
        let loaded = cache.get_or_load(hash, || Ok::<_, &str>(code.clone()));
        assert_eq!(loaded.unwrap().original_bytes(), code);
    }
}
