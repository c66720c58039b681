//! Transactions of blocks that the chain has taken back: they wait on disk until they are in blocks
//! again, so that a node that ends meanwhile has them still.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Encodable2718;
use tokio::{task::spawn_blocking, time};
use weft_executor_core::StateView;
use weft_primitives::{RecoveredTransaction, Transaction};
use weft_state::Store;

use crate::{
    chain::ChainHandle,
    error::NodeError,
    mempool::{Arrival, Mempool, MempoolError, PooledTransaction},
};

/// Name of the file in the data folder: for each transaction, the number of its bytes (4 bytes,
/// big-endian) and its EIP-2718 encoding.
const FILE: &str = "returned";

/// Transactions that are handed to the mempool at a time.
const AT_A_TIME: usize = 64;

/// Largest transaction that the file can hold, in bytes: more is damage.
const MAX_BYTES: u32 = 1 << 24;

/// How long to wait before the mempool is asked again, at most.
const RETRY: Duration = Duration::from_millis(500);

/// Writes down the transactions of users in the blocks above `number`, in their order, then those that
/// were returned before, then those that `waiting` has. What was returned before is not lost when this
/// is cut off.
pub(crate) fn write_down<'a>(
    data_dir: &Path,
    store: &Store,
    number: u64,
    waiting: impl IntoIterator<Item = &'a PooledTransaction>,
) -> Result<(), NodeError> {
    let path = data_dir.join(FILE);
    let partial = data_dir.join("returned.partial");
    let mut file = BufWriter::new(File::create(&partial).map_err(NodeError::file(&partial))?);
    let mut put = |transaction: &Transaction| {
        write(&mut file, transaction).map_err(NodeError::file(&partial))
    };
    for block in number.saturating_add(1)..=store.head()?.number {
        let block = store.block(block)?;
        let transactions = block.iter().flat_map(|block| &block.transactions);
        transactions
            .filter(|transaction| !transaction.is_deposit())
            .try_for_each(&mut put)?;
    }
    if let Some(mut before) = Returned::open(data_dir)? {
        while let Some(transaction) = before.next().unwrap_or_else(|error| {
            tracing::error!(%error, "transactions that waited to be in blocks again are lost");
            None
        }) {
            put(&transaction)?;
        }
    }
    for transaction in waiting {
        put(transaction.transaction.inner())?;
    }
    let synced = file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&partial, &path))
        .and_then(|()| File::open(data_dir)?.sync_all());
    synced.map_err(NodeError::file(&path))
}

fn write(file: &mut impl Write, transaction: &Transaction) -> io::Result<()> {
    let bytes = transaction.encoded_2718();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_be_bytes())?;
    file.write_all(&bytes)
}

/// The transactions on disk, from the first on.
struct Returned {
    path: PathBuf,
    file: BufReader<File>,
}

