//! Transactions by the models: signatures as they are, then five sections.

use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};

use super::{
    coder::{Coder, Decoder, Encoder, Silent},
    fields::{FieldCoder, Fields, Layout, Shape},
    preset::{self, Models},
    tables::Table,
    text,
    words::{self, Call, WordCoder},
};
use crate::{
    BatchBlock,
    encoding::{
        BatchDecodeError, BatchEncodeError,
        budget::Budget,
        bytes::{Reader, put_length},
        parts::TransactionParts,
    },
};

/// Least bytes that one transaction takes: its signature's scalars.
pub(super) const TRANSACTION_BYTES: usize = 64;

/// A transaction with what surrounds it.
struct Entry {
    parts: TransactionParts,
    timestamp: u64,
    shape: Shape,
    /// The recipient's number.
    to: u32,
}

pub(super) fn encode(
    out: &mut Vec<u8>,
    blocks: &[BatchBlock],
    level: i32,
) -> Result<(), BatchEncodeError> {
    let Models { fields, mut words } = preset::models();
    let entries = entries(blocks, fields.addresses(), &mut words)?;
    for entry in &entries {
        let signature = &entry.parts.signature;
        out.extend_from_slice(&signature.r().to_be_bytes::<32>());
        out.extend_from_slice(&signature.s().to_be_bytes::<32>());
    }
    let (fields, words) = rayon::join(
        || {
            let mut fields = fields;
            let mut coder = Encoder::new();
            code_fields(&mut coder, &mut fields, &entries)?;
            Some(coder.finish())
        },
        || {
            let mut coder = Encoder::new();
            code_words(&mut coder, &mut words, &entries)?;
            Some((coder.finish(), text::pack(&words.into_leftover(), level)))
        },
    );
    let fields = fields.ok_or(BatchEncodeError::Inputs)?;
    let (words, leftover) = words.ok_or(BatchEncodeError::Inputs)?;
    let sections = [
        &fields.modelled,
        &fields.plain,
        &words.modelled,
        &words.plain,
    ];
    for section in sections {
        put_length(out, section.len());
    }
    for section in sections {
        out.extend_from_slice(section);
    }
    out.extend_from_slice(&leftover?);
    Ok(())
}

/// The transactions with what surrounds them. Recipients that the models do not know become known to
/// the one of words, under the numbers that the other will give them.
fn entries(
    blocks: &[BatchBlock],
    known: &Table<Address>,
    words: &mut WordCoder,
) -> Result<Vec<Entry>, BatchEncodeError> {
    let mut entries = Vec::new();
    let mut added = Table::default();
    for block in blocks {
        for transaction in &block.transactions {
            let parts = TransactionParts::of(transaction)?;
            let to = match parts.to {
                TxKind::Create => u32::MAX,
                TxKind::Call(to) => known.find(&to).unwrap_or_else(|| {
                    let place = added.find(&to).unwrap_or_else(|| added.append(to));
                    known.len().saturating_add(place)
                }),
            };
            entries.push(Entry {
                shape: shape_of(&parts),
                timestamp: block.timestamp,
                parts,
                to,
            });
        }
    }
    words.start(added.since(0), Vec::new());
    Ok(entries)
}

/// Lets the models see a block.
pub(super) fn train(models: &mut Models, block: &BatchBlock) {
    let Models { fields, words } = models;
    let block = std::slice::from_ref(block);
    if let Ok(entries) = entries(block, fields.addresses(), words) {
        // Only inputs above a decoder's limit end early: what was learnt until then counts.
        let _ = code_fields(&mut Silent, fields, &entries);
        let _ = code_words(&mut Silent, words, &entries);
    }
}

fn code_fields<C: Coder>(coder: &mut C, fields: &mut FieldCoder, entries: &[Entry]) -> Option<()> {
    fields.start();
    for Entry { parts, shape, .. } in entries {
        let given = Fields {
            ty: parts.ty,
            parity: parts.signature.v(),
            chain_id: parts.chain_id,
            nonce: parts.nonce,
            gas_limit: parts.gas_limit,
            max_fee: parts.max_fee,
            max_priority_fee: parts.max_priority_fee,
            to: parts.to,
            value: parts.value,
            shape: *shape,
        };
        fields.transaction(coder, &given)?;
    }
    Some(())
}

fn code_words<C: Coder>(coder: &mut C, words: &mut WordCoder, entries: &[Entry]) -> Option<()> {
    let mut budget = Budget::new();
    for entry in entries {
        let call = Call {
            timestamp: entry.timestamp,
            value: entry.parts.value,
            to: entry.to,
        };
        budget.take(entry.shape.length, 1)?;
        let mut input = entry.parts.input.to_vec();
        words.input(coder, &call, entry.shape.layout, &mut input)?;
        lists(words, coder, &call, &entry.parts, &mut budget)?;
    }
    Some(())
}

