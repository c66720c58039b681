use std::{iter::Flatten, slice, vec};

use crate::SortedMap;

/// A sorted map in parts, one after another: several threads can make one without a copy at the end.
///
/// Two maps with equal entries are equal, whatever their parts.
#[derive(Debug, Clone)]
pub struct PartedMap<K, V> {
    /// None of them empty.
    parts: Vec<SortedMap<K, V>>,
}

impl<K, V> Default for PartedMap<K, V> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<K: Ord, V> PartedMap<K, V> {
    /// The map of these parts. All keys of a part are lower than those of the next one.
    pub fn from_parts(parts: impl IntoIterator<Item = SortedMap<K, V>>) -> Self {
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        debug_assert!(parts.is_sorted_by(|left, right| left.last_key() < right.first_key()));
        Self { parts }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.parts.iter().map(SortedMap::len).sum()
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let part = self
            .parts
            .partition_point(|part| part.last_key().is_some_and(|last| last < key));
        self.parts.get(part)?.get(key)
    }

    /// Whether the key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key. Cheap only for a key behind all others.
    pub fn insert(&mut self, key: K, value: V) {
        let after = self
            .parts
            .partition_point(|part| part.last_key().is_some_and(|last| *last < key));
        let part = after.min(self.parts.len().saturating_sub(1));
        match self.parts.get_mut(part) {
            Some(part) => part.insert(key, value),
            None => self.parts.push([(key, value)].into()),
        }
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.parts.iter().flat_map(SortedMap::iter)
    }

    /// The entries as slices, in the order of their keys.
    pub fn slices(&self) -> impl Iterator<Item = &[(K, V)]> {
        self.parts.iter().map(SortedMap::as_slice)
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for PartedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.into_iter().eq(other)
    }
}

impl<K: Eq, V: Eq> Eq for PartedMap<K, V> {}

impl<'a, K, V> IntoIterator for &'a PartedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Flatten<slice::Iter<'a, SortedMap<K, V>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.iter().flatten()
    }
}

impl<K, V> IntoIterator for PartedMap<K, V> {
    type Item = (K, V);
    type IntoIter = Flatten<vec::IntoIter<SortedMap<K, V>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter().flatten()
    }
}

/// Of equal keys the last one counts.
impl<K: Ord, V> FromIterator<(K, V)> for PartedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::from_parts([entries.into_iter().collect()])
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for PartedMap<K, V> {
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
        fn is_an_ordered_map_whatever_its_parts(
            entries in prop::collection::btree_map(any::<u8>(), any::<u16>(), 0..50),
            cuts in prop::collection::vec(any::<u8>(), 0..4),
            inserted in prop::collection::vec((any::<u8>(), any::<u16>()), 0..20),
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let part = |key: u8| cuts.partition_point(|cut| *cut <= key);
            let parts = (0..=cuts.len()).map(|number| {
                let own = entries.iter().filter(|(key, _)| part(**key) == number);
                own.map(|(key, value)| (*key, *value)).collect()
            });
            let mut map = PartedMap::from_parts(parts);
            prop_assert_eq!(&map, &entries.clone().into_iter().collect());
            let mut expected: BTreeMap<_, _> = entries;
            for (key, value) in inserted {
                expected.insert(key, value);
                map.insert(key, value);
            }
            prop_assert!(map.iter().eq(&expected));
            prop_assert!(map.iter().rev().eq(expected.iter().rev()));
            prop_assert_eq!(map.len(), expected.len());
            for key in 0..=u8::MAX {
                prop_assert_eq!(map.get(&key), expected.get(&key));
            }
        }
    }
}
