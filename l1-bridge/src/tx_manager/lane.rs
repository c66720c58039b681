use alloy_consensus::TxEnvelope;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::B256;
use alloy_rpc_types_eth::TransactionReceipt;
use tokio::time::Instant;

use super::{
    Alarm, CapReached, Fees, Market, SendError, SentTransaction, Severity, TransactionManager,
    attempt::{Attempt, Handed},
    draft::Draft,
    inclusion::inclusion,
    market::market,
    pool::{Holder, Pending},
    refusal::Refusal,
};
/// How often a nonce must be seen as used without a receipt of ours before another transaction is
/// blamed: a node may show a block's state before its receipts, and two nodes behind one URL differ
/// by a block.
const LOOKS_BEFORE_NONCE_TAKEN: u32 = 5;

/// Looks from one sending of a transaction that the node does not know to the next.
const LOOKS_BETWEEN_RESENDS: u32 = 4;

/// Most raises in a row while another transaction at the nonce pays more: a factor of 1,800 without
/// blobs, and all that a number holds with them.
const MAX_RAISES: u32 = 64;

/// One transaction on its way into L1: the same nonce, type and content, each attempt with higher
/// fees.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    manager: &'a TransactionManager,
    draft: Draft,
    attempts: Vec<Attempt>,
    rival: Rival,
    clock: Clock,
}

/// A transaction of the account that holds the nonce and does something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// None is known; one that shows up is waited for.
    None,
    /// One that the node does not show; it is outbid.
    Hidden,
    /// One that offers this; it is outbid.
    Offers(Fees),
}

/// When what happened last.
#[derive(Debug)]
struct Clock {
    begun: Instant,
    last_attempt: Instant,
    looks_since_resend: u32,
    looks_used: u32,
    behind_since: Option<Instant>,
    /// The transaction that was in a block when L1 was looked at last.
    in_block: Option<B256>,
    /// The failure that was logged last.
    trouble: Option<String>,
}

/// Why a lane ended.
#[derive(Debug)]
pub(super) enum LaneError {
    /// A transaction that does something else holds the nonce, and was not to be outbid.
    Held {
        /// Whether it is of the other kind, with blobs or without.
        other_kind: bool,
    },
    /// Anything else.
    Send(SendError),
}

impl<E: Into<SendError>> From<E> for LaneError {
    fn from(error: E) -> Self {
        Self::Send(error.into())
    }
}

/// What L1 shows of the nonce.
#[derive(Debug)]
enum Look {
    /// In a block, with enough confirmations.
    Included(Box<TransactionReceipt>),
    /// In a block, with too few.
    Maturing(B256),
    /// The nonce is used, by none of ours as far as the node says.
    Used,
    /// The nonce is the account's next.
    Next,
    /// Earlier nonces are not used any more: this is the next one.
    Behind(u64),
}

impl<'a> Lane<'a> {
    pub(super) fn new(manager: &'a TransactionManager, draft: Draft, rival: Rival) -> Self {
        let now = Instant::now();
        Self {
            manager,
            draft,
            attempts: Vec::new(),
            rival,
            clock: Clock {
                begun: now,
                last_attempt: now,
                looks_since_resend: 0,
                looks_used: 0,
                behind_since: None,
                in_block: None,
                trouble: None,
            },
        }
    }

