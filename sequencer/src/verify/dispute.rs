//! What becomes of batches on L1 after they were posted: disputes about them, the watcher's own among
//! them, and settling.

use std::{collections::BTreeMap, mem, time::Duration};

use alloy_primitives::{Address, B256, U256};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use weft_l1_bridge::{
    BatchEvent, Disputes, L1Block, L1Client, L1Error, PlacedBatchEvent, PostedBatch, RollupInfo,
    SendError, TransactionManager, batch_events,
};

use crate::{error::NodeError, trouble::Trouble};

/// Events that may wait to be told.
const QUEUE: usize = 64;

/// What is told about batches that were posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DisputeEvent {
    /// Somebody disputes a batch.
    Challenged {
        dispute: u64,
        batch: u64,
        batch_hash: B256,
        challenger: Address,
        l1_transaction: B256,
    },
    /// A batch that is wrong can no longer be disputed.
    TooLate { batch: u64, batch_hash: B256 },
    /// The resolver says that a batch is right.
    Upheld { dispute: u64, batch: u64 },
    /// Batches were removed.
    Rejected { dispute: u64, from_batch: u64 },
    /// Batches can no longer be removed.
    Settled { batches: u64 },
    /// An own bond came back.
    BondClaimed {
        dispute: u64,
        amount: U256,
        l1_transaction: B256,
    },
}

/// The batch that is to be disputed, if there is one.
pub(crate) type Order = watch::Sender<Option<PostedBatch>>;

/// Tells what becomes of batches, disputes the one that it is told to, and has its bonds paid back. It
/// remembers nothing that L1 does not: after a restart it finds its disputes there.
#[derive(Debug)]
pub(crate) struct Disputant {
    client: L1Client,
    info: RollupInfo,
    disputes: Disputes,
    /// Who disputes; `None` only watches.
    manager: Option<TransactionManager>,
    poll_interval: Duration,
    order: watch::Receiver<Option<PostedBatch>>,
    events: mpsc::Sender<DisputeEvent>,
    scanned: Option<L1Block>,
    /// Whether events are old: of the time before this process.
    is_first: bool,
    /// Disputes that are open or whose bond was not seen to be paid, by number.
    known: BTreeMap<u64, Known>,
    /// The batch that nothing more can be done about.
    done: Option<B256>,
}

#[derive(Debug)]
struct Known {
    batch: u64,
    batch_hash: B256,
    challenger: Address,
    /// Whether its batch was removed.
    is_won: bool,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("L1 reorganised")]
    Reorg,
    #[error("nobody listens")]
    Deaf,
}

impl Disputant {
    /// A disputant, the way to give it an order, and what it tells.
    pub(crate) fn new(
        client: L1Client,
        info: RollupInfo,
        manager: Option<TransactionManager>,
        poll_interval: Duration,
    ) -> (Self, Order, mpsc::Receiver<DisputeEvent>) {
        let (order, receiver) = watch::channel(None);
        let (events, told) = mpsc::channel(QUEUE);
        let disputant = Self {
            disputes: Disputes::new(client.clone(), &info),
            client,
            info,
            manager,
            poll_interval,
            order: receiver,
            events,
            scanned: None,
            is_first: true,
            known: BTreeMap::new(),
            done: None,
        };
        (disputant, order, told)
    }

    /// The account that disputes.
    pub(crate) fn address(&self) -> Option<Address> {
        self.manager.as_ref().map(TransactionManager::address)
    }

