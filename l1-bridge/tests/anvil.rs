//! The bridge against a real L1.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::Arc;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::BlockId;
use alloy_primitives::{Address, U256, keccak256};
use common::{
    Anvil, GENESIS_TIMESTAMP, TestChain, calldata, deposit_eth, derivation, derive_all, key,
    origin_source, policy, poster, retry, submit_all,
};
use weft_batcher::{
    BatchBlock, BatchHeader, BatchPoster, ChainSource, EventSink, Submitter, SubmitterError,
    encode_batch,
};
use weft_l1_bridge::{
    BatchFault, ContractPoster, DerivationError, L1LabelSource, MAX_DEPOSIT_GAS, PostedLabels,
    ResumePoint, RollupError, RollupInfo,
};
use weft_primitives::{SealedBlock, Transaction};

fn assert_same_block(derived: &weft_l1_bridge::DerivedBlock, block: &SealedBlock) {
    assert_eq!(derived.number, block.number());
    assert_eq!(derived.attributes.timestamp, block.header.timestamp);
    assert_eq!(derived.attributes.gas_limit, block.header.gas_limit);
    assert_eq!(derived.attributes.beneficiary, block.header.beneficiary);
    assert_eq!(derived.attributes.new_l1_origin, block.new_l1_origin());
    let derived = derived.transactions.iter().map(|transaction| {
        let transaction = transaction.as_ref().unwrap();
        assert_eq!(
            transaction.inner().recover_signer().unwrap(),
            transaction.signer()
        );
        transaction.inner().hash()
    });
    let posted = block.transactions.iter().map(Transaction::hash);
    assert_eq!(derived.collect::<Vec<_>>(), posted.collect::<Vec<_>>());
}

#[tokio::test]
async fn deployment_announces_the_chain() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(1);
    let info = anvil.deploy(&chain).await;
    assert_eq!(info.chain_spec.as_ref(), Some(&chain.spec));
    assert_eq!(info.genesis_block_hash, chain.block_at(0).hash());
    assert_eq!(info.forced_inclusion_delay, 3_600);

    // The deposits of one L1 block are never split.
    alloy_sol_types::sol! {
        function MAX_DEPOSIT_GAS_PER_BLOCK() external view returns (uint64);
    }
    let taken = anvil
        .client()
        .view(
            info.contract,
            &MAX_DEPOSIT_GAS_PER_BLOCKCall {},
            BlockId::latest(),
        )
        .await
        .unwrap();
    assert!(taken > 0 && taken <= MAX_DEPOSIT_GAS, "{taken}");

    // A spec beyond the size of an initcode is left out.
    let funded: Vec<_> = (0..3_000u64)
        .map(|n| {
            let hash = keccak256(n.to_be_bytes());
            (Address::from_word(hash), U256::from_be_bytes(hash.0))
        })
        .collect();
    let large = weft_l1_bridge::genesis::l2_genesis(
        5,
        &funded,
        30_000_000,
        GENESIS_TIMESTAMP,
        Address::repeat_byte(2),
    )
    .unwrap();
    let parameters = weft_l1_bridge::DeployParameters {
        admin: key(0).address(),
        batcher: key(1).address(),
        genesis_block_hash: keccak256("large"),
        chain_spec: &large,
        forced_inclusion_delay: 60,
        challenge_window: 60,
        resolution_time: 60,
        escape_delay: 3_600,
        challenge_bond: 1,
    };
    let plan = weft_l1_bridge::DeploymentPlan::of_account(&anvil.client(), key(0).address())
        .await
        .unwrap();
    let deployment = weft_l1_bridge::deploy(&anvil.sender(0), &plan, &parameters)
        .await
        .unwrap();
    let info = RollupInfo::load(&anvil.client(), deployment.contract)
        .await
        .unwrap();
    assert_eq!(info.chain_spec, None);
    assert_eq!(info.deployment_block, deployment.block_number);
    for (index, takes) in [(0, false), (1, true)] {
        let account = key(index).address();
        let found = info.takes_batches_from(&anvil.client(), account).await;
        assert_eq!(found.unwrap(), takes);
    }

    // The bridge for tokens stands beside it, and has no version.
    assert!(matches!(
        RollupInfo::load(&anvil.client(), deployment.token_bridge).await,
        Err(RollupError::Version { contract, found: None, .. }) if contract == deployment.token_bridge
    ));
    let nobody = Address::repeat_byte(9);
    assert!(matches!(
        RollupInfo::load(&anvil.client(), nobody).await,
        Err(RollupError::NoContract(address)) if address == nobody
    ));
}

