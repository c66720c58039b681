//! Batches in blobs on a real L1: posted, read back, wrong or missing; and the submitter's control.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy_eips::eip4844::{BYTES_PER_BLOB, Blob};
use alloy_primitives::B256;
use common::{
    Anvil, GENESIS_TIMESTAMP, TestChain, calldata, derivation, derive_all, poster, retry,
    submit_with, withdrawals_root,
};
use tempfile::TempDir;
use weft_batcher::{
    BatchHeader, BatchPolicy, BatchPoster, ChainSource, EventSink, FlushError, Placement, Prepared,
    Submitter, SubmitterControl, encode_batch,
};
use weft_l1_bridge::{
    BatchFault, BlobPayload, BlobReader, ContractPoster, DerivationError, L1Client, PostableData,
    ResumePoint, RollupInfo, blob_capacity, blob_commitment, blobs_data_hash, encode_blobs,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A client that reads blobs from anvil itself, or from an archive.
fn client(anvil: &Anvil, archive: Option<&TempDir>) -> L1Client {
    let archive = archive.map(|folder| folder.path().to_str().unwrap());
    let beacon = archive.is_none().then_some(anvil.url.as_str());
    anvil
        .client()
        .with_blobs(BlobReader::open(beacon, archive).unwrap())
}

fn blob_poster(anvil: &Anvil, info: &RollupInfo, client: L1Client) -> ContractPoster {
    ContractPoster::new(client, anvil.sender(1), info.contract, 6)
}

fn from_start(client: L1Client, info: &RollupInfo) -> weft_l1_bridge::Derivation {
    derivation(client, info, ResumePoint::start(info, GENESIS_TIMESTAMP))
}

/// Signatures do not compress: 2,000 transfers take two blobs.
#[tokio::test]
async fn a_chain_in_blobs_is_derived_as_it_was() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(11);
    let info = anvil.deploy(&chain).await;
    chain.extend(None, 1_000);
    chain.extend(None, 1_000);
    chain.extend(None, 3);
    submit_with(blob_poster(&anvil, &info, client(&anvil, None)), &chain, 2).await;
    // Between batches in blobs one as calldata: each says itself where it lies.
    chain.extend(None, 2);
    submit_with(poster(&anvil, &info), &chain, 2).await;
    chain.extend(None, 1);
    submit_with(blob_poster(&anvil, &info, client(&anvil, None)), &chain, 2).await;

    let batches = derive_all(&mut from_start(client(&anvil, None), &info)).await;
    let counts: Vec<u8> = batches
        .iter()
        .map(|batch| batch.header().blob_count)
        .collect();
    assert_eq!(counts, [2, 1, 0, 1]);
    assert!(batches[0].data_bytes > blob_capacity(1));
    for batch in &batches {
        let header = batch.header();
        let last = chain.block_at(header.last_block);
        assert_eq!(header.last_block_hash, last.hash());
        assert_eq!(header.withdrawals_root, withdrawals_root(header.last_block));
        for block in &batch.blocks {
            let posted = &chain.block_at(block.number).transactions;
            assert_eq!(block.transactions.len(), posted.len());
        }
    }
    assert_eq!(batches.last().unwrap().header().last_block, chain.head());
    let last = batches[0].blocks[1].transactions.last().unwrap();
    let last = last.as_ref().unwrap();
    let expected = chain.block_at(2).transactions.last().unwrap().hash();
    assert_eq!(last.hash(), expected);
}

