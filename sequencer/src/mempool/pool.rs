use std::{cmp::Reverse, collections::HashMap, sync::Arc, time::Instant};

use alloy_primitives::{Address, B256, U256};
use weft_executor_core::Account;
use weft_primitives::RecoveredTransaction;

use super::{
    AdmissionRules, MempoolError, MempoolLimits, PooledTransaction, Pressure,
    executed::Executed,
    fee_order::{Caps, FeeOrder},
    price_index::{PriceIndex, PriceKey},
    recent_accounts::RecentAccounts,
    sender::{Entry, SenderQueue, newer},
};

/// A sender's first transaction among the heads: when it came, and whose it is.
type HeadKey = (Reverse<u64>, Address);

/// The pool behind its lock.
#[derive(Debug)]
pub(super) struct Pool {
    limits: MempoolLimits,
    rules: AdmissionRules,
    senders: HashMap<Address, SenderQueue>,
    by_hash: HashMap<B256, Arc<PooledTransaction>>,
    /// Kept from when the pool is full until it is half empty.
    prices: Option<PriceIndex>,
    /// Senders with executable transactions, by what the first one pays, the earlier one first among
    /// equals.
    heads: FeeOrder<HeadKey>,
    recent: RecentAccounts,
    pub(super) executed: Executed,
    /// Bytes of all encodings.
    bytes: usize,
    executable: usize,
    next_sequence: u64,
    /// Transactions that have become executable since they were last taken out.
    promoted: Vec<Arc<PooledTransaction>>,
}

impl Pool {
    pub(super) fn new(limits: MempoolLimits, rules: AdmissionRules) -> Self {
        Self {
            limits,
            heads: FeeOrder::new(rules.base_fee),
            rules,
            senders: HashMap::new(),
            by_hash: HashMap::new(),
            prices: None,
            recent: RecentAccounts::default(),
            executed: Executed::default(),
            bytes: 0,
            executable: 0,
            next_sequence: 0,
            promoted: Vec::new(),
        }
    }

    pub(super) const fn rules(&self) -> &AdmissionRules {
        &self.rules
    }

