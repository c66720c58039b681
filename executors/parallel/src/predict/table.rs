use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use alloy_primitives::{Address, map::DefaultHashBuilder};

use super::{
    call::{Call, Selector},
    template::{CONTEXT_ADDRESSES, Template},
};

/// Which calls a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) to: Address,
    /// `None` when calldata is too short for one.
    pub(super) selector: Option<Selector>,
    /// Addresses in calldata; `None` in the template that all calls share.
    pub(super) context: Option<[Address; CONTEXT_ADDRESSES]>,
}

impl Hash for Key {
    /// As whole numbers, which are hashed inline.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(u32::from_le_bytes(self.selector.unwrap_or_default()));
        for address in [self.to].iter().chain(self.context.iter().flatten()) {
            if let Some((head, tail)) = address.split_first_chunk::<16>() {
                state.write_u128(u128::from_le_bytes(*head));
                state.write_u32(
                    tail.first_chunk()
                        .map_or(0, |tail| u32::from_le_bytes(*tail)),
                );
            }
        }
    }
}

impl Key {
    pub(super) fn new(call: &Call<'_>) -> Self {
        Self {
            to: call.to(),
            selector: call.selector(),
            context: None,
        }
    }
}

/// Blocks in which a template must have been of use to be kept from newcomers.
const PROVEN_BLOCKS: u8 = 2;

/// Templates among which the one to give up is chosen.
const CANDIDATES: usize = 16;

#[derive(Debug)]
struct Record {
    key: Key,
    template: Template,
    /// The block that it was last of use in.
    last_used: AtomicU32,
    /// Blocks that it was of use in, up to 255.
    blocks: AtomicU8,
}

impl Record {
    /// Threads that do this at once may count a block twice, which does no harm.
    fn mark(&self, block: u32) {
        if self.last_used.load(Ordering::Relaxed) != block {
            self.last_used.store(block, Ordering::Relaxed);
            let blocks = self.blocks.load(Ordering::Relaxed);
            self.blocks
                .store(blocks.saturating_add(1), Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Position {
    Proven(usize),
    New(usize),
}

/// Templates, up to a number.
///
/// New ones have a quarter of the room and push each other out, first in, first out. One that has
/// been of use in several blocks moves on to the others when its turn comes. So nobody can push out
/// what is in use by filling a block with calls that were never seen.
#[derive(Debug)]
pub(super) struct Table {
    index: HashMap<Key, Position, DefaultHashBuilder>,
    proven: Vec<Record>,
    max_proven: usize,
    /// Where the search for a proven one to give up goes on.
    hand: usize,
    new: Vec<Record>,
    max_new: usize,
    /// The oldest of the new ones, once there are as many as may be.
    oldest: usize,
}

impl Table {
    /// One template is held whatever the capacity.
    pub(super) fn new(capacity: usize) -> Self {
        let max_new = (capacity / 4).max(1);
        Self {
            index: HashMap::default(),
            proven: Vec::new(),
            max_proven: capacity.saturating_sub(max_new),
            hand: 0,
            new: Vec::new(),
            max_new,
            oldest: 0,
        }
    }

    fn at(&self, position: Position) -> Option<&Record> {
        match position {
            Position::Proven(index) => self.proven.get(index),
            Position::New(index) => self.new.get(index),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Template> {
        let record = self.at(*self.index.get(key)?)?;
        Some(&record.template)
    }

    /// The template, which is of use in this block.
    pub(super) fn used(&self, key: &Key, block: u32) -> Option<&Template> {
        let record = self.at(*self.index.get(key)?)?;
        record.mark(block);
        Some(&record.template)
    }

    /// Puts a template in the place of the key's last one.
    pub(super) fn put(&mut self, key: Key, template: Template, block: u32) {
        let position = self.index.get(&key).copied();
        let record = match position {
            Some(Position::Proven(index)) => self.proven.get_mut(index),
            Some(Position::New(index)) => self.new.get_mut(index),
            None => None,
        };
        match record {
            Some(record) => record.template = template,
            None => self.add(Record {
                key,
                template,
                last_used: AtomicU32::new(block),
                blocks: AtomicU8::new(0),
            }),
        }
    }

    fn add(&mut self, record: Record) {
        let key = record.key;
        if self.new.len() < self.max_new {
            self.index.insert(key, Position::New(self.new.len()));
            self.new.push(record);
            return;
        }
        let place = self.oldest;
        self.oldest = place.wrapping_add(1) % self.max_new;
        if let Some(oldest) = self.new.get_mut(place) {
            let oldest = std::mem::replace(oldest, record);
            self.index.insert(key, Position::New(place));
            self.move_on(oldest);
        }
    }

    /// Puts a record that is new no longer among the proven ones, or forgets it.
    fn move_on(&mut self, mut record: Record) {
        let key = record.key;
        if self.proven.len() < self.max_proven {
            self.index.insert(key, Position::Proven(self.proven.len()));
            self.proven.push(record);
            return;
        }
        self.index.remove(&key);
        if *record.blocks.get_mut() < PROVEN_BLOCKS {
            return;
        }
        let count = self.proven.len();
        let candidates = (0..CANDIDATES.min(count))
            .filter_map(|step| self.hand.wrapping_add(step).checked_rem(count));
        let last_used = |index: &usize| {
            let record = self.proven.get(*index);
            record.map_or(u32::MAX, |record| record.last_used.load(Ordering::Relaxed))
        };
        let worst = candidates.min_by_key(last_used);
        self.hand = self
            .hand
            .wrapping_add(CANDIDATES)
            .checked_rem(count)
            .unwrap_or(0);
        if let Some(index) = worst
            && let Some(worst) = self.proven.get_mut(index)
            && *worst.last_used.get_mut() <= *record.last_used.get_mut()
        {
            self.index.remove(&worst.key);
            self.index.insert(key, Position::Proven(index));
            *worst = record;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The proven ones, then the new ones from the oldest on, with whether they are proven.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Template, bool)> {
        let (newest, oldest) = self.new.split_at_checked(self.oldest).unwrap_or_default();
        let proven = self.proven.iter().map(|record| (record, true));
        let new = oldest.iter().chain(newest).map(|record| (record, false));
        proven
            .chain(new)
            .map(|(record, proven)| (&record.key, &record.template, proven))
    }

    /// Puts in what [`Self::iter`] gave, in the same order. False when there is no room, or there
    /// is one with this key.
    pub(super) fn restore(&mut self, key: Key, template: Template, proven: bool) -> bool {
        if self.index.contains_key(&key) {
            return false;
        }
        let record = |blocks| Record {
            key,
            template,
            last_used: AtomicU32::new(0),
            blocks: AtomicU8::new(blocks),
        };
        if proven && self.proven.len() < self.max_proven {
            self.index.insert(key, Position::Proven(self.proven.len()));
            self.proven.push(record(PROVEN_BLOCKS));
        } else if self.new.len() < self.max_new {
            self.index.insert(key, Position::New(self.new.len()));
            self.new.push(record(0));
        } else {
            return false;
        }
        true
    }
}