/// Access list and authorizations, where the type has them.
fn lists<C: Coder>(
    words: &mut WordCoder,
    coder: &mut C,
    call: &Call,
    given: &TransactionParts,
    budget: &mut Budget,
) -> Option<TransactionParts> {
    let mut parts = TransactionParts {
        ty: given.ty,
        ..TransactionParts::default()
    };
    if given.has_access_list() {
        parts.access_list = words.access_list(coder, call, &given.access_list, budget)?;
    }
    if given.has_authorizations() {
        parts.authorizations = words.authorizations(coder, call, &given.authorizations, budget)?;
    }
    Some(parts)
}

pub(super) fn decode(
    mut reader: Reader<'_>,
    mut blocks: Vec<BatchBlock>,
    counts: &[usize],
) -> Result<Vec<BatchBlock>, BatchDecodeError> {
    reader.enter("signatures");
    let count = counts.iter().sum();
    let mut signatures = Vec::with_capacity(count);
    for _ in 0..count {
        signatures.push((reader.word()?, reader.word()?));
    }
    reader.enter("sections");
    let mut lengths = [0; 4];
    for length in &mut lengths {
        *length = reader.count(1)?;
    }
    let mut sections = [&[][..]; 4];
    for (section, length) in sections.iter_mut().zip(lengths) {
        *section = reader.take(length)?;
    }
    let [field_decisions, field_bits, word_decisions, word_bits] = sections;

    reader.enter("fields");
    let mut budget = Budget::new();
    let mut coder = Decoder::new(field_decisions, field_bits);
    let Models {
        mut fields,
        mut words,
    } = preset::models();
    fields.start();
    let known = fields.addresses().len();
    let nothing = Fields::default();
    let mut decoded = Vec::with_capacity(count);
    for _ in 0..count {
        let found = fields.transaction(&mut coder, &nothing);
        let found = found.ok_or_else(|| reader.invalid("expected fields of a transaction"))?;
        if coder.is_exhausted() {
            return Err(reader.truncated());
        }
        budget
            .take(found.shape.length, 1)
            .ok_or(BatchDecodeError::Inputs)?;
        decoded.push(found);
    }
    if !coder.is_finished() {
        return Err(reader.invalid("more bytes than transactions"));
    }

    reader.enter("words");
    let mut coder = Decoder::new(word_decisions, word_bits);
    let recipients = fields.recipients();
    words.start(
        fields.addresses().since(known),
        text::unpack(reader.rest())?,
    );
    let mut rest = decoded.into_iter().zip(recipients).zip(signatures);
    for (block, count) in blocks.iter_mut().zip(counts) {
        block.transactions.reserve_exact(*count);
        for ((fields, to), (r, s)) in rest.by_ref().take(*count) {
            let call = Call {
                timestamp: block.timestamp,
                value: fields.value,
                to,
            };
            let given = TransactionParts {
                ty: fields.ty,
                ..TransactionParts::default()
            };
            let mut input = vec![0; fields.shape.length];
            let lists = words
                .input(&mut coder, &call, fields.shape.layout, &mut input)
                .and_then(|()| lists(&mut words, &mut coder, &call, &given, &mut budget))
                .ok_or_else(|| reader.invalid("expected the words of an input"))?;
            if coder.is_exhausted() {
                return Err(reader.truncated());
            }
            let parts = TransactionParts {
                ty: fields.ty,
                signature: Signature::new(
                    U256::from_be_bytes(r.0),
                    U256::from_be_bytes(s.0),
                    fields.parity,
                ),
                chain_id: fields.chain_id,
                nonce: fields.nonce,
                gas_limit: fields.gas_limit,
                max_fee: fields.max_fee,
                max_priority_fee: fields.max_priority_fee,
                to: fields.to,
                value: fields.value,
                input: Bytes::from(input),
                ..lists
            };
            block.transactions.push(parts.into_transaction()?);
        }
    }
    if !coder.is_finished() {
        return Err(reader.invalid("more bytes than transactions"));
    }
    match words.unread() {
        0 => Ok(blocks),
        left => Err(BatchDecodeError::TrailingBytes(left)),
    }
}

/// How an encoder takes an input: as a call when it may be one.
fn shape_of(parts: &TransactionParts) -> Shape {
    let layout = match parts.input.first_chunk::<4>() {
        Some(selector) if parts.to != TxKind::Create && words::pays(&parts.input) => {
            Layout::Call(*selector)
        }
        _ => Layout::Text,
    };
    Shape {
        length: parts.input.len(),
        layout,
    }
}
