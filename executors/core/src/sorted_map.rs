use std::{iter::Map, slice, vec};

/// A map as a sorted list without gaps: made once, walked in order, looked up now and then.
///
/// Two equal maps are equal byte for byte wherever they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// The map of entries that are sorted by their keys, each key once.
    pub fn from_sorted(entries: Vec<(K, V)>) -> Self {
        debug_assert!(entries.is_sorted_by(|(left, _), (right, _)| left < right));
        Self(entries)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let index = self.0.binary_search_by(|(found, _)| found.cmp(key)).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    pub(crate) fn first_key(&self) -> Option<&K> {
        self.0.first().map(|(key, _)| key)
    }

    pub(crate) fn last_key(&self) -> Option<&K> {
        self.0.last().map(|(key, _)| key)
    }

    /// Whether the key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key. Cheap only for a key behind all others.
    pub fn insert(&mut self, key: K, value: V) {
        match self.0.binary_search_by(|(found, _)| found.cmp(&key)) {
            Ok(index) => {
                if let Some(entry) = self.0.get_mut(index) {
                    entry.1 = value;
                }
            }
            Err(index) => self.0.insert(index, (key, value)),
        }
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator + Clone {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The entries as a slice, in the order of their keys.
    pub fn as_slice(&self) -> &[(K, V)] {
        &self.0
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Map<slice::Iter<'a, (K, V)>, fn(&(K, V)) -> (&K, &V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Of equal keys the last one counts.
impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.sort_by(|(left, _), (right, _)| left.cmp(right));
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self(entries)
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_an_ordered_map(
            collected in prop::collection::vec((any::<u8>(), any::<u16>()), 0..50),
            inserted in prop::collection::vec((any::<u8>(), any::<u16>()), 0..20),
        ) {
            let mut expected: BTreeMap<_, _> = collected.iter().copied().collect();
            let mut map: SortedMap<_, _> = collected.into_iter().collect();
            for (key, value) in inserted {
                expected.insert(key, value);
                map.insert(key, value);
            }
            prop_assert!(map.iter().eq(&expected));
            prop_assert_eq!(map.len(), expected.len());
            for key in 0..=u8::MAX {
                prop_assert_eq!(map.get(&key), expected.get(&key));
            }
        }
    }
}
