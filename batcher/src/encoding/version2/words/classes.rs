//! Which class a word is of, and how an encoder finds out.

use alloy_primitives::Address;

use super::{Call, RECENT, Word, WordCoder, fold};
use crate::encoding::version2::decimals;

/// How far from the block's time a word still is a time, in seconds.
const TIME_RANGE: u64 = 1 << 21;

/// What an encoder found out about a word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) class: u32,
    pub(super) place: u32,
    pub(super) number: u128,
}

/// Classes of words.
pub(super) mod class {
    pub(in super::super) const ZERO: u32 = 0;
    /// The same as at this place the last time.
    pub(in super::super) const SAME: u32 = 1;
    /// An address that is known.
    pub(in super::super) const ADDRESS: u32 = 2;
    /// An address that is new.
    pub(in super::super) const NEW_ADDRESS: u32 = 3;
    /// A word that was there before.
    pub(in super::super) const KNOWN: u32 = 4;
    /// One of the last words before.
    pub(in super::super) const RECENT: u32 = 5;
    /// A time near the block's.
    pub(in super::super) const TIME: u32 = 6;
    /// An amount that ends with zeros.
    pub(in super::super) const DECIMAL: u32 = 7;
    /// What the transaction sends.
    pub(in super::super) const VALUE: u32 = 8;
    /// Bytes with zeros behind them.
    pub(in super::super) const LEFT: u32 = 9;
    /// A number of at most 128 bits.
    pub(in super::super) const NUMBER: u32 = 10;
    /// 32 bytes without structure.
    pub(in super::super) const BYTES: u32 = 11;
    /// Twelve bytes and an address, at least one of them known.
    pub(in super::super) const PACKED: u32 = 12;
    /// One of the last words before, but for the last eight bytes.
    pub(in super::super) const NEAR: u32 = 13;
}

impl WordCoder {
    /// The class that an encoder chooses.
    pub(super) fn classify(&self, call: &Call, word: &Word, last: &Word) -> Found {
        let of = |class| Found {
            class,
            ..Found::default()
        };
        if word == &[0; 32] {
            return of(class::ZERO);
        }
        if word == last {
            return of(class::SAME);
        }
        let leading = word.iter().take_while(|byte| **byte == 0).count();
        if (12..=20).contains(&leading) {
            let address = Address::from_word((*word).into());
            if let Some(place) = self.addresses.find(&address) {
                return Found {
                    place,
                    ..of(class::ADDRESS)
                };
            }
        }
        if let Some(place) = self.words.find(word) {
            let back = self.words.len() - 1 - place;
            return if back < RECENT {
                Found {
                    place: back,
                    ..of(class::RECENT)
                }
            } else {
                Found {
                    place,
                    ..of(class::KNOWN)
                }
            };
        }
        if *word == call.value.to_be_bytes::<32>() {
            return of(class::VALUE);
        }
        if (12..=14).contains(&leading) {
            return of(class::NEW_ADDRESS);
        }
        if leading >= 16 {
            let number = word
                .iter()
                .fold(0u128, |number, byte| number << 8 | u128::from(*byte));
            return Self::classify_number(call, number);
        }
        let trailing = word.iter().rev().take_while(|byte| **byte == 0).count();
        if trailing >= 4 {
            return Found {
                place: 32 - trailing as u32,
                ..of(class::LEFT)
            };
        }
        if let Some(found) = self.near(word) {
            return found;
        }
        if let Some((upper, lower)) = word.split_first_chunk::<12>()
            && (self.uppers.find(upper).is_some()
                || self.addresses.find(&Address::from_slice(lower)).is_some())
        {
            return of(class::PACKED);
        }
        of(class::BYTES)
    }

    /// One of the last words that starts like this one.
    fn near(&self, word: &Word) -> Option<Found> {
        let (upper, low) = word.split_last_chunk::<8>()?;
        let back = (0..RECENT).find(|back| {
            let before = self.words.nth_last(*back);
            before.is_some_and(|before| before.starts_with(upper))
        })?;
        let before = self.words.nth_last(back)?;
        let (_, low_before) = before.split_last_chunk::<8>()?;
        let moved = u64::from_be_bytes(*low).wrapping_sub(u64::from_be_bytes(*low_before));
        Some(Found {
            class: class::NEAR,
            place: back,
            number: u128::from(fold(moved)),
        })
    }

    fn classify_number(call: &Call, number: u128) -> Found {
        if let Ok(time) = u64::try_from(number) {
            let distance = time.abs_diff(call.timestamp);
            if distance < TIME_RANGE && number > 1 << 28 {
                let delta = fold(time.wrapping_sub(call.timestamp));
                return Found {
                    class: class::TIME,
                    place: 0,
                    number: u128::from(delta),
                };
            }
        }
        let (_, zeros) = decimals::split(number);
        Found {
            class: if zeros >= 3 {
                class::DECIMAL
            } else {
                class::NUMBER
            },
            place: 0,
            number,
        }
    }
}
