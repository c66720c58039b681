//! The only way in for transactions: they wait in one bounded queue, in which connections take turns,
//! and threads of their own decode them, recover the signers and hand them to the mempool, as many at
//! a time as are waiting.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use alloy_primitives::{Bytes, KECCAK256_EMPTY};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use weft_executor_core::{Account, StateView};
use weft_primitives::{RecoveredTransaction, Transaction};
use weft_state::StateReader;

use super::{
    RpcError,
    fair_queue::{ConnectionKey, FairQueue},
};
use crate::{
    chain::{ChainHandle, Preloader},
    mempool::{Arrival, Mempool, MempoolError, PooledTransaction, check_sender_code},
    metrics::AdmissionMetrics,
};

/// Transactions that a thread takes on at a time. The more there are, the more rarely the mempool is
/// locked and clients are woken; the first of them waits for the last.
const AT_A_TIME: usize = 32;

/// What became of a sent transaction.
pub(super) type Admitted = Result<Arc<PooledTransaction>, RpcError>;

/// Where transactions wait for admission, and the threads that admit them.
#[derive(Debug)]
pub(super) struct Ingress {
    queue: Arc<FairQueue<Submission>>,
    threads: Vec<JoinHandle<()>>,
    metrics: AdmissionMetrics,
}

/// A sent transaction that waits.
#[derive(Debug)]
struct Submission {
    bytes: Bytes,
    received: Instant,
    message: Arc<Message>,
    /// Position in the message.
    index: usize,
}

/// Transactions that came together and are answered together.
#[derive(Debug)]
struct Message {
    answers: Mutex<Answers>,
}

#[derive(Debug)]
struct Answers {
    /// One for each transaction.
    admitted: Vec<Option<Admitted>>,
    missing: usize,
    done: Option<oneshot::Sender<()>>,
}

impl Message {
    fn answer(&self, index: usize, admitted: Admitted) {
        let mut answers = self.answers.lock();
        if let Some(answer) = answers.admitted.get_mut(index) {
            *answer = Some(admitted);
        }
        answers.missing = answers.missing.saturating_sub(1);
        if answers.missing == 0
            && let Some(done) = answers.done.take()
        {
            drop(answers);
            // Whoever asked may be gone.
            let _ = done.send(());
        }
    }
}

impl Ingress {
    /// Starts the threads. At most `most` transactions wait at a time.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(super) fn start(
        chain: &ChainHandle,
        mempool: &Mempool,
        preloader: Option<&Preloader>,
        threads: usize,
        most: NonZeroUsize,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(FairQueue::new(most, most));
        let metrics = AdmissionMetrics::new(chain.spec().chain_id());
        let threads = (0..threads.max(1))
            .map(|index| {
                let admission = Admission {
                    chain: chain.clone(),
                    mempool: mempool.clone(),
                    preloader: preloader.cloned(),
                    metrics: metrics.clone(),
                };
                let queue = queue.clone();
                thread::Builder::new()
                    .name(format!("weft-admit-{index}"))
                    .spawn(move || {
                        step_back();
                        while futures::executor::block_on(queue.ready()) {
                            let submissions = queue.pop_batch(AT_A_TIME);
                            admission.admit(submissions, queue.len());
                        }
                    })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            queue,
            threads,
            metrics,
        })
    }

    /// Has transactions admitted that came in one message, received at this moment. What becomes of
    /// each comes back in their order.
    pub(super) async fn submit(
        &self,
        connection: ConnectionKey,
        received: Instant,
        transactions: Vec<Bytes>,
    ) -> Vec<Admitted> {
        let count = transactions.len();
        let (done, is_done) = oneshot::channel();
        let message = Arc::new(Message {
            answers: Mutex::new(Answers {
                admitted: (0..count).map(|_| None).collect(),
                missing: count,
                done: Some(done),
            }),
        });
        for (index, bytes) in transactions.into_iter().enumerate() {
            let submission = Submission {
                bytes,
                received,
                message: Arc::clone(&message),
                index,
            };
            if let Err(busy) = self.queue.push(connection, submission) {
                message.answer(index, Err(busy.into()));
            }
        }
        if count > 0 {
            // Fails when a thread panicked: its answers are missing.
            let _ = is_done.await;
        }
        let answers = std::mem::take(&mut message.answers.lock().admitted);
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or(Err(RpcError::Internal("the request panicked"))))
            .collect()
    }

    /// Records that a transaction, received at this moment, is answered.
    pub(super) fn answered(&self, received: Instant) {
        self.metrics.answered(received);
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// Makes the calling thread give way to others where there are fewer cores than threads with work.
/// Checking signatures takes most of all CPU time: what has been admitted shall not wait for what has
/// not.
fn step_back() {
    /// A third of the time that another thread gets, as Linux weighs them.
    const STEP: i32 = 5;
    // On Linux this is about the calling thread alone; where it fails, nothing is lost but that.
    if let Err(error) = rustix::process::nice(STEP) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// What the threads work with.
struct Admission {
    chain: ChainHandle,
    mempool: Mempool,
    preloader: Option<Preloader>,
    metrics: AdmissionMetrics,
}

impl Admission {
    /// Takes signed transactions in: decodes each, checks what needs no state, recovers the sender,
    /// looks the account up and hands all to the mempool.
    fn admit(&self, submissions: Vec<Submission>, waiting: usize) {
        let started = Instant::now();
        let mut state = self.chain.store().latest_state();
        let mut arrivals = Vec::with_capacity(submissions.len());
        let mut admitted = Vec::with_capacity(submissions.len());
        for submission in submissions {
            self.metrics.taken_up(submission.received);
            let checked = match &mut state {
                Ok(state) => self.check(&submission.bytes, state),
                Err(_) => Err(RpcError::Internal("the state cannot be read")),
            };
            match checked {
                Ok((transaction, account)) => {
                    arrivals.push(Arrival {
                        transaction,
                        account,
                        received: submission.received,
                    });
                    admitted.push(submission);
                }
                Err(error) => submission.message.answer(submission.index, Err(error)),
            }
        }
        let added = self.mempool.add_all(arrivals);
        for (submission, added) in admitted.into_iter().zip(added) {
            if let Ok(pooled) = &added {
                if let Some(preloader) = &self.preloader {
                    preloader.transaction(&pooled.transaction);
                }
                self.metrics.admitted(submission.received);
            }
            submission
                .message
                .answer(submission.index, added.map_err(RpcError::from));
        }
        self.metrics.batch(started.elapsed(), waiting);
    }

    fn check(
        &self,
        bytes: &[u8],
        state: &mut StateReader,
    ) -> Result<(RecoveredTransaction, Account), RpcError> {
        let transaction = Transaction::decode_for_l2(bytes)?;
        if self.mempool.contains(&transaction.hash()) {
            return Err(MempoolError::AlreadyKnown.into());
        }
        self.mempool.check_open()?;
        let transaction = transaction.recover()?;
        self.mempool.check_stateless(&transaction)?;
        let sender = transaction.signer();
        let account = state.account(sender)?.unwrap_or_default();
        if account.code_hash != KECCAK256_EMPTY {
            check_sender_code(sender, &state.code(account.code_hash)?)?;
        }
        Ok((transaction, account))
    }
}
