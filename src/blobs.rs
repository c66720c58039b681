use clap::Args;
use weft_sequencer::{BlobReader, BlobSourceError};

/// Where batches in blobs are read.
#[derive(Debug, Args)]
pub(crate) struct BlobArguments {
    /// URL of a consensus node of L1 (Beacon API), where batches in blobs are read. It need not be
    /// trusted: every blob is checked.
    #[arg(long, env = "WEFT_L1_BEACON_URL", hide_env_values = true)]
    beacon: Option<String>,
    /// Archive of blobs that consensus nodes do not have any more: the path of a folder, which also
    /// gets those that are read elsewhere, or the URL of a server. It need not be trusted.
    #[arg(long, env = "WEFT_L1_BLOB_ARCHIVE", hide_env_values = true)]
    blob_archive: Option<String>,
}

impl BlobArguments {
    pub(crate) fn open(&self) -> Result<BlobReader, BlobSourceError> {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        BlobReader::open(
            given(&self.beacon).as_deref(),
            given(&self.blob_archive).as_deref(),
        )
    }
}
