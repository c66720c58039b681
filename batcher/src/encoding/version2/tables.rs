//! What was seen before and is referred to by its number.

use std::hash::Hash;

use alloy_primitives::map::HashMap;

/// Most values of a table; those after them are not remembered.
const MOST_VALUES: usize = 1 << 17;

/// Different values in the order in which they first appeared.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    values: Vec<T>,
    places: HashMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            places: HashMap::default(),
        }
    }
}

impl<T: Copy + Eq + Hash> Table<T> {
    pub(super) fn find(&self, value: &T) -> Option<u32> {
        self.places.get(value).copied()
    }

    pub(super) fn get(&self, index: u32) -> Option<T> {
        self.values.get(index as usize).copied()
    }

    /// The value that was appended so many before the last one.
    pub(super) fn nth_last(&self, back: u32) -> Option<T> {
        self.values.iter().nth_back(back as usize).copied()
    }

    /// The values from number `first` on.
    pub(super) fn since(&self, first: u32) -> &[T] {
        self.values.get(first as usize..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.values.len()).unwrap_or(u32::MAX)
    }

    /// Appends a value and gives its number. A full table stays as it is.
    pub(super) fn append(&mut self, value: T) -> u32 {
        let index = self.len();
        if self.values.len() >= MOST_VALUES {
            return index;
        }
        self.values.push(value);
        self.places.entry(value).or_insert(index);
        index
    }
}