/// I3, I4, I5: what was posted, in two lives of the submitter, derives to the chain's own blocks, in
/// one go and from a resume point; deposits come in once each and in order.
#[tokio::test]
async fn posted_chain_derives_to_itself() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(2);
    let info = anvil.deploy(&chain).await;
    let client = anvil.client();
    let mut origins = origin_source(client.clone(), &info, 250_000);

    let none = origins.newest(None, 0).await.unwrap().unwrap();
    assert_eq!(none.deposits, []);
    let depositor = anvil.sender(0);
    for amount in 1..=4u64 {
        let to = Address::repeat_byte(amount as u8);
        deposit_eth(&depositor, info.contract, to, U256::from(amount))
            .await
            .unwrap();
    }
    // Each deposit may use 100,000 gas: two fit into a block.
    let first = origins.newest(None, 0).await.unwrap().unwrap();
    assert_eq!(first.deposits.len(), 2);
    assert_eq!(first.deposits[0].mint, 1);
    assert_eq!(first.deposits[1].mint, 2);
    let origin = first.origin;
    chain.extend(Some(first), 2);
    chain.extend(None, 0);
    let second = origins.newest(Some(origin), 2).await.unwrap().unwrap();
    assert_eq!(second.deposits.len(), 2);
    assert_eq!(second.deposits[1].mint, 4);
    let origin = second.origin;
    chain.extend(Some(second), 1);
    assert_eq!(origins.newest(Some(origin), 4).await.unwrap(), None);
    anvil.mine(1).await;
    let third = origins.newest(Some(origin), 4).await.unwrap().unwrap();
    assert!(third.deposits.is_empty());
    chain.extend(Some(third), 300);
    submit_all(&anvil, &info, &chain, 3).await;

    let mut whole = derivation(
        client.clone(),
        &info,
        ResumePoint::start(&info, GENESIS_TIMESTAMP),
    );
    let batches = derive_all(&mut whole).await;
    assert_eq!(batches.len(), 2);
    let middle = *whole.resume_point();
    assert_eq!(middle.last_block, chain.head());

    for _ in 0..5 {
        chain.extend(None, 1);
    }
    submit_all(&anvil, &info, &chain, 2).await;
    let mut resumed = derivation(client.clone(), &info, middle);
    let later = derive_all(&mut resumed).await;
    assert_eq!(derive_all(&mut whole).await.len(), later.len());

    let blocks: Vec<_> = batches
        .iter()
        .chain(&later)
        .flat_map(|batch| &batch.blocks)
        .collect();
    assert_eq!(blocks.len() as u64, chain.head());
    for (block, number) in blocks.into_iter().zip(1..) {
        assert_same_block(block, &chain.block_at(number));
    }
    let last = later.last().unwrap();
    assert_eq!(last.header().last_block_hash, chain.block_at(9).hash());
    assert_eq!(last.header().deposits_consumed, 4);

    let labels = L1LabelSource::new(client.clone(), &info, 1);
    assert_eq!(labels.labels().await.unwrap().safe, 9);
    let deep = L1LabelSource::new(client.clone(), &info, 3);
    assert_eq!(deep.labels().await.unwrap().safe, 6);
    let too_deep = L1LabelSource::new(client.clone(), &info, 1_000_000);
    assert_eq!(too_deep.labels().await.unwrap(), PostedLabels::default());
    // anvil finalizes 64 blocks behind its head.
    anvil.mine(64).await;
    assert_eq!(labels.labels().await.unwrap().finalized, 9);
}

