//! What a slow L1 asks of admission.

use super::*;

fn add(pool: &Mempool, index: u8, fee_cap: u128, tip_cap: u128) -> Result<B256, MempoolError> {
    let transaction = transfer(sender(index), 0, fee_cap, tip_cap);
    pool.add(transaction, account(0, RICH))
        .map(|added| added.hash)
}

#[test]
fn a_shut_pool_takes_nothing_and_keeps_what_it_has() {
    let pool = Mempool::new(limits(), rules(10));
    let kept = add(&pool, 0, 100, 1).unwrap();
    pool.set_pressure(Pressure {
        closed_at: Some(1234),
        ..Pressure::default()
    });
    let error = pool.check_open().unwrap_err();
    assert_eq!(
        error.to_string(),
        "txpool is full: 1234 bytes of blocks wait for L1, try later"
    );
    assert_eq!(add(&pool, 1, 100, 1), Err(error));
    assert_eq!(hashes(&pool.best(30_000_000, 10)), [kept]);
    pool.set_pressure(Pressure::default());
    pool.check_open().unwrap();
    add(&pool, 1, 100, 1).unwrap();
}

#[test]
fn under_pressure_only_those_come_in_who_pay_the_base_fee_several_times() {
    let pool = Mempool::new(limits(), rules(10));
    pool.set_pressure(Pressure {
        fee_floor_permille: 1500,
        ..Pressure::default()
    });
    assert_eq!(
        add(&pool, 0, 14, 1).unwrap_err().to_string(),
        "transaction underpriced: max fee per gas 14, minimum needed 15 while the chain waits for L1"
    );
    add(&pool, 0, 15, 1).unwrap();
}

#[test]
fn a_smaller_share_throws_nothing_out_and_grows_no_more() {
    let limits = MempoolLimits {
        max_transactions: 10,
        ..limits()
    };
    let pool = Mempool::new(limits, rules(10));
    for index in 0..6 {
        add(&pool, index, 100, u128::from(index) + 2).unwrap();
    }
    pool.set_pressure(Pressure {
        share_permille: 300,
        ..Pressure::default()
    });
    assert_eq!(pool.status(), (6, 0));
    assert_eq!(add(&pool, 6, 100, 2), Err(MempoolError::Underpriced));
    // One that pays more takes the place of the cheapest, and only of that one.
    let better = add(&pool, 6, 100, 50).unwrap();
    assert_eq!(pool.status(), (6, 0));
    assert_eq!(hashes(&pool.best(30_000_000, 1)), [better]);
    // A replacement needs no place.
    let raised = add(&pool, 6, 200, 100).unwrap();
    assert_eq!(pool.status(), (6, 0));

    pool.on_executed(rules(10), None, &[], &[raised]);
    assert_eq!(add(&pool, 7, 100, 2), Err(MempoolError::Underpriced));
    pool.set_pressure(Pressure {
        share_permille: 600,
        ..Pressure::default()
    });
    add(&pool, 7, 100, 2).unwrap();
    assert_eq!(pool.status(), (6, 0));
}

#[tokio::test]
async fn those_whom_the_base_fee_keeps_out_are_told_of() {
    let pool = Mempool::new(limits(), rules(50));
    add(&pool, 0, 40, 1).unwrap();
    pool.priced_out().await;
    pool.on_executed(rules(40), None, &[], &[]);
    pool.ready().await;
    pool.on_executed(rules(50), None, &[], &[]);
    pool.priced_out().await;

    // A base fee that cannot fall is nothing to wait for.
    let pool = Mempool::new(limits(), rules(7));
    add(&pool, 0, 6, 1).unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_millis(1), pool.priced_out());
    assert!(waited.await.is_err());
}
