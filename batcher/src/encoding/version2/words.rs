//! Inputs that are calls by the ABI: words of 32 bytes, each of one of a few classes.
//!
//! A word is predicted from its place: the selector and how many words came before it. A word that
//! says how long the bytes behind it are may be followed by a call within the call; the words of
//! that one are predicted from its own selector.

use alloy_primitives::{Address, U256, map::HashMap};

mod classes;
mod shape;

use super::{
    coder::{Coder, plain_bytes},
    decimals,
    fields::Layout,
    kinds as kind,
    model::{Model, context},
    tables::Table,
};

use classes::{Found, class};
pub(super) use shape::pays;
use shape::{looks_like_call, nested_length};

/// Stands for "none" where something known is a context.
const NONE: u32 = u32::MAX;

type Word = [u8; 32];

/// Bits of a class.
const CLASS_BITS: u32 = 4;

/// How many of the last words [`class::RECENT`] reaches.
const RECENT: u32 = 16;

/// Most places whose last word is remembered.
const MOST_PLACES: usize = 1 << 16;

/// What is known of the transaction whose input is coded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// Its block's time, in seconds.
    pub(super) timestamp: u64,
    /// Its value.
    pub(super) value: U256,
    /// Its recipient's number, or [`u32::MAX`].
    pub(super) to: u32,
}

/// The state of the inputs' coding.
#[derive(Debug, Clone)]
pub(super) struct WordCoder {
    pub(super) model: Model,
    pub(super) addresses: Table<Address>,
    pub(super) words: Table<Word>,
    selectors: Table<[u8; 4]>,
    /// The last word at each place, and its class.
    places: HashMap<u32, (Word, u32)>,
    /// The twelve bytes before an address.
    uppers: Table<[u8; 12]>,
    /// Inputs that are no calls and words without structure, in order: a section of its own.
    leftover: Vec<u8>,
    /// How far a decoder has read it.
    leftover_read: usize,
}

/// Where a word stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The call's selector, or what else tells kinds of places apart.
    pub(super) selector: u32,
    /// Words before.
    pub(super) index: u32,
    /// Bytes that are left of a call within a call; [`usize::MAX`] for the outermost.
    pub(super) left: usize,
    /// Zeros behind a call within a call.
    pub(super) padding: usize,
}

impl WordCoder {
    pub(super) fn new() -> Self {
        Self {
            model: Model::new(),
            addresses: Table::default(),
            words: Table::default(),
            selectors: Table::default(),
            places: HashMap::default(),
            uppers: Table::default(),
            leftover: Vec::new(),
            leftover_read: 0,
        }
    }

    /// Makes the batch's own recipients known. `leftover` is what a decoder finds in the section of
    /// what is left over.
    pub(super) fn start(&mut self, recipients: &[Address], leftover: Vec<u8>) {
        for address in recipients {
            if self.addresses.find(address).is_none() {
                self.addresses.append(*address);
            }
        }
        self.leftover = leftover;
        self.leftover_read = 0;
    }

    /// What was left over.
    pub(super) fn into_leftover(self) -> Vec<u8> {
        self.leftover
    }

    /// How many bytes that are left over were not read.
    pub(super) const fn unread(&self) -> usize {
        self.leftover.len().saturating_sub(self.leftover_read)
    }