impl Returned {
    /// `None` when there are none.
    fn open(data_dir: &Path) -> Result<Option<Self>, NodeError> {
        let path = data_dir.join(FILE);
        match File::open(&path) {
            Ok(file) => Ok(Some(Self {
                path,
                file: BufReader::new(file),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(NodeError::file(&path)(error)),
        }
    }

    fn next(&mut self) -> Result<Option<Transaction>, NodeError> {
        self.read().map_err(NodeError::file(&self.path))
    }

    fn read(&mut self) -> io::Result<Option<Transaction>> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = u32::from_be_bytes(length);
        let damaged = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        if length > MAX_BYTES {
            return Err(damaged(format!(
                "expected a transaction of at most {MAX_BYTES} bytes, found {length}"
            )));
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes)?;
        Transaction::decode_for_l2(&bytes)
            .map(Some)
            .map_err(|error| damaged(error.to_string()))
    }

    /// The next few, with their senders. Recovering takes CPU time: not for tokio's threads.
    fn next_recovered(&mut self) -> Result<Vec<RecoveredTransaction>, NodeError> {
        let mut recovered = Vec::with_capacity(AT_A_TIME);
        while recovered.len() < AT_A_TIME
            && let Some(transaction) = self.next()?
        {
            // Each stood in a block or in the mempool.
            recovered.extend(transaction.recover().ok());
        }
        Ok(recovered)
    }
}

/// Puts what waits on disk into the mempool, and removes it from disk when it is in blocks again, or
/// cannot be. A damaged file ends it, and not the node. May be dropped at any time: the next start goes
/// on.
pub(crate) async fn put_back(
    data_dir: PathBuf,
    chain: ChainHandle,
    mempool: Mempool,
) -> Result<(), NodeError> {
    match put_back_all(&data_dir, &chain, &mempool).await {
        Err(error @ NodeError::File { .. }) => {
            tracing::error!(%error, "transactions that waited to be in blocks again are left there");
            Ok(())
        }
        other => other,
    }
}

async fn put_back_all(
    data_dir: &Path,
    chain: &ChainHandle,
    mempool: &Mempool,
) -> Result<(), NodeError> {
    let mut included = 0;
    // A transaction that lives on what another one pays is refused until that one is in a block.
    loop {
        let Some(pass) = Pass::run(data_dir, chain, mempool).await? else {
            return Ok(());
        };
        tracing::info!(
            included = pass.included,
            refused = pass.refused,
            queued = pass.queued,
            "transactions of blocks that were taken back"
        );
        if pass.included > included && pass.refused > 0 {
            included = pass.included;
            continue;
        }
        if pass.queued == 0 {
            let path = data_dir.join(FILE);
            fs::remove_file(&path).map_err(NodeError::file(&path))?;
        }
        return Ok(());
    }
}

/// What became of the transactions on disk.
#[derive(Debug, Default)]
struct Pass {
    included: u64,
    refused: u64,
    /// Those that wait behind a nonce that nobody has sent, or whose sender lacks the money.
    queued: u64,
}

impl Pass {
    /// Offers all of them, and waits until those that were taken are in blocks or cannot be. `None`
    /// when there are none.
    async fn run(
        data_dir: &Path,
        chain: &ChainHandle,
        mempool: &Mempool,
    ) -> Result<Option<Self>, NodeError> {
        let Some(mut returned) = Returned::open(data_dir)? else {
            return Ok(None);
        };
        loop {
            let pieces;
            (returned, pieces) = blocking(move || {
                let pieces = returned.next_recovered()?;
                Ok((returned, pieces))
            })
            .await?;
            if pieces.is_empty() {
                break;
            }
            offer(chain, mempool, pieces).await?;
        }
        let mut pass = Self::default();
        let Some(mut returned) = Returned::open(data_dir)? else {
            return Ok(None);
        };
        loop {
            let pieces;
            (returned, pieces) = blocking(move || {
                let pieces = returned.next_recovered()?;
                Ok((returned, pieces))
            })
            .await?;
            if pieces.is_empty() {
                return Ok(Some(pass));
            }
            for transaction in pieces {
                pass.count(chain, mempool, &transaction).await?;
            }
        }
    }

    async fn count(
        &mut self,
        chain: &ChainHandle,
        mempool: &Mempool,
        transaction: &RecoveredTransaction,
    ) -> Result<(), NodeError> {
        let hash = transaction.hash();
        let mut head = chain.watch_head();
        loop {
            if chain.store().transaction_location(hash)?.is_some() {
                self.included += 1;
                return Ok(());
            }
            if mempool.get(&hash).is_none() {
                // It may have become durable between the two questions.
                match chain.store().transaction_location(hash)? {
                    Some(_) => self.included += 1,
                    None => self.refused += 1,
                }
                return Ok(());
            }
            let next = mempool.next_nonce(transaction.signer());
            if next.is_none_or(|next| next <= transaction.inner().nonce()) {
                self.queued += 1;
                return Ok(());
            }
            let _ = time::timeout(RETRY, head.changed()).await;
        }
    }
}

/// Hands transactions to the mempool, and waits while it has no room.
async fn offer(
    chain: &ChainHandle,
    mempool: &Mempool,
    transactions: Vec<RecoveredTransaction>,
) -> Result<(), NodeError> {
    let mut head = chain.watch_head();
    for transaction in transactions {
        loop {
            let mut state = chain.store().latest_state()?;
            let account = state.account(transaction.signer())?.unwrap_or_default();
            let arrival = Arrival {
                transaction: transaction.clone(),
                account,
                received: Instant::now(),
            };
            let added = match mempool.check_open() {
                Ok(()) => mempool
                    .add_all([arrival])
                    .pop()
                    .map(|added| added.map(drop)),
                Err(error) => Some(Err(error)),
            };
            match added {
                Some(Err(
                    MempoolError::WaitsForL1 { .. }
                    | MempoolError::Full
                    | MempoolError::Underpriced
                    | MempoolError::FeeFloor { .. },
                )) => {
                    let _ = time::timeout(RETRY, head.changed()).await;
                }
                Some(Err(error)) => {
                    tracing::debug!(hash = %transaction.hash(), %error, "not taken in again");
                    break;
                }
                Some(Ok(())) | None => break,
            }
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    spawn_blocking(work)
        .await
        .map_err(|error| NodeError::Setup(format!("reading returned transactions: {error}")))?
}