    /// Brings the transaction into L1; `pending` is one with this content that is on its way
    /// already. Once something was handed to L1, failures of L1 are waited out: only L1 knows what
    /// became of it.
    pub(super) async fn run<F, Fut>(
        mut self,
        pending: Option<TxEnvelope>,
        mut on_attempt: F,
    ) -> Result<TransactionReceipt, LaneError>
    where
        F: FnMut(SentTransaction) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        // Also when this future is dropped.
        let _idle = IdleOnDrop(self.manager);
        let mut reported = 0;
        if let Some(pending) = pending {
            tracing::info!(
                nonce = self.draft.nonce,
                tx_hash = %pending.tx_hash(),
                "L1 transaction with this content is pending already"
            );
            self.push(Attempt::new(pending));
        }
        loop {
            let step = self.step().await;
            for attempt in self.attempts.iter().skip(reported) {
                on_attempt(attempt.describe()).await;
            }
            reported = self.attempts.len();
            match step {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => {}
                Err(LaneError::Send(error)) => self.bear(error)?,
                Err(held) => return Err(held),
            }
            self.watch_the_clock()?;
            tokio::time::sleep(self.manager.config.poll_interval).await;
        }
    }

    /// Whether a failure may be waited out.
    fn bear(&mut self, error: SendError) -> Result<(), SendError> {
        let passes = match &error {
            SendError::L1(_) | SendError::Signer(_) => error.severity() != Severity::Stop,
            _ => false,
        };
        if self.attempts.is_empty() || !passes {
            return Err(error);
        }
        let error = error.to_string();
        if self.clock.trouble.as_ref() != Some(&error) {
            tracing::warn!(
                %error,
                nonce = self.draft.nonce,
                "an L1 transaction is on its way, but L1 cannot be asked about it"
            );
            self.clock.trouble = Some(error);
        }
        Ok(())
    }

    fn watch_the_clock(&self) -> Result<(), SendError> {
        let config = &self.manager.config;
        let waited = self.clock.begun.elapsed();
        let attempts = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        let nonce = self.draft.nonce;
        if config.give_up_after.is_some_and(|limit| waited >= limit)
            && self.clock.in_block.is_none()
        {
            return Err(match (self.attempts.last(), self.manager.alarm()) {
                (None, Some(Alarm::FeeCap { reached, .. })) => reached.into(),
                (last, _) => SendError::Stuck {
                    account: self.manager.address(),
                    nonce,
                    attempts,
                    max_fee_per_gas: last.map_or(0, |last| last.fees().max_fee_per_gas),
                },
            });
        }
        if waited >= config.stuck_after
            && self.clock.in_block.is_none()
            && self.manager.alarm().is_none()
        {
            self.manager.raise(Alarm::Stuck {
                nonce,
                attempts,
                waited: config.stuck_after,
            });
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<Option<TransactionReceipt>, LaneError> {
        let look = self.look().await?;
        let vanished = match look {
            Look::Included(_) | Look::Maturing(_) => None,
            _ => self.clock.in_block.take(),
        };
        if !matches!(look, Look::Used) {
            self.clock.looks_used = 0;
        }
        if !matches!(look, Look::Behind(_)) {
            self.clock.behind_since = None;
        }
        if let Some(tx_hash) = vanished {
            return self.back_into_the_pool(tx_hash).await.map(|()| None);
        }
        match look {
            Look::Included(receipt) => return Ok(Some(*receipt)),
            Look::Maturing(tx_hash) => {
                self.clock.in_block = Some(tx_hash);
                self.manager.calm();
            }
            Look::Used => self.blame_another()?,
            Look::Behind(found) => self.wait_for_earlier_nonces(found).await?,
            Look::Next => self.press_on().await?,
        }
        Ok(None)
    }

    async fn look(&self) -> Result<Look, SendError> {
        let client = &self.manager.client;
        let config = &self.manager.config;
        let account = self.manager.address();
        // The nonce first: what is included between the two questions then has its receipt.
        let next_nonce = client.nonce(account, BlockNumberOrTag::Latest).await?;
        // While the nonce is free none is in a block, unless this node is behind: the last one is
        // asked for all the same.
        let worth_asking = if next_nonce > self.draft.nonce {
            self.attempts.len()
        } else {
            1
        };
        for attempt in self.attempts.iter().rev().take(worth_asking) {
            let Some(included) = inclusion(client, account, attempt.hash()).await? else {
                continue;
            };
            if included.confirmations < config.confirmations.max(1) {
                return Ok(Look::Maturing(attempt.hash()));
            }
            if !included.receipt.status() {
                return Err(SendError::Reverted {
                    tx_hash: attempt.hash(),
                    l1_block: included.l1_block,
                });
            }
            return Ok(Look::Included(Box::new(included.receipt)));
        }
        Ok(match next_nonce.cmp(&self.draft.nonce) {
            std::cmp::Ordering::Less => Look::Behind(next_nonce),
            std::cmp::Ordering::Equal => Look::Next,
            std::cmp::Ordering::Greater => Look::Used,
        })
    }

    /// L1 has dropped the block that held a transaction: it goes back as it was, at once.
    async fn back_into_the_pool(&mut self, tx_hash: B256) -> Result<(), LaneError> {
        tracing::warn!(
            nonce = self.draft.nonce,
            %tx_hash,
            "L1 transaction is in no block any more; it is sent again"
        );
        self.clock.last_attempt = Instant::now();
        let dropped = self.attempts.iter().find(|one| one.hash() == tx_hash);
        if let Some(dropped) = dropped.cloned() {
            self.resend(&dropped).await?;
        }
        Ok(())
    }

    async fn resend(&mut self, attempt: &Attempt) -> Result<(), SendError> {
        self.clock.looks_since_resend = 0;
        let handed = self.manager.hand_over(attempt, &self.draft.payload).await?;
        if let Handed::Refused(_, error) | Handed::Unanswered(error) = handed {
            tracing::debug!(%error, tx_hash = %attempt.hash(), "L1 transaction sent again");
        }
        Ok(())
    }

    fn blame_another(&mut self) -> Result<(), SendError> {
        self.clock.looks_used = self.clock.looks_used.saturating_add(1);
        if self.clock.looks_used < LOOKS_BEFORE_NONCE_TAKEN {
            return Ok(());
        }
        Err(SendError::NonceTaken {
            account: self.manager.address(),
            nonce: self.draft.nonce,
        })
    }

    /// A reorganisation has put earlier transactions back, which usually come again by themselves.
    async fn wait_for_earlier_nonces(&mut self, found: u64) -> Result<(), SendError> {
        let since = *self.clock.behind_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.manager.config.resend_after {
            return Err(SendError::NonceBehind {
                account: self.manager.address(),
                expected: self.draft.nonce,
                found,
            });
        }
        Ok(())
    }

    /// The nonce is free: makes the first attempt, or another when it is time, and keeps the last
    /// one in the pool.
    async fn press_on(&mut self) -> Result<(), LaneError> {
        let Some(last) = self.attempts.last().cloned() else {
            return self.attempt().await;
        };
        if self.clock.last_attempt.elapsed() >= self.manager.config.resend_after {
            return self.attempt().await;
        }
        self.clock.looks_since_resend = self.clock.looks_since_resend.saturating_add(1);
        if self.clock.looks_since_resend >= LOOKS_BETWEEN_RESENDS {
            self.clock.looks_since_resend = 0;
            if self
                .manager
                .client
                .transaction_is_known(last.hash())
                .await?
            {
                return Ok(());
            }
            self.resend(&last).await?;
        }
        Ok(())
    }

    /// Makes an attempt that L1 takes, within the caps; beyond them it raises the alarm and leaves
    /// everything as it is.
    async fn attempt(&mut self) -> Result<(), LaneError> {
        let market = market(&self.manager.client, self.draft.payload.blobs.is_some()).await?;
        let mut fees = match self.next_fees(&market) {
            Ok(fees) => fees,
            Err(reached) => {
                self.out_of_means(reached, &market);
                return Ok(());
            }
        };
        for _ in 0..MAX_RAISES {
            let attempt = self.manager.sign(&self.draft, &fees).await?;
            let refused = match self
                .manager
                .hand_over(&attempt, &self.draft.payload)
                .await?
            {
                Handed::Taken => {
                    self.push(attempt);
                    return Ok(());
                }
                // It may have arrived.
                Handed::Unanswered(error) => {
                    self.push(attempt);
                    return Err(error.into());
                }
                Handed::Refused(refusal, error) => (refusal, error),
            };
            match refused {
                // What the next look shows decides.
                (Refusal::NonceUsed, _) => return Ok(()),
                (Refusal::BelowMarket, error) => {
                    tracing::debug!(%error, "L1's fees have risen since they were read");
                    return Ok(());
                }
                (Refusal::OtherKind, _) => return Err(LaneError::Held { other_kind: true }),
                (Refusal::Underpriced, _) => {
                    if self.attempts.is_empty() && self.rival == Rival::None {
                        return Err(LaneError::Held { other_kind: false });
                    }
                    if self.adopt_same().await? {
                        return Ok(());
                    }
                    match fees.replacement(&market, &self.manager.config.fee_caps) {
                        Ok(raised) => fees = raised,
                        Err(reached) => {
                            self.out_of_means(reached, &market);
                            return Ok(());
                        }
                    }
                }
                (Refusal::Known | Refusal::Other, error) => {
                    // The last attempt stays; another is made when it is time again.
                    self.clock.last_attempt = Instant::now();
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn next_fees(&self, market: &Market) -> Result<Fees, CapReached> {
        let caps = &self.manager.config.fee_caps;
        match (self.attempts.last(), self.rival) {
            (Some(last), _) => last.fees().replacement(market, caps),
            (None, Rival::Offers(fees)) => fees.replacement(market, caps),
            (None, Rival::None | Rival::Hidden) => Fees::opening(market, caps),
        }
    }

    /// Another manager with this key may have sent the same content with higher fees.
    async fn adopt_same(&mut self) -> Result<bool, SendError> {
        let manager = self.manager;
        let pending = Pending::read(&manager.client, manager.address(), self.draft.nonce).await?;
        let Holder::Transaction(held) = pending.holder(self.draft.nonce) else {
            return Ok(false);
        };
        let is_new = self
            .attempts
            .iter()
            .all(|attempt| attempt.hash() != *held.tx_hash());
        if !self.draft.is_same(held) || !is_new {
            return Ok(false);
        }
        let held = Attempt::new(held.clone());
        self.push(held);
        Ok(true)
    }

    /// The last attempt stays in the pool; while it pays what L1 asks for, all is well.
    fn out_of_means(&self, reached: CapReached, market: &Market) {
        let pays = self
            .attempts
            .last()
            .is_some_and(|last| last.fees().cover(market));
        if pays {
            self.manager.calm();
        } else {
            self.manager.raise(Alarm::FeeCap {
                nonce: self.draft.nonce,
                reached,
            });
        }
    }

    fn push(&mut self, attempt: Attempt) {
        let sent = attempt.describe();
        if let Some(replaced) = self.attempts.last() {
            tracing::warn!(
                nonce = sent.nonce,
                replaced = %replaced.hash(),
                tx_hash = %sent.tx_hash,
                max_fee_per_gas = sent.max_fee_per_gas,
                max_fee_per_blob_gas = sent.max_fee_per_blob_gas,
                "L1 transaction replaced by one that pays more"
            );
        }
        self.attempts.push(attempt);
        self.clock.last_attempt = Instant::now();
        self.clock.looks_since_resend = 0;
        let attempts = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        self.manager.status.send_modify(|status| {
            status.pending = Some(sent);
            status.attempts = attempts;
            if let Some(Alarm::FeeCap { .. }) = status.alarm {
                status.alarm = None;
            }
        });
    }
}

/// Shows the manager as idle when a lane ends, however it ends.
struct IdleOnDrop<'a>(&'a TransactionManager);

impl Drop for IdleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.status.send_replace(Default::default());
    }
}
