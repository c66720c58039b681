use std::time::Duration;

use futures::FutureExt;

use super::*;

fn pool() -> Mempool {
    Mempool::new(limits(), rules(10))
}

fn add(pool: &Mempool, index: u8, nonce: u64, fee_cap: u128, tip_cap: u128) -> B256 {
    pool.add(
        transfer(sender(index), nonce, fee_cap, tip_cap),
        account(0, RICH),
    )
    .unwrap()
    .hash
}

fn refuse(pool: &Mempool, index: u8, nonce: u64, fee_cap: u128, account: Account) -> String {
    pool.add(transfer(sender(index), nonce, fee_cap, 1), account)
        .unwrap_err()
        .to_string()
}

#[test]
fn nonces_and_funds_are_checked_with_geths_texts() {
    let pool = pool();
    let address = sender(0);
    assert_eq!(
        refuse(&pool, 0, 4, 100, account(5, RICH)),
        format!("nonce too low: address {address}, tx: 4 state: 5")
    );
    assert_eq!(
        refuse(&pool, 0, 1_000_000, 100, account(0, RICH)),
        format!("nonce too high: address {address}, tx: 1000000 state: 0")
    );
    assert_eq!(
        refuse(&pool, 0, 0, 100, account(0, 2_099_999)),
        "insufficient funds for gas * price + value: balance 2099999, tx cost 2100000, overshot 1"
    );
    let funds = account(0, 4_000_000);
    pool.add(transfer(address, 0, 100, 1), funds).unwrap();
    assert_eq!(refuse(&pool, 0, 0, 100, funds), "already known");
    assert_eq!(
        refuse(&pool, 0, 1, 100, funds),
        "insufficient funds for gas * price + value: balance 4000000, queued cost 2100000, tx cost 2100000, overshot 200000"
    );
    for nonce in 0..16 {
        add(&pool, 1, nonce, 100, 1);
    }
    assert_eq!(
        refuse(&pool, 1, 16, 100, account(0, RICH)),
        format!("account limit exceeded: address {}, limit 16", sender(1))
    );
}

#[test]
fn a_replacement_pays_ten_percent_more_twice() {
    let pool = pool();
    let old = add(&pool, 0, 0, 100, 50);
    for (fee_cap, tip_cap) in [(109, 55), (110, 54), (110, 50), (100, 55)] {
        assert_eq!(
            pool.add(transfer(sender(0), 0, fee_cap, tip_cap), account(0, RICH))
                .unwrap_err()
                .to_string(),
            "replacement transaction underpriced"
        );
    }
    let new = add(&pool, 0, 0, 110, 55);
    assert!(pool.get(&old).is_none());
    assert_eq!(hashes(&pool.best(30_000_000, 10)), [new]);
    assert_eq!(pool.status(), (1, 0));
}

#[test]
fn the_best_come_first_and_equals_as_they_arrived() {
    let pool = pool();
    let first = add(&pool, 0, 0, 100, 5);
    let after_first = add(&pool, 0, 1, 100, 90);
    let equal = add(&pool, 1, 0, 100, 5);
    let capped = add(&pool, 2, 0, 13, 10);
    let top = add(&pool, 3, 0, 100, 6);
    add(&pool, 4, 0, 9, 9);
    assert_eq!(
        hashes(&pool.best(30_000_000, 10)),
        [top, first, after_first, equal, capped]
    );
    assert_eq!(hashes(&pool.best(30_000_000, 2)), [top, first]);
    assert_eq!(hashes(&pool.best(62_999, 10)), [top, first]);
}

#[test]
fn a_gap_is_filled_and_announced_in_order() {
    let pool = pool();
    let mut announced = pool.subscribe();
    let second = add(&pool, 0, 1, 100, 1);
    assert_eq!(pool.status(), (0, 1));
    assert_eq!(pool.next_nonce(sender(0)), None);
    assert!(pool.ready().now_or_never().is_none());
    let first = add(&pool, 0, 0, 100, 1);
    assert_eq!(pool.status(), (2, 0));
    assert_eq!(pool.next_nonce(sender(0)), Some(2));
    assert_eq!(announced.try_recv().unwrap().hash, first);
    assert_eq!(announced.try_recv().unwrap().hash, second);
    // Dropping the first makes the second wait; the same one coming back is no news.
    pool.on_executed(rules(10), None, &[], &[first]);
    assert_eq!(pool.status(), (0, 1));
    let again = add(&pool, 0, 0, 120, 2);
    assert_eq!(pool.status(), (2, 0));
    assert_eq!(announced.try_recv().unwrap().hash, again);
    announced.try_recv().unwrap_err();
}

