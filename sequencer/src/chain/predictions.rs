//! What the engine has learned, kept across restarts of a node. It changes how long blocks take and
//! nothing else, so that nothing here can stop a node.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{task::spawn_blocking, time};
use weft_executor_parallel::{Engine, PREDICTOR_CAPACITY, Predictor, PredictorError};

use super::{ChainHandle, engine::experienced_engine};
use crate::{
    error::NodeError,
    metrics::{self, BlockSource},
    tasks::Tasks,
};

/// Name of the file in the data folder.
const FILE: &str = "predictions";

/// Name of the next file until it is whole.
const PARTIAL_FILE: &str = "predictions.partial";

/// Most bytes that are read: what a full predictor takes in memory, where it is larger.
const MAX_BYTES: usize = PREDICTOR_CAPACITY * (8 << 10);

/// Least time between two writes while the node runs.
const PERIOD: Duration = Duration::from_secs(5 * 60);

/// Keeps what a node's engine has learned in a file of its data folder.
#[derive(Debug)]
pub(crate) struct Predictions {
    engine: Arc<Engine>,
    path: PathBuf,
    partial: PathBuf,
    chain_id: u64,
    source: BlockSource,
    /// Taken while the file is written.
    writing: Mutex<()>,
}

/// Why a file with predictions is of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("expected at most {MAX_BYTES} bytes, found more")]
    TooLarge,
    #[error(transparent)]
    Content(#[from] PredictorError),
}

impl Predictions {
    /// An engine with this many threads (0: one for each core) that knows what the last one on this
    /// data folder had learned. A file that cannot be used is reported and, in time, replaced. The
    /// folder must be this process's own: its store is open.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn open(
        data_dir: &Path,
        threads: usize,
        chain_id: u64,
        source: BlockSource,
    ) -> Result<Arc<Self>, NodeError> {
        let path = data_dir.join(FILE);
        let engine = experienced_engine(threads, || {
            read(&path).unwrap_or_else(|error| {
                tracing::warn!(
                    file = %path.display(),
                    %error,
                    "predictions cannot be used; the engine starts without"
                );
                None
            })
        })?;
        Ok(Arc::new(Self {
            engine,
            path,
            partial: data_dir.join(PARTIAL_FILE),
            chain_id,
            source,
            writing: Mutex::new(()),
        }))
    }

    /// The engine that learns.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.engine.clone()
    }

    /// Writes the file now and then while the chain grows.
    pub(crate) fn spawn(self: &Arc<Self>, chain: &ChainHandle, tasks: &mut Tasks) {
        self.spawn_with_period(chain, tasks, PERIOD);
    }

    fn spawn_with_period(
        self: &Arc<Self>,
        chain: &ChainHandle,
        tasks: &mut Tasks,
        period: Duration,
    ) {
        let predictions = self.clone();
        let mut head = chain.watch_head();
        tasks.spawn_droppable("predictions", async move {
            while head.changed().await.is_ok() {
                time::sleep(period).await;
                head.mark_unchanged();
                predictions.save().await;
            }
            Ok(())
        });
    }

    /// Writes what the engine has learned from all blocks so far. Failing is only reported.
    pub(crate) async fn save(self: &Arc<Self>) {
        let predictions = self.clone();
        let written = spawn_blocking(move || predictions.write()).await;
        let result = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = result {
            tracing::warn!(
                file = %self.path.display(),
                %error,
                "predictions cannot be kept"
            );
        }
    }

    /// Replaces the file. It is not synced: one that a power loss damages is recognised and ignored.
    fn write(&self) -> io::Result<()> {
        // Learning may have to be waited for.
        let Some(predictor) = self.engine.predictor() else {
            return Ok(());
        };
        let _writing = self.writing.lock();
        let bytes = predictor.save();
        let replaced =
            fs::write(&self.partial, &bytes).and_then(|()| fs::rename(&self.partial, &self.path));
        if replaced.is_err() {
            // A disk may be full: half a file must not take the room of a block.
            let _ = fs::remove_file(&self.partial);
        } else {
            metrics::predictions_kept(self.source, self.chain_id, bytes.len());
        }
        replaced
    }
}

/// What the file says; `None` when there is none.
fn read(path: &Path) -> Result<Option<Predictor>, Unusable> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(Unusable::TooLarge);
    }
    Ok(Some(Predictor::restore(&bytes, PREDICTOR_CAPACITY)?))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use serde_json::json;
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;
    use weft_primitives::{BlockAttributes, ChainSpec};
    use weft_state::Store;

    use super::*;
    use crate::chain::{ChainWriter, ExecutionMode, LabelSource, Layers};

    /// How long the file may take to be there, on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_chain_that_grows_keeps_its_predictions_while_it_runs() {
        let genesis = json!({
            "config": {"chainId": 31338},
            "gasLimit": "0x1c9c380",
            "difficulty": "0x0",
            "timestamp": "0x65000000",
            "extraData": "0x",
            "nonce": "0x0",
            "baseFeePerGas": "0x7",
            "alloc": {},
        });
        let spec = Arc::new(ChainSpec::from_json(genesis.to_string().as_bytes()).unwrap());
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("state"), &spec).unwrap();
        let predictions =
            Predictions::open(folder.path(), 2, spec.chain_id(), BlockSource::Produced).unwrap();
        let layers = Arc::new(Layers::new(ExecutionMode::default(), None).unwrap());
        let engine = predictions.engine();
        let (mut writer, chain) = ChainWriter::new(
            spec,
            store,
            layers,
            engine,
            LabelSource::Durable,
            BlockSource::Produced,
        )
        .unwrap();
        let mut tasks = Tasks::new(CancellationToken::new());
        predictions.spawn_with_period(&chain, &mut tasks, Duration::ZERO);
        let mut make_block = || {
            let attributes = BlockAttributes {
                timestamp: 0x6500_0001,
                gas_limit: 30_000_000,
                beneficiary: Address::ZERO,
                new_l1_origin: None,
            };
            let block = writer.execute(&attributes, Vec::new()).unwrap();
            writer.append(block).unwrap();
            writer.flush().unwrap();
        };
        for _ in 0..2 {
            make_block();
            let written = async {
                while !predictions.path.exists() {
                    time::sleep(Duration::from_millis(1)).await;
                }
            };
            time::timeout(PATIENCE, written).await.unwrap();
            let bytes = fs::read(&predictions.path).unwrap();
            Predictor::restore(&bytes, PREDICTOR_CAPACITY).unwrap();
            assert!(!predictions.partial.exists());
            fs::remove_file(&predictions.path).unwrap();
        }
        tasks.stop().cancel();
        tasks.join().await.unwrap();
    }
}