/// What the submitter reckons with is what L1 charges, give or take a quarter.
#[tokio::test]
async fn costs_are_as_reckoned() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(12);
    let info = anvil.deploy(&chain).await;
    let poster = blob_poster(&anvil, &info, client(&anvil, None));
    // The first batch of all writes into empty storage.
    for (data_bytes, placement) in [
        (100, Placement::Calldata),
        (300, Placement::Calldata),
        (300, Placement::Blobs),
        (60_000, Placement::Calldata),
        (60_000, Placement::Blobs),
        (200_000, Placement::Blobs),
    ] {
        let last = poster.last_batch().await.unwrap();
        let market = poster.market().await.unwrap();
        // No byte repeats: as compressed data.
        let data: Vec<u8> = (0..data_bytes / 32 + 1)
            .flat_map(|index: usize| alloy_primitives::keccak256(index.to_be_bytes()).0)
            .take(data_bytes)
            .collect();
        let prepared = poster.prepare(placement, data).await.unwrap();
        let l1_head = anvil.client().block_number().await.unwrap();
        let origin = anvil.client().existing_block(l1_head).await.unwrap();
        let header = BatchHeader {
            l1_origin: origin.id(),
            ..header_after(&last, &prepared)
        };
        let posted = poster
            .post(last.count, &header, &prepared, &EventSink::default())
            .await
            .unwrap();
        let paid = u128::from(posted.gas_used) * posted.gas_price
            + u128::from(posted.blob_gas_used) * posted.blob_gas_price;
        let expected = market
            .cost(placement, data_bytes, &Default::default())
            .unwrap();
        println!(
            "{data_bytes} bytes as {placement}: {} gas, {} blob gas, reckoned with {} gas",
            posted.gas_used,
            posted.blob_gas_used,
            expected / (market.base_fee + market.tip)
        );
        assert_eq!(
            posted.blob_gas_used,
            u64::from(prepared.blob_count) * 131_072
        );
        assert!(
            last.count == 0 || paid.abs_diff(expected) < expected / 4,
            "{data_bytes} bytes as {placement}: {paid} wei, reckoned with {expected}"
        );
    }
}

fn header_after(last: &weft_batcher::LastBatch, prepared: &Prepared<PostableData>) -> BatchHeader {
    BatchHeader {
        previous_batch_hash: last.hash,
        first_block: last.last_block + 1,
        last_block: last.last_block + 1,
        last_block_hash: B256::repeat_byte(1),
        state_root: B256::ZERO,
        withdrawals_root: B256::ZERO,
        l1_origin: Default::default(),
        deposits_consumed: 0,
        blob_count: prepared.blob_count,
        data_hash: prepared.data_hash,
    }
}

fn in_blobs(blobs: Vec<Blob>) -> Prepared<PostableData> {
    let commitments: Vec<_> = blobs
        .iter()
        .map(|blob| blob_commitment(blob).unwrap())
        .collect();
    let payload = BlobPayload::new(blobs, commitments).unwrap();
    Prepared {
        placement: Placement::Blobs,
        blob_count: payload.versioned_hashes().len() as u8,
        data_hash: blobs_data_hash(payload.versioned_hashes()),
        bytes: 0,
        data: PostableData::Blobs(Arc::new(payload)),
    }
}

/// Blobs that L1 holds and that are no batch are the batch's fault for ever.
#[tokio::test]
async fn wrong_blobs_do_not_verify() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(13);
    let no_stream = vec![Blob::from([7; BYTES_PER_BLOB])];
    let two_for_one = {
        let mut blobs = encode_blobs(&[1; 100]).unwrap();
        blobs.push(Blob::ZERO);
        blobs
    };
    let no_batch = encode_blobs(&[200; 1_000]).unwrap();
    for (blobs, is_layout) in [(no_stream, true), (two_for_one, true), (no_batch, false)] {
        let info = anvil.deploy(&chain).await;
        let poster = blob_poster(&anvil, &info, client(&anvil, None));
        let last = poster.last_batch().await.unwrap();
        let prepared = in_blobs(blobs);
        let header = header_after(&last, &prepared);
        poster
            .post(0, &header, &prepared, &EventSink::default())
            .await
            .unwrap();
        let mut derivation = from_start(client(&anvil, None), &info);
        let error = derivation.next_batch().await.unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        match error {
            DerivationError::Batch {
                index: 0,
                fault: BatchFault::Blobs(_),
            } => assert!(is_layout),
            DerivationError::Batch {
                index: 0,
                fault: BatchFault::Decode(_),
            } => assert!(!is_layout),
            other => panic!("unexpected: {other}"),
        }
    }
}