    /// Codes one input. It has the whole length; a decoder fills it in. `None` when what is decoded is none.
    pub(super) fn input<C: Coder>(
        &mut self,
        coder: &mut C,
        call: &Call,
        layout: Layout,
        input: &mut [u8],
    ) -> Option<()> {
        let Layout::Call(selector) = layout else {
            return self.leave::<C>(input);
        };
        let (head, mut rest) = input.split_at_mut_checked(4)?;
        head.copy_from_slice(&selector);
        let mut outer = Vec::new();
        let mut frame = Frame {
            selector: u32::from_be_bytes(selector),
            index: 0,
            left: usize::MAX,
            padding: 0,
        };
        let mut history = [NONE; 3];
        loop {
            if frame.left < 32 {
                // What is left of a call within a call, and the zeros behind it.
                let (tail, behind) = rest.split_at_mut_checked(frame.left)?;
                self.bytes(coder, context(kind::BYTE, frame.selector, NONE), tail);
                let (padding, behind) = behind.split_at_mut_checked(frame.padding)?;
                padding.fill(0);
                rest = behind;
                frame = outer.pop()?;
                continue;
            }
            if rest.len() < 32 {
                break;
            }
            let (word, behind) = rest.split_first_chunk_mut::<32>()?;
            rest = behind;
            *word = self.word(coder, call, &frame, &mut history, *word)?;
            frame.index = frame.index.saturating_add(1);
            frame.left -= 32;
            let Some(length) = nested_length(word, rest.len().min(frame.left)) else {
                continue;
            };
            let inner = !C::DECODES && looks_like_call(rest, length);
            let contexts = [
                context(kind::NESTED, frame.selector, frame.index),
                context(kind::NESTED, frame.selector, NONE),
                context(kind::NESTED, history[1], length as u32 % 32),
            ];
            if !self.model.decide(coder, kind::NESTED, &contexts, 0, inner) {
                continue;
            }
            let (head, behind) = rest.split_first_chunk_mut::<4>()?;
            rest = behind;
            *head = self.nested_selector(coder, call, &frame, *head)?;
            let padded = length.next_multiple_of(32);
            frame.left -= padded;
            outer.push(frame);
            frame = Frame {
                selector: u32::from_be_bytes(*head),
                index: 0,
                left: length - 4,
                padding: padded - length,
            };
        }
        self.bytes(coder, context(kind::BYTE, frame.selector, NONE), rest);
        Some(())
    }

    /// Bytes that are left over, to the section that is for them or from there.
    fn leave<C: Coder>(&mut self, bytes: &mut [u8]) -> Option<()> {
        if C::DECODES {
            let rest = self.leftover.get(self.leftover_read..)?;
            bytes.copy_from_slice(rest.get(..bytes.len())?);
            self.leftover_read += bytes.len();
        } else {
            self.leftover.extend_from_slice(bytes);
        }
        Some(())
    }