    pub(super) fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        self.by_hash.get(hash).cloned()
    }

    /// Whether the transaction waits or is in a block that is not durable yet.
    pub(super) fn contains(&self, hash: &B256) -> bool {
        self.by_hash.contains_key(hash) || self.executed.get(hash).is_some()
    }

    pub(super) fn sender(&self, sender: Address) -> Option<&SenderQueue> {
        self.senders.get(&sender)
    }

    /// How many transactions are (executable, queued).
    pub(super) fn status(&self) -> (usize, usize) {
        (self.executable, self.by_hash.len() - self.executable)
    }

    /// Every transaction, and whether it is executable.
    pub(super) fn transactions(&self) -> impl Iterator<Item = (&Arc<PooledTransaction>, bool)> {
        self.senders.values().flat_map(all_of)
    }

    /// Senders whose first transaction can pay the base fee of the next block, in the order of what
    /// it pays, then of when it came.
    pub(super) fn ready_senders(&self) -> impl Iterator<Item = &SenderQueue> {
        let base_fee = u128::from(self.rules.base_fee);
        self.heads
            .descending()
            .take_while(move |(price, _)| *price >= base_fee)
            .filter_map(|(_, (_, sender))| self.senders.get(&sender))
    }

    /// The transactions that have become executable since the last call.
    pub(super) fn take_promoted(&mut self) -> Vec<Arc<PooledTransaction>> {
        std::mem::take(&mut self.promoted)
    }

    /// Takes in a transaction that has passed the checks without state. `size` is that of its
    /// encoding, in bytes.
    pub(super) fn add(
        &mut self,
        transaction: RecoveredTransaction,
        size: usize,
        account: Account,
        received: Instant,
        pressure: &Pressure,
    ) -> Result<Arc<PooledTransaction>, MempoolError> {
        let new = PooledTransaction::new(transaction, size, self.next_sequence, received);
        if self.contains(&new.hash) {
            return Err(MempoolError::AlreadyKnown);
        }
        pressure.check_open()?;
        pressure.check_fee(self.rules.base_fee, &new.transaction)?;
        let account = self.newest_account(new.sender(), account);
        let executable = self.check_account(&new, &account)?;
        self.make_room(&new, executable, pressure)?;

        let sender = new.sender();
        let nonce = new.nonce();
        let new = Arc::new(new);
        self.next_sequence += 1;
        self.replace_or_insert(account, Arc::clone(&new));
        self.promote(sender);
        self.index_head(sender);
        debug_assert_eq!(
            executable,
            self.sender(sender)
                .is_some_and(|queue| nonce < queue.next_nonce)
        );
        Ok(new)
    }

    /// Follows a new head: see [`super::Mempool::on_executed`].
    pub(super) fn on_block(
        &mut self,
        rules: AdmissionRules,
        changed: &[(Address, Account)],
        dropped: &[B256],
    ) {
        let gas_limit_fell = rules.block_gas_limit < self.rules.block_gas_limit;
        self.rules = rules;
        self.heads.set_base_fee(self.rules.base_fee);
        if let Some(prices) = &mut self.prices {
            prices.set_base_fee(self.rules.base_fee);
        }
        for (address, account) in changed {
            self.recent.insert(*address, *account);
            self.set_account(*address, *account);
        }
        for hash in dropped {
            if let Some(transaction) = self.get(hash) {
                self.remove(transaction.sender(), transaction.nonce());
            }
        }
        if gas_limit_fell {
            let limit = self.rules.block_gas_limit;
            let too_large: Vec<_> = self
                .by_hash
                .values()
                .filter(|transaction| transaction.gas_limit() > limit)
                .map(|transaction| (transaction.sender(), transaction.nonce()))
                .collect();
            for (sender, nonce) in too_large {
                self.remove(sender, nonce);
            }
        }
        if self.by_hash.len() < self.limits.max_transactions / 2
            && self.bytes < self.limits.max_bytes / 2
        {
            self.prices = None;
        }
    }

    /// The newest state of an account among what the pool has seen and `given`; the sender's queue
    /// follows it.
    fn newest_account(&mut self, sender: Address, given: Account) -> Account {
        let mut account = given;
        if let Some(recent) = self.recent.get(&sender) {
            account = newer(account, recent);
        }
        if let Some(queue) = self.senders.get(&sender) {
            account = newer(account, queue.account);
            if account != queue.account {
                self.set_account(sender, account);
            }
        }
        account
    }

    /// Checks nonce, replacement and funds. Returns whether the transaction would be executable.
    fn check_account(
        &self,
        new: &PooledTransaction,
        account: &Account,
    ) -> Result<bool, MempoolError> {
        let sender = new.sender();
        let nonce = new.nonce();
        let Some(ahead) = nonce.checked_sub(account.nonce) else {
            return Err(MempoolError::NonceTooLow {
                sender,
                nonce,
                state: account.nonce,
            });
        };
        let queue = self.senders.get(&sender);
        let next_nonce = queue.map_or(account.nonce, |queue| queue.next_nonce);
        // The nonces of a sender's transactions all lie in a window of this length, which bounds
        // their number too.
        if ahead >= self.limits.max_per_sender as u64 {
            return Err(if nonce == next_nonce {
                MempoolError::AccountLimit {
                    sender,
                    limit: self.limits.max_per_sender,
                }
            } else {
                MempoolError::NonceTooHigh {
                    sender,
                    nonce,
                    state: account.nonce,
                }
            });
        }
        let replaced = queue.and_then(|queue| queue.entries.get(&nonce));
        if let Some(old) = replaced
            && !new.replaces(&old.transaction)
        {
            return Err(MempoolError::ReplacementUnderpriced);
        }
        let balance = account.balance;
        let cost = new.cost();
        if cost > balance {
            return Err(MempoolError::InsufficientFunds {
                balance,
                cost,
                overshot: cost - balance,
            });
        }
        let queued = queue.map_or(U256::ZERO, |queue| {
            queue
                .executable_at(nonce)
                .map_or(queue.spent, |old| queue.spent - old.cost())
        });
        if cost > balance - queued.min(balance) {
            return Err(MempoolError::InsufficientFundsForQueue {
                balance,
                queued,
                cost,
                overshot: cost - (balance - queued.min(balance)),
            });
        }
        Ok(nonce <= next_nonce)
    }

    /// Evicts the cheapest until `new` fits, or nothing when it may not come in.
    fn make_room(
        &mut self,
        new: &PooledTransaction,
        executable: bool,
        pressure: &Pressure,
    ) -> Result<(), MempoolError> {
        let replaced = self
            .senders
            .get(&new.sender())
            .and_then(|queue| queue.entries.get(&new.nonce()));
        let mut count = self.by_hash.len() + 1 - usize::from(replaced.is_some());
        let mut bytes = self.bytes + new.size - replaced.map_or(0, |entry| entry.transaction.size);
        let (most, most_bytes) = pressure.bounds(&self.limits, self.by_hash.len(), self.bytes);
        if count <= most && bytes <= most_bytes {
            return Ok(());
        }
        let base_fee = self.rules.base_fee;
        let senders = &self.senders;
        let prices = self.prices.get_or_insert_with(|| {
            let all = senders.values().flat_map(all_of);
            PriceIndex::of(
                base_fee,
                all.map(|(transaction, executable)| (&**transaction, executable)),
            )
        });
        let rank = (new.effective_price(base_fee), executable);
        let mut victims = Vec::new();
        for victim in prices.evictable(executable) {
            if count <= most && bytes <= most_bytes {
                break;
            }
            let PriceKey { sender, nonce, .. } = victim.key;
            if sender == new.sender() && nonce == new.nonce() {
                continue;
            }
            if (victim.price, victim.executable) >= rank {
                return Err(MempoolError::Underpriced);
            }
            // Nothing pushes out what it needs itself.
            if executable && sender == new.sender() && nonce < new.nonce() {
                return Err(MempoolError::Full);
            }
            let Some(entry) = senders
                .get(&sender)
                .and_then(|queue| queue.entries.get(&nonce))
            else {
                continue;
            };
            count -= 1;
            bytes -= entry.transaction.size;
            victims.push((sender, nonce));
        }
        if count > most || bytes > most_bytes {
            return Err(MempoolError::Full);
        }
        for (sender, nonce) in victims {
            self.remove(sender, nonce);
        }
        Ok(())
    }

    /// Puts a transaction into its sender's queue, in the place of one with the same nonce. It
    /// counts as queued unless it replaces an executable one.
    fn replace_or_insert(&mut self, account: Account, new: Arc<PooledTransaction>) {
        let nonce = new.nonce();
        let queue = self
            .senders
            .entry(new.sender())
            .or_insert_with(|| SenderQueue::new(account));
        queue.highest_cost = queue.highest_cost.max(new.cost());
        let executable = nonce < queue.next_nonce;
        if let Some(prices) = &mut self.prices {
            prices.insert(&new, executable);
        }
        self.bytes += new.size;
        self.by_hash.insert(new.hash, Arc::clone(&new));
        if executable {
            queue.spent += new.cost();
            self.promoted.push(Arc::clone(&new));
        }
        let entry = Entry {
            transaction: new,
            announced: executable,
        };
        if let Some(Entry {
            transaction: old, ..
        }) = queue.entries.insert(nonce, entry)
        {
            if executable {
                queue.spent -= old.cost();
            }
            if let Some(prices) = &mut self.prices {
                prices.remove(&old, executable);
            }
            self.bytes -= old.size;
            self.by_hash.remove(&old.hash);
        }
    }

    /// Moves a sender's queue to a newer state of its account.
    fn set_account(&mut self, sender: Address, account: Account) {
        let Some(queue) = self.senders.get_mut(&sender) else {
            return;
        };
        if account.nonce < queue.account.nonce {
            return;
        }
        while let Some(entry) = queue
            .entries
            .first_entry()
            .filter(|entry| *entry.key() < account.nonce)
        {
            let executable = *entry.key() < queue.next_nonce;
            let old = entry.remove().transaction;
            if executable {
                queue.spent -= old.cost();
                self.executable -= 1;
            }
            if let Some(prices) = &mut self.prices {
                prices.remove(&old, executable);
            }
            self.bytes -= old.size;
            self.by_hash.remove(&old.hash);
        }
        queue.account = account;
        queue.next_nonce = queue.next_nonce.max(account.nonce);
        if account.balance < queue.highest_cost {
            queue.highest_cost = account.balance;
            let unpayable: Vec<u64> = queue
                .entries
                .iter()
                .filter(|(_, entry)| entry.transaction.cost() > account.balance)
                .map(|(nonce, _)| *nonce)
                .collect();
            for nonce in unpayable {
                self.take_out(sender, nonce);
            }
        }
        self.demote_unpaid(sender);
        self.promote(sender);
        self.index_head(sender);
    }

    /// Removes one transaction; what follows it becomes queued.
    fn remove(&mut self, sender: Address, nonce: u64) {
        self.take_out(sender, nonce);
        self.promote(sender);
        self.index_head(sender);
    }

    fn take_out(&mut self, sender: Address, nonce: u64) {
        self.demote_from(sender, nonce);
        let Some(queue) = self.senders.get_mut(&sender) else {
            return;
        };
        if let Some(Entry { transaction, .. }) = queue.entries.remove(&nonce) {
            if let Some(prices) = &mut self.prices {
                prices.remove(&transaction, false);
            }
            self.bytes -= transaction.size;
            self.by_hash.remove(&transaction.hash);
        }
    }

    /// Makes the executable transactions from a nonce on queued ones.
    fn demote_from(&mut self, sender: Address, first: u64) {
        let Some(queue) = self.senders.get_mut(&sender) else {
            return;
        };
        if first >= queue.next_nonce {
            return;
        }
        for (_, entry) in queue.entries.range(first..queue.next_nonce) {
            queue.spent -= entry.transaction.cost();
            self.executable -= 1;
            if let Some(prices) = &mut self.prices {
                prices.remove(&entry.transaction, true);
            }
            if let Some(prices) = &mut self.prices {
                prices.insert(&entry.transaction, false);
            }
        }
        queue.next_nonce = first;
    }

    /// Makes executable transactions queued, the last ones first, until the balance covers the
    /// rest.
    fn demote_unpaid(&mut self, sender: Address) {
        while let Some(queue) = self.senders.get(&sender)
            && queue.spent > queue.account.balance
            && queue.next_nonce > queue.account.nonce
        {
            let last = queue.next_nonce - 1;
            self.demote_from(sender, last);
        }
    }

    /// Makes queued transactions executable as far as nonces and balance allow.
    fn promote(&mut self, sender: Address) {
        let Some(queue) = self.senders.get_mut(&sender) else {
            return;
        };
        while let Some(entry) = queue.promotable() {
            let announced = std::mem::replace(&mut entry.announced, true);
            let transaction = Arc::clone(&entry.transaction);
            queue.spent += transaction.cost();
            queue.next_nonce += 1;
            self.executable += 1;
            if let Some(prices) = &mut self.prices {
                prices.remove(&transaction, false);
            }
            if let Some(prices) = &mut self.prices {
                prices.insert(&transaction, true);
            }
            if !announced {
                self.promoted.push(transaction);
            }
        }
    }

    /// Works out again what the pool keeps count of, and compares.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let all: Vec<_> = self.transactions().collect();
        assert_eq!(self.by_hash.len(), all.len());
        assert!(all.len() <= self.limits.max_transactions);
        assert_eq!(self.bytes, all.iter().map(|(tx, _)| tx.size).sum::<usize>());
        assert!(self.bytes <= self.limits.max_bytes);
        let executable = all.iter().filter(|(_, executable)| *executable);
        assert_eq!(self.executable, executable.count());
        if let Some(prices) = &self.prices {
            let all = all.iter().map(|(tx, executable)| (&***tx, *executable));
            assert_eq!(*prices, PriceIndex::of(self.rules.base_fee, all));
        }
        let mut heads = FeeOrder::new(self.rules.base_fee);
        for (sender, queue) in &self.senders {
            assert!(!queue.entries.is_empty());
            assert!(queue.entries.len() <= self.limits.max_per_sender);
            let run = queue.entries.range(..queue.next_nonce);
            assert_eq!(run.clone().count(), queue.executable());
            let spent = run.fold(U256::ZERO, |sum, (_, entry)| sum + entry.transaction.cost());
            assert_eq!(queue.spent, spent);
            assert!(spent <= queue.account.balance);
            if let Some(head) = queue.head() {
                heads.insert(Caps::from(&**head), (Reverse(head.sequence), *sender));
            }
        }
        assert_eq!(self.heads, heads);
    }

    /// Brings the index of heads up to date with a sender's queue, and forgets an empty queue.
    fn index_head(&mut self, sender: Address) {
        let Some(queue) = self.senders.get_mut(&sender) else {
            return;
        };
        let head = queue
            .head()
            .map(|head| (Caps::from(&**head), Reverse(head.sequence)));
        if head != queue.indexed_head {
            if let Some((caps, sequence)) = queue.indexed_head {
                self.heads.remove(caps, (sequence, sender));
            }
            if let Some((caps, sequence)) = head {
                self.heads.insert(caps, (sequence, sender));
            }
            queue.indexed_head = head;
        }
        if queue.entries.is_empty() {
            self.senders.remove(&sender);
        }
    }
}

/// The transactions of one sender, and whether each is executable.
fn all_of(queue: &SenderQueue) -> impl Iterator<Item = (&Arc<PooledTransaction>, bool)> {
    queue
        .entries
        .iter()
        .map(|(nonce, entry)| (&entry.transaction, *nonce < queue.next_nonce))
}
