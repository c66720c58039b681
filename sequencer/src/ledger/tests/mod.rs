//! The same checks on SQLite always and on a real Postgres where there is one.

mod model;

use std::path::Path;

use alloy_eips::BlockNumHash;
use alloy_primitives::{Address, B256, U256, keccak256};
use tempfile::TempDir;
use weft_tests::postgres::Postgres;

use super::*;

fn word(kind: &str, number: u64) -> B256 {
    keccak256(format!("{kind} {number}"))
}

/// Batches of ten blocks each; `version` tells two forks apart.
fn batch(index: u64, version: u64) -> BatchRecord {
    BatchRecord {
        index,
        hash: word("batch", index * 100 + version),
        previous_hash: word("batch", index.wrapping_sub(1).wrapping_mul(100)),
        first_block: index * 10 + 1,
        last_block: index * 10 + 10,
        last_block_hash: word("block", index * 10 + 10),
        state_root: word("state", index),
        withdrawals_root: word("withdrawals", index),
        l1_origin: BlockNumHash::new(index + 1, word("l1", index + 1)),
        deposits_consumed: index,
        blob_count: u8::try_from(index % 7).unwrap(),
        data_hash: word("data", index),
        posted_bytes: 1000 + index,
        l1_block_number: index + 5,
        l1_block_hash: word("l1", index + 5),
        l1_tx_hash: word("l1 tx", index),
    }
}

fn deposit(index: u64) -> DepositRecord {
    DepositRecord {
        index,
        source_hash: word("source", index),
        l1_block_number: index + 5,
        l1_block_hash: word("l1", index + 5),
        l1_tx_hash: word("deposit tx", index),
        l1_log_index: index,
        from: Address::left_padding_from(&index.to_be_bytes()),
        to: (index.is_multiple_of(2)).then(|| Address::repeat_byte(0xAB)),
        mint: u128::MAX - u128::from(index),
        value: U256::MAX - U256::from(index),
        l2_tx_hash: word("l2 tx", index),
        l2_block: None,
    }
}

fn attempt(nonce: u64, number: u64) -> L1Attempt {
    L1Attempt {
        sender: Address::repeat_byte(0xF3),
        nonce,
        first_batch: nonce,
        last_batch: nonce,
        tx_hash: word("attempt", nonce * 100 + number),
        gas_limit: 500_000,
        max_fee_per_gas: u128::from(u64::MAX) * 3,
        max_priority_fee_per_gas: u128::from(number),
        max_fee_per_blob_gas: nonce
            .is_multiple_of(2)
            .then_some(u128::MAX - u128::from(number)),
        sent_at: 1_790_000_000 + number,
        state: AttemptState::Sent,
    }
}

async fn sqlite(folder: &Path) -> Ledger {
    Ledger::open(None, folder).await.unwrap()
}

/// An empty ledger on a Postgres of its own, or nothing when the machine has none.
async fn postgres(folder: &Path) -> Option<(Postgres, Ledger)> {
    let server = Postgres::start().await.unwrap()?;
    let ledger = Ledger::open(Some(server.url()), folder).await.unwrap();
    empty(&ledger).await;
    Some((server, ledger))
}

async fn empty(ledger: &Ledger) {
    for table in [
        "batches",
        "deposits",
        "l1_attempts",
        "l1_transactions",
        "l1_cursor",
    ] {
        sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table}")))
            .execute(&ledger.pool)
            .await
            .unwrap();
    }
}

