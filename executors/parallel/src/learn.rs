use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256, map::AddressMap};
use weft_primitives::RecoveredTransaction;

use crate::{
    accesses::{AccessRecord, BlockAccesses},
    conflicts::Location,
    lanes::{
        TIMED,
        record::{Recorded, RecordedExecution},
    },
    predict::{Observed, Predictor},
};

/// Transactions with the same contract and function that are learned from in one block.
const MOST_ALIKE: usize = 4;

/// Functions of one contract that are learned from in one block.
const MOST_FUNCTIONS: usize = 8;

/// Transactions of a block that are learned from.
const MOST: usize = 64;

/// Transactions of a block that are looked at for that.
const MOST_LOOKED_AT: usize = 1024;

/// Transactions of a block that are learned from whatever is known of them.
const SAMPLE: usize = 8;

/// Most transactions of a block whose times are compared with what was expected: of more, the errors
/// even out.
const MOST_COMPARED: usize = 1024;

/// Time that is spent on one block's transactions: the thread may have no core for itself.
const MOST_TIME: Duration = Duration::from_millis(20);

/// Blocks that wait to be learned from; of others nothing is learned.
const MOST_WAITING: usize = 4;

/// Learns from executed transactions, on a thread of its own: no block waits for it.
#[derive(Debug)]
pub(crate) struct Learner {
    predictor: Arc<Predictor>,
    /// `None` only while it is dropped.
    lessons: Option<SyncSender<Lesson>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Lesson {
    Transactions(Vec<Seen>),
    /// Tell when all before it are learned.
    Done(SyncSender<()>),
}

/// What a transaction was seen to do.
#[derive(Debug)]
struct Seen {
    transaction: RecoveredTransaction,
    /// In nanoseconds, where it was taken.
    time: Option<u64>,
    accounts: Vec<(Address, bool)>,
    slots: Vec<(Address, U256, bool)>,
}

impl Learner {
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn new(predictor: Arc<Predictor>) -> io::Result<Self> {
        let (lessons, receiver) = mpsc::sync_channel(MOST_WAITING);
        let pupil = Arc::clone(&predictor);
        let thread = thread::Builder::new()
            .name("weft-engine-learner".to_owned())
            .spawn(move || learn(&pupil, &receiver))?;
        Ok(Self {
            predictor,
            lessons: Some(lessons),
            thread: Some(thread),
        })
    }

    pub(crate) fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// Hands in the transactions of a block that there is most to learn from: `wanted` has their
    /// indexes in the block. Those follow that took another time than the one in `expected`, and of
    /// the others a sample, because times change.
    pub(crate) fn hand_in(
        &self,
        transactions: &[RecoveredTransaction],
        accesses: &BlockAccesses,
        wanted: impl Iterator<Item = usize>,
        expected: &[u32],
    ) {
        let AccessRecord::Lanes(record) = &accesses.record else {
            return;
        };
        let step = (transactions.len() / SAMPLE)
            .next_multiple_of(TIMED)
            .max(TIMED);
        let sample = (0..SAMPLE).map(|number| number.saturating_mul(step));
        let is_long = expected.len() > MOST_COMPARED;
        let compared = if is_long { &[] } else { expected };
        let compared = compared.iter().enumerate();
        let mistimed = compared.filter(|(index, expected)| {
            let Some(Recorded::Execution(execution)) = record.find(*index) else {
                return false;
            };
            execution
                .time
                .is_some_and(|time| is_other_time(time, **expected))
        });
        let mistimed = mistimed.map(|(index, _)| index);
        self.hand_in_these(transactions, accesses, wanted.chain(mistimed).chain(sample));
    }

