//! How much memory decoding takes at most, counted by the allocator, whatever the bytes are.

#![allow(clippy::unwrap_used, reason = "in tests")]

use alloy_consensus::{SignableTransaction, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use peak_alloc::PeakAlloc;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use weft_batcher::{
    BATCH_VERSION, BatchBlock, MAX_BATCH_BLOCKS, MAX_ENCODED_BYTES, MAX_INPUT_BYTES,
    MAX_PAYLOAD_BYTES, decode_batch, encode_batch,
};
use weft_primitives::Transaction;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What `docs/batch-format.md` promises for version 2, in bytes.
const BOUND: usize = 64 << 20;

/// What it promises for version 1.
const BOUND_1: usize = 128 << 20;

/// Decodes and says by how much the memory in use grew meanwhile, at most.
fn peak_of(encoded: &[u8]) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    drop(decode_batch(encoded));
    ALLOCATOR.peak_usage().saturating_sub(before)
}

fn signature() -> Signature {
    Signature::new(U256::from(1), U256::from(2), false)
}

fn block(transactions: Vec<Transaction>) -> BatchBlock {
    BatchBlock {
        timestamp: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        l1_origin: None,
        transactions,
    }
}

fn call(input: Vec<u8>) -> Transaction {
    let tx = TxLegacy {
        to: TxKind::Call(Address::ZERO),
        input: Bytes::from(input),
        ..TxLegacy::default()
    };
    Transaction::Legacy(tx.into_signed(signature()))
}

/// Batches that take as much memory as they can for their size.
fn largest() -> Vec<(&'static str, Vec<u8>)> {
    let encode = |blocks: &[BatchBlock]| encode_batch(blocks, 1).unwrap();
    let zeros = call(vec![0; MAX_INPUT_BYTES]);
    // Small words that differ, each of which a table keeps, in inputs that are taken as calls.
    let words = (0..4_230u32).map(|tx| {
        let words =
            (0..31).flat_map(|word| U256::from(0x0100_0000 + 31 * tx + word).to_be_bytes::<32>());
        call([1, 2, 3, 4].into_iter().chain(words).collect())
    });
    let keys = MAX_INPUT_BYTES / 32 - 10;
    let list = TxEip2930 {
        access_list: AccessList(vec![AccessListItem {
            address: Address::ZERO,
            storage_keys: vec![B256::ZERO; keys],
        }]),
        ..TxEip2930::default()
    };
    let items = AccessListItem {
        address: Address::ZERO,
        storage_keys: Vec::new(),
    };
    let items = TxEip2930 {
        access_list: AccessList(vec![
            items;
            MAX_INPUT_BYTES / size_of::<AccessListItem>() - 1
        ]),
        ..TxEip2930::default()
    };
    let authorization = Authorization {
        chain_id: U256::ZERO,
        address: Address::ZERO,
        nonce: 0,
    };
    let authorization =
        SignedAuthorization::new_unchecked(authorization, 0, U256::from(1), U256::from(1));
    let authorizations = TxEip7702 {
        authorization_list: vec![authorization; 10_000],
        ..TxEip7702::default()
    };
    let random: Vec<u8> = (0..25_000u32)
        .flat_map(|part| keccak256(part.to_be_bytes()).0)
        .collect();
    vec![
        ("zeros", encode(&[block(vec![zeros])])),
        ("words", encode(&[block(words.collect())])),
        (
            "keys",
            encode(&[block(vec![Transaction::Eip2930(
                list.into_signed(signature()),
            )])]),
        ),
        (
            "items",
            encode(&[block(vec![Transaction::Eip2930(
                items.into_signed(signature()),
            )])]),
        ),
        (
            "authorizations",
            encode(&[block(vec![Transaction::Eip7702(
                authorizations.into_signed(signature()),
            )])]),
        ),
        ("random", encode(&[block(vec![call(random)])])),
        (
            "transactions",
            encode(&[block(vec![call(Vec::new()); 25_000])]),
        ),
        ("blocks", encode(&vec![block(Vec::new()); MAX_BATCH_BLOCKS])),
    ]
}

fn bomb_of_version_1() -> Vec<u8> {
    let mut bomb = vec![1];
    bomb.extend(zstd::bulk::compress(&vec![1; MAX_PAYLOAD_BYTES], 3).unwrap());
    bomb
}

/// One test, because the allocator counts for the whole process.
#[test]
fn memory_is_bounded() {
    // The models are trained once for the process.
    drop(decode_batch(
        &encode_batch(&[block(Vec::new())], 1).unwrap(),
    ));

    let largest = largest();
    for (name, encoded) in &largest {
        assert!(encoded.len() <= MAX_ENCODED_BYTES, "{name}");
        assert!(decode_batch(encoded).is_ok(), "{name}");
        let peak = peak_of(encoded);
        println!("{name}: {} bytes, {peak} in memory", encoded.len());
        assert!(peak <= BOUND, "{name}: {peak}");
    }
    let peak = peak_of(&bomb_of_version_1());
    println!("version 1: {peak} in memory");
    assert!(peak <= BOUND_1, "{peak}");

    // Broken ones, and bytes that say anything.
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    let flips = vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    runner
        .run(&(0..largest.len(), flips), |(which, flips)| {
            let mut encoded = largest[which].1.clone();
            // Where the counts, the lengths and the first decisions are.
            let reach = encoded.len().min(300);
            for (at, byte) in flips {
                encoded[at.index(reach)] = byte;
            }
            prop_assert!(peak_of(&encoded) <= BOUND);
            Ok(())
        })
        .unwrap();
    runner
        .run(&vec(any::<u8>(), 0..2_000), |garbage| {
            for start in [
                &[BATCH_VERSION, 0][..],
                &[BATCH_VERSION, 1, 1, 1, 1, 1, 0, 1],
            ] {
                prop_assert!(peak_of(&[start, &garbage].concat()) <= BOUND);
            }
            Ok(())
        })
        .unwrap();
}
