use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use reqwest::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::OnceCell;

use super::{BlobPlace, BlobSourceError, http::BlobServer};

/// Largest answer with blobs, in bytes: those of a whole block, twice over in hex. A node that does
/// not filter sends all; 72 of them are what the next forks speak of, and 128 KiB each.
const MAX_BLOBS_BYTES: usize = 32 << 20;

/// Largest answer about the chain, in bytes.
const MAX_FACTS_BYTES: usize = 1 << 20;

/// Asks a consensus node (Beacon API) for blobs. What it answers is not trusted: the reader checks
/// every blob. Clones share the connection.
#[derive(Debug, Clone)]
pub struct BeaconClient {
    server: BlobServer,
    /// How slots follow from timestamps; `None` inside when the node does not say.
    clock: Arc<OnceCell<Option<SlotClock>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotClock {
    /// Timestamp of slot 0, in seconds since the Unix epoch.
    genesis_time: u64,
    /// Length of a slot, in milliseconds.
    slot_ms: u64,
}

impl SlotClock {
    /// The slot of an execution block with this timestamp.
    fn slot_at(&self, timestamp: u64) -> Option<u64> {
        timestamp
            .checked_sub(self.genesis_time)?
            .checked_mul(1_000)?
            .checked_div(self.slot_ms)
    }
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Genesis {
    genesis_time: String,
}

/// Of the chain's constants, those about time: the second took the place of the first.
#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "SECONDS_PER_SLOT")]
    seconds_per_slot: Option<String>,
    #[serde(rename = "SLOT_DURATION_MS")]
    slot_duration_ms: Option<String>,
}

#[derive(Deserialize)]
struct Sidecar {
    blob: Bytes,
}

impl BeaconClient {
    /// A client of the node at `url`. Nothing is asked yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(url: &str) -> Result<Self, BlobSourceError> {
        Ok(Self {
            server: BlobServer::new(url)?,
            clock: Arc::default(),
        })
    }

    /// The names under which a node may know the block at a place, the likeliest first. A consensus
    /// node goes by slots; a node without consensus that serves blobs goes by its only blocks, those
    /// of the execution layer.
    pub(super) async fn block_ids(&self, place: &BlobPlace) -> Result<Vec<String>, String> {
        let clock = self.clock.get_or_try_init(|| self.read_clock()).await?;
        let slot = clock.and_then(|clock| clock.slot_at(place.timestamp));
        Ok(slot
            .map(|slot| slot.to_string())
            .into_iter()
            .chain([place.l1_block_hash.to_string()])
            .collect())
    }

    async fn read_clock(&self) -> Result<Option<SlotClock>, String> {
        let Some(genesis) = self.facts::<Genesis>("eth/v1/beacon/genesis").await? else {
            return Ok(None);
        };
        let Some(spec) = self.facts::<Spec>("eth/v1/config/spec").await? else {
            return Ok(None);
        };
        let number = |text: &str| text.parse::<u64>().ok();
        let slot_ms = match (&spec.seconds_per_slot, &spec.slot_duration_ms) {
            (Some(seconds), _) => number(seconds).and_then(|seconds| seconds.checked_mul(1_000)),
            (None, Some(milliseconds)) => number(milliseconds),
            (None, None) => None,
        };
        Ok(number(&genesis.genesis_time)
            .zip(slot_ms)
            .map(|(genesis_time, slot_ms)| SlotClock {
                genesis_time,
                slot_ms,
            }))
    }

    /// What the node says about its chain; `None` when it has no such endpoint.
    async fn facts<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, String> {
        let answer = self.server.get(path, &[], MAX_FACTS_BYTES).await?;
        match answer.status {
            StatusCode::OK => parse::<T>(path, &answer.body).map(Some),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => Ok(None),
            status => Err(format!("GET {path}: HTTP status {status}")),
        }
    }

    /// The blobs of a block by one of its names, unchecked: those with these versioned hashes, or all
    /// of the block where the node does not filter. The error is what the node said.
    pub(super) async fn blobs(
        &self,
        block_id: &str,
        versioned_hashes: &[B256],
    ) -> Result<Vec<Bytes>, String> {
        let path = format!("eth/v1/beacon/blobs/{block_id}");
        let filter: Vec<_> = versioned_hashes
            .iter()
            .map(|hash| ("versioned_hashes", hash.to_string()))
            .collect();
        let answer = self.server.get(&path, &filter, MAX_BLOBS_BYTES).await?;
        if answer.status.is_success() {
            return parse_large(path, answer.body).await;
        }
        // Nodes from before the Fulu fork have the blobs in their sidecars only.
        let old_path = format!("eth/v1/beacon/blob_sidecars/{block_id}");
        let old = self.server.get(&old_path, &[], MAX_BLOBS_BYTES).await?;
        if old.status.is_success() {
            let sidecars: Vec<Sidecar> = parse_large(old_path, old.body).await?;
            return Ok(sidecars.into_iter().map(|sidecar| sidecar.blob).collect());
        }
        Err(format!("GET {path}: HTTP status {}", answer.status))
    }
}

/// Megabytes of hex are not for tokio's threads.
async fn parse_large<T>(path: String, body: Vec<u8>) -> Result<T, String>
where
    T: DeserializeOwned + Send + 'static,
{
    match tokio::task::spawn_blocking(move || parse(&path, &body)).await {
        Ok(parsed) => parsed,
        Err(error) => Err(error.to_string()),
    }
}

fn parse<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, String> {
    match serde_json::from_slice::<Data<T>>(body) {
        Ok(answer) => Ok(answer.data),
        Err(error) => Err(format!(
            "GET {path}: {}",
            crate::error::shorten(&error.to_string())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_from_timestamps() {
        // Mainnet; slot 8,626,176 is the first with blobs (Deneb).
        let mainnet = SlotClock {
            genesis_time: 1_606_824_023,
            slot_ms: 12_000,
        };
        assert_eq!(mainnet.slot_at(1_606_824_023), Some(0));
        assert_eq!(mainnet.slot_at(1_710_338_135), Some(8_626_176));
        assert_eq!(mainnet.slot_at(1_606_824_022), None);
        let broken = SlotClock {
            slot_ms: 0,
            ..mainnet
        };
        assert_eq!(broken.slot_at(1_710_338_135), None);
    }
}
