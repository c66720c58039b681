//! How templates are kept across restarts:
//!
//! ```text
//! version: u8 | number of templates: u32 | templates | first 8 bytes of the Keccak-256 hash of all that
//! ```
//!
//! Integers are little-endian; words are without their leading zeros, behind their length.

use alloy_primitives::{Address, B256, U256, keccak256};

use super::{
    Predictor,
    call::MAX_WORDS,
    names::Names,
    pattern::{Entry, MAX_OFFSETS, Order, Pattern, Place, Source, Witness},
    table::{Key, Table},
    template::{CONTEXT_ADDRESSES, Template, is_valid},
};

const VERSION: u8 = 1;

const CHECKSUM_LENGTH: usize = 8;

/// Stands for the sender; positions of words follow, then lengths of fixed words.
const SENDER: u8 = 0;
const FIRST_WORD: u8 = 1;
const FIRST_FIXED: u8 = FIRST_WORD + MAX_WORDS;
const LAST_FIXED: u8 = FIRST_FIXED + 32;

const ACCOUNT: u8 = 0;
const SLOT: u8 = 1;
const UNKNOWN: u8 = 2;
/// Entries have the bits [`VYPER`] and [`NESTED`] besides.
const ENTRY: u8 = 4;
const VYPER: u8 = 1;
const NESTED: u8 = 2;

/// Why bytes are no saved predictor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredictorError {
    /// There is no room for what every saved predictor has.
    #[error("expected a saved predictor, found {0} bytes")]
    TooShort(usize),
    /// Saved by another version of weft.
    #[error("expected a saved predictor of version {VERSION}, found version {0}")]
    Version(u8),
    /// The bytes are not those that were saved.
    #[error("expected checksum {expected:#018x} of a saved predictor, found {found:#018x}")]
    Checksum {
        /// What stands behind the bytes.
        expected: u64,
        /// What they have.
        found: u64,
    },
    /// Saved by something else, which put a right checksum behind it.
    #[error("expected a saved predictor's template at {left} bytes from its end, found none")]
    Malformed {
        /// Bytes behind the point where reading went wrong, without the checksum.
        left: usize,
    },
}

impl Predictor {
    /// What it has learned, for [`Self::restore`].
    pub fn save(&self) -> Vec<u8> {
        let table = self.table.read();
        let mut bytes = vec![VERSION];
        let count = u32::try_from(table.len()).unwrap_or(u32::MAX);
        bytes.extend(count.to_le_bytes());
        for (key, template, proven) in table.iter().take(count as usize) {
            write_key(&mut bytes, key, proven);
            write_template(&mut bytes, template);
        }
        // Nobody waits for the checksum.
        drop(table);
        bytes.extend(checksum(&bytes).to_le_bytes());
        bytes
    }

    /// A predictor that has learned what another had when it was saved. Templates for which there
    /// is no room are left out.
    ///
    /// # Errors
    /// When the bytes are not what a predictor of this version has saved.
    pub fn restore(bytes: &[u8], capacity: usize) -> Result<Self, PredictorError> {
        let (body, expected) = bytes
            .split_last_chunk::<CHECKSUM_LENGTH>()
            .ok_or(PredictorError::TooShort(bytes.len()))?;
        let (version, rest) = body
            .split_first()
            .ok_or(PredictorError::TooShort(bytes.len()))?;
        if *version != VERSION {
            return Err(PredictorError::Version(*version));
        }
        let (expected, found) = (u64::from_le_bytes(*expected), checksum(body));
        if expected != found {
            return Err(PredictorError::Checksum { expected, found });
        }
        let mut input = Input(rest);
        let names = Names::default();
        let table = read_table(&mut input, &names, capacity)
            .filter(|_| input.0.is_empty())
            .ok_or(PredictorError::Malformed {
                left: input.0.len(),
            })?;
        Ok(Self::with(names, table))
    }
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let hash = keccak256(bytes);
    hash.first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first))
}

fn write_key(bytes: &mut Vec<u8>, key: &Key, proven: bool) {
    bytes.push(
        u8::from(proven)
            | u8::from(key.selector.is_some()) << 1
            | u8::from(key.context.is_some()) << 2,
    );
    bytes.extend(key.to.as_slice());
    bytes.extend(key.selector.iter().flatten());
    for address in key.context.iter().flatten() {
        bytes.extend(address.as_slice());
    }
}

fn write_template(bytes: &mut Vec<u8>, template: &Template) {
    bytes.extend(template.time.to_le_bytes());
    bytes.push(template.observations);
    bytes.push(template.fruitless);
    for position in template.context_words {
        bytes.push(position.map_or(0, |position| position.saturating_add(1)));
    }
    bytes.push(u8::try_from(template.patterns.len()).unwrap_or(u8::MAX));
    for pattern in &template.patterns {
        write_pattern(bytes, pattern);
    }
}

