use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;

/// A map of bounded size that forgets what was used least recently.
pub(crate) struct BoundedCache<K, V> {
    entries: Mutex<Entries<K, V>>,
    capacity: usize,
}

struct Entries<K, V> {
    map: HashMap<K, Entry<V>>,
    /// Sum of the entries' sizes.
    size: usize,
    /// Number of uses so far.
    clock: u64,
}

struct Entry<V> {
    value: Arc<V>,
    size: usize,
    used: u64,
}

impl<K: Copy + Eq + Hash, V> BoundedCache<K, V> {
    /// An empty cache for entries of `capacity` in all, in the unit of their sizes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Mutex::new(Entries {
                map: HashMap::new(),
                size: 0,
                clock: 0,
            }),
            capacity,
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: K) -> Option<Arc<V>> {
        let mut entries = self.entries.lock();
        entries.clock += 1;
        let now = entries.clock;
        let entry = entries.map.get_mut(&key)?;
        entry.used = now;
        Some(Arc::clone(&entry.value))
    }

    /// Keeps a value, unless it alone is larger than the cache.
    pub(crate) fn insert(&self, key: K, value: Arc<V>, size: usize) {
        if size > self.capacity {
            return;
        }
        let mut entries = self.entries.lock();
        entries.clock += 1;
        let used = entries.clock;
        let replaced = entries.map.insert(key, Entry { value, size, used });
        entries.size = entries.size + size - replaced.map_or(0, |entry| entry.size);
        while entries.size > self.capacity {
            let oldest = entries
                .map
                .iter()
                .min_by_key(|(_, entry)| entry.used)
                .map(|(key, _)| *key);
            let Some(entry) = oldest.and_then(|key| entries.map.remove(&key)) else {
                break;
            };
            entries.size -= entry.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_entries_go_first() {
        let cache = BoundedCache::new(10);
        cache.insert(1, Arc::new("one"), 4);
        cache.insert(2, Arc::new("two"), 4);
        assert!(cache.get(1).is_some());
        cache.insert(3, Arc::new("three"), 4);
        assert!(cache.get(2).is_none());
        assert!(cache.get(1).is_some() && cache.get(3).is_some());
        cache.insert(4, Arc::new("too large"), 11);
        assert!(cache.get(4).is_none());
        cache.insert(1, Arc::new("uno"), 10);
        assert_eq!(cache.get(1).as_deref(), Some(&"uno"));
        assert!(cache.get(3).is_none());
    }
}