/// What L1 has removed makes room for what is posted in its place, and its deposits count as not
/// executed.
async fn removed_batches(ledger: &Ledger) {
    for index in 0..=4 {
        ledger.record_batch(&batch(index, 0)).await.unwrap();
        let executed = DepositRecord {
            l2_block: Some(index * 10 + 5),
            ..deposit(index)
        };
        ledger.record_deposit(&executed).await.unwrap();
    }
    ledger.remove_batches_from(5).await.unwrap();
    assert_eq!(ledger.last_batch().await.unwrap(), Some(batch(4, 0)));
    ledger.remove_batches_from(2).await.unwrap();
    assert_eq!(ledger.last_batch().await.unwrap(), Some(batch(1, 0)));
    let blocks = |found: Vec<DepositRecord>| -> Vec<Option<u64>> {
        found.iter().map(|deposit| deposit.l2_block).collect()
    };
    let found = ledger.deposits(0..5).await.unwrap();
    assert_eq!(blocks(found), [Some(5), Some(15), None, None, None]);
    let other = BatchRecord {
        previous_hash: batch(1, 0).hash,
        ..batch(2, 1)
    };
    ledger.record_batch(&other).await.unwrap();
    assert_eq!(ledger.last_batch().await.unwrap(), Some(other));
}

async fn batches(ledger: &Ledger) {
    assert_eq!(ledger.last_batch().await.unwrap(), None);
    assert_eq!(ledger.batch_of_block(5).await.unwrap(), None);
    for index in 3..=5 {
        ledger.record_batch(&batch(index, 0)).await.unwrap();
        ledger.record_batch(&batch(index, 0)).await.unwrap();
    }
    assert_eq!(ledger.batch(4).await.unwrap(), Some(batch(4, 0)));
    assert_eq!(ledger.batch(2).await.unwrap(), None);
    assert_eq!(ledger.batch(u64::MAX).await.unwrap(), None);
    assert_eq!(ledger.last_batch().await.unwrap(), Some(batch(5, 0)));
    for (block, expected) in [
        (30, None),
        (31, Some(3)),
        (40, Some(3)),
        (41, Some(4)),
        (60, Some(5)),
        (61, None),
    ] {
        let found = ledger.batch_of_block(block).await.unwrap();
        assert_eq!(found.map(|batch| batch.index), expected, "block {block}");
    }

    let differs = ledger.record_batch(&batch(4, 1)).await.unwrap_err();
    assert!(
        matches!(differs, LedgerError::BatchDiffers { index: 4, .. }),
        "{differs}"
    );
    let moved = BatchRecord {
        l1_block_number: 99,
        ..batch(4, 0)
    };
    assert!(matches!(
        ledger.record_batch(&moved).await.unwrap_err(),
        LedgerError::BatchDiffers { .. }
    ));
    for broken in [
        batch(7, 0),
        batch(2, 0),
        BatchRecord {
            previous_hash: B256::ZERO,
            ..batch(6, 0)
        },
        BatchRecord {
            first_block: 62,
            ..batch(6, 0)
        },
        BatchRecord {
            first_block: 60,
            ..batch(6, 0)
        },
    ] {
        let error = ledger.record_batch(&broken).await.unwrap_err();
        assert!(matches!(error, LedgerError::BatchGap { .. }), "{error}");
    }
    let reversed = BatchRecord {
        last_block: 60,
        ..batch(6, 0)
    };
    assert!(matches!(
        ledger.record_batch(&reversed).await.unwrap_err(),
        LedgerError::Sql(_)
    ));
    let huge = BatchRecord {
        posted_bytes: u64::MAX,
        ..batch(6, 0)
    };
    assert!(matches!(
        ledger.record_batch(&huge).await.unwrap_err(),
        LedgerError::TooLarge {
            field: "posted bytes",
            ..
        }
    ));
    assert_eq!(ledger.last_batch().await.unwrap(), Some(batch(5, 0)));

    // Batch 4 stands in L1 block 9: a reorg above 8 takes it and its successor.
    ledger.remove_after_l1_block(8).await.unwrap();
    assert_eq!(ledger.last_batch().await.unwrap(), Some(batch(3, 0)));
    ledger.record_batch(&batch(4, 1)).await.unwrap();
    assert_eq!(ledger.batch(4).await.unwrap(), Some(batch(4, 1)));
    assert_eq!(ledger.counts().await.unwrap().batches, 2);
}