fn write_pattern(bytes: &mut Vec<u8>, pattern: &Pattern) {
    write_source(bytes, &pattern.account);
    match &pattern.place {
        Place::Account => bytes.push(ACCOUNT),
        Place::Slot(slot) => {
            bytes.push(SLOT);
            write_source(bytes, slot);
        }
        Place::Unknown => bytes.push(UNKNOWN),
        Place::Entry(entry) => {
            let vyper = match entry.order {
                Order::Solidity => 0,
                Order::Vyper => VYPER,
            };
            let nested = if entry.inner_key.is_some() { NESTED } else { 0 };
            bytes.extend([ENTRY | vyper | nested, entry.offset]);
            write_word(bytes, 0, &entry.base.into());
            write_source(bytes, &entry.key);
            if let Some(inner_key) = &entry.inner_key {
                write_source(bytes, inner_key);
            }
        }
    }
    bytes.extend([
        pattern.score,
        pattern.written,
        pattern.witness.is_some().into(),
    ]);
    if let Some(witness) = pattern.witness {
        bytes.extend(witness.sender.to_le_bytes());
        bytes.extend(witness.words.to_le_bytes());
    }
}

fn write_source(bytes: &mut Vec<u8>, source: &Source) {
    match source {
        Source::Sender => bytes.push(SENDER),
        Source::Word(position) => bytes.push(FIRST_WORD.saturating_add(*position)),
        Source::Fixed(word) => write_word(bytes, FIRST_FIXED, word),
    }
}

/// `zero` stands for the length zero.
fn write_word(bytes: &mut Vec<u8>, zero: u8, word: &B256) {
    let digits = word.iter().skip_while(|byte| **byte == 0);
    let length = digits.clone().count();
    bytes.push(zero.saturating_add(u8::try_from(length).unwrap_or(32)));
    bytes.extend(digits);
}

fn read_table(input: &mut Input<'_>, names: &Names, capacity: usize) -> Option<Table> {
    let mut table = Table::new(capacity);
    let count = u32::from_le_bytes(input.take()?);
    for _ in 0..count {
        let (key, proven) = read_key(input)?;
        let mut template = read_template(input)?;
        template.name(names);
        table.restore(key, template, proven);
    }
    Some(table)
}

fn read_key(input: &mut Input<'_>) -> Option<(Key, bool)> {
    let flags = input.byte()?;
    if flags >= 8 {
        return None;
    }
    let key = Key {
        to: Address::new(input.take()?),
        selector: match flags & 2 {
            0 => None,
            _ => Some(input.take()?),
        },
        context: match flags & 4 {
            0 => None,
            _ => {
                let mut context = [Address::ZERO; CONTEXT_ADDRESSES];
                for address in &mut context {
                    *address = Address::new(input.take()?);
                }
                Some(context)
            }
        },
    };
    Some((key, flags & 1 == 1))
}

fn read_template(input: &mut Input<'_>) -> Option<Template> {
    let mut template = Template::default();
    template.time = u64::from_le_bytes(input.take()?);
    template.observations = input.byte()?;
    template.fruitless = input.byte()?;
    for position in &mut template.context_words {
        *position = input.byte()?.checked_sub(1);
    }
    let count = input.byte()?;
    for _ in 0..count {
        template.patterns.push(read_pattern(input)?);
    }
    is_valid(&template).then_some(template)
}

fn read_pattern(input: &mut Input<'_>) -> Option<Pattern> {
    let account = read_source(input)?;
    let kind = input.byte()?;
    let place = match kind {
        ACCOUNT => Place::Account,
        SLOT => Place::Slot(read_source(input)?),
        UNKNOWN => Place::Unknown,
        _ if kind & !(VYPER | NESTED) == ENTRY => Place::Entry(Entry {
            offset: input.byte().filter(|offset| *offset < MAX_OFFSETS)?,
            base: {
                let length = input.byte()?;
                U256::from_be_bytes(input.word(length)?.0)
            },
            order: match kind & VYPER {
                0 => Order::Solidity,
                _ => Order::Vyper,
            },
            key: read_source(input)?,
            inner_key: match kind & NESTED {
                0 => None,
                _ => Some(read_source(input)?),
            },
        }),
        _ => return None,
    };
    Some(Pattern {
        account,
        place,
        score: input.byte()?,
        written: input.byte()?,
        witness: match input.byte()? {
            0 => None,
            1 => Some(Witness {
                sender: u32::from_le_bytes(input.take()?),
                words: u32::from_le_bytes(input.take()?),
            }),
            _ => return None,
        },
    })
}

fn read_source(input: &mut Input<'_>) -> Option<Source> {
    Some(match input.byte()? {
        SENDER => Source::Sender,
        byte @ FIRST_WORD..FIRST_FIXED => Source::Word(byte - FIRST_WORD),
        byte @ FIRST_FIXED..=LAST_FIXED => Source::Fixed(input.word(byte - FIRST_FIXED)?),
        _ => return None,
    })
}

/// Bytes that have not been read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        let [byte] = self.take()?;
        Some(byte)
    }

    /// A word of which this many bytes are there.
    fn word(&mut self, length: u8) -> Option<B256> {
        if length > 32 {
            return None;
        }
        let (digits, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(B256::left_padding_from(digits))
    }
}