#[test]
fn a_full_pool_evicts_the_cheapest() {
    let pool = Mempool::new(
        MempoolLimits {
            max_transactions: 3,
            ..limits()
        },
        rules(10),
    );
    let cheap = add(&pool, 0, 0, 100, 2);
    let follower = add(&pool, 0, 1, 100, 50);
    let queued = add(&pool, 1, 1, 100, 3);
    assert_eq!(
        refuse(&pool, 2, 0, 100, account(0, RICH)),
        "transaction underpriced: txpool is full, and no transaction in it pays less"
    );
    // What is behind a gap does not push out what is not.
    assert_eq!(
        pool.add(transfer(sender(2), 1, 100, 3), account(0, RICH))
            .unwrap_err(),
        MempoolError::Underpriced
    );
    assert_eq!(
        pool.add(transfer(sender(0), 2, 100, 2), account(0, RICH))
            .unwrap_err(),
        MempoolError::Underpriced
    );
    // Its own predecessor is the cheapest.
    assert_eq!(
        pool.add(transfer(sender(0), 2, 100, 10), account(0, RICH))
            .unwrap_err(),
        MempoolError::Full
    );
    let better = add(&pool, 3, 0, 100, 10);
    assert!(pool.get(&cheap).is_none());
    assert_eq!(pool.status(), (1, 2));
    assert_eq!(hashes(&pool.best(30_000_000, 10)), [better]);
    let (pending, waiting) = pool.content();
    assert_eq!(hashes(&pending), [better]);
    assert_eq!(hashes(&waiting), [follower, queued]);
    // At the same price the queued one goes.
    let equal = add(&pool, 4, 0, 100, 3);
    assert!(pool.get(&queued).is_none());
    assert!(pool.get(&equal).is_some());
    // A queued one among executable ones only has nothing to push out.
    pool.on_executed(rules(10), None, &[], &[follower]);
    add(&pool, 5, 0, 100, 60);
    assert_eq!(pool.status(), (3, 0));
    assert_eq!(
        pool.add(transfer(sender(6), 1, 100, 99), account(0, RICH))
            .unwrap_err(),
        MempoolError::Full
    );
}

#[test]
fn eviction_follows_the_base_fee() {
    let full = MempoolLimits {
        max_transactions: 2,
        ..limits()
    };
    let pool = Mempool::new(full, rules(0));
    let legacy_like = add(&pool, 0, 0, 30, 30);
    let tipped = add(&pool, 1, 0, 100, 20);
    // At base fee 25 the first one's tip is 5 and the second one's 20.
    pool.on_executed(rules(25), None, &[], &[]);
    let new = add(&pool, 2, 0, 100, 10);
    assert!(pool.get(&legacy_like).is_none());
    assert_eq!(hashes(&pool.best(30_000_000, 10)), [tipped, new]);
}

#[test]
fn bytes_are_bounded() {
    let big = |index: u8, tip: u128| {
        signed(
            sender(index),
            TxEip1559 {
                max_priority_fee_per_gas: tip,
                gas_limit: 1_000_000,
                input: vec![0; 1000].into(),
                ..template()
            },
        )
    };
    let pool = Mempool::new(
        MempoolLimits {
            max_bytes: 1100,
            ..limits()
        },
        rules(10),
    );
    let small = add(&pool, 0, 0, 100, 1);
    let other = add(&pool, 1, 0, 100, 3);
    assert_eq!(
        pool.add(big(2, 2), account(0, RICH)).unwrap_err(),
        MempoolError::Underpriced
    );
    assert_eq!(pool.status(), (2, 0), "a refusal evicts nothing");
    let hash = pool.add(big(2, 4), account(0, RICH)).unwrap().hash;
    assert!(pool.get(&small).is_none() && pool.get(&other).is_none());
    assert_eq!(hashes(&pool.best(30_000_000, 10)), [hash]);
}