async fn deposits(ledger: &Ledger) {
    for index in 0..10 {
        ledger.record_deposit(&deposit(index)).await.unwrap();
    }
    let executed = DepositRecord {
        l2_block: Some(17),
        ..deposit(3)
    };
    ledger.record_deposit(&executed).await.unwrap();
    ledger.record_deposit(&deposit(3)).await.unwrap();
    assert_eq!(
        ledger.deposits(2..5).await.unwrap(),
        [deposit(2), executed, deposit(4)]
    );
    assert_eq!(ledger.deposits(0..u64::MAX).await.unwrap().len(), 10);
    assert_eq!(ledger.deposits(u64::MAX - 1..u64::MAX).await.unwrap(), []);
    let other = DepositRecord {
        source_hash: B256::ZERO,
        l2_block: Some(1),
        ..deposit(4)
    };
    assert!(matches!(
        ledger.record_deposit(&other).await.unwrap_err(),
        LedgerError::DepositDiffers { index: 4, .. }
    ));
    assert_eq!(ledger.deposits(4..5).await.unwrap(), [deposit(4)]);
    ledger.remove_after_l1_block(7).await.unwrap();
    assert_eq!(ledger.deposits(0..100).await.unwrap().len(), 3);
}

async fn attempts(ledger: &Ledger) {
    ledger.record_attempt(&attempt(7, 0)).await.unwrap();
    ledger.record_attempt(&attempt(7, 1)).await.unwrap();
    ledger.record_attempt(&attempt(8, 0)).await.unwrap();
    let unknown = ledger
        .update_attempt(B256::ZERO, &AttemptState::Replaced)
        .await;
    assert!(matches!(
        unknown.unwrap_err(),
        LedgerError::UnknownAttempt(B256::ZERO)
    ));
    let included = AttemptState::Included {
        l1_block_number: 40,
    };
    ledger
        .update_attempt(attempt(7, 0).tx_hash, &AttemptState::Replaced)
        .await
        .unwrap();
    ledger
        .update_attempt(attempt(7, 1).tx_hash, &included)
        .await
        .unwrap();
    // Recording again, as after a restart, must not take the state back.
    ledger.record_attempt(&attempt(7, 1)).await.unwrap();
    let found = ledger.attempts_of_batch(7).await.unwrap();
    assert_eq!(
        found,
        [
            L1Attempt {
                state: AttemptState::Replaced,
                ..attempt(7, 0)
            },
            L1Attempt {
                state: included,
                ..attempt(7, 1)
            },
        ]
    );
    let other = L1Attempt {
        gas_limit: 1,
        ..attempt(7, 0)
    };
    assert!(matches!(
        ledger.record_attempt(&other).await.unwrap_err(),
        LedgerError::AttemptDiffers(_)
    ));

    let long = AttemptState::Failed {
        error: format!("a\0ß{}", "x".repeat(100_000)),
        l1_block_number: None,
    };
    ledger
        .update_attempt(attempt(8, 0).tx_hash, &long)
        .await
        .unwrap();
    let failed = ledger.attempts_of_batch(8).await.unwrap().remove(0).state;
    let AttemptState::Failed {
        error,
        l1_block_number: None,
    } = failed
    else {
        panic!("{failed:?}");
    };
    assert_eq!(error, format!("aß{}", "x".repeat(MAX_ERROR_CHARS - 2)));

    ledger.remove_after_l1_block(40).await.unwrap();
    assert_ne!(
        ledger.attempts_of_batch(7).await.unwrap()[1].state,
        AttemptState::Sent
    );
    ledger.remove_after_l1_block(39).await.unwrap();
    assert_eq!(ledger.attempts_of_batch(7).await.unwrap()[1], attempt(7, 1));
    let counts = ledger.counts().await.unwrap();
    assert_eq!((counts.l1_transactions, counts.l1_attempts), (2, 3));

    // After a reorg the same nonce may post other batches.
    let reused = L1Attempt {
        first_batch: 9,
        last_batch: 11,
        ..attempt(7, 2)
    };
    ledger.record_attempt(&reused).await.unwrap();
    assert_eq!(ledger.attempts_of_batch(10).await.unwrap().len(), 3);
    assert_eq!(ledger.attempts_of_batch(7).await.unwrap(), []);
}

