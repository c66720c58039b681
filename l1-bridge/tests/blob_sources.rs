//! Blobs are read from servers and folders that may lack them, lie or break.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    collections::HashMap,
    net::TcpListener as StdListener,
    sync::{Arc, Mutex},
};

use alloy_eips::eip4844::Blob;
use alloy_primitives::{B256, Bytes, hex};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_l1_bridge::{
    BlobArchive, BlobPlace, BlobReader, BlobSourceError, encode_blobs, versioned_hash,
};

const GENESIS_TIME: u64 = 1_606_824_023;
const SLOT: u64 = 777;

fn place() -> BlobPlace {
    BlobPlace {
        l1_block: 5,
        l1_block_hash: B256::repeat_byte(0x55),
        timestamp: GENESIS_TIME + 12 * SLOT,
    }
}

/// Two different blobs with their versioned hashes.
fn two_blobs() -> (Vec<Blob>, Vec<B256>) {
    let data: Vec<u8> = (0..200_000_u32).map(|index| (index % 249) as u8).collect();
    let blobs = encode_blobs(&data).unwrap();
    assert_eq!(blobs.len(), 2);
    let hashes = blobs
        .iter()
        .map(|blob| versioned_hash(blob).unwrap())
        .collect();
    (blobs, hashes)
}

type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// An HTTP server of what it was given by path, and of what is PUT.
#[derive(Clone, Default)]
struct Server {
    files: Files,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn with(self, path: &str, body: impl Into<Vec<u8>>) -> Self {
        self.files
            .lock()
            .unwrap()
            .insert(path.to_owned(), body.into());
        self
    }

    /// A consensus node's answers about its chain.
    fn with_clock(self) -> Self {
        let genesis = json!({"data": {"genesis_time": GENESIS_TIME.to_string()}});
        let spec = json!({"data": {"SECONDS_PER_SLOT": "12", "BLOB_SCHEDULE": []}});
        self.with("/eth/v1/beacon/genesis", genesis.to_string())
            .with("/eth/v1/config/spec", spec.to_string())
    }

    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }
}

