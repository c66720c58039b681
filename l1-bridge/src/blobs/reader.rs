use std::{collections::HashMap, sync::Arc};

use alloy_eips::eip4844::Blob;
use alloy_primitives::{B256, Bytes};

use super::{BeaconClient, BlobArchive, BlobSourceError, versioned_hash};

/// The execution block of L1 that holds the transaction with the blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobPlace {
    /// Its number.
    pub l1_block: u64,
    /// Its hash.
    pub l1_block_hash: B256,
    /// Its timestamp, in seconds since the Unix epoch.
    pub timestamp: u64,
}

/// Where blobs are read: first a consensus node, then an archive. Without either nothing can be read.
/// Neither is trusted: a blob counts when its own commitment gives the hash that L1 holds.
#[derive(Debug, Clone, Default)]
pub struct BlobReader {
    beacon: Option<BeaconClient>,
    archive: Option<BlobArchive>,
}

/// Blobs that were found and are what their hashes say.
type Found = HashMap<B256, Arc<Blob>>;

impl BlobReader {
    /// A reader of these sources.
    pub const fn new(beacon: Option<BeaconClient>, archive: Option<BlobArchive>) -> Self {
        Self { beacon, archive }
    }

    /// A reader of the consensus node at `beacon`, a URL, and of the archive at `archive`, the path of
    /// a folder or a URL.
    ///
    /// # Errors
    /// When a URL cannot be used.
    pub fn open(beacon: Option<&str>, archive: Option<&str>) -> Result<Self, BlobSourceError> {
        Ok(Self::new(
            beacon.map(BeaconClient::new).transpose()?,
            archive.map(BlobArchive::new).transpose()?,
        ))
    }

    /// Whether there is any source. Whoever cannot read blobs must not post any.
    pub const fn has_source(&self) -> bool {
        self.beacon.is_some() || self.archive.is_some()
    }

    /// The archive.
    pub const fn archive(&self) -> Option<&BlobArchive> {
        self.archive.as_ref()
    }

    /// The blobs with these versioned hashes, in their order. What comes from a consensus node is
    /// added to an archive that is a folder.
    ///
    /// # Errors
    /// When a blob is in no source, or a source that may hold it fails.
    pub async fn read(
        &self,
        place: &BlobPlace,
        versioned_hashes: &[B256],
    ) -> Result<Vec<Arc<Blob>>, BlobSourceError> {
        if !self.has_source() {
            return Err(BlobSourceError::NoSource {
                l1_block: place.l1_block,
            });
        }
        let mut found = Found::new();
        let mut troubles = Vec::new();
        if let Some(beacon) = &self.beacon {
            let trouble = ask_beacon(beacon, place, versioned_hashes, &mut found).await;
            troubles.extend(trouble.map(|trouble| format!("beacon: {trouble}")));
            self.keep(&found).await;
        }
        if let Some(archive) = &self.archive {
            for hash in missing(versioned_hashes, &found) {
                match archive.get(hash).await {
                    Ok(Some(bytes)) => {
                        if !take(vec![bytes], &[hash], &mut found).await {
                            troubles.push(format!("{archive}: a blob that is another"));
                        }
                    }
                    Ok(None) => troubles.push(format!("{archive}: none")),
                    Err(error) => troubles.push(format!("{archive}: {error}")),
                }
            }
        }
        versioned_hashes
            .iter()
            .map(|hash| {
                found
                    .get(hash)
                    .cloned()
                    .ok_or_else(|| BlobSourceError::Missing {
                        versioned_hash: *hash,
                        l1_block: place.l1_block,
                        reason: troubles.join("; "),
                    })
            })
            .collect()
    }

    async fn keep(&self, found: &Found) {
        let Some(archive) = self.archive.as_ref().filter(|archive| archive.is_own()) else {
            return;
        };
        for (hash, blob) in found {
            if let Err(error) = archive.put(*hash, blob.as_slice()).await {
                tracing::warn!(%error, "a blob that was read is not kept");
            }
        }
    }
}

/// Those that are not found yet, each once.
fn missing(hashes: &[B256], found: &Found) -> Vec<B256> {
    let mut absent = Vec::new();
    for hash in hashes {
        if !found.contains_key(hash) && !absent.contains(hash) {
            absent.push(*hash);
        }
    }
    absent
}

/// Asks a node for the block by each of its names until all blobs are there; returns what was wrong
/// when they are not.
async fn ask_beacon(
    beacon: &BeaconClient,
    place: &BlobPlace,
    hashes: &[B256],
    found: &mut Found,
) -> Option<String> {
    let ids = match beacon.block_ids(place).await {
        Ok(ids) => ids,
        Err(error) => return Some(error),
    };
    let mut troubles = Vec::new();
    for id in ids {
        if let Err(trouble) = ask_for_block(beacon, &id, hashes, found).await {
            troubles.push(trouble);
        }
        if missing(hashes, found).is_empty() {
            return None;
        }
    }
    Some(troubles.join(", "))
}

/// Asks for a block's blobs as long as that brings some: there are nodes that understand a filter for
/// one blob only.
async fn ask_for_block(
    beacon: &BeaconClient,
    id: &str,
    hashes: &[B256],
    found: &mut Found,
) -> Result<(), String> {
    loop {
        let wanted = missing(hashes, found);
        if wanted.is_empty() {
            return Ok(());
        }
        let blobs = beacon.blobs(id, &wanted).await?;
        let count = blobs.len();
        if !take(blobs, &wanted, found).await {
            return Err(format!(
                "block {id}: {} blobs are not among the {count} that it sent",
                wanted.len()
            ));
        }
    }
}

/// Takes those blobs over that are wanted, by the hash of each; whether there was any.
async fn take(candidates: Vec<Bytes>, wanted: &[B256], found: &mut Found) -> bool {
    let wanted = wanted.to_vec();
    let checked = tokio::task::spawn_blocking(move || {
        let mut taken = Found::new();
        for bytes in candidates {
            // A lying node may send much: no more is hashed than is needed.
            if taken.len() == wanted.len() {
                break;
            }
            let Ok(blob) = Blob::try_from(bytes.as_ref()).map(Arc::new) else {
                continue;
            };
            if let Ok(hash) = versioned_hash(&blob)
                && wanted.contains(&hash)
            {
                taken.insert(hash, blob);
            }
        }
        taken
    })
    .await
    .unwrap_or_default();
    let any = !checked.is_empty();
    found.extend(checked);
    any
}