    /// Bytes without structure of their own.
    fn bytes<C: Coder>(&mut self, coder: &mut C, at: u32, bytes: &mut [u8]) {
        let mut before = [0; 2];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let [last, earlier] = before;
            let contexts = [
                context(kind::BYTE, at, index as u32 | last << 16),
                context(kind::BYTE, NONE, last | earlier << 8),
                context(kind::BYTE, NONE, last | 1 << 16),
            ];
            let symbol = u32::from(*byte);
            let symbol = self.model.symbol(coder, kind::BYTE, &contexts, 8, symbol);
            *byte = symbol as u8;
            before = [symbol, last];
        }
    }

    fn nested_selector<C: Coder>(
        &mut self,
        coder: &mut C,
        call: &Call,
        frame: &Frame,
        given: [u8; 4],
    ) -> Option<[u8; 4]> {
        let place = self.selectors.find(&given);
        let contexts = [
            context(kind::NESTED_KNOWN, frame.selector, frame.index),
            context(kind::NESTED_KNOWN, call.to, NONE),
        ];
        if self
            .model
            .decide(coder, kind::NESTED_KNOWN, &contexts, 0, place.is_some())
        {
            let contexts = [
                context(kind::NESTED_SELECTOR, frame.selector, frame.index),
                context(kind::NESTED_SELECTOR, call.to, NONE),
                context(kind::NESTED_SELECTOR, NONE, NONE),
            ];
            let place = self.model.index(
                coder,
                kind::NESTED_SELECTOR,
                &contexts,
                place.unwrap_or_default(),
            );
            return self.selectors.get(place);
        }
        let selector = plain_bytes(coder, &given);
        self.selectors.append(selector);
        Some(selector)
    }

    pub(super) fn word<C: Coder>(
        &mut self,
        coder: &mut C,
        call: &Call,
        frame: &Frame,
        history: &mut [u32; 3],
        given: Word,
    ) -> Option<Word> {
        let at = context(0x77, frame.selector, frame.index);
        let (last, last_class) = self.places.get(&at).copied().unwrap_or(([0; 32], NONE));
        let found = if C::DECODES {
            Found::default()
        } else {
            self.classify(call, &given, &last)
        };
        let contexts = [
            context(kind::WORD, at, history[0] ^ last_class << 8),
            context(kind::WORD, at, call.to ^ 0x5555),
            context(kind::WORD, at, NONE),
            context(kind::WORD, frame.selector, history[0] | history[1] << 8),
            context(kind::WORD, history[0] | history[1] << 8, history[2]),
        ];
        let class = self
            .model
            .symbol(coder, kind::WORD, &contexts, CLASS_BITS, found.class);
        let word = self.of_class(coder, call, at, class, &found, given, &last)?;
        *history = [class, history[0], history[1]];
        if self.places.len() < MOST_PLACES {
            self.places.insert(at, (word, class));
        } else if let Some(place) = self.places.get_mut(&at) {
            *place = (word, class);
        }
        Some(word)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one word")]
    fn of_class<C: Coder>(
        &mut self,
        coder: &mut C,
        call: &Call,
        at: u32,
        class: u32,
        found: &Found,
        given: Word,
        last: &Word,
    ) -> Option<Word> {
        let model = &mut self.model;
        let word = match class {
            class::ZERO => return Some([0; 32]),
            class::SAME => return Some(*last),
            class::VALUE => return Some(call.value.to_be_bytes()),
            class::ADDRESS => {
                let contexts = [
                    context(kind::WORD_ADDRESS, at, call.to),
                    context(kind::WORD_ADDRESS, at, NONE),
                    context(kind::WORD_ADDRESS, NONE, NONE),
                ];
                let place = model.index(coder, kind::WORD_ADDRESS, &contexts, found.place);
                return Some(self.addresses.get(place)?.into_word().0);
            }
            class::NEW_ADDRESS => {
                let address = Address::from_word(given.into());
                let address = Address::from(plain_bytes(coder, &address.0.0));
                self.addresses.append(address);
                return Some(address.into_word().0);
            }
            class::KNOWN => {
                let contexts = [
                    context(kind::WORD_KNOWN, at, call.to),
                    context(kind::WORD_KNOWN, at, NONE),
                    context(kind::WORD_KNOWN, NONE, NONE),
                ];
                let place = model.index(coder, kind::WORD_KNOWN, &contexts, found.place);
                return self.words.get(place);
            }
            class::RECENT => {
                let contexts = [
                    context(kind::WORD_RECENT, at, NONE),
                    context(kind::WORD_RECENT, NONE, NONE),
                ];
                let back = model.symbol(coder, kind::WORD_RECENT, &contexts, 4, found.place);
                return self.words.nth_last(back);
            }
            class::TIME => {
                let contexts = [
                    context(kind::WORD_TIME, at, NONE),
                    context(kind::WORD_TIME, call.to, 1),
                    context(kind::WORD_TIME, NONE, 2),
                ];
                let delta = model.number(coder, kind::WORD_TIME, &contexts, 16, found.number);
                let moved = unfold(u64::try_from(delta).ok()?);
                number_word(u128::from(call.timestamp.wrapping_add(moved)))
            }
            class::DECIMAL => {
                let contexts = [
                    context(kind::WORD_DECIMAL, at, call.to),
                    context(kind::WORD_DECIMAL, at, NONE),
                    context(kind::WORD_DECIMAL, NONE, NONE),
                ];
                number_word(decimals::code(
                    model,
                    coder,
                    kind::WORD_DECIMAL,
                    &contexts,
                    5,
                    found.number,
                )?)
            }
            class::LEFT => {
                let contexts = [
                    context(kind::WORD_LEFT, at, NONE),
                    context(kind::WORD_LEFT, NONE, NONE),
                ];
                let length = model.symbol(coder, kind::WORD_LEFT, &contexts, 5, found.place);
                let mut word = given;
                let (bytes, zeros) = word.split_at_mut_checked(length as usize)?;
                self.bytes(coder, context(kind::BYTE, at, NONE), bytes);
                zeros.fill(0);
                word
            }
            class::NUMBER => {
                let before = u32::from(last[31]) | u32::from(last[30]) << 8;
                let contexts = [
                    context(kind::WORD_NUMBER, at, call.to),
                    context(kind::WORD_NUMBER, at, before),
                    context(kind::WORD_NUMBER, at, NONE),
                    context(kind::WORD_NUMBER, NONE, NONE),
                ];
                number_word(model.number(coder, kind::WORD_NUMBER, &contexts, 12, found.number))
            }
            class::PACKED => {
                let (upper, lower) = given.split_first_chunk::<12>()?;
                let contexts = [
                    context(kind::WORD_UPPER, at, NONE),
                    context(kind::WORD_UPPER, NONE, NONE),
                ];
                let place = self.uppers.find(upper);
                let known =
                    model.decide(coder, kind::WORD_UPPER, &contexts, 0x7777, place.is_some());
                let upper = if known {
                    let place = place.unwrap_or_default();
                    self.uppers
                        .get(model.index(coder, kind::WORD_UPPER, &contexts, place))?
                } else {
                    let upper = plain_bytes(coder, upper);
                    self.uppers.append(upper);
                    upper
                };
                let address = Address::from_slice(lower);
                let place = self.addresses.find(&address);
                let contexts = [
                    context(kind::WORD_LOWER, at, call.to),
                    context(kind::WORD_LOWER, at, NONE),
                    context(kind::WORD_ADDRESS, NONE, NONE),
                ];
                let known =
                    model.decide(coder, kind::WORD_LOWER, &contexts, 0x7777, place.is_some());
                let address = if known {
                    let place = place.unwrap_or_default();
                    self.addresses
                        .get(model.index(coder, kind::WORD_LOWER, &contexts, place))?
                } else {
                    let address = Address::from(plain_bytes(coder, &address.0.0));
                    self.addresses.append(address);
                    address
                };
                let mut word = address.into_word().0;
                let (head, _) = word.split_first_chunk_mut::<12>()?;
                *head = upper;
                word
            }
            class::NEAR => {
                let contexts = [
                    context(kind::WORD_NEAR, at, NONE),
                    context(kind::WORD_NEAR, NONE, NONE),
                ];
                let back = model.symbol(coder, kind::WORD_NEAR, &contexts, 4, found.place);
                let delta = model.number(coder, kind::WORD_NEAR, &contexts, 8, found.number);
                let mut word = self.words.nth_last(back)?;
                let (_, low) = word.split_last_chunk_mut::<8>()?;
                let moved = unfold(u64::try_from(delta).ok()?);
                *low = u64::from_be_bytes(*low).wrapping_add(moved).to_be_bytes();
                word
            }
            class::BYTES => {
                let mut word = given;
                self.leave::<C>(&mut word)?;
                word
            }
            _ => return None,
        };
        if is_worth_keeping(&word) {
            self.words.append(word);
        }
        Some(word)
    }
}

/// A difference with its sign in the lowest bit, so that small ones are small numbers.
const fn fold(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64 >> 63) as u64)
}

/// The inverse of [`fold`].
const fn unfold(folded: u64) -> u64 {
    (folded >> 1) ^ (folded & 1).wrapping_neg()
}

fn number_word(number: u128) -> Word {
    U256::from(number).to_be_bytes()
}

/// Whether a word takes more to write than to refer to: one of three bytes and more.
fn is_worth_keeping(word: &Word) -> bool {
    word.iter().take(30).any(|byte| *byte != 0)
}
