use alloy_primitives::{Address, B256, U256, keccak256};

use super::call::Call;

/// Where an address or a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Sender,
    /// Calldata's word at this position behind the selector.
    Word(u8),
    /// The same in every call.
    Fixed(B256),
}

/// What is hashed for a mapping's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The key, then the mapping's slot.
    Solidity,
    /// The mapping's slot, then the key.
    Vyper,
}

/// A slot of a mapping's entry. `K` is where keys come from, or what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<K> {
    /// The mapping's slot.
    pub(super) base: U256,
    pub(super) order: Order,
    pub(super) key: K,
    /// Key into the mapping that is the entry of the first key.
    pub(super) inner_key: Option<K>,
    /// Slots from the entry's first: less than [`MAX_OFFSETS`].
    pub(super) offset: u8,
}

/// Slots of an entry that are told apart: a struct's first members.
pub(super) const MAX_OFFSETS: u8 = 8;

/// What there is in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<K> {
    /// Balance, nonce and code.
    Account,
    Slot(K),
    Entry(Entry<K>),
    /// All slots of which nobody knows where they come from.
    Unknown,
}

impl<K> Place<K> {
    pub(super) fn map<J>(&self, mut key: impl FnMut(&K) -> Option<J>) -> Option<Place<J>> {
        Some(match self {
            Self::Account => Place::Account,
            Self::Slot(slot) => Place::Slot(key(slot)?),
            Self::Unknown => Place::Unknown,
            Self::Entry(entry) => Place::Entry(Entry {
                base: entry.base,
                order: entry.order,
                key: key(&entry.key)?,
                inner_key: match &entry.inner_key {
                    Some(inner_key) => Some(key(inner_key)?),
                    None => None,
                },
                offset: entry.offset,
            }),
        })
    }
}

impl Order {
    /// First slot of the entry with this key in the mapping at this slot.
    pub(super) fn entry_slot(self, mapping: &B256, key: &B256) -> B256 {
        let mut hashed = [0; 64];
        let (first, second) = hashed.split_at_mut(32);
        let (head, tail) = match self {
            Self::Solidity => (key, mapping),
            Self::Vyper => (mapping, key),
        };
        first.copy_from_slice(head.as_slice());
        second.copy_from_slice(tail.as_slice());
        keccak256(hashed)
    }
}

/// A place that a transaction was seen at, in the form that all templates share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) account: Address,
    pub(super) place: Place<B256>,
    pub(super) write: bool,
}

/// Who was seen at a slot that nobody can tell the origin of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) sender: u32,
    /// Hash of the words; 0 when there are none.
    pub(super) words: u32,
}

impl Witness {
    /// Whether what both have seen can depend neither on the sender nor on the arguments.
    const fn is_independent_of(self, other: Self) -> bool {
        self.sender != other.sender
            && (self.words != other.words || (self.words == 0 && other.words == 0))
    }
}

/// A place that calls of one kind are expected at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) account: Source,
    pub(super) place: Place<Source>,
    /// How often it was right of late, out of 255.
    pub(super) score: u8,
    /// How often the place was written of late when it was right.
    pub(super) written: u8,
    /// The first to see a slot that may yet turn out to be another for each call.
    pub(super) witness: Option<Witness>,
}

/// Score from which on a pattern is predicted: right in one of six.
const MIN_PREDICTED_SCORE: u8 = 40;

/// Score below which a pattern is forgotten.
const MIN_KEPT_SCORE: u8 = 12;

/// Score of what many earlier observations had not.
const MIN_NEW_SCORE: u8 = 64;

/// What a pattern is predicted to write from.
const MIN_WRITTEN: u8 = 32;

/// What `written` is after a write.
const WRITTEN: u8 = 128;

const fn raised(score: u8) -> u8 {
    (score - score / 8).saturating_add(31)
}

const fn lowered(score: u8) -> u8 {
    (score - score / 8).saturating_sub(1)
}

impl Pattern {
    /// `observations` counts those that its template has seen, this one included.
    pub(super) fn new(
        account: Source,
        place: Place<Source>,
        write: bool,
        observations: u8,
    ) -> Self {
        Self {
            account,
            place,
            score: match observations {
                0 | 1 => 192,
                2 => 128,
                3 => 85,
                _ => MIN_NEW_SCORE,
            },
            written: if write { WRITTEN } else { 0 },
            witness: None,
        }
    }

    /// A slot that is not predicted until another call is seen at it.
    pub(super) fn noted(
        account: Source,
        place: Place<Source>,
        write: bool,
        witness: Witness,
    ) -> Self {
        Self {
            witness: Some(witness),
            ..Self::new(account, place, write, u8::MAX)
        }
    }

    /// Account and place of this pattern in a call; `None` when calldata is too short for it.
    pub(super) fn at(&self, call: &Call<'_>) -> Option<(Address, Place<B256>)> {
        let account = Address::from_word(call.value(&self.account)?);
        Some((account, self.place.map(|source| call.value(source))?))
    }

    pub(super) const fn is_predicted(&self) -> bool {
        self.score >= MIN_PREDICTED_SCORE && self.witness.is_none()
    }

    pub(super) const fn is_kept(&self) -> bool {
        self.score >= MIN_KEPT_SCORE
    }

    pub(super) const fn is_write(&self) -> bool {
        self.written >= MIN_WRITTEN
    }

    /// It was right, and the place was written or not.
    pub(super) fn hit(&mut self, write: bool, witness: Witness) {
        self.score = raised(self.score);
        self.written = if write {
            raised(self.written).max(WRITTEN)
        } else {
            lowered(self.written)
        };
        if self
            .witness
            .is_some_and(|first| first.is_independent_of(witness))
        {
            self.witness = None;
        }
    }

    pub(super) fn miss(&mut self) {
        self.score = lowered(self.score);
        if matches!(self.place, Place::Unknown) {
            // What was unknown has been found out, as a rule.
            self.score -= self.score / 4;
        }
    }

    /// Whether it has an address in it that the call says nothing about.
    pub(super) fn has_hidden_address(&self, call: &Call<'_>) -> bool {
        let to = call.to().into_word();
        let hidden = |source: &Source| matches!(source, Source::Fixed(word) if *word != to);
        hidden(&self.account)
            || match &self.place {
                Place::Entry(entry) => {
                    hidden(&entry.key) || entry.inner_key.as_ref().is_some_and(hidden)
                }
                Place::Account | Place::Slot(_) | Place::Unknown => false,
            }
    }
}