    /// Goes on until nobody listens any more. May be dropped at any time.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let mut trouble = Trouble::default();
        loop {
            match self.round().await {
                Ok(()) => trouble.over(),
                Err(RoundError::Deaf) => return Ok(()),
                Err(RoundError::Reorg) => {
                    self.scanned = None;
                    self.is_first = true;
                    self.known.clear();
                }
                Err(error) => {
                    if trouble.is_news(&error) {
                        tracing::warn!(%error, "disputes: trying again");
                    }
                }
            }
            time::sleep(self.poll_interval).await;
        }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        self.look().await?;
        self.claim().await?;
        let order = *self.order.borrow_and_update();
        match order {
            Some(batch) if self.done != Some(batch.batch_hash) => self.challenge(&batch).await,
            _ => Ok(()),
        }
    }

    /// Reads what is new on L1.
    async fn look(&mut self) -> Result<(), RoundError> {
        let head = self.client.block_number().await?;
        if let Some(scanned) = self.scanned.filter(|scanned| scanned.number <= head)
            && self.client.existing_block(scanned.number).await?.hash != scanned.hash
        {
            return Err(RoundError::Reorg);
        }
        let next = self.scanned.map_or(self.info.deployment_block, |scanned| {
            scanned.number.saturating_add(1)
        });
        if next > head {
            return Ok(());
        }
        let pinned = self.client.existing_block(head).await?;
        let events = batch_events(&self.client, &self.info, next, head).await?;
        self.scanned = Some(pinned);
        let is_news = !mem::replace(&mut self.is_first, false);
        for placed in &events {
            let event = self.note(placed);
            if let Some(event) = event.filter(|_| is_news) {
                self.tell(event).await?;
            }
        }
        Ok(())
    }

    fn note(&mut self, placed: &PlacedBatchEvent) -> Option<DisputeEvent> {
        Some(match placed.event {
            BatchEvent::Posted(_) => return None,
            BatchEvent::Challenged {
                dispute,
                index,
                batch_hash,
                challenger,
            } => {
                self.known.insert(
                    dispute,
                    Known {
                        batch: index,
                        batch_hash,
                        challenger,
                        is_won: false,
                    },
                );
                DisputeEvent::Challenged {
                    dispute,
                    batch: index,
                    batch_hash,
                    challenger,
                    l1_transaction: placed.tx_hash,
                }
            }
            BatchEvent::Upheld { dispute, index } => {
                if let Some(known) = self.known.remove(&dispute) {
                    // Once was enough.
                    self.done = Some(known.batch_hash);
                }
                DisputeEvent::Upheld {
                    dispute,
                    batch: index,
                }
            }
            BatchEvent::Rejected {
                dispute,
                from_index,
            } => {
                for known in self.known.values_mut() {
                    known.is_won |= known.batch >= from_index;
                }
                DisputeEvent::Rejected {
                    dispute,
                    from_batch: from_index,
                }
            }
            BatchEvent::Settled { batches } => DisputeEvent::Settled { batches },
        })
    }

    /// Has own bonds paid back.
    async fn claim(&mut self) -> Result<(), RoundError> {
        let Some(manager) = &self.manager else {
            return Ok(());
        };
        let own = manager.address();
        let won: Vec<u64> = self
            .known
            .iter()
            .filter(|(_, known)| known.is_won && known.challenger == own)
            .map(|(dispute, _)| *dispute)
            .collect();
        for dispute in won {
            let amount = self.disputes.bond_of(dispute).await?;
            if !amount.is_zero() {
                let receipt = self.disputes.claim(manager, dispute).await?;
                self.tell(DisputeEvent::BondClaimed {
                    dispute,
                    amount,
                    l1_transaction: receipt.transaction_hash,
                })
                .await?;
            }
            self.known.remove(&dispute);
        }
        Ok(())
    }

    /// Disputes a batch, unless somebody does already.
    async fn challenge(&mut self, batch: &PostedBatch) -> Result<(), RoundError> {
        let Some(manager) = &self.manager else {
            return Ok(());
        };
        let is_disputed = self
            .known
            .values()
            .any(|known| known.batch_hash == batch.batch_hash && !known.is_won);
        if is_disputed {
            return Ok(());
        }
        let standing = self.disputes.standing(batch.index).await?;
        if standing.batch_hash != batch.batch_hash {
            // It is gone already.
            return Ok(());
        }
        if standing.is_settled || standing.l1_timestamp >= standing.challenge_deadline {
            self.done = Some(batch.batch_hash);
            let (batch, batch_hash) = (batch.index, batch.batch_hash);
            return self.tell(DisputeEvent::TooLate { batch, batch_hash }).await;
        }
        let (dispute, receipt) = self
            .disputes
            .challenge(manager, batch.index, batch.batch_hash)
            .await?;
        tracing::info!(
            batch = batch.index,
            dispute,
            l1_transaction = %receipt.transaction_hash,
            "disputed a batch"
        );
        // Its event is read with the next look at L1; until then nothing is sent again.
        self.known.insert(
            dispute,
            Known {
                batch: batch.index,
                batch_hash: batch.batch_hash,
                challenger: manager.address(),
                is_won: false,
            },
        );
        Ok(())
    }

    async fn tell(&self, event: DisputeEvent) -> Result<(), RoundError> {
        self.events.send(event).await.map_err(|_| RoundError::Deaf)
    }
}
