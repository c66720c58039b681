//! One nonce lane on L1 for one account.
//!
//! A transaction keeps its nonce, its type and its content until one of its attempts is in a block;
//! attempts differ in their fees alone. So whatever happens, at most one of them is ever executed.
//!
//! Nothing is remembered from run to run: nonces come from L1, and what is pending is found in its
//! pool, as far as the node shows it. The nonce is also what keeps two programs with one key apart:
//! whoever reads L1 takes a [`Slot`] first, and a transaction built on that reading is only ever sent
//! in that slot.

mod attempt;
mod config;
mod draft;
mod error;
mod fees;
mod form;
mod inclusion;
mod lane;
mod market;
mod payload;
mod pool;
mod refusal;
mod remote;
mod signer;
mod simulate;
mod status;

use std::{future, sync::Arc};

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionReceipt;
use tokio::{sync::watch, time::Instant};

pub use attempt::SentTransaction;
pub use config::TxManagerConfig;
pub use error::SendError;
pub use fees::{CapReached, FeeCaps, FeeKind, Fees, Market};
pub use payload::{BlobError, BlobPayload, Payload, SidecarForm};
pub use remote::RemoteSigner;
pub use signer::{L1Signer, SignerError};
pub use status::{Alarm, LaneStatus};

pub(crate) use crate::contract::Severity;
use crate::{L1Client, L1Error};
use draft::{Draft, PLAIN_GAS, cancellation, fees_of, is_payload_of};
use form::KnownForm;
use lane::{Lane, LaneError, Rival};
use pool::{Holder, Pending};
use simulate::{Simulation, simulate};

/// The account's next nonce at the time when L1 was read. A transaction that builds on what was read
/// is sent in this slot or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    nonce: u64,
}

impl Slot {
    /// The nonce.
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }
}

/// Brings transactions of one account into L1, one at a time. Clones share what was found out about
/// L1 and the status, but are not to send at the same time.
#[derive(Debug, Clone)]
pub struct TransactionManager {
    client: L1Client,
    signer: L1Signer,
    config: TxManagerConfig,
    form: KnownForm,
    status: Arc<watch::Sender<LaneStatus>>,
}

/// What is to be done about a slot now.
enum Turn {
    /// This transaction has the content; it is on its way.
    Adopt(Box<TxEnvelope>),
    /// Nobody holds the nonce.
    Send(Rival),
    /// The nonce has to be used up first, with a transaction of this kind that outbids the rival.
    Clear { of_blobs: bool, rival: Rival },
    /// Somebody holds the nonce and is given time.
    Wait,
}

impl TransactionManager {
    /// A manager for the account of `signer`.
    pub fn new(client: L1Client, signer: impl Into<L1Signer>, config: TxManagerConfig) -> Self {
        Self {
            client,
            signer: signer.into(),
            config,
            form: KnownForm::default(),
            status: Arc::new(watch::Sender::new(LaneStatus::default())),
        }
    }

    /// The account.
    pub const fn address(&self) -> Address {
        self.signer.address()
    }

    /// Follows what the manager is doing.
    pub fn status(&self) -> watch::Receiver<LaneStatus> {
        self.status.subscribe()
    }

    fn alarm(&self) -> Option<Alarm> {
        self.status.borrow().alarm
    }

    fn raise(&self, alarm: Alarm) {
        let is_news = self.status.send_if_modified(|status| {
            let kind = status.alarm.as_ref().map(Alarm::kind);
            status.alarm = Some(alarm);
            kind != Some(alarm.kind())
        });
        if is_news {
            tracing::error!(account = %self.address(), %alarm, "L1 transaction waits");
        }
    }

    fn calm(&self) {
        self.status
            .send_if_modified(|status| status.alarm.take().is_some());
    }

    async fn next_nonce(&self) -> Result<u64, L1Error> {
        self.client
            .nonce(self.address(), BlockNumberOrTag::Latest)
            .await
    }

