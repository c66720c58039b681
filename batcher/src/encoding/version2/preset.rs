//! What the models know before the first transaction of a batch: they have seen some transactions
//! of Ethereum, so that well-known contracts and selectors have numbers and that common forms of
//! transactions are expected.

use std::sync::LazyLock;

use super::{fields::FieldCoder, modelled, plain, words::WordCoder};
use crate::{
    BatchBlock,
    encoding::{blocks, bytes::Reader},
};

/// Blocks in the plain form, without their version and form, in a zstd frame.
static SAMPLE: &[u8] = include_bytes!("preset.bin");

/// The models of fields and of words.
#[derive(Debug, Clone)]
pub(super) struct Models {
    pub(super) fields: FieldCoder,
    pub(super) words: WordCoder,
}

/// The models at the start of a batch.
pub(super) fn models() -> Models {
    TRAINED.clone()
}

static TRAINED: LazyLock<Models> = LazyLock::new(|| {
    let mut models = Models {
        fields: FieldCoder::new(),
        words: WordCoder::new(),
    };
    // A sample that cannot be read teaches nothing. A test says that it can.
    for block in sample().unwrap_or_default() {
        modelled::train(&mut models, &block);
    }
    models
});

/// The sample's blocks. `batcher/preset/make.py` makes the file; another file makes another format.
fn sample() -> Option<Vec<BatchBlock>> {
    let sample = zstd::stream::decode_all(SAMPLE).ok()?;
    let mut reader = Reader::new(&sample);
    let (blocks, counts) = blocks::decode(&mut reader, plain::TRANSACTION_BYTES).ok()?;
    plain::decode(reader, blocks, &counts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_can_be_read() {
        let blocks = sample().unwrap();
        let transactions: usize = blocks.iter().map(|block| block.transactions.len()).sum();
        assert!(transactions > 1_000, "{transactions}");
        assert!(models().fields.addresses().len() > 500);
    }
}
