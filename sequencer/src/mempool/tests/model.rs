//! The pool's rules over a plain list, everything worked out again at each step.

use std::{cmp::Reverse, collections::BTreeMap};

use super::*;

pub(super) struct Waiting {
    pub(super) hash: B256,
    pub(super) sender: Address,
    pub(super) nonce: u64,
    pub(super) gas_limit: u64,
    pub(super) fee_cap: u128,
    pub(super) tip_cap: u128,
    pub(super) cost: U256,
    pub(super) size: usize,
    sequence: u64,
}

impl Waiting {
    pub(super) fn new(transaction: &RecoveredTransaction) -> Self {
        use alloy_consensus::Transaction as _;
        use alloy_eips::eip2718::Encodable2718;
        let tx = transaction.inner();
        let gas_limit = tx.gas_limit();
        Self {
            hash: tx.hash(),
            sender: transaction.signer(),
            nonce: tx.nonce(),
            gas_limit,
            fee_cap: tx.max_fee_per_gas(),
            tip_cap: tx.max_priority_fee_per_gas().unwrap(),
            cost: U256::from(tx.max_fee_per_gas()) * U256::from(gas_limit) + tx.value(),
            size: tx.encoded_2718().len(),
            sequence: 0,
        }
    }
}

pub(super) struct Model {
    pub(super) limits: MempoolLimits,
    pub(super) base_fee: u64,
    pub(super) accounts: BTreeMap<Address, Account>,
    pub(super) waiting: Vec<Waiting>,
    arrivals: u64,
}

impl Model {
    pub(super) fn new(limits: MempoolLimits, base_fee: u64) -> Self {
        Self {
            limits,
            base_fee,
            accounts: BTreeMap::new(),
            waiting: Vec::new(),
            arrivals: 0,
        }
    }

    pub(super) fn account(&self, sender: Address) -> Account {
        self.accounts.get(&sender).copied().unwrap_or_default()
    }

    fn at(&self, sender: Address, nonce: u64) -> Option<&Waiting> {
        self.waiting
            .iter()
            .find(|tx| tx.sender == sender && tx.nonce == nonce)
    }

    /// The executable transactions of a sender, in order.
    fn run(&self, sender: Address) -> Vec<&Waiting> {
        let account = self.account(sender);
        let mut left = account.balance;
        let mut run = Vec::new();
        while let Some(tx) = self.at(sender, account.nonce + run.len() as u64)
            && tx.cost <= left
        {
            left -= tx.cost;
            run.push(tx);
        }
        run
    }

    pub(super) fn is_executable(&self, tx: &Waiting) -> bool {
        self.run(tx.sender)
            .iter()
            .any(|other| other.hash == tx.hash)
    }

    fn price(&self, tx: &Waiting) -> u128 {
        tx.fee_cap.min(tx.tip_cap + u128::from(self.base_fee))
    }

    pub(super) fn add(&mut self, mut new: Waiting) -> Result<(), MempoolError> {
        let Waiting { sender, nonce, .. } = new;
        if self.waiting.iter().any(|tx| tx.hash == new.hash) {
            return Err(MempoolError::AlreadyKnown);
        }
        let account = self.account(sender);
        if nonce < account.nonce {
            return Err(MempoolError::NonceTooLow {
                sender,
                nonce,
                state: account.nonce,
            });
        }
        let run = self.run(sender);
        let next = account.nonce + run.len() as u64;
        if nonce >= account.nonce + self.limits.max_per_sender as u64 {
            return Err(if nonce == next {
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
        if let Some(old) = self.at(sender, nonce) {
            let enough = |new: u128, old: u128| new > old && new >= old * 11 / 10;
            if !enough(new.fee_cap, old.fee_cap) || !enough(new.tip_cap, old.tip_cap) {
                return Err(MempoolError::ReplacementUnderpriced);
            }
        }
        let (balance, cost) = (account.balance, new.cost);
        if cost > balance {
            return Err(MempoolError::InsufficientFunds {
                balance,
                cost,
                overshot: cost - balance,
            });
        }
        let queued = run
            .iter()
            .filter(|tx| tx.nonce != nonce)
            .fold(U256::ZERO, |sum, tx| sum + tx.cost);
        if queued + cost > balance {
            return Err(MempoolError::InsufficientFundsForQueue {
                balance,
                queued,
                cost,
                overshot: queued + cost - balance,
            });
        }
        let victims = self.victims(&new, nonce <= next)?;
        self.waiting.retain(|tx| {
            let replaced = tx.sender == sender && tx.nonce == nonce;
            !replaced && !victims.contains(&tx.hash)
        });
        new.sequence = self.arrivals;
        self.arrivals += 1;
        self.waiting.push(new);
        Ok(())
    }

    fn victims(&self, new: &Waiting, executable: bool) -> Result<Vec<B256>, MempoolError> {
        let mut others: Vec<_> = self
            .waiting
            .iter()
            .filter(|tx| !(tx.sender == new.sender && tx.nonce == new.nonce))
            .map(|tx| (self.price(tx), self.is_executable(tx), tx))
            .collect();
        let mut count = others.len() + 1;
        let mut bytes = others.iter().map(|(_, _, tx)| tx.size).sum::<usize>() + new.size;
        others.sort_by_key(|(price, executable, tx)| (*price, *executable, Reverse(tx.sequence)));
        let mut victims = Vec::new();
        for (price, victim_executable, tx) in others {
            if count <= self.limits.max_transactions && bytes <= self.limits.max_bytes {
                break;
            }
            if victim_executable && !executable {
                continue;
            }
            if (price, victim_executable) >= (self.price(new), executable) {
                return Err(MempoolError::Underpriced);
            }
            if executable && tx.sender == new.sender && tx.nonce < new.nonce {
                return Err(MempoolError::Full);
            }
            count -= 1;
            bytes -= tx.size;
            victims.push(tx.hash);
        }
        if count > self.limits.max_transactions || bytes > self.limits.max_bytes {
            return Err(MempoolError::Full);
        }
        Ok(victims)
    }

    pub(super) fn on_block(
        &mut self,
        base_fee: u64,
        changed: &[(Address, Account)],
        dropped: &[B256],
    ) {
        self.base_fee = base_fee;
        self.accounts.extend(changed.iter().copied());
        let accounts = &self.accounts;
        self.waiting.retain(|tx| {
            let account = accounts.get(&tx.sender).copied().unwrap_or_default();
            tx.nonce >= account.nonce && tx.cost <= account.balance && !dropped.contains(&tx.hash)
        });
    }

    pub(super) fn best(&self, gas_limit: u64, max_transactions: usize) -> Vec<B256> {
        let mut runs: Vec<_> = self
            .accounts
            .keys()
            .map(|sender| self.run(*sender))
            .collect();
        let mut gas_left = gas_limit;
        let mut chosen = Vec::new();
        while chosen.len() < max_transactions && gas_left >= 21_000 {
            let best = runs
                .iter_mut()
                .filter_map(|run| {
                    let head = run.first()?;
                    let above = head.fee_cap.checked_sub(u128::from(self.base_fee))?;
                    Some(((above.min(head.tip_cap), Reverse(head.sequence)), run))
                })
                .max_by_key(|(rank, _)| *rank);
            let Some((_, run)) = best else { break };
            if run[0].gas_limit > gas_left {
                run.clear();
            } else {
                let tx = run.remove(0);
                gas_left -= tx.gas_limit;
                chosen.push(tx.hash);
            }
        }
        chosen
    }
}
