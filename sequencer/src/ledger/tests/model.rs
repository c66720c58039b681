//! Random steps on a ledger against what its contract says, in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{BatchRecord, DepositRecord, Ledger, batch, deposit, empty, postgres, sqlite};

#[derive(Debug, Clone)]
enum Step {
    Batch { index: u64, version: u64 },
    Deposit { index: u64, l2_block: Option<u64> },
    Reorg { l1_block: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..8, 0u64..2).prop_map(|(index, version)| Step::Batch { index, version }),
        3 => (0u64..8, proptest::option::of(0u64..100))
            .prop_map(|(index, l2_block)| Step::Deposit { index, l2_block }),
        1 => (0u64..16).prop_map(|l1_block| Step::Reorg { l1_block }),
    ]
}

/// What the ledger's contract says, in memory.
#[derive(Default)]
struct Model {
    batches: BTreeMap<u64, BatchRecord>,
    deposits: BTreeMap<u64, DepositRecord>,
}

impl Model {
    /// Whether the step must succeed.
    fn apply(&mut self, step: &Step) -> bool {
        match step {
            Step::Batch { index, version } => {
                let offered = batch(*index, *version);
                if let Some(recorded) = self.batches.get(index) {
                    return *recorded == offered;
                }
                let fits = self
                    .batches
                    .last_key_value()
                    .is_none_or(|(last, recorded)| {
                        last + 1 == *index && recorded.hash == offered.previous_hash
                    });
                if fits {
                    self.batches.insert(*index, offered);
                }
                fits
            }
            Step::Deposit { index, l2_block } => {
                let recorded = self
                    .deposits
                    .entry(*index)
                    .or_insert_with(|| deposit(*index));
                recorded.l2_block = l2_block.or(recorded.l2_block);
                true
            }
            Step::Reorg { l1_block } => {
                self.batches
                    .retain(|_, batch| batch.l1_block_number <= *l1_block);
                self.deposits
                    .retain(|_, deposit| deposit.l1_block_number <= *l1_block);
                true
            }
        }
    }
}

async fn apply(ledger: &Ledger, step: &Step) -> bool {
    match step {
        Step::Batch { index, version } => ledger.record_batch(&batch(*index, *version)).await,
        Step::Deposit { index, l2_block } => {
            let deposit = DepositRecord {
                l2_block: *l2_block,
                ..deposit(*index)
            };
            ledger.record_deposit(&deposit).await
        }
        Step::Reorg { l1_block } => ledger.remove_after_l1_block(*l1_block).await,
    }
    .is_ok()
}

async fn follows_the_model(ledger: &Ledger, steps: &[Step]) -> Result<(), TestCaseError> {
    empty(ledger).await;
    let mut model = Model::default();
    for step in steps {
        prop_assert_eq!(apply(ledger, step).await, model.apply(step), "{:?}", step);
    }
    let last = ledger.last_batch().await.unwrap();
    prop_assert_eq!(
        last.as_ref(),
        model.batches.last_key_value().map(|(_, batch)| batch)
    );
    for block in 0..100 {
        let found = ledger.batch_of_block(block).await.unwrap();
        let expected = model
            .batches
            .values()
            .find(|batch| (batch.first_block..=batch.last_block).contains(&block));
        prop_assert_eq!(found.as_ref(), expected);
    }
    let deposits: Vec<_> = model.deposits.into_values().collect();
    prop_assert_eq!(ledger.deposits(0..100).await.unwrap(), deposits);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sqlite_follows_the_model(runs in prop::collection::vec(prop::collection::vec(step(), 0..40), 1..3)) {
        Runtime::new().unwrap().block_on(async {
            let folder = TempDir::new().unwrap();
            let ledger = sqlite(folder.path()).await;
            for steps in &runs {
                follows_the_model(&ledger, steps).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

proptest! {
    // One case, many runs: the server is started once.
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(1) })]

    #[test]
    fn postgres_follows_the_model(runs in prop::collection::vec(prop::collection::vec(step(), 0..40), 24)) {
        Runtime::new().unwrap().block_on(async {
            let folder = TempDir::new().unwrap();
            let Some((_server, ledger)) = postgres(folder.path()).await else {
                return Ok::<_, TestCaseError>(());
            };
            for steps in &runs {
                follows_the_model(&ledger, steps).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}
