use std::{
    fmt,
    hash::{BuildHasher, Hasher},
};

use alloy_primitives::{B256, map::DefaultHashBuilder};

use super::{
    call::Call,
    pattern::{Order, Pattern, Place, Source},
};

/// Gives places their names. They are random in each process, so that nobody can aim at equal ones.
#[derive(Default)]
pub(super) struct Names(DefaultHashBuilder);

impl fmt::Debug for Names {
    /// Leaves out what must not be known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    /// Name of an account, and what a key adds to names.
    pub(super) fn word(&self, word: &B256) -> u64 {
        let mut hasher = self.0.build_hasher();
        // In halves: whole numbers are hashed inline.
        for half in word.as_chunks::<16>().0 {
            hasher.write_u128(u128::from_le_bytes(*half));
        }
        hasher.finish()
    }

    /// Name of a slot.
    pub(super) fn slot(&self, account: u64, slot: &B256) -> u64 {
        self.place(account, self.kind(&Place::Slot(())), self.word(slot), 0)
    }

    fn place(&self, account: u64, kind: u64, key: u64, inner_key: u64) -> u64 {
        let mut hasher = self.0.build_hasher();
        for part in [account, kind, key, inner_key] {
            hasher.write_u64(part);
        }
        hasher.finish()
    }

    /// What a place has without account and keys.
    fn kind<K>(&self, place: &Place<K>) -> u64 {
        let mut hasher = self.0.build_hasher();
        match place {
            Place::Account => hasher.write_u64(0),
            Place::Slot(_) => hasher.write_u64(1),
            Place::Unknown => hasher.write_u64(2),
            Place::Entry(entry) => {
                hasher.write(&entry.base.to_be_bytes::<32>());
                hasher.write_u8(match entry.order {
                    Order::Solidity => 0,
                    Order::Vyper => 1,
                });
                hasher.write_u8(entry.offset);
            }
        }
        hasher.finish()
    }
}

/// A source of which everything that calls share is done.
#[derive(Debug, Clone, Copy)]
enum NamedSource {
    Sender,
    Word(u8),
    Named(u64),
}

impl NamedSource {
    fn new(source: &Source, names: &Names) -> Self {
        match source {
            Source::Sender => Self::Sender,
            Source::Word(position) => Self::Word(*position),
            Source::Fixed(word) => Self::Named(names.word(word)),
        }
    }

    fn name(self, call: &Call<'_>, sender: u64, names: &Names) -> Option<u64> {
        match self {
            Self::Sender => Some(sender),
            Self::Word(position) => Some(names.word(call.word(position)?)),
            Self::Named(name) => Some(name),
        }
    }
}

/// A pattern of which everything that calls share is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedPattern {
    account: NamedSource,
    /// Of all but accounts: kind and keys.
    place: Option<(u64, [NamedSource; 2])>,
    pub(super) write: bool,
}

impl NamedPattern {
    pub(super) fn new(pattern: &Pattern, names: &Names) -> Self {
        let none = NamedSource::Named(0);
        let keys = match &pattern.place {
            Place::Account => None,
            Place::Unknown => Some([none; 2]),
            Place::Slot(slot) => Some([NamedSource::new(slot, names), none]),
            Place::Entry(entry) => Some([
                NamedSource::new(&entry.key, names),
                entry
                    .inner_key
                    .map_or(none, |key| NamedSource::new(&key, names)),
            ]),
        };
        Self {
            account: NamedSource::new(&pattern.account, names),
            place: keys.map(|keys| (names.kind(&pattern.place), keys)),
            write: pattern.is_write(),
        }
    }

    /// Name of the pattern's place in a call. `sender` is the name of the sender's account.
    pub(super) fn name(&self, call: &Call<'_>, sender: u64, names: &Names) -> Option<u64> {
        let account = self.account.name(call, sender, names)?;
        let Some((kind, [key, inner_key])) = self.place else {
            return Some(account);
        };
        let key = key.name(call, sender, names)?;
        let inner_key = inner_key.name(call, sender, names)?;
        Some(names.place(account, kind, key, inner_key))
    }
}
