//! The pool against the model, over random sequences of operations.

use std::collections::{HashMap, HashSet};

use futures::FutureExt;
use proptest::{collection::vec, prelude::*};

use super::{
    model::{Model, Waiting},
    *,
};

const SENDERS: u8 = 5;

#[derive(Debug, Clone)]
enum Operation {
    Add {
        sender: u8,
        /// How far the nonce is from the account's; below zero is stale.
        ahead: i64,
        fee_cap: u128,
        tip: u128,
        value: u64,
        input: usize,
        /// Whether the caller read the account before its last transaction.
        stale: bool,
    },
    Block {
        base_fee: u64,
        /// How many of the best transactions it takes in.
        included: usize,
        /// Balances that change otherwise.
        balances: Vec<(u8, u64)>,
        /// Places in the list of waiting transactions of those found invalid.
        dropped: Vec<prop::sample::Index>,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let add = (
        0..SENDERS,
        -1..9_i64,
        10..60_u128,
        0..30_u128,
        0..1_000_000_u64,
        0..300_usize,
        any::<bool>(),
    )
        .prop_map(
            |(sender, ahead, fee_cap, tip, value, input, stale)| Operation::Add {
                sender,
                ahead,
                fee_cap,
                tip: tip.min(fee_cap),
                value,
                input,
                stale,
            },
        );
    let block = (
        5..50_u64,
        0..6_usize,
        vec((0..SENDERS, 0..20_000_000_u64), 0..3),
        vec(any::<prop::sample::Index>(), 0..2),
    )
        .prop_map(|(base_fee, included, balances, dropped)| Operation::Block {
            base_fee,
            included,
            balances,
            dropped,
        });
    prop_oneof![8 => add, 1 => block]
}

fn small_limits() -> impl Strategy<Value = MempoolLimits> {
    (3..16_usize, 3..8_usize, 600..4000_usize).prop_map(
        |(max_transactions, max_per_sender, max_bytes)| MempoolLimits {
            max_transactions,
            max_per_sender,
            max_bytes,
            ..MempoolLimits::default()
        },
    )
}

struct Pair {
    pool: Mempool,
    model: Model,
    announcements: broadcast::Receiver<Arc<PooledTransaction>>,
    announced: HashSet<B256>,
}

impl Pair {
    fn new(limits: MempoolLimits) -> Self {
        let pool = Mempool::new(limits.clone(), rules(10));
        let mut pair = Self {
            announcements: pool.subscribe(),
            announced: HashSet::new(),
            pool,
            model: Model::new(limits, 10),
        };
        let accounts: Vec<_> = (0..SENDERS)
            .map(|index| (sender(index), account(3, 15_000_000)))
            .collect();
        pair.on_block(10, &accounts, &[]);
        pair
    }

    fn on_block(&mut self, base_fee: u64, changed: &[(Address, Account)], dropped: &[B256]) {
        self.pool
            .on_executed(rules(base_fee), None, changed, dropped);
        self.model.on_block(base_fee, changed, dropped);
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Add {
                sender: index,
                ahead,
                fee_cap,
                tip,
                value,
                input,
                stale,
            } => {
                let address = sender(index);
                let mut account = self.model.account(address);
                let transaction = signed(
                    address,
                    TxEip1559 {
                        nonce: account.nonce.saturating_add_signed(ahead),
                        max_fee_per_gas: fee_cap,
                        max_priority_fee_per_gas: tip,
                        value: U256::from(value),
                        gas_limit: 21_000 + 10 * input as u64,
                        input: vec![0; input].into(),
                        ..template()
                    },
                );
                if stale {
                    account.nonce -= 1;
                    account.balance += U256::from(1_000_000);
                }
                let expected = self.model.add(Waiting::new(&transaction));
                let added = self.pool.add(transaction, account).map(drop);
                assert_eq!(added, expected);
            }
            Operation::Block {
                base_fee,
                included,
                balances,
                dropped,
            } => {
                let mut changed: HashMap<Address, Account> = HashMap::new();
                for transaction in self.pool.best(u64::MAX, included) {
                    let account = changed
                        .entry(transaction.sender())
                        .or_insert_with(|| self.model.account(transaction.sender()));
                    assert_eq!(account.nonce, transaction.nonce());
                    account.nonce += 1;
                    account.balance -= transaction.cost();
                }
                for (index, balance) in balances {
                    changed
                        .entry(sender(index))
                        .or_insert_with(|| self.model.account(sender(index)))
                        .balance = U256::from(balance);
                }
                let dropped: Vec<_> = dropped
                    .iter()
                    .filter(|_| !self.model.waiting.is_empty())
                    .map(|index| index.get(&self.model.waiting).hash)
                    .collect();
                self.on_block(base_fee, &changed.into_iter().collect::<Vec<_>>(), &dropped);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let Self { pool, model, .. } = self;
        pool.shared.pool.lock().assert_consistent();
        let (pending, queued) = pool.content();
        assert_eq!(pool.status(), (pending.len(), queued.len()));
        for (executable, part) in [(true, &pending), (false, &queued)] {
            let mut expected: Vec<_> = model
                .waiting
                .iter()
                .filter(|tx| model.is_executable(tx) == executable)
                .collect();
            expected.sort_by_key(|tx| (tx.sender, tx.nonce));
            let expected: Vec<_> = expected.iter().map(|tx| tx.hash).collect();
            assert_eq!(hashes(part), expected, "executable: {executable}");
            for tx in part.iter() {
                assert_eq!(pool.get(&tx.hash).unwrap().hash, tx.hash);
            }
        }
        for (gas_limit, count) in [(u64::MAX, usize::MAX), (70_000, usize::MAX), (u64::MAX, 2)] {
            assert_eq!(
                hashes(&pool.best(gas_limit, count)),
                model.best(gas_limit, count)
            );
        }
        assert_eq!(
            pool.ready().now_or_never().is_some(),
            !model.best(u64::MAX, 1).is_empty()
        );
        while let Ok(transaction) = self.announcements.try_recv() {
            assert!(self.announced.insert(transaction.hash), "announced twice");
        }
        assert!(pending.iter().all(|tx| self.announced.contains(&tx.hash)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn pool_equals_model(limits in small_limits(), operations in vec(operation(), 1..80)) {
        let mut pair = Pair::new(limits);
        for operation in operations {
            pair.apply(operation);
        }
    }
}
