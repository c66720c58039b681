//! The chain rebuilt from L1 and checked, batch by batch: what `weft follow` and `weft watch` share.

mod compare;
mod difference;
mod dispute;
mod reader;
mod resume;

use std::{sync::Arc, time::Duration};

use tokio::time;
use tokio_util::sync::CancellationToken;
use weft_l1_bridge::{
    Derivation, DerivationConfig, DerivationError, Disputes, L1Client, PostedBatch, ResumePoint,
    RollupInfo, posted_batches,
};

pub(crate) use compare::Comparer;
pub use difference::{
    BlockDifference, Difference, DifferenceKind, FieldDifference, NodeComparison, StateDifference,
    StateValue, TransactionDifference,
};
pub(crate) use dispute::{Disputant, DisputeEvent, Order};
pub(crate) use resume::chain_spec;

use crate::{
    chain::{ChainHandle, ReplayError, Replayer, VerifiedBatch},
    error::NodeError,
    metrics,
};
use reader::{Read, Reader};

/// Reads, executes and checks batch after batch.
#[derive(Debug)]
pub(crate) struct Verifier {
    client: L1Client,
    info: RollupInfo,
    disputes: Disputes,
    chain: ChainHandle,
    replayer: Arc<Replayer>,
    comparer: Option<Comparer>,
    poll_interval: Duration,
    state: State,
    /// Events that were found together with one that was given out.
    pending: Vec<Event>,
}

#[derive(Debug)]
enum State {
    /// L1 has to be asked where to begin.
    Start,
    Deriving(Reader),
    /// A batch is wrong; nothing goes on while L1 holds it.
    Wrong(Box<WrongBatch>),
}

#[derive(Debug)]
struct WrongBatch {
    posted: PostedBatch,
    /// Stands behind the batch, and so finds out when L1 drops it.
    behind: Derivation,
}

/// What a [`Verifier`] has found.
#[derive(Debug)]
pub(crate) enum Event {
    /// Where it begins, at the start and whenever L1 is not what it was.
    Resumed {
        /// Batches that the chain has already, and that are right.
        batches: u64,
        /// Batches that L1 holds.
        posted: u64,
    },
    /// A batch is right, and durable here.
    Verified(Box<VerifiedBatch>),
    /// L1 has nothing more, and all that it has is right.
    CaughtUp,
    /// L1 cannot be read, or the data of this batch; it goes on when it can.
    Unreadable {
        /// The batch that is waited for.
        waiting: Option<Box<PostedBatch>>,
        /// Why.
        error: DerivationError,
    },
    /// L1 is not what was read before.
    Changed(DerivationError),
    /// A batch is wrong. It waits for L1 to drop it.
    Wrong {
        /// The batch.
        posted: Box<PostedBatch>,
        /// What is wrong with it.
        difference: Box<Difference>,
    },
    /// The wrong batch is still there; comes again and again.
    StillWrong {
        /// Whether it can no longer be removed: it will be wrong for ever.
        is_settled: bool,
    },
}

impl Verifier {
    /// A verifier that goes on where the chain of `replayer` ends. Nothing is read yet.
    pub(crate) fn new(
        client: L1Client,
        info: RollupInfo,
        chain: ChainHandle,
        replayer: Replayer,
        comparer: Option<Comparer>,
        poll_interval: Duration,
    ) -> Self {
        Self {
            disputes: Disputes::new(client.clone(), &info),
            client,
            info,
            chain,
            replayer: Arc::new(replayer),
            comparer,
            poll_interval,
            state: State::Start,
            pending: Vec::new(),
        }
    }