async fn answer(State(server): State<Server>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    server.asked.lock().unwrap().push(request.uri().to_string());
    if request.method() == Method::PUT {
        let body = axum::body::to_bytes(request.into_body(), 1 << 20)
            .await
            .unwrap();
        server.files.lock().unwrap().insert(path, body.to_vec());
        return StatusCode::CREATED.into_response();
    }
    match server.files.lock().unwrap().get(&path) {
        Some(body) => body.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn blobs_answer(blobs: &[impl AsRef<[u8]>]) -> String {
    let data: Vec<_> = blobs.iter().map(hex::encode_prefixed).collect();
    json!({"execution_optimistic": false, "finalized": true, "data": data}).to_string()
}

/// A port on which nobody listens.
fn dead_url() -> String {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn altered(blob: &Blob) -> Vec<u8> {
    let mut altered = blob.to_vec();
    altered[4_000] ^= 1;
    altered
}

/// Reads, and checks that these are the blobs.
async fn reads(reader: &BlobReader, hashes: &[B256], expected: &[&Blob]) {
    let read = reader.read(&place(), hashes).await.unwrap();
    assert_eq!(read.len(), expected.len());
    assert!(
        read.iter()
            .zip(expected)
            .all(|(read, blob)| **read == **blob)
    );
}

#[tokio::test]
async fn a_consensus_node_is_asked_by_slot_and_filters() {
    let (blobs, hashes) = two_blobs();
    let path = format!("/eth/v1/beacon/blobs/{SLOT}");
    let server = Server::default()
        .with_clock()
        .with(&path, blobs_answer(&blobs));
    let url = server.start().await;
    let reader = BlobReader::open(Some(&format!("{url}/")), None).unwrap();
    let wanted = [hashes[1], hashes[0], hashes[1]];
    reads(&reader, &wanted, &[&blobs[1], &blobs[0], &blobs[1]]).await;
    let asked = server.asked.lock().unwrap().clone();
    assert!(asked.iter().any(|uri| uri.contains(&format!(
        "{path}?versioned_hashes={}&versioned_hashes={}",
        hashes[1], hashes[0]
    ))));
}

/// Nodes from before Fulu: sidecars only, all of the block.
#[tokio::test]
async fn an_old_consensus_node_is_read_by_sidecars() {
    let (blobs, hashes) = two_blobs();
    let sidecars: Vec<Value> = [altered(&blobs[0]), blobs[1].to_vec(), blobs[0].to_vec()]
        .iter()
        .enumerate()
        .map(|(index, blob)| {
            let blob = hex::encode_prefixed(blob);
            json!({"index": index.to_string(), "blob": blob, "kzg_commitment": "0x00"})
        })
        .collect();
    let server = Server::default().with_clock().with(
        &format!("/eth/v1/beacon/blob_sidecars/{SLOT}"),
        json!({ "data": sidecars }).to_string(),
    );
    let reader = BlobReader::open(Some(&server.start().await), None).unwrap();
    reads(&reader, &hashes, &[&blobs[0], &blobs[1]]).await;
}

#[tokio::test]
async fn a_node_without_slots_is_asked_by_execution_block() {
    let (blobs, hashes) = two_blobs();
    let path = format!("/eth/v1/beacon/blobs/{}", place().l1_block_hash);
    let server = Server::default().with(&path, blobs_answer(&blobs));
    let reader = BlobReader::open(Some(&server.start().await), None).unwrap();
    reads(&reader, &hashes, &[&blobs[0], &blobs[1]]).await;
}

#[tokio::test]
async fn altered_blobs_are_refused_from_any_source() {
    let (blobs, hashes) = two_blobs();
    let lie = [altered(&blobs[0]), blobs[1].to_vec()];
    let beacon = Server::default()
        .with_clock()
        .with(&format!("/eth/v1/beacon/blobs/{SLOT}"), blobs_answer(&lie))
        .start()
        .await;
    let archive = Server::default()
        .with(&format!("/{}", hashes[0]), lie[0].clone())
        .start()
        .await;
    let reader = BlobReader::open(Some(&beacon), Some(&archive)).unwrap();
    let error = reader.read(&place(), &hashes).await.unwrap_err();
    assert!(error.is_retryable());
    let BlobSourceError::Missing {
        versioned_hash,
        reason,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(versioned_hash, hashes[0]);
    assert!(reason.contains("a blob that is another"), "{reason}");
    // The right one beside it makes up for both.
    let folder = TempDir::new().unwrap();
    let kept = BlobArchive::new(folder.path().to_str().unwrap()).unwrap();
    kept.put(hashes[0], blobs[0].as_slice()).await.unwrap();
    let reader = BlobReader::open(Some(&beacon), folder.path().to_str()).unwrap();
    reads(&reader, &hashes, &[&blobs[0], &blobs[1]]).await;
}

#[tokio::test]
async fn an_archive_server_takes_blobs_and_gives_them_back() {
    let (blobs, hashes) = two_blobs();
    let server = Server::default();
    let url = format!("{}/some/bucket", server.start().await);
    let archive = BlobArchive::new(&url).unwrap();
    for (hash, blob) in hashes.iter().zip(&blobs) {
        archive.put(*hash, blob.as_slice()).await.unwrap();
    }
    let stored = server.files.lock().unwrap().clone();
    assert_eq!(
        stored.get(&format!("/some/bucket/{}", hashes[0])),
        Some(&blobs[0].to_vec())
    );
    let reader = BlobReader::open(Some(&dead_url()), Some(&url)).unwrap();
    reads(&reader, &hashes, &[&blobs[0], &blobs[1]]).await;
}

#[tokio::test]
async fn a_folder_keeps_what_was_read_and_its_damage_is_found() {
    let (blobs, hashes) = two_blobs();
    let beacon = Server::default()
        .with_clock()
        .with(
            &format!("/eth/v1/beacon/blobs/{SLOT}"),
            blobs_answer(&blobs),
        )
        .start()
        .await;
    let folder = TempDir::new().unwrap();
    let kept = folder.path().join("not/there/yet");
    let reader = BlobReader::open(Some(&beacon), kept.to_str()).unwrap();
    reads(&reader, &hashes, &[&blobs[0], &blobs[1]]).await;
    let names: Vec<_> = kept
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");

    // The node has forgotten; the folder has not.
    let reader = BlobReader::open(Some(&dead_url()), kept.to_str()).unwrap();
    reads(&reader, &hashes, &[&blobs[0], &blobs[1]]).await;
    for damaged in [
        altered(&blobs[1]),
        blobs[1][..100].to_vec(),
        vec![0; 300_000],
        Vec::new(),
    ] {
        std::fs::write(kept.join(hashes[1].to_string()), damaged).unwrap();
        let error = reader.read(&place(), &hashes).await.unwrap_err();
        assert!(
            error.to_string().contains(&hashes[1].to_string()),
            "{error}"
        );
        assert!(error.is_retryable());
    }
    // Putting it again repairs it.
    let archive = BlobArchive::new(kept.to_str().unwrap()).unwrap();
    archive.put(hashes[1], blobs[1].as_slice()).await.unwrap();
    reads(&reader, &hashes, &[&blobs[0], &blobs[1]]).await;
}

#[tokio::test]
async fn nonsense_and_floods_are_errors() {
    let (_, hashes) = two_blobs();
    let path = format!("/eth/v1/beacon/blobs/{SLOT}");
    let answers: [Bytes; 5] = [
        Bytes::from_static(b"not json"),
        Bytes::from_static(br#"{"data": ["0x00"]}"#),
        Bytes::from_static(br#"{"data": null}"#),
        Bytes::from_static(br#"{"data": []}"#),
        vec![b' '; 40 << 20].into(),
    ];
    for answer in answers {
        let server = Server::default().with_clock().with(&path, answer);
        let reader = BlobReader::open(Some(&server.start().await), None).unwrap();
        let error = reader.read(&place(), &hashes).await.unwrap_err();
        assert!(matches!(error, BlobSourceError::Missing { .. }), "{error}");
    }
    let broken = Server::default()
        .with("/eth/v1/beacon/genesis", "{}")
        .start()
        .await;
    let reader = BlobReader::open(Some(&broken), None).unwrap();
    let error = reader.read(&place(), &hashes).await.unwrap_err();
    assert!(error.to_string().contains("genesis"), "{error}");
}

#[tokio::test]
async fn without_a_source_nothing_can_be_read() {
    let (_, hashes) = two_blobs();
    let reader = BlobReader::default();
    assert!(!reader.has_source());
    let error = reader.read(&place(), &hashes).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(BlobReader::open(Some("ftp://x"), None).is_err());
    assert!(BlobReader::open(None, Some("https://")).is_err());
}