    fn hand_in_these(
        &self,
        transactions: &[RecoveredTransaction],
        accesses: &BlockAccesses,
        indexes: impl Iterator<Item = usize>,
    ) {
        let AccessRecord::Lanes(record) = &accesses.record else {
            return;
        };
        let mut alike: AddressMap<Vec<(Option<[u8; 4]>, usize)>> = AddressMap::default();
        let mut seen = Vec::new();
        for index in indexes.take(MOST_LOOKED_AT) {
            let Some(transaction) = transactions.get(index) else {
                continue;
            };
            // Creations are not alike.
            let Some(contract) = transaction.to() else {
                continue;
            };
            let selector = transaction.input().first_chunk().copied();
            let functions = alike.entry(contract).or_default();
            let full = functions.len() >= MOST_FUNCTIONS;
            match functions.iter_mut().find(|(known, _)| *known == selector) {
                Some((_, count)) if *count >= MOST_ALIKE => continue,
                Some((_, count)) => *count = count.saturating_add(1),
                // One that is called by always another name has nothing to teach.
                None if full => continue,
                None => functions.push((selector, 1)),
            }
            let Some(Recorded::Execution(execution)) = record.find(index) else {
                continue;
            };
            seen.push(Seen::new(transaction, &execution));
            if seen.len() >= MOST {
                break;
            }
        }
        if let (false, Some(lessons)) = (seen.is_empty(), &self.lessons) {
            // When it is behind, there will be other blocks to learn from.
            let _ = lessons.try_send(Lesson::Transactions(seen));
        }
    }

    /// Hands in those among the first transactions of a small block that nothing is known of.
    pub(crate) fn hand_in_new(
        &self,
        transactions: &[RecoveredTransaction],
        accesses: &BlockAccesses,
    ) {
        let mut new = Vec::new();
        {
            let reader = self.predictor.reader();
            let mut places = Vec::new();
            let calls = transactions.iter().enumerate();
            let calls = calls.filter(|(_, transaction)| !transaction.input().is_empty());
            for (index, transaction) in calls.take(SAMPLE) {
                places.clear();
                let prediction = reader.predict(transaction, &mut places);
                if !prediction.known || !prediction.complete {
                    new.push(index);
                }
            }
        }
        if !new.is_empty() {
            self.hand_in_these(transactions, accesses, new.into_iter());
        }
    }

    /// Waits until all that was handed in is learned.
    pub(crate) fn wait(&self) {
        let (done, receiver) = mpsc::sync_channel(1);
        if let Some(lessons) = &self.lessons
            && lessons.send(Lesson::Done(done)).is_ok()
        {
            // An error says that the thread has ended, and there is nothing to wait for.
            let _ = receiver.recv();
        }
    }
}

impl Drop for Learner {
    fn drop(&mut self) {
        self.lessons = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been reported, and concerns nobody else.
            let _ = thread.join();
        }
    }
}

/// Whether a time is worth another lesson. In nanoseconds.
fn is_other_time(time: u32, expected: u32) -> bool {
    let (short, long) = (time.min(expected), time.max(expected));
    long > 50_000 && long / 2 > short
}

fn learn(predictor: &Predictor, lessons: &Receiver<Lesson>) {
    while let Ok(lesson) = lessons.recv() {
        match lesson {
            Lesson::Transactions(transactions) => {
                let start = Instant::now();
                for seen in transactions {
                    if start.elapsed() > MOST_TIME {
                        break;
                    }
                    predictor.learn(
                        &seen.transaction,
                        &Observed {
                            time: seen.time,
                            accounts: &seen.accounts,
                            slots: &seen.slots,
                        },
                    );
                }
            }
            Lesson::Done(done) => {
                let _ = done.send(());
            }
        }
    }
}

impl Seen {
    fn new(transaction: &RecoveredTransaction, execution: &RecordedExecution<'_>) -> Self {
        let mut accounts: Vec<(Address, bool)> = execution
            .accounts()
            .map(|(address, ..)| (address, true))
            .collect();
        let mut slots: Vec<_> = execution
            .slots()
            .map(|(address, slot, _)| (address, slot, true))
            .collect();
        for look in execution.looks() {
            match look {
                Location::Account(address) => accounts.push((address, false)),
                Location::Slot(address, slot) => slots.push((address, slot, false)),
            }
        }
        // Of equal places the written one comes first.
        accounts.sort_unstable_by_key(|(address, written)| (*address, !written));
        accounts.dedup_by_key(|(address, _)| *address);
        slots.sort_unstable_by_key(|(address, slot, written)| (*address, *slot, !written));
        slots.dedup_by_key(|(address, slot, _)| (*address, *slot));
        Self {
            transaction: transaction.clone(),
            time: execution.time.map(u64::from),
            accounts,
            slots,
        }
    }
}