    /// Waits until no transaction of the account is pending, or at most as long as another
    /// transaction is waited for. Read L1 after this, and send what follows from it in the slot that
    /// it returns: then no other program with this key can have come between.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn settle(&self) -> Result<Slot, L1Error> {
        let end = Instant::now() + self.config.resend_after;
        loop {
            let pending = self
                .client
                .nonce(self.address(), BlockNumberOrTag::Pending)
                .await?;
            let nonce = self.next_nonce().await?;
            if pending <= nonce || Instant::now() >= end {
                return Ok(Slot { nonce });
            }
            tokio::time::sleep(self.config.poll_interval).await;
        }
    }

    /// What L1 asks for now; the blob base fee only `with_blobs`.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn market(&self, with_blobs: bool) -> Result<Market, L1Error> {
        market::market(&self.client, with_blobs).await
    }

    /// Whether the transaction that holds a slot carries blobs; `None` when L1 shows none there.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn pending_has_blobs(&self, slot: Slot) -> Result<Option<bool>, L1Error> {
        let pending = Pending::read(&self.client, self.address(), slot.nonce).await?;
        Ok(match pending.holder(slot.nonce) {
            Holder::Transaction(transaction) => Some(transaction.is_eip4844()),
            Holder::Hidden | Holder::Nobody => None,
        })
    }

    /// Sends a transaction without blobs and waits for its receipt, as whoever has nothing else to
    /// do wants it.
    ///
    /// # Errors
    /// See [`Self::send_in`].
    pub async fn send(
        &self,
        to: TxKind,
        value: U256,
        input: Bytes,
    ) -> Result<TransactionReceipt, SendError> {
        let slot = self.settle().await?;
        let payload = Payload::plain(to, value, input);
        self.send_in(slot, payload, |_| future::ready(())).await
    }

    /// Brings a payload into L1 and waits until it has the configured confirmations. `on_attempt` is
    /// told each transaction that carries it, also one that another run has sent.
    ///
    /// May be dropped at any time; what was sent stays pending, and the next call with the same
    /// payload goes on with it. A transaction with another content that holds the slot is waited for,
    /// and then replaced.
    ///
    /// # Errors
    /// When the slot is taken, the payload would revert or has, or L1 cannot be asked before anything
    /// was sent.
    pub async fn send_in<F, Fut>(
        &self,
        slot: Slot,
        payload: Payload,
        mut on_attempt: F,
    ) -> Result<TransactionReceipt, SendError>
    where
        F: FnMut(SentTransaction) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        let chain_id = self.client.chain_id().await?;
        let mut nonce = slot.nonce;
        let mut patience = Instant::now() + self.config.resend_after;
        let mut held = None;
        // Once it was seen, it is the only one that may carry the content.
        let mut known: Option<TxEnvelope> = None;
        loop {
            let next = self.next_nonce().await?;
            match &known {
                // What is below it may be used by anybody.
                Some(known) => nonce = nonce.max(next.min(known.nonce())),
                None if next > nonce => {
                    return Err(SendError::NonceTaken {
                        account: self.address(),
                        nonce,
                    });
                }
                None => {}
            }
            let out_of_patience = Instant::now() >= patience;
            if next < nonce {
                if out_of_patience {
                    return Err(SendError::NonceBehind {
                        account: self.address(),
                        expected: nonce,
                        found: next,
                    });
                }
                tokio::time::sleep(self.config.poll_interval).await;
                continue;
            }
            let pending = Pending::read(&self.client, self.address(), nonce).await?;
            let same = pending.find(nonce, |other| is_payload_of(&payload, chain_id, other));
            known = same.cloned().or(known);
            let turn = self.turn(
                nonce,
                &payload,
                &pending,
                known.as_ref(),
                held,
                out_of_patience,
            );
            let draft = |payload: Payload, gas_limit| Draft {
                payload,
                chain_id,
                nonce,
                gas_limit,
            };
            let outcome = match turn {
                Turn::Wait => {
                    tokio::time::sleep(self.config.poll_interval).await;
                    continue;
                }
                Turn::Adopt(same) => {
                    let draft = draft(payload.clone(), same.gas_limit());
                    Lane::new(self, draft, Rival::None)
                        .run(Some(*same), &mut on_attempt)
                        .await
                }
                Turn::Send(rival) => {
                    let gas_limit = self.gas_limit(&payload).await?;
                    Lane::new(self, draft(payload.clone(), gas_limit), rival)
                        .run(None, &mut on_attempt)
                        .await
                }
                Turn::Clear { of_blobs, rival } => {
                    self.clear(
                        draft(cancellation(self.address(), of_blobs), PLAIN_GAS),
                        rival,
                    )
                    .await?;
                    nonce = nonce.saturating_add(1);
                    held = None;
                    patience = Instant::now() + self.config.resend_after;
                    continue;
                }
            };
            match outcome {
                Ok(receipt) => return Ok(receipt),
                Err(LaneError::Send(error)) => return Err(error),
                Err(LaneError::Held { other_kind }) => held = Some(other_kind),
            }
            tokio::time::sleep(self.config.poll_interval).await;
        }
    }

    /// `held` says that a first attempt was refused because somebody holds the nonce, and whether
    /// because of that transaction's kind.
    fn turn(
        &self,
        nonce: u64,
        payload: &Payload,
        pending: &Pending,
        same: Option<&TxEnvelope>,
        held: Option<bool>,
        out_of_patience: bool,
    ) -> Turn {
        let with_blobs = payload.blobs.is_some();
        match (pending.holder(nonce), same) {
            (_, Some(same)) if same.nonce() == nonce => Turn::Adopt(Box::new(same.clone())),
            // A gap below what is pending: nothing will fill it by itself.
            (Holder::Nobody, Some(same)) => Turn::Clear {
                of_blobs: same.is_eip4844(),
                rival: Rival::None,
            },
            (Holder::Nobody, None) if held.is_none() => Turn::Send(Rival::None),
            (_, _) if !out_of_patience => Turn::Wait,
            (Holder::Transaction(other), same) => {
                let rival = Rival::Offers(fees_of(other));
                if same.is_none() && other.is_eip4844() == with_blobs {
                    Turn::Send(rival)
                } else {
                    Turn::Clear {
                        of_blobs: other.is_eip4844(),
                        rival,
                    }
                }
            }
            (_, same) if same.is_some() || held == Some(true) => Turn::Clear {
                of_blobs: with_blobs != (held == Some(true)),
                rival: Rival::Hidden,
            },
            (Holder::Hidden | Holder::Nobody, _) => Turn::Send(Rival::Hidden),
        }
    }

    /// Uses a nonce up with a transaction that does nothing.
    async fn clear(&self, draft: Draft, rival: Rival) -> Result<(), SendError> {
        let nonce = draft.nonce;
        tracing::warn!(
            account = %self.address(),
            nonce,
            with_blobs = draft.payload.blobs.is_some(),
            "a pending L1 transaction that stands in the way is cancelled"
        );
        let outcome = Lane::new(self, draft, rival)
            .run(None, |_| future::ready(()))
            .await;
        match outcome {
            Ok(_) | Err(LaneError::Send(SendError::Reverted { .. })) => Ok(()),
            Err(LaneError::Send(error)) => Err(error),
            Err(LaneError::Held { .. }) => Err(SendError::NonceTaken {
                account: self.address(),
                nonce,
            }),
        }
    }

    /// Executes a payload ahead for the gas that it takes, in gas.
    async fn gas_limit(&self, payload: &Payload) -> Result<u64, SendError> {
        let market = market::market(&self.client, payload.blobs.is_some()).await?;
        match simulate(&self.client, self.address(), payload, &market).await? {
            Simulation::Gas(gas) => Ok(gas),
            Simulation::Blind => payload.fallback_gas_limit.ok_or(SendError::CannotSimulate),
        }
    }
}
