use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use proptest::{collection::vec, option, prelude::*};
use weft_primitives::{Transaction, TxDeposit};

use super::*;

/// Small numbers, large numbers and everything between.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..300, any::<u64>(), Just(u64::MAX)]
}

fn fee() -> impl Strategy<Value = u128> {
    prop_oneof![0u128..1 << 40, any::<u128>(), Just(u128::MAX)]
}

fn uint() -> impl Strategy<Value = U256> {
    prop_oneof![
        (0u64..1000).prop_map(U256::from),
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
        Just(U256::MAX)
    ]
}

/// From a few addresses, so that the table of recipients is used, or any.
fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        (0u8..5).prop_map(Address::repeat_byte),
        any::<[u8; 20]>().prop_map(Address::from)
    ]
}

fn kind() -> impl Strategy<Value = TxKind> {
    prop_oneof![Just(TxKind::Create), address().prop_map(TxKind::Call)]
}

/// Words of all the classes there are: small, round, addresses, times, lengths, random.
fn word() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![
        Just([0; 32]),
        any::<[u8; 32]>(),
        number().prop_map(|number| U256::from(number).to_be_bytes()),
        (0u64..1 << 33).prop_map(|time| U256::from(time).to_be_bytes()),
        (1u64..5000, 0usize..20).prop_map(|(digits, zeros)| (U256::from(digits)
            * U256::from(10).pow(U256::from(zeros)))
        .to_be_bytes()),
        address().prop_map(|address| address.into_word().0),
        (any::<[u8; 3]>(), address()).prop_map(|(head, address)| {
            let mut word = address.into_word().0;
            word[..3].copy_from_slice(&head);
            word
        }),
        (0usize..32, any::<[u8; 32]>()).prop_map(|(from, mut word)| {
            word[from..].fill(0);
            word
        }),
    ]
}

fn flat_call() -> impl Strategy<Value = Vec<u8>> {
    let selector = prop_oneof![(0u8..3).prop_map(|byte| [byte; 4]), any::<[u8; 4]>()];
    let words = vec(word(), 0..6).prop_map(|words| words.concat());
    let tail = vec(any::<u8>(), 0..40);
    (selector, words, tail)
        .prop_map(|(selector, words, tail)| [&selector[..], &words, &tail].concat())
}

fn call(depth: u32) -> BoxedStrategy<Vec<u8>> {
    if depth == 0 {
        return flat_call().boxed();
    }
    (call(0), call(depth - 1), any::<bool>(), call(0))
        .prop_map(|(before, inner, padded, after)| {
            let length: [u8; 32] = U256::from(inner.len()).to_be_bytes();
            let padding = if padded {
                inner.len().next_multiple_of(32) - inner.len()
            } else {
                0
            };
            let whole = before.len() / 32 * 32 + 4;
            let before = &before[..whole.min(before.len())];
            [before, &length, &inner, &vec![0; padding], &after[4..]].concat()
        })
        .boxed()
}

fn input() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..80),
        Just(Vec::new()),
        call(0),
        call(2),
        (any::<u8>(), 1000usize..5000).prop_map(|(byte, length)| vec![byte; length]),
        vec(any::<u8>(), 1000..3000),
    ]
    .prop_map(Bytes::from)
}

fn access_list() -> impl Strategy<Value = AccessList> {
    let item = (address(), vec(word(), 0..4)).prop_map(|(address, keys)| AccessListItem {
        address,
        storage_keys: keys.into_iter().map(B256::from).collect(),
    });
    vec(item, 0..3).prop_map(AccessList)
}

fn authorizations() -> impl Strategy<Value = Vec<SignedAuthorization>> {
    let one = (uint(), address(), number(), any::<u8>(), uint(), uint()).prop_map(
        |(chain_id, address, nonce, y_parity, r, s)| {
            SignedAuthorization::new_unchecked(
                Authorization {
                    chain_id,
                    address,
                    nonce,
                },
                y_parity,
                r,
                s,
            )
        },
    );
    vec(one, 0..3)
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let common = (
        option::of(number()),
        number(),
        number(),
        (fee(), fee()),
        kind(),
        uint(),
        input(),
    );
    let lists = (access_list(), authorizations());
    let signature = (uint(), uint(), any::<bool>());
    (0u8..4, common, lists, signature).prop_map(
        |(
            ty,
            (chain, nonce, gas_limit, (max_fee, tip), to, value, input),
            (access_list, authorization_list),
            (r, s, parity),
        )| {
            let signature = Signature::new(r, s, parity);
            let chain_id = chain.unwrap_or(1);
            match ty {
                0 => Transaction::Legacy(
                    TxLegacy {
                        chain_id: chain,
                        nonce,
                        gas_price: max_fee,
                        gas_limit,
                        to,
                        value,
                        input,
                    }
                    .into_signed(signature),
                ),
                1 => Transaction::Eip2930(
                    TxEip2930 {
                        chain_id,
                        nonce,
                        gas_price: max_fee,
                        gas_limit,
                        to,
                        value,
                        access_list,
                        input,
                    }
                    .into_signed(signature),
                ),
                2 => Transaction::Eip1559(
                    TxEip1559 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas: max_fee,
                        max_priority_fee_per_gas: tip,
                        to,
                        value,
                        access_list,
                        input,
                    }
                    .into_signed(signature),
                ),
                _ => Transaction::Eip7702(
                    TxEip7702 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas: max_fee,
                        max_priority_fee_per_gas: tip,
                        to: to.to().copied().unwrap_or_default(),
                        value,
                        access_list,
                        authorization_list,
                        input,
                    }
                    .into_signed(signature),
                ),
            }
        },
    )
}

