use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, Signature, U256, keccak256};
use proptest::{collection::vec, prelude::*};
use weft_primitives::Transaction;

use super::*;
use crate::decode_batch;

/// A block with one transaction whose input does not compress.
fn block(timestamp: u64, seed: u64, input: usize) -> BatchBlock {
    let input: Vec<u8> = (0..input.div_ceil(32) as u64)
        .flat_map(|part| keccak256([seed.to_be_bytes(), part.to_be_bytes()].as_flattened()).0)
        .take(input)
        .collect();
    let tx = TxLegacy {
        input: Bytes::from(input),
        ..TxLegacy::default()
    };
    let scalar = |salt: u64| -> U256 {
        let word: B256 = keccak256([seed.to_be_bytes(), salt.to_be_bytes()].as_flattened());
        word.into()
    };
    BatchBlock {
        timestamp,
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        l1_origin: None,
        transactions: vec![Transaction::Legacy(tx.into_signed(Signature::new(
            scalar(1 << 40),
            scalar(1 << 41),
            false,
        )))],
    }
}

/// The batches that a policy makes of a chain whose blocks are there at `now`.
fn batches(policy: BatchPolicy, chain: &[BatchBlock], now: Duration) -> Vec<ClosedBatch> {
    let mut closed = Vec::new();
    let mut next = 1u64;
    loop {
        let mut builder = BatchBuilder::new(policy, next);
        while let Some(block) = chain.get(builder.next_block() as usize - 1) {
            if builder.offer(block.clone()).unwrap() != Offer::Taken {
                break;
            }
        }
        let due = builder.due_in(now).is_some_and(|wait| wait.is_zero());
        if !builder.is_full() && !due {
            return closed;
        }
        let batch = builder.close(0).unwrap();
        next = batch.last_block + 1;
        closed.push(batch);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// I4: whatever the policy, batches tile the chain and hold its blocks unchanged, within the
    /// policy's limits.
    #[test]
    fn batches_tile_the_chain(
        inputs in vec(0usize..3_000, 1..40),
        max_blocks in 1usize..20,
        max_bytes in 500usize..12_000,
    ) {
        let policy = BatchPolicy { max_age: Duration::ZERO, max_blocks, max_bytes, compression_level: 3, fast_backlog: 10 };
        let chain: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(index, input)| block(index as u64, index as u64, *input))
            .collect();
        let now = Duration::from_secs(chain.len() as u64);
        let closed = batches(policy, &chain, now);
        let mut decoded = Vec::new();
        for batch in &closed {
            prop_assert_eq!(batch.first_block, decoded.len() as u64 + 1);
            let blocks = decode_batch(&batch.data).unwrap();
            prop_assert_eq!(blocks.len() as u64, batch.last_block - batch.first_block + 1);
            prop_assert!(blocks.len() <= max_blocks);
            prop_assert!(blocks.len() == 1 || batch.data.len() <= max_bytes);
            decoded.extend(blocks);
        }
        prop_assert_eq!(decoded, chain);
    }
}

#[test]
fn a_young_batch_waits_for_its_age() {
    let policy = BatchPolicy {
        max_age: Duration::from_secs(10),
        ..BatchPolicy::default()
    };
    let mut builder = BatchBuilder::new(policy, 7);
    assert_eq!(builder.due_in(Duration::from_secs(1_000)), None);
    assert_eq!(builder.offer(block(100, 0, 10)).unwrap(), Offer::Taken);
    assert_eq!(builder.offer(block(109, 1, 10)).unwrap(), Offer::Taken);
    assert_eq!(
        builder.due_in(Duration::from_secs(104)),
        Some(Duration::from_secs(6))
    );
    assert_eq!(
        builder.due_in(Duration::from_secs(111)),
        Some(Duration::ZERO)
    );
    let batch = builder.close(0).unwrap();
    assert_eq!((batch.first_block, batch.last_block), (7, 8));
}

