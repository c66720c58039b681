//! The index of logs against a search through all logs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod common;

use std::{env, path::Path};

use alloy_primitives::{Address, B256, Bytes, Log, keccak256};
use common::{options, spec};
use rand::{Rng, SeedableRng, rngs::StdRng};
use weft_executor_core::ChangeSet;
use weft_primitives::TxDeposit;
use weft_state::{LogQuery, Store};

/// More blocks than entries that are read before another set of values is tried, several times.
const BLOCKS: u64 = 1000;

/// Value 0 is in most blocks, the others are rarer the higher they are.
fn value(random: &mut StdRng) -> u8 {
    let most = 1 << random.random_range(0..7);
    random.random_range(0..most)
}

fn address(random: &mut StdRng) -> Address {
    Address::with_last_byte(value(random))
}

fn topic(random: &mut StdRng) -> B256 {
    B256::with_last_byte(value(random))
}

fn logs(random: &mut StdRng) -> Vec<Log> {
    (0..random.random_range(0..4))
        .map(|_| {
            let topics = (0..random.random_range(0..=4))
                .map(|_| topic(random))
                .collect();
            Log::new_unchecked(address(random), topics, Bytes::new())
        })
        .collect()
}

fn add_block(store: &Store, logs: &[Log]) {
    let deposit = TxDeposit {
        source_hash: keccak256(store.head().unwrap().hash()),
        ..TxDeposit::default()
    };
    let mut bundle = common::bundle_on(store, ChangeSet::default(), vec![deposit.into()]);
    bundle.receipts[0].logs = logs.to_vec();
    store.commit(&bundle).unwrap();
}

/// A chain of which part is in tables on disk, opened again.
fn chain(path: &Path, random: &mut StdRng) -> (Store, Vec<Vec<Log>>) {
    let mut options = options();
    options.memtable_bytes = 64 << 10;
    let store = Store::open_with(path, &spec(), &options).unwrap();
    let mut blocks = vec![Vec::new()];
    for _ in 1..BLOCKS {
        let logs = logs(random);
        add_block(&store, &logs);
        blocks.push(logs);
    }
    drop(store);
    (Store::open_with(path, &spec(), &options).unwrap(), blocks)
}

struct Query {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
    first: u64,
    last: u64,
}

impl Query {
    fn random(random: &mut StdRng) -> Self {
        let count = |random: &mut StdRng| random.random_range(0..3) * random.random_range(0..4);
        let addresses = (0..count(random)).map(|_| address(random)).collect();
        let topics = (0..random.random_range(0..=4))
            .map(|_| (0..count(random)).map(|_| topic(random)).collect())
            .collect();
        let (first, last) = match random.random_range(0..3) {
            0 => (0, BLOCKS + 5),
            1 => (random.random_range(0..BLOCKS), BLOCKS - 1),
            _ => {
                let first = random.random_range(0..BLOCKS);
                (first, random.random_range(first.saturating_sub(1)..BLOCKS))
            }
        };
        Self {
            addresses,
            topics,
            first,
            last,
        }
    }

    fn matches(&self, log: &Log) -> bool {
        let one_of_topics = |(position, topics): (usize, &Vec<B256>)| {
            topics.is_empty()
                || log
                    .topics()
                    .get(position)
                    .is_some_and(|topic| topics.contains(topic))
        };
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.iter().enumerate().all(one_of_topics)
    }

    /// Whether the block has one of each set of values, be it in different logs: what an index by
    /// blocks can know.
    fn may_match(&self, logs: &[Log]) -> bool {
        let any_topic = |(position, topics): (usize, &Vec<B256>)| {
            topics.is_empty()
                || logs.iter().any(|log| {
                    log.topics()
                        .get(position)
                        .is_some_and(|topic| topics.contains(topic))
                })
        };
        !logs.is_empty()
            && (self.addresses.is_empty()
                || logs.iter().any(|log| self.addresses.contains(&log.address)))
            && self.topics.iter().enumerate().all(any_topic)
    }
}

#[test]
fn the_index_finds_what_a_search_finds() {
    let seed =
        env::var("WEFT_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("WEFT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (store, blocks) = chain(folder.path(), &mut random);
    let (mut found_some, mut wanted, mut in_vain) = (0, 0, 0);
    for _ in 0..200 {
        let query = Query::random(&mut random);
        let asked = LogQuery::new(&query.addresses, &query.topics);
        let (found, next) = store
            .blocks_with_logs(&asked, query.first, query.last)
            .unwrap();
        let last = query.last.min(BLOCKS - 1);
        assert_eq!(next, (last + 1).max(query.first));
        let in_range = |number: &u64| (query.first..=last).contains(number);
        let expected: Vec<u64> = (0..)
            .zip(&blocks)
            .filter(|(_, logs)| query.may_match(logs))
            .map(|(number, _)| number)
            .filter(in_range)
            .collect();
        assert!(found.is_sorted_by(|left, right| left < right));
        assert!(found.iter().all(in_range));
        assert!(expected.iter().all(|number| found.contains(number)));
        wanted += expected.len();
        in_vain += found.len() - expected.len();
        for (number, logs) in (0..).zip(&blocks) {
            let matches = logs.iter().any(|log| query.matches(log));
            assert!(!matches || !in_range(&number) || found.contains(&number));
        }
        found_some += u32::from(!found.is_empty() && found.len() < blocks.len() / 2);
    }
    assert!(found_some > 20, "{found_some}");
    println!("{wanted} blocks found, {in_vain} in vain");
    assert!(in_vain < wanted);
}