    /// Waits for the next event, or for `stop`: `None`.
    ///
    /// # Errors
    /// When this machine fails, or the chain here can not become the one on L1.
    pub(crate) async fn next(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<Event>, NodeError> {
        stop.run_until_cancelled(self.next_event())
            .await
            .transpose()
    }

    async fn next_event(&mut self) -> Result<Event, NodeError> {
        loop {
            self.take_verified();
            if !self.pending.is_empty() {
                return Ok(self.pending.remove(0));
            }
            match &mut self.state {
                State::Start => self.start().await?,
                State::Deriving(reader) => {
                    let read = match self.replayer.first_unchecked() {
                        None => reader.read.recv().await,
                        Some(last_block) => tokio::select! {
                            read = reader.read.recv() => read,
                            () = durable(&self.chain, last_block) => {
                                if let Some((posted, found)) = self.check_durable().await? {
                                    self.wrong(posted, found).await?;
                                }
                                continue;
                            }
                            error = self.replayer.failure() => return Err(error),
                        },
                    };
                    match read {
                        Some(read) => self.on_read(read).await?,
                        None => {
                            return Err(NodeError::Setup("derivation has ended".to_owned()));
                        }
                    }
                }
                State::Wrong(wrong) => {
                    time::sleep(self.poll_interval).await;
                    match still_wrong(&self.disputes, wrong).await {
                        Ok(event) => self.pending.push(event),
                        Err(error) if error.is_retryable() => {
                            self.pending.push(Event::unreadable(error));
                        }
                        Err(
                            error @ (DerivationError::Reorg { .. }
                            | DerivationError::Rejected { .. }),
                        ) => {
                            self.pending.push(Event::Changed(error));
                            self.state = State::Start;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }

    /// Begins anew with what L1 holds now, also where a batch was found to be wrong.
    pub(crate) fn start_again(&mut self) {
        self.state = State::Start;
    }

    fn take_verified(&mut self) {
        let verified = self.replayer.take_verified();
        // They come before what was found after them.
        self.pending.splice(
            0..0,
            verified.into_iter().map(Box::new).map(Event::Verified),
        );
    }

    /// Asks L1 where to begin.
    async fn start(&mut self) -> Result<(), NodeError> {
        let posted = match resume::posted_until_now(&self.client, &self.info).await {
            Ok(posted) => posted,
            Err(error) if error.is_retryable() => {
                self.pending.push(Event::unreadable(error.into()));
                time::sleep(self.poll_interval).await;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let common = resume::common_point(&self.info, &self.chain, &posted)?;
        self.chain.set_verified(common.resume.last_block);
        self.go_back(&common).await?;
        self.pending.push(Event::Resumed {
            batches: common.resume.next_index,
            posted: posted.len() as u64,
        });
        let derivation = self.derivation(common.resume);
        self.state = State::Deriving(Reader::start(derivation, self.poll_interval));
        Ok(())
    }

    /// Takes back the blocks that L1 does not confirm. Where their history is gone they may stay, if
    /// L1 has no others: they are compared when their batch comes.
    async fn go_back(&self, common: &resume::CommonPoint) -> Result<(), NodeError> {
        let (replayer, to) = (self.replayer.clone(), common.resume.last_block);
        if blocking(move || replayer.go_back(to)).await?? {
            return Ok(());
        }
        let Some(differs) = &common.differs else {
            return Ok(());
        };
        let number = differs.header.last_block;
        let ours = self.chain.store().header(number)?;
        Err(NodeError::Setup(format!(
            "L1 holds another chain than the data folder, and what is needed to go back to block {to} is not kept (--history): block {number} is {} here, {} in batch {}; follow into an empty folder",
            ours.map(|header| header.hash()).unwrap_or_default(),
            differs.header.last_block_hash,
            differs.index,
        )))
    }

    async fn on_read(&mut self, read: Read) -> Result<(), NodeError> {
        match read {
            Read::Batch(batch) => {
                let replayer = self.replayer.clone();
                match blocking(move || replayer.apply(*batch)).await? {
                    Ok(()) => Ok(()),
                    Err(ReplayError::Wrong { posted, mismatch }) => {
                        let found = Difference::of_mismatch(&posted, &mismatch);
                        self.first_wrong(*posted, found).await
                    }
                    Err(ReplayError::Node(error)) => Err(error),
                }
            }
            Read::Unreadable(waiting, error) => {
                metrics::l1_error();
                self.pending.push(Event::Unreadable { waiting, error });
                Ok(())
            }
            // What is unchecked comes first, and then this comes again.
            Read::CaughtUp if self.replayer.first_unchecked().is_some() => Ok(()),
            Read::CaughtUp => {
                self.pending.push(Event::CaughtUp);
                Ok(())
            }
            Read::Changed(error) => {
                self.pending.push(Event::Changed(error));
                self.state = State::Start;
                Ok(())
            }
            Read::Wrong(posted, error) => {
                let DerivationError::Batch { fault, .. } = &error else {
                    return Err(error.into());
                };
                let found = Difference::of_fault(&posted, fault);
                self.first_wrong(*posted, found).await
            }
            Read::Failed(error) => Err(error.into()),
        }
    }

    /// Checks all that was executed before a wrong batch: the first wrong one counts.
    async fn first_wrong(
        &mut self,
        posted: PostedBatch,
        found: Difference,
    ) -> Result<(), NodeError> {
        while let Some(last_block) = self.replayer.first_unchecked() {
            tokio::select! {
                () = durable(&self.chain, last_block) => {}
                error = self.replayer.failure() => return Err(error),
            }
            if let Some((earlier, found)) = self.check_durable().await? {
                return self.wrong(earlier, found).await;
            }
        }
        self.wrong(posted, found).await
    }

    /// Checks what is durable: the first batch that is wrong.
    async fn check_durable(&self) -> Result<Option<(PostedBatch, Difference)>, NodeError> {
        let replayer = self.replayer.clone();
        match blocking(move || replayer.check_durable()).await? {
            Ok(()) => Ok(None),
            Err(ReplayError::Wrong { posted, mismatch }) => {
                let found = Difference::of_mismatch(&posted, &mismatch);
                Ok(Some((*posted, found)))
            }
            Err(ReplayError::Node(error)) => Err(error),
        }
    }

    /// Says that a batch is wrong, if L1 still holds it: else what was read may be of two chains.
    async fn wrong(
        &mut self,
        posted: PostedBatch,
        mut difference: Difference,
    ) -> Result<(), NodeError> {
        match self.stands(&posted).await {
            Ok(true) => {}
            Ok(false) => {
                self.state = State::Start;
                return Ok(());
            }
            Err(error) => {
                self.pending.push(Event::unreadable(error.into()));
                self.state = State::Start;
                return Ok(());
            }
        }
        if let Some(comparer) = &self.comparer {
            let node = comparer.compare(&self.chain, &posted).await;
            difference = difference.with_node(node);
        }
        tracing::error!(
            batch = posted.index,
            difference = serde_json::to_string(&difference).unwrap_or_default(),
            "what was posted is wrong: {difference}"
        );
        self.take_verified();
        let (replayer, verified) = (self.replayer.clone(), self.chain.verified());
        if !blocking(move || replayer.go_back(verified)).await?? {
            tracing::error!(
                verified,
                "blocks above this one are wrong and stay: what is needed to go back is not kept"
            );
        }
        self.pending.push(Event::Wrong {
            posted: Box::new(posted),
            difference: Box::new(difference),
        });
        // The time and the origin of its last block do not matter: nothing is read behind it.
        let behind = ResumePoint::after(&posted, 0, None);
        self.state = State::Wrong(Box::new(WrongBatch {
            posted,
            behind: self.derivation(behind),
        }));
        Ok(())
    }

    fn derivation(&self, from: ResumePoint) -> Derivation {
        Derivation::new(
            self.client.clone(),
            self.info.clone(),
            from,
            DerivationConfig::default(),
        )
    }

    /// Whether L1 holds this batch at this place.
    async fn stands(&self, posted: &PostedBatch) -> Result<bool, weft_l1_bridge::L1Error> {
        let head = self.client.block_number().await?;
        if head < posted.l1_block {
            return Ok(false);
        }
        let found = posted_batches(&self.client, &self.info, posted.l1_block, head).await?;
        Ok(found.contains(posted))
    }
}

/// How a wrong batch stands now.
async fn still_wrong(
    disputes: &Disputes,
    wrong: &mut WrongBatch,
) -> Result<Event, DerivationError> {
    wrong.behind.look().await?;
    let standing = disputes.standing(wrong.posted.index).await?;
    let is_settled = standing.is_settled && standing.batch_hash == wrong.posted.batch_hash;
    Ok(Event::StillWrong { is_settled })
}

impl Event {
    fn unreadable(error: DerivationError) -> Self {
        metrics::l1_error();
        Self::Unreadable {
            waiting: None,
            error,
        }
    }
}

/// Returns once this block is durable; never when a stage has failed.
async fn durable(chain: &ChainHandle, number: u64) {
    let mut head = chain.watch_head();
    let reached = head
        .wait_for(|head| head.header.number >= number)
        .await
        .is_ok();
    if !reached {
        std::future::pending::<()>().await;
    }
}

/// CPU work on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| NodeError::Setup(format!("replay panicked: {error}")))
}