#[test]
fn a_large_block_goes_alone() {
    let policy = BatchPolicy {
        max_bytes: 1_000,
        ..BatchPolicy::default()
    };
    let mut builder = BatchBuilder::new(policy, 1);
    assert_eq!(builder.offer(block(0, 0, 10)).unwrap(), Offer::Taken);
    assert_eq!(builder.offer(block(0, 1, 5_000)).unwrap(), Offer::Refused);
    assert_eq!(builder.close(0).unwrap().last_block, 1);
    let mut builder = BatchBuilder::new(policy, 2);
    assert_eq!(builder.offer(block(0, 1, 5_000)).unwrap(), Offer::TakenLast);
    assert_eq!(builder.offer(block(0, 2, 10)).unwrap(), Offer::Refused);
    let batch = builder.close(0).unwrap();
    assert_eq!((batch.first_block, batch.last_block), (2, 2));
    assert!(batch.data.len() > 5_000);
}

/// The bound that producers keep to is enough for a block of small transactions, for one large one,
/// and for the smallest there are, when nothing compresses.
#[test]
fn a_block_within_the_producers_bound_can_be_posted() {
    use alloy_eips::eip2718::Encodable2718;

    let one = block(1, 1, crate::MAX_BLOCK_TRANSACTION_BYTES - 150);
    let mut many = block(1, 1, 0);
    let size = |block: &BatchBlock| -> usize {
        block
            .transactions
            .iter()
            .map(Encodable2718::encode_2718_len)
            .sum()
    };
    for seed in 2.. {
        let mut next = block(1, seed, 0);
        if size(&many) + size(&next) > crate::MAX_BLOCK_TRANSACTION_BYTES {
            break;
        }
        many.transactions.append(&mut next.transactions);
    }
    let tiny = {
        let tiny = Transaction::Legacy(
            TxLegacy {
                to: alloy_primitives::TxKind::Create,
                ..TxLegacy::default()
            }
            .into_signed(Signature::new(U256::from(1), U256::from(1), false)),
        );
        let count = crate::MAX_BLOCK_TRANSACTION_BYTES / tiny.encode_2718_len();
        let mut block = block(1, 1, 0);
        block.transactions = vec![tiny; count];
        block
    };
    for block in [one, many, tiny] {
        assert!(size(&block) <= crate::MAX_BLOCK_TRANSACTION_BYTES);
        let encoded = encode_batch(&[block], 1).unwrap();
        assert!(encoded.len() <= crate::MAX_POSTED_BYTES);
    }
}

#[test]
fn the_level_falls_with_the_backlog() {
    let policy = BatchPolicy {
        compression_level: 9,
        fast_backlog: 100,
        ..BatchPolicy::default()
    };
    for (backlog, level) in [
        (0, 9),
        (25, 9),
        (35, 8),
        (63, 5),
        (99, 2),
        (100, 1),
        (u64::MAX, 1),
    ] {
        assert_eq!(policy.level(backlog), level, "{backlog} blocks");
    }
    let at_once = BatchPolicy {
        fast_backlog: 0,
        ..policy
    };
    assert_eq!(at_once.level(0), 1);
}

proptest! {
    #[test]
    fn a_larger_backlog_never_means_more_effort(
        compression_level in -5i32..40,
        fast_backlog in any::<u64>(),
        backlog in any::<u64>(),
        more in any::<u64>(),
    ) {
        let policy = BatchPolicy { compression_level, fast_backlog, ..BatchPolicy::default() };
        let level = policy.level(backlog);
        prop_assert!((1..=19).contains(&level));
        prop_assert!(policy.level(backlog.saturating_add(more)) <= level);
    }
}

/// Blocks that compress to next to nothing: the batch ends at what a decoder takes.
#[test]
fn a_batch_never_unfolds_to_more_than_a_decoder_takes() {
    let policy = BatchPolicy {
        max_blocks: usize::MAX,
        ..BatchPolicy::default()
    };
    let mut zeros = block(0, 0, 0);
    for _ in 0..10 {
        let tx = TxLegacy {
            input: Bytes::from(vec![0; 100_000]),
            ..TxLegacy::default()
        };
        let signature = Signature::new(U256::from(1), U256::from(1), false);
        zeros
            .transactions
            .push(Transaction::Legacy(tx.into_signed(signature)));
    }
    let mut builder = BatchBuilder::new(policy, 1);
    while builder.offer(zeros.clone()).unwrap() == Offer::Taken {}
    assert!(builder.is_full());
    let batch = builder.close(0).unwrap();
    assert_eq!(batch.last_block, 8);
    assert_eq!(decode_batch(&batch.data).unwrap(), vec![zeros; 8]);
}