/// The batcher role can post anything: whatever is wrong is found, and is not taken for a failure
/// of L1.
#[tokio::test]
async fn wrong_batches_do_not_verify() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(3);
    for _ in 0..2 {
        chain.extend(None, 1);
    }
    let block = |number| BatchBlock::from(&chain.block_at(number));
    let honest = vec![block(1), block(2)];
    let encode = |blocks: &[BatchBlock]| encode_batch(blocks, 3).unwrap();
    let with = |change: &dyn Fn(&mut BatchBlock)| {
        let mut blocks = honest.clone();
        change(&mut blocks[1]);
        encode(&blocks)
    };
    type Check = fn(&BatchFault) -> bool;
    let truncated = encode(&honest)[..40].to_vec();
    let cases: Vec<(Vec<u8>, u64, Check)> = vec![
        (b"garbage".to_vec(), 0, |fault| {
            matches!(fault, BatchFault::Decode(_))
        }),
        (truncated, 0, |fault| matches!(fault, BatchFault::Decode(_))),
        (encode(&honest[..1]), 0, |fault| {
            matches!(
                fault,
                BatchFault::BlockCount {
                    expected: 2,
                    found: 1
                }
            )
        }),
        (with(&|block| block.l1_origin = Some(1 << 40)), 0, |fault| {
            matches!(fault, BatchFault::Origin { block: 2, .. })
        }),
        (
            encode(&[
                BatchBlock {
                    timestamp: GENESIS_TIMESTAMP - 1,
                    ..honest[0].clone()
                },
                honest[1].clone(),
            ]),
            0,
            |fault| matches!(fault, BatchFault::Timestamp { block: 1, .. }),
        ),
        // The contract has one deposit, but the batch's origin does not reach it.
        (encode(&honest), 1, |fault| {
            matches!(
                fault,
                BatchFault::Deposits {
                    expected: 0,
                    found: 1
                }
            )
        }),
    ];
    for (data, deposits_consumed, check) in cases {
        let info = anvil.deploy(&chain).await;
        deposit_eth(
            &anvil.sender(0),
            info.contract,
            Address::repeat_byte(1),
            U256::from(1),
        )
        .await
        .unwrap();
        let last = chain.block_at(2);
        let header = BatchHeader {
            previous_batch_hash: Default::default(),
            first_block: 1,
            last_block: 2,
            last_block_hash: last.hash(),
            state_root: last.header.state_root,
            withdrawals_root: Default::default(),
            l1_origin: Default::default(),
            deposits_consumed,
            blob_count: 0,
            data_hash: keccak256(&data),
        };
        poster(&anvil, &info)
            .post(0, &header, &calldata(&data), &EventSink::default())
            .await
            .unwrap();
        let mut derivation = derivation(
            anvil.client(),
            &info,
            ResumePoint::start(&info, GENESIS_TIMESTAMP),
        );
        // Also when asked again: a wrong batch stays wrong and is not skipped.
        for _ in 0..2 {
            let error = derivation.next_batch().await.unwrap_err();
            assert!(!error.is_retryable(), "{error}");
            match error {
                DerivationError::Batch { index: 0, fault } => assert!(check(&fault), "{fault}"),
                other => panic!("unexpected: {other}"),
            }
        }
    }
}

#[tokio::test]
async fn submitter_refuses_a_foreign_contract() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let ours = TestChain::new(4);
    let info = anvil.deploy(&ours).await;
    let foreign = TestChain::new(5);
    foreign.extend(None, 0);
    let run = |chain, sender| {
        let poster = ContractPoster::new(anvil.client(), sender, info.contract, 0);
        Submitter::new(chain, poster, policy(1), retry(), EventSink::default()).run()
    };
    assert!(matches!(
        run(foreign, anvil.sender(1)).await,
        Err(SubmitterError::Forked { block: 0, .. })
    ));
    ours.extend(None, 0);
    // The admin may not post.
    let error = run(Arc::clone(&ours), anvil.sender(0)).await.unwrap_err();
    assert!(matches!(error, SubmitterError::Refused(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("AccessControlUnauthorizedAccount")
    );

    submit_all(&anvil, &info, &ours, 1).await;
    assert!(matches!(
        run(TestChain::new(4), anvil.sender(1)).await,
        Err(SubmitterError::Behind {
            l1_block: 1,
            head: 0,
            ..
        })
    ));
}