prop_compose! {
    /// Blocks that a chain may have: timestamps do not decrease, origins increase.
    pub(crate) fn blocks(most: usize)(
        parts in vec(
            (0u64..1 << 32, 0u64..3, address(), option::of(1u64..1 << 32), vec(transaction(), 0..6)),
            1..most,
        )
    ) -> Vec<BatchBlock> {
        let mut timestamp = 0;
        let mut origin = 0;
        parts
            .into_iter()
            .map(|(seconds, gas_limit, beneficiary, origins, transactions)| {
                timestamp += seconds;
                BatchBlock {
                    timestamp,
                    gas_limit,
                    beneficiary,
                    l1_origin: origins.map(|delta| {
                        origin += delta;
                        origin
                    }),
                    transactions,
                }
            })
            .collect()
    }
}

fn hashes(blocks: &[BatchBlock]) -> Vec<B256> {
    blocks
        .iter()
        .flat_map(|block| block.transactions.iter().map(Transaction::hash))
        .collect()
}

proptest! {
    #[test]
    fn round_trip(blocks in blocks(12), level in 1..20i32) {
        let encoded = encode_batch(&blocks, level).unwrap();
        let decoded = decode_batch(&encoded).unwrap();
        prop_assert_eq!(&decoded, &blocks);
        prop_assert_eq!(hashes(&decoded), hashes(&blocks));
    }

    /// The same for the form without models, which else is written only where models are misled.
    #[test]
    fn round_trip_of_the_plain_form(blocks in blocks(12)) {
        let encoded = version2::encode_plain(&blocks).unwrap();
        prop_assert_eq!(&decode_batch(&encoded).unwrap(), &blocks);
    }

    #[test]
    fn a_truncated_batch_is_an_error(blocks in blocks(4), cut in any::<prop::sample::Index>()) {
        for encoded in [encode_batch(&blocks, 3).unwrap(), version2::encode_plain(&blocks).unwrap()] {
            prop_assert!(decode_batch(&encoded[..cut.index(encoded.len())]).is_err());
        }
    }

    /// Bits flipped anywhere give blocks or an error, and blocks can be encoded again.
    #[test]
    fn what_decodes_can_be_encoded_again(
        blocks in blocks(4),
        flips in vec((any::<prop::sample::Index>(), 0u32..8), 1..4),
        plain in any::<bool>(),
    ) {
        let mut encoded = if plain {
            version2::encode_plain(&blocks).unwrap()
        } else {
            encode_batch(&blocks, 3).unwrap()
        };
        for (at, bit) in flips {
            let at = at.index(encoded.len());
            encoded[at] ^= 1 << bit;
        }
        if let Ok(decoded) = decode_batch(&encoded) {
            let again = encode_batch(&decoded, 3).unwrap();
            prop_assert_eq!(decode_batch(&again).unwrap(), decoded);
        }
    }

    #[test]
    fn a_broken_batch_of_version_1_never_panics(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut payload = golden_payload_1();
        for (at, byte) in flips {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let frame = |payload: &[u8]| {
            let mut framed = vec![VERSION_1];
            framed.extend(zstd::bulk::compress(payload, 1).unwrap());
            framed
        };
        let _ = decode_batch(&frame(&payload));
        let whole = golden_payload_1();
        prop_assert!(decode_batch(&frame(&whole[..cut.index(whole.len())])).is_err());
    }

    #[test]
    fn garbage_never_panics(garbage in vec(any::<u8>(), 0..600)) {
        let mut framed = vec![VERSION_1];
        framed.extend(zstd::bulk::compress(&garbage, 1).unwrap());
        let _ = decode_batch(&framed);
        for start in [&[BATCH_VERSION, 0][..], &[BATCH_VERSION, 1], &[BATCH_VERSION, 1, 1, 1, 1], &[]] {
            let _ = decode_batch(&[start, &garbage].concat());
        }
    }
}

fn golden_payload_1() -> Vec<u8> {
    let golden = include_bytes!("../../testdata/batch-v1.bin");
    zstd::stream::decode_all(&golden[1..]).unwrap()
}

#[test]
fn other_versions_and_trailing_bytes_are_refused() {
    assert_eq!(decode_batch(&[]), Err(BatchDecodeError::Empty));
    assert_eq!(decode_batch(&[3, 0]), Err(BatchDecodeError::Version(3)));
    let golden = include_bytes!("../../testdata/batch-v1.bin");
    assert_eq!(
        decode_batch(&[&golden[..], &[0]].concat()),
        Err(BatchDecodeError::TrailingBytes(1))
    );
    for mut encoded in [
        encode_batch(&golden_blocks(), 3).unwrap(),
        version2::encode_plain(&golden_blocks()).unwrap(),
    ] {
        encoded.push(0);
        assert!(decode_batch(&encoded).is_err());
    }
}

/// A few kilobytes that blow up to gigabytes are given up at the limit.
#[test]
fn a_decompression_bomb_is_refused() {
    let mut bomb = vec![VERSION_1];
    let mut encoder = zstd::stream::write::Encoder::new(&mut bomb, 3).unwrap();
    for _ in 0..(MAX_PAYLOAD_BYTES >> 20) + 1 {
        std::io::Write::write_all(&mut encoder, &[1; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap();
    assert!(bomb.len() < 16 << 10);
    assert_eq!(decode_batch(&bomb), Err(BatchDecodeError::Payload));
}

/// A frame that asks for a large window is refused before the window is allocated.
#[test]
fn a_large_window_is_refused() {
    let mut encoded = vec![VERSION_1];
    let mut encoder = zstd::stream::write::Encoder::new(&mut encoded, 1).unwrap();
    encoder
        .set_parameter(zstd::zstd_safe::CParameter::WindowLog(27))
        .unwrap();
    std::io::Write::write_all(&mut encoder, b"x").unwrap();
    std::io::Write::flush(&mut encoder).unwrap();
    encoder.finish().unwrap();
    assert!(matches!(
        decode_batch(&encoded),
        Err(BatchDecodeError::Compression(_))
    ));
}

/// Counts that the bytes cannot hold are refused before anything is allocated for them.
#[test]
fn huge_counts_are_refused() {
    for payload in [
        &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[0][..],
    ] {
        for form in 0..2 {
            assert!(decode_batch(&[&[BATCH_VERSION, form], payload].concat()).is_err());
        }
        let mut framed = vec![VERSION_1];
        framed.extend(zstd::bulk::compress(payload, 1).unwrap());
        assert!(decode_batch(&framed).is_err());
    }
}

/// Inputs and lists at the limit decode; one byte more is refused when it is encoded.
#[test]
fn more_inputs_than_a_decoder_takes_cannot_be_encoded() {
    let block = |length| BatchBlock {
        timestamp: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        l1_origin: None,
        transactions: vec![Transaction::Legacy(
            TxLegacy {
                input: Bytes::from(vec![0; length]),
                to: TxKind::Call(Address::ZERO),
                ..TxLegacy::default()
            }
            .into_signed(Signature::new(U256::from(1), U256::from(2), false)),
        )],
    };
    let most = [block(MAX_INPUT_BYTES)];
    let encoded = encode_batch(&most, 1).unwrap();
    assert!(encoded.len() < 16 << 10);
    assert_eq!(decode_batch(&encoded).unwrap(), most);
    assert_eq!(
        encode_batch(&[block(MAX_INPUT_BYTES + 1)], 1),
        Err(BatchEncodeError::Inputs)
    );
}

/// Transactions that surprise the models are written as they are.
#[test]
fn models_that_are_misled_cost_nothing() {
    use alloy_eips::eip2718::Encodable2718;

    let tiny = Transaction::Legacy(TxLegacy::default().into_signed(Signature::new(
        U256::from(1),
        U256::from(1),
        false,
    )));
    let block = BatchBlock {
        timestamp: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        l1_origin: None,
        transactions: vec![tiny; 1000],
    };
    let plain: usize = block
        .transactions
        .iter()
        .map(Encodable2718::encode_2718_len)
        .sum();
    let encoded = encode_batch(std::slice::from_ref(&block), 9).unwrap();
    assert!(encoded.len() < plain + 64);
    assert_eq!(decode_batch(&encoded).unwrap(), [block]);
}

#[test]
fn what_no_batch_may_hold_cannot_be_encoded() {
    let signature = Signature::new(U256::from(1), U256::from(2), false);
    let block = |transactions| BatchBlock {
        timestamp: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        l1_origin: None,
        transactions,
    };
    let blob = Transaction::Eip4844(TxEip4844::default().into_signed(signature));
    let deposit = Transaction::from(TxDeposit::default());
    for (transaction, ty) in [(blob, 0x03), (deposit, 0x7e)] {
        assert_eq!(
            encode_batch(&[block(vec![transaction])], 3),
            Err(BatchEncodeError::TransactionType(ty))
        );
    }
    assert_eq!(encode_batch(&[], 3), Err(BatchEncodeError::Empty));
    let older = BatchBlock {
        timestamp: 0,
        ..block(vec![])
    };
    assert_eq!(
        encode_batch(&[block(vec![]), older], 3),
        Err(BatchEncodeError::Timestamp {
            index: 1,
            previous: 1,
            found: 0
        })
    );
    let moved = |to| BatchBlock {
        l1_origin: Some(to),
        ..block(vec![])
    };
    assert_eq!(
        encode_batch(&[moved(5), block(vec![]), moved(5)], 3),
        Err(BatchEncodeError::Origin {
            index: 2,
            previous: 5,
            found: 5
        })
    );
}

/// The blocks of `testdata/batch-v1.bin`.
fn golden_blocks() -> Vec<BatchBlock> {
    let signature =
        |seed: u64| Signature::new(U256::from(seed) << 200, U256::from(seed + 7), seed % 2 == 1);
    let access_list = AccessList(vec![AccessListItem {
        address: Address::repeat_byte(0xaa),
        storage_keys: vec![B256::repeat_byte(1), B256::repeat_byte(2)],
    }]);
    let authorization = SignedAuthorization::new_unchecked(
        Authorization {
            chain_id: U256::from(31338),
            address: Address::repeat_byte(0xcc),
            nonce: 300,
        },
        1,
        U256::from(11),
        U256::from(12),
    );
    let legacy = |chain_id, seed| {
        Transaction::Legacy(
            TxLegacy {
                chain_id,
                nonce: seed,
                gas_price: 1_000_000_000,
                gas_limit: 21_000,
                to: TxKind::Call(Address::repeat_byte(0xbb)),
                value: U256::from(10).pow(U256::from(18)),
                input: Bytes::new(),
            }
            .into_signed(signature(seed)),
        )
    };
    let typed1 = Transaction::Eip2930(
        TxEip2930 {
            chain_id: 31338,
            nonce: 2,
            gas_price: 5,
            gas_limit: 100_000,
            to: TxKind::Create,
            value: U256::ZERO,
            access_list: access_list.clone(),
            input: Bytes::from_static(&[0x60, 0x00]),
        }
        .into_signed(signature(3)),
    );
    let typed2 = Transaction::Eip1559(
        TxEip1559 {
            chain_id: 31338,
            nonce: 3,
            gas_limit: 50_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::repeat_byte(0xaa)),
            value: U256::from(1),
            access_list: AccessList::default(),
            input: Bytes::from_static(b"transfer"),
        }
        .into_signed(signature(4)),
    );
    let typed4 = Transaction::Eip7702(
        TxEip7702 {
            chain_id: 31338,
            nonce: 4,
            gas_limit: 80_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 2,
            to: Address::repeat_byte(0xbb),
            value: U256::ZERO,
            access_list,
            authorization_list: vec![authorization],
            input: Bytes::new(),
        }
        .into_signed(signature(5)),
    );
    let block = |timestamp, l1_origin, transactions| BatchBlock {
        timestamp,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0x42),
        l1_origin,
        transactions,
    };
    vec![
        block(
            1_700_000_000,
            Some(17),
            vec![legacy(None, 0), legacy(Some(31338), 1)],
        ),
        block(1_700_000_000, None, vec![]),
        block(1_700_000_012, Some(20), vec![typed1, typed2, typed4]),
    ]
}

/// Batches that are on some L1 must decode for ever.
#[test]
fn golden_batches() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    let blocks = golden_blocks();
    if std::env::var_os("WEFT_WRITE_GOLDEN").is_some() {
        let modelled = encode_batch(&blocks, 9).unwrap();
        std::fs::write(format!("{folder}/batch-v2.bin"), modelled).unwrap();
        let plain = version2::encode_plain(&blocks).unwrap();
        std::fs::write(format!("{folder}/batch-v2-plain.bin"), plain).unwrap();
    }
    for name in ["batch-v1.bin", "batch-v2.bin", "batch-v2-plain.bin"] {
        let golden = std::fs::read(format!("{folder}/{name}")).unwrap();
        assert_eq!(decode_batch(&golden).unwrap(), blocks, "{name}");
    }
}