/// A blob that nobody has now is waited for, and the batch goes on when it turns up.
#[tokio::test]
async fn a_missing_blob_is_named_and_waited_for() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(14);
    let info = anvil.deploy(&chain).await;
    chain.extend(None, 2);
    let archive = TempDir::new().unwrap();
    submit_with(
        blob_poster(&anvil, &info, client(&anvil, Some(&archive))),
        &chain,
        1,
    )
    .await;
    let files: Vec<_> = archive
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [file] = files.as_slice() else {
        panic!("{files:?}")
    };
    let elsewhere = TempDir::new().unwrap();
    let mut derivation = from_start(client(&anvil, Some(&elsewhere)), &info);
    let name = file.file_name().unwrap().to_str().unwrap();
    for _ in 0..2 {
        let error = derivation.next_batch().await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    std::fs::copy(file, elsewhere.path().join(name)).unwrap();
    let batch = derivation.next_batch().await.unwrap().unwrap();
    assert_eq!(batch.header().last_block, chain.head());

    let error = from_start(anvil.client(), &info).next_batch().await;
    let error = error.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}

/// An archive that does not take a blob keeps the batch from being posted.
#[tokio::test]
async fn what_is_not_archived_is_not_posted() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(15);
    let info = anvil.deploy(&chain).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let blobs = BlobReader::open(Some(&anvil.url), file.to_str()).unwrap();
    let poster = blob_poster(&anvil, &info, anvil.client().with_blobs(blobs));
    let last = poster.last_batch().await.unwrap();
    let data = encode_batch(&[(&chain.extend(None, 1)).into()], 3).unwrap();
    let prepared = poster
        .prepare(Placement::Blobs, data.clone())
        .await
        .unwrap();
    let header = header_after(&last, &prepared);
    let error = poster
        .post(0, &header, &prepared, &EventSink::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot be archived"), "{error}");
    assert_eq!(poster.last_batch().await.unwrap(), last);
    // Calldata needs no archive.
    let prepared = calldata(&data);
    poster
        .post(
            0,
            &header_after(&last, &prepared),
            &prepared,
            &EventSink::default(),
        )
        .await
        .unwrap();
}

/// Runs a submitter whose batches never close by age.
fn run_lazily(anvil: &Anvil, info: &RollupInfo, chain: &Arc<TestChain>) -> Running {
    let policy = BatchPolicy {
        max_age: Duration::from_secs(1 << 40),
        ..BatchPolicy::default()
    };
    let submitter = Submitter::new(
        Arc::clone(chain),
        poster(anvil, info),
        policy,
        retry(),
        EventSink::default(),
    );
    Running {
        control: submitter.control(),
        task: tokio::spawn(async move {
            submitter.run().await.unwrap();
        }),
    }
}

struct Running {
    control: SubmitterControl,
    task: tokio::task::JoinHandle<()>,
}

#[tokio::test]
async fn a_flush_posts_what_there_is_and_a_pause_holds_it_back() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let chain = TestChain::new(16);
    let info = anvil.deploy(&chain).await;
    let Running { control, task } = run_lazily(&anvil, &info, &chain);
    let flush = || async {
        tokio::time::timeout(LIMIT, control.flush())
            .await
            .expect("the flush does not end")
    };
    // Nothing to post: nothing to wait for.
    assert_eq!(flush().await, Ok(0));
    chain.extend(None, 3);
    chain.extend(None, 3);
    let mut status = control.status();
    let filling = tokio::time::timeout(
        LIMIT,
        status.wait_for(|status| status.next.is_some_and(|next| next.blocks == 2)),
    );
    drop(filling.await.unwrap().unwrap());
    assert_eq!(flush().await, Ok(2));
    let last = status.borrow_and_update().last_batch.unwrap();
    assert_eq!((last.count, last.last_block), (1, 2));

    control.pause();
    chain.extend(None, 1);
    assert!(control.status().borrow().paused);
    assert_eq!(flush().await, Err(FlushError::Paused));
    control.resume();
    chain.extend(None, 1);
    assert_eq!(flush().await, Ok(4));
    let shown = serde_json::to_value(&*control.status().borrow()).unwrap();
    assert_eq!(shown["paused"], false);
    assert_eq!(shown["placement"], "calldata");
    assert_eq!(shown["last_batch"]["last_block"], 4);

    // A flush that waits while somebody pauses says so; one without a submitter does not hang.
    chain.extend(None, 1);
    task.abort();
    let _ = task.await;
    assert_eq!(flush().await, Err(FlushError::Stopped));
}