#[test]
fn a_block_takes_out_what_it_included() {
    let pool = pool();
    for nonce in 0..3 {
        add(&pool, 0, nonce, 100, 1);
    }
    pool.on_executed(rules(10), None, &[(sender(0), account(2, RICH))], &[]);
    assert_eq!(pool.status(), (1, 0));
    assert_eq!(pool.next_nonce(sender(0)), Some(3));
    // Only one of two is covered now.
    add(&pool, 0, 3, 100, 1);
    pool.on_executed(rules(10), None, &[(sender(0), account(2, 3_000_000))], &[]);
    assert_eq!(pool.status(), (1, 1));
    pool.on_executed(rules(10), None, &[(sender(0), account(2, RICH))], &[]);
    assert_eq!(pool.status(), (2, 0));
    // None is.
    pool.on_executed(rules(10), None, &[(sender(0), account(2, 0))], &[]);
    assert_eq!(pool.status(), (0, 0));
    assert!(pool.ready().now_or_never().is_none());
}

#[test]
fn a_stale_account_does_not_bring_a_transaction_back() {
    let pool = pool();
    let read_before_the_block = account(0, RICH);
    pool.on_executed(rules(10), None, &[(sender(0), account(1, RICH))], &[]);
    assert_eq!(
        refuse(&pool, 0, 0, 100, read_before_the_block),
        format!("nonce too low: address {}, tx: 0 state: 1", sender(0))
    );
    // The other way round: the account is newer than the last block that the pool has seen.
    pool.add(transfer(sender(0), 2, 100, 1), account(2, RICH))
        .unwrap();
    assert_eq!(pool.status(), (1, 0));
    pool.on_executed(rules(10), None, &[(sender(0), account(1, RICH))], &[]);
    assert_eq!(pool.status(), (1, 0));
}

#[test]
fn a_lower_block_gas_limit_drops_what_no_longer_fits() {
    let pool = pool();
    let mut large = template();
    large.gas_limit = 100_000;
    pool.add(signed(sender(0), large), account(0, RICH))
        .unwrap();
    let small = add(&pool, 1, 0, 100, 1);
    pool.on_executed(
        AdmissionRules {
            block_gas_limit: 50_000,
            ..rules(10)
        },
        None,
        &[],
        &[],
    );
    assert_eq!(hashes(&pool.content().0), [small]);
}

#[tokio::test]
async fn ready_resolves_whenever_it_is_asked() {
    let pool = pool();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ready().await }
    });
    add(&pool, 0, 0, 11, 1);
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap()
        .unwrap();
    pool.ready().await;
    // The base fee decides too.
    pool.on_executed(rules(12), None, &[], &[]);
    assert!(pool.ready().now_or_never().is_none());
    pool.on_executed(rules(11), None, &[], &[]);
    pool.ready().await;
}

#[test]
fn an_executed_transaction_is_known_until_it_is_durable() {
    let pool = Mempool::new(limits(), rules(10));
    let mut hashes = Vec::new();
    for nonce in 0..3 {
        let added = pool.add(transfer(sender(0), nonce, 100, 1), account(0, RICH));
        hashes.push(added.unwrap().hash);
    }
    let included = pool.best(30_000_000, 2);
    pool.on_executed(
        rules(10),
        Some((7, included)),
        &[(sender(0), account(2, RICH))],
        &[],
    );
    assert_eq!(pool.status(), (1, 0));
    assert_eq!(super::hashes(&pool.best(30_000_000, 10)), hashes[2..]);
    assert!(
        hashes
            .iter()
            .all(|hash| pool.contains(hash) && pool.get(hash).is_some())
    );
    let again = pool.add(transfer(sender(0), 1, 100, 1), account(0, RICH));
    assert!(
        matches!(again, Err(MempoolError::AlreadyKnown)),
        "{again:?}"
    );

    let last = pool.best(30_000_000, 1);
    pool.on_executed(
        rules(10),
        Some((8, last)),
        &[(sender(0), account(3, RICH))],
        &[],
    );
    assert_eq!(pool.status(), (0, 0));
    assert_eq!(pool.next_nonce(sender(0)), Some(3));
    pool.on_durable(7);
    assert!(!pool.contains(&hashes[0]) && !pool.contains(&hashes[1]) && pool.contains(&hashes[2]));
    assert_eq!(pool.next_nonce(sender(0)), Some(3));
    pool.on_durable(8);
    assert!(!pool.contains(&hashes[2]));
    assert_eq!(pool.next_nonce(sender(0)), None);
}