async fn cursor(ledger: &Ledger) {
    assert_eq!(ledger.cursor().await.unwrap(), None);
    for number in [10, 12] {
        let cursor = L1Cursor {
            number,
            hash: word("l1", number),
        };
        ledger.set_cursor(cursor).await.unwrap();
        assert_eq!(ledger.cursor().await.unwrap(), Some(cursor));
    }
    ledger.remove_after_l1_block(12).await.unwrap();
    assert!(ledger.cursor().await.unwrap().is_some());
    ledger.remove_after_l1_block(11).await.unwrap();
    assert_eq!(ledger.cursor().await.unwrap(), None);
}

async fn everything(ledger: &Ledger) {
    batches(ledger).await;
    empty(ledger).await;
    removed_batches(ledger).await;
    empty(ledger).await;
    deposits(ledger).await;
    empty(ledger).await;
    attempts(ledger).await;
    empty(ledger).await;
    cursor(ledger).await;
    empty(ledger).await;
    assert_eq!(ledger.counts().await.unwrap(), LedgerCounts::default());
}

#[tokio::test]
async fn sqlite_keeps_everything() {
    let folder = TempDir::new().unwrap();
    everything(&sqlite(folder.path()).await).await;
}

#[tokio::test]
async fn postgres_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let Some((_server, ledger)) = postgres(folder.path()).await else {
        return;
    };
    everything(&ledger).await;
}

#[tokio::test]
async fn rows_outlive_the_process() {
    let folder = TempDir::new().unwrap();
    let ledger = sqlite(folder.path()).await;
    ledger.record_batch(&batch(0, 0)).await.unwrap();
    ledger.close().await;
    let again = sqlite(folder.path()).await;
    assert_eq!(again.last_batch().await.unwrap(), Some(batch(0, 0)));
    assert!(folder.path().join("ledger.sqlite").is_file());
}

#[tokio::test]
async fn a_file_that_is_no_ledger_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ledger.sqlite");
    std::fs::write(&file, vec![0x5A; 8192]).unwrap();
    let error = Ledger::open(None, folder.path())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("ledger.sqlite"), "{error}");
    assert!(error.contains("not a database"), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    let ledger = sqlite(folder.path()).await;
    sqlx::query("UPDATE _sqlx_migrations SET version = version + 9999")
        .execute(&ledger.pool)
        .await
        .unwrap();
    ledger.close().await;
    let error = Ledger::open(None, folder.path()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Migrate { .. }), "{error}");
}

#[tokio::test]
async fn folders_with_odd_names_work() {
    let folder = TempDir::with_prefix("weft ?#%41 ß ").unwrap();
    let ledger = sqlite(folder.path()).await;
    assert!(folder.path().join("ledger.sqlite").is_file());
    ledger.close().await;
    let url = format!(
        "sqlite://{}/other.sqlite",
        TempDir::new().unwrap().keep().display()
    );
    Ledger::open(Some(&url), folder.path()).await.unwrap();
}

#[tokio::test]
async fn errors_never_show_the_password() {
    let folder = TempDir::new().unwrap();
    let closed = weft_tests::ports::free_port().unwrap();
    let mut urls = vec![
        format!("postgres://weft:s3cret-word@127.0.0.1:{closed}/weft"),
        "postgres://weft:s3cret-word@127.0.0.1:notaport/weft".to_owned(),
        "mysql://weft:s3cret-word@127.0.0.1/weft".to_owned(),
        "s3cret-word".to_owned(),
        format!("postgres://weft@127.0.0.1:{closed}/weft?password=s3cret-word"),
    ];
    let server = Postgres::start().await.unwrap().filter(Postgres::is_fresh);
    if let Some(server) = &server {
        urls.push(server.url().replace(server.password(), "s3cret-word"));
    }
    for url in urls {
        let error = Ledger::open(Some(&url), folder.path()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret-word"), "{shown}");
        assert!(shown.contains("ledger"), "{shown}");
    }
    if let Some(server) = server {
        let ledger = Ledger::open(Some(server.url()), folder.path())
            .await
            .unwrap();
        assert!(!format!("{} {ledger:?}", ledger.database()).contains(server.password()));
    }
}
