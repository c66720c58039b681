use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};
use weft_primitives::RecoveredTransaction;

use super::pattern::Source;

/// First four bytes of calldata, as the Solidity ABI has them.
pub(super) type Selector = [u8; 4];

/// Words of calldata that are looked at.
pub(super) const MAX_WORDS: u8 = 12;

/// A transaction that calls an account, as patterns see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    sender: B256,
    to: Address,
    input: &'a [u8],
}

impl<'a> Call<'a> {
    /// `None` for a transaction that creates a contract.
    pub(super) fn new(transaction: &'a RecoveredTransaction) -> Option<Self> {
        Some(Self {
            sender: transaction.signer().into_word(),
            to: transaction.to()?,
            input: transaction.input(),
        })
    }

    /// The sender's address as a word.
    pub(super) const fn sender(&self) -> &B256 {
        &self.sender
    }

    pub(super) const fn to(&self) -> Address {
        self.to
    }

    pub(super) const fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// `None` when calldata is too short for one.
    pub(super) fn selector(&self) -> Option<Selector> {
        self.input.first_chunk().copied()
    }

    /// The word at this position behind the selector; `None` when calldata ends before it does.
    pub(super) fn word(&self, position: u8) -> Option<&'a B256> {
        let start = usize::from(position).saturating_mul(32).saturating_add(4);
        let word: &[u8; 32] = self.input.get(start..)?.first_chunk()?;
        Some(word.into())
    }

    /// The words that are looked at, with their positions.
    pub(super) fn words(&self) -> impl Iterator<Item = (u8, &'a B256)> {
        let call = *self;
        (0..MAX_WORDS).map_while(move |position| Some((position, call.word(position)?)))
    }

    /// What the source stands for in this call.
    pub(super) fn value(&self, source: &Source) -> Option<B256> {
        match source {
            Source::Sender => Some(self.sender),
            Source::Word(position) => self.word(*position).copied(),
            Source::Fixed(word) => Some(*word),
        }
    }

    /// The source that has this value in this call: rather one that may differ in the next.
    pub(super) fn source(&self, value: &B256) -> Source {
        if *value == self.sender {
            return Source::Sender;
        }
        self.words()
            .find(|(_, word)| *word == value)
            .map_or(Source::Fixed(*value), |(position, _)| {
                Source::Word(position)
            })
    }
}

/// The address in a word; `None` when the word is none.
pub(super) fn address_in(word: &B256) -> Option<Address> {
    let (padding, _) = word.split_first_chunk::<12>()?;
    (*padding == [0; 12] && !word.is_zero()).then(|| Address::from_word(*word))
}
