use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use alloy_primitives::B256;
use parking_lot::RwLock;

/// Most values that a thread has for itself before it starts anew.
const OWN_VALUES: usize = 256;

/// Sizes that a thread's own values may have in all, of a cache's capacity.
const OWN_PART: usize = 16;

/// Caches that there have been.
static CACHES: AtomicU64 = AtomicU64::new(0);

/// Values by hash, of bounded size. What was used least recently is forgotten.
///
/// A cache is made once and shared by all threads. Each thread has what it used last for itself,
/// in an `Own` that belongs to the caller: counting the references to a value that all threads
/// share makes them wait for each other.
pub(crate) struct SharedCache<V> {
    number: u64,
    entries: RwLock<Entries<V>>,
    capacity: usize,
    /// Number of inserts and lookups so far, which orders uses.
    clock: AtomicU64,
}

struct Entries<V> {
    map: HashMap<B256, Arc<Entry<V>>>,
    /// Sum of the entries' sizes.
    size: usize,
}

/// A value and what the cache knows about it.
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    size: usize,
    used: AtomicU64,
}

/// What one thread has of a cache.
pub(crate) struct Own<V> {
    /// Number of the cache that the values are from; they count from 1.
    cache: u64,
    map: HashMap<B256, Rc<Arc<Entry<V>>>>,
    size: usize,
}

impl<V> Default for Own<V> {
    fn default() -> Self {
        Self {
            cache: 0,
            map: HashMap::new(),
            size: 0,
        }
    }
}

impl<V> SharedCache<V> {
    /// An empty cache for values of `capacity` in all, in the unit of their sizes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            number: CACHES.fetch_add(1, Relaxed).saturating_add(1),
            entries: RwLock::new(Entries {
                map: HashMap::new(),
                size: 0,
            }),
            capacity,
            clock: AtomicU64::new(0),
        }
    }

    /// The value of a key; `make` makes it, and says its size, when it is not known.
    pub(crate) fn get_or_make<E>(
        &self,
        key: B256,
        own: &RefCell<Own<V>>,
        make: impl FnOnce() -> Result<(V, usize), E>,
    ) -> Result<Rc<Arc<Entry<V>>>, E> {
        if let Some(entry) = self.find_own(key, own) {
            return Ok(entry);
        }
        let entry = match self.find(key) {
            Some(entry) => entry,
            None => {
                let (value, size) = make()?;
                self.insert(key, value, size)
            }
        };
        let entry = Rc::new(entry);
        own.borrow_mut()
            .keep(key, Rc::clone(&entry), self.capacity / OWN_PART);
        Ok(entry)
    }

    fn find_own(&self, key: B256, own: &RefCell<Own<V>>) -> Option<Rc<Arc<Entry<V>>>> {
        let mut own = own.borrow_mut();
        if own.cache != self.number {
            *own = Own {
                cache: self.number,
                ..Own::default()
            };
        }
        let entry = own.map.get(&key)?;
        // The clock stands still while all threads find what they have for themselves, and then
        // nothing is written that they share.
        let now = self.clock.load(Relaxed);
        if entry.used.load(Relaxed) != now {
            entry.used.store(now, Relaxed);
        }
        Some(Rc::clone(entry))
    }

    fn find(&self, key: B256) -> Option<Arc<Entry<V>>> {
        let entries = self.entries.read();
        let entry = entries.map.get(&key)?;
        entry.used.store(self.tick(), Relaxed);
        Some(Arc::clone(entry))
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Keeps a value, unless it alone is larger than the cache.
    fn insert(&self, key: B256, value: V, size: usize) -> Arc<Entry<V>> {
        let entry = Arc::new(Entry {
            value,
            size,
            used: AtomicU64::new(self.tick()),
        });
        if size > self.capacity {
            return entry;
        }
        let mut entries = self.entries.write();
        let replaced = entries.map.insert(key, Arc::clone(&entry));
        entries.size = entries.size + size - replaced.map_or(0, |entry| entry.size);
        while entries.size > self.capacity {
            let oldest = entries
                .map
                .iter()
                .min_by_key(|(_, entry)| entry.used.load(Relaxed))
                .map(|(key, _)| *key);
            let Some(entry) = oldest.and_then(|key| entries.map.remove(&key)) else {
                break;
            };
            entries.size -= entry.size;
        }
        entry
    }
}

impl<V> Own<V> {
    fn keep(&mut self, key: B256, entry: Rc<Arc<Entry<V>>>, capacity: usize) {
        if self.map.len() >= OWN_VALUES || self.size + entry.size > capacity {
            self.map.clear();
            self.size = 0;
        }
        if entry.size <= capacity {
            self.size += entry.size;
            self.map.insert(key, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn key(number: u8) -> B256 {
        B256::repeat_byte(number)
    }

    /// What the cache gives a thread that has nothing for itself; `None` when it does not know.
    fn known(cache: &SharedCache<&'static str>, number: u8) -> Option<&'static str> {
        cache
            .get_or_make(key(number), &RefCell::default(), || Err(()))
            .ok()
            .map(|entry| entry.value)
    }

    fn insert(cache: &SharedCache<&'static str>, number: u8, value: &'static str, size: usize) {
        let own = RefCell::default();
        let made = cache.get_or_make(key(number), &own, || Ok::<_, Infallible>((value, size)));
        assert_eq!(made.unwrap().value, value);
    }

    #[test]
    fn the_least_recently_used_entries_go_first() {
        let cache = SharedCache::new(10);
        insert(&cache, 1, "one", 4);
        insert(&cache, 2, "two", 4);
        assert!(known(&cache, 1).is_some());
        insert(&cache, 3, "three", 4);
        assert!(known(&cache, 2).is_none());
        assert!(known(&cache, 1).is_some() && known(&cache, 3).is_some());
        insert(&cache, 4, "too large", 11);
        assert!(known(&cache, 4).is_none());
        insert(&cache, 5, "all", 10);
        assert!(known(&cache, 1).is_none() && known(&cache, 5) == Some("all"));
    }

    #[test]
    fn what_a_thread_has_for_itself_counts_as_used() {
        let cache = SharedCache::new(64);
        let own = RefCell::default();
        let get = |number: u8, size: usize| {
            let entry = cache.get_or_make(key(number), &own, || Ok::<_, Infallible>(("", size)));
            entry.unwrap()
        };
        get(1, 4);
        insert(&cache, 2, "", 32);
        get(1, 4);
        insert(&cache, 3, "", 32);
        assert!(known(&cache, 1).is_some() && known(&cache, 2).is_none());
    }

    #[test]
    fn what_a_thread_has_for_itself_is_bounded_and_of_one_cache() {
        let (first, second) = (SharedCache::new(160), SharedCache::new(160));
        let own = RefCell::default();
        for number in 0..100 {
            let entry = first.get_or_make(key(number), &own, || Ok::<_, Infallible>((1, 3)));
            assert_eq!(entry.unwrap().value, 1);
            assert!(own.borrow().size <= 10);
        }
        let entry = second.get_or_make(key(99), &own, || Ok::<_, Infallible>((2, 3)));
        assert_eq!(entry.unwrap().value, 2);
        assert_eq!(own.borrow().map.len(), 1);
    }
}
