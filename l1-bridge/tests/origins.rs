//! A batch counts only on the L1 that its blocks were made on.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use common::{
    Anvil, GENESIS_TIMESTAMP, TestChain, calldata, deposit_eth, derivation, derive_all, key,
    manager_config, origin_source, poster,
    rpc_proxy::{Fate, RpcProxy},
    submit_all, submit_with,
};
use serde_json::json;
use tokio::sync::mpsc;
use weft_batcher::{
    BatchBlock, BatchHeader, BatchPoster, ChainSource, EventSink, PostError, SubmitterEvent,
    encode_batch,
};
use weft_l1_bridge::{
    BatchFault, ContractPoster, DerivationError, L1Client, L1ClientConfig, ResumePoint, RollupInfo,
    TransactionManager,
};
use weft_primitives::L1Origin;

/// A chain of one block, whose L1 origin is a block with a deposit.
async fn chain_on_a_deposit(anvil: &Anvil, seed: u64) -> (Arc<TestChain>, RollupInfo, L1Origin) {
    let chain = TestChain::new(seed);
    let info = anvil.deploy(&chain).await;
    deposit_eth(
        &anvil.sender(0),
        info.contract,
        Address::ZERO,
        U256::from(1),
    )
    .await
    .unwrap();
    let mut origins = origin_source(anvil.client(), &info, u64::MAX);
    let advance = origins.newest(None, 0).await.unwrap().unwrap();
    let origin = advance.origin;
    chain.extend(Some(advance), 1);
    (chain, info, origin)
}

/// The chain up to its head as one batch.
fn whole(chain: &TestChain) -> (BatchHeader, Vec<u8>) {
    let head = chain.head();
    let last = chain.block_at(head);
    let blocks: Vec<_> = (1..=head)
        .map(|number| BatchBlock::from(&chain.block_at(number)))
        .collect();
    let data = encode_batch(&blocks, 3).unwrap();
    let header = BatchHeader {
        previous_batch_hash: Default::default(),
        first_block: 1,
        last_block: head,
        last_block_hash: last.hash(),
        state_root: last.header.state_root,
        withdrawals_root: Default::default(),
        l1_origin: chain.l1_origin(head).unwrap().unwrap().id(),
        deposits_consumed: chain.deposit_count(head).unwrap(),
        blob_count: 0,
        data_hash: calldata(&data).data_hash,
    };
    (header, data)
}

/// L1 reorganises while a batch waits to be mined, and mines it on the other side: it must not count
/// there, since its blocks cannot be derived there. One that is not sent yet is not sent at all.
#[tokio::test]
async fn a_batch_on_its_way_is_refused_where_l1_has_dropped_its_origin() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let (chain, info, _) = chain_on_a_deposit(&anvil, 21).await;
    let (header, data) = whole(&chain);
    let prepared = calldata(&data);
    anvil.rpc("evm_setAutomine", json!([false])).await;

    let (events, mut attempts) = mpsc::channel(16);
    let (sending, copy) = (poster(&anvil, &info), prepared.clone());
    let post = tokio::spawn(async move {
        let events = EventSink::new(events);
        sending.post(0, &header, &copy, &events).await
    });
    let Some(SubmitterEvent::Attempt { tx_hash, .. }) = attempts.recv().await else {
        panic!("expected an attempt");
    };
    anvil.rpc("anvil_reorg", json!([1, []])).await;
    anvil.mine(1).await;
    let receipt = anvil
        .rpc("eth_getTransactionReceipt", json!([tx_hash]))
        .await;
    assert_eq!(receipt["status"], "0x0", "{receipt}");
    let reverted = post.await.unwrap();
    assert!(matches!(reverted, Err(PostError::Retry(_))), "{reverted:?}");

    anvil.rpc("evm_setAutomine", json!([true])).await;
    let (events, mut attempts) = mpsc::channel(16);
    let events = EventSink::new(events);
    let again = poster(&anvil, &info);
    match again.post(0, &header, &prepared, &events).await {
        Err(PostError::Retry(error)) => {
            assert!(error.to_string().contains("L1OriginMismatch"), "{error}");
        }
        other => panic!("expected a refusal that passes, found {other:?}"),
    }
    drop(events);
    assert!(attempts.recv().await.is_none());
    assert_eq!(again.last_batch().await.unwrap().count, 0);
}

/// Many nodes execute a call as within their newest block, in which a batch on that block cannot be: it is
/// sent all the same, since it will be in a later one.
#[tokio::test]
async fn a_batch_on_the_newest_block_is_posted_where_calls_are_in_that_block() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let (chain, info, origin) = chain_on_a_deposit(&anvil, 26).await;
    let head = anvil.client().block_number().await.unwrap();
    assert_eq!(head, origin.number);
    let proxy = RpcProxy::start(&anvil.url, |method, params| match method {
        "eth_estimateGas" => Fate::Ask(json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [params[0], "latest"]
        })),
        _ => Fate::Pass,
    })
    .await;
    let client = L1Client::new(&proxy.url, L1ClientConfig::default()).unwrap();
    let manager = TransactionManager::new(client.clone(), key(1), manager_config());
    let poster = ContractPoster::new(client, manager, info.contract, 0);
    submit_with(poster, &chain, 1).await;
    let start = ResumePoint::start(&info, GENESIS_TIMESTAMP);
    let mut derivation = derivation(anvil.client(), &info, start);
    assert_eq!(derive_all(&mut derivation).await.len(), 1);
}

/// A chain goes on after an outage of L1 or of the batcher, also when blocks have to be looked up in
/// L1's history (EIP-2935) or cannot be looked up any more.
#[tokio::test]
async fn an_old_origin_is_still_taken() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    for (seed, age) in [(22, 200), (23, 400)] {
        let (chain, info, _) = chain_on_a_deposit(&anvil, seed).await;
        anvil.mine(age).await;
        submit_all(&anvil, &info, &chain, 1).await;
        let start = ResumePoint::start(&info, GENESIS_TIMESTAMP);
        let mut derivation = derivation(anvil.client(), &info, start);
        assert_eq!(derive_all(&mut derivation).await.len(), 1);
    }
}

/// The contract cannot know which origin the blocks have: who names another block of L1 is found out
/// by whoever reads the batch.
#[tokio::test]
async fn a_header_with_another_origin_does_not_verify() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let (chain, info, origin) = chain_on_a_deposit(&anvil, 25).await;
    anvil.mine(2).await;
    let (honest, data) = whole(&chain);
    let other = anvil
        .client()
        .existing_block(origin.number + 1)
        .await
        .unwrap();
    let header = BatchHeader {
        l1_origin: other.id(),
        ..honest
    };
    poster(&anvil, &info)
        .post(0, &header, &calldata(&data), &EventSink::default())
        .await
        .unwrap();
    let start = ResumePoint::start(&info, GENESIS_TIMESTAMP);
    let mut derivation = derivation(anvil.client(), &info, start);
    match derivation.next_batch().await {
        Err(DerivationError::Batch {
            index: 0,
            fault: BatchFault::HeaderOrigin { expected, found },
        }) => assert_eq!((expected, found), (origin.id(), other.id())),
        other => panic!("expected another origin, found {other:?}"),
    }
}
