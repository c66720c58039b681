//! What the tables of history and the index of logs cost a block, and what log queries and proofs at
//! old blocks take: `cargo bench -p weft-state --bench history -- commit|logs|proofs [BLOCKS [TRANSFERS]]`.
//!
//! Blocks are ERC-20 transfers between random accounts: each changes the sender's account, two slots
//! of the token, and has a log with three topics.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement stops at what it did not expect"
)]

use std::{collections::BTreeMap, env, path::Path, sync::Arc, time::Instant};

use alloy_primitives::{Address, B256, Bloom, BloomInput, Log, U256, b256, keccak256};
use rand::{Rng, SeedableRng, rngs::StdRng};
use weft_executor_core::{Account, AccountChange, ChangeSet, SortedMap};
use weft_primitives::{Block, BlockAttributes, ChainSpec, Receipt, TxDeposit, child_header};
use weft_state::{BlockBundle, StateError, Store};

const TOKEN: Address = Address::repeat_byte(0x70);
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
const USERS: u64 = 100_000;

fn user(index: u64) -> Address {
    Address::from_slice(&keccak256(index.to_be_bytes())[12..])
}

fn open(path: &Path) -> Store {
    let spec = ChainSpec::from_json(
        br#"{"config":{"chainId":7},"gasLimit":"0x1c9c380","difficulty":"0x0","alloc":{}}"#,
    )
    .unwrap();
    Store::open(path, &spec).unwrap()
}

/// The model of the state: nonces of users and slots of the token.
#[derive(Default)]
struct Chain {
    nonces: BTreeMap<Address, u64>,
    balances: BTreeMap<U256, U256>,
}

impl Chain {
    fn account(&self, address: Address) -> Option<Account> {
        let nonce = *self.nonces.get(&address)?;
        Some(Account {
            nonce,
            ..Account::default()
        })
    }

    fn block(&mut self, store: &Store, random: &mut StdRng, transfers: usize) -> BlockBundle {
        let parent = store.head().unwrap();
        let number = parent.number + 1;
        let (mut accounts, mut slots) = (BTreeMap::new(), BTreeMap::new());
        let (mut transactions, mut receipts, mut bloom) = (Vec::new(), Vec::new(), Bloom::ZERO);
        for index in 0..transfers as u64 {
            let from = user(random.random_range(0..USERS));
            let to = user(random.random_range(0..USERS));
            let before = self.account(from);
            let first = accounts.entry(from).or_insert((before, None));
            let nonce = before.map_or(0, |account| account.nonce) + 1;
            self.nonces.insert(from, nonce);
            first.1 = self.account(from);
            for address in [from, to] {
                let slot = U256::from_be_bytes(keccak256(address).0);
                let balance = self.balances.entry(slot).or_default();
                let change = slots.entry(slot).or_insert((*balance, U256::ZERO));
                *balance += U256::from(random.random_range(1..1u64 << 40));
                change.1 = *balance;
            }
            let deposit = TxDeposit {
                source_hash: keccak256(U256::from_limbs([index, number, 0, 0]).to_be_bytes::<32>()),
                ..TxDeposit::default()
            };
            transactions.push(deposit.into());
            let log = Log::new_unchecked(
                TOKEN,
                vec![TRANSFER, from.into_word(), to.into_word()],
                vec![0; 32].into(),
            );
            bloom.accrue(BloomInput::Raw(TOKEN.as_slice()));
            for topic in log.topics() {
                bloom.accrue(BloomInput::Raw(topic.as_slice()));
            }
            receipts.push(Receipt {
                tx_type: 0x7e,
                success: true,
                cumulative_gas_used: 1,
                logs: vec![log],
                deposit_nonce: Some(index),
            });
        }
        let token = |nonce| Account {
            nonce,
            ..Account::default()
        };
        let mut changed: BTreeMap<_, _> = accounts
            .into_iter()
            .map(|(address, (before, after))| {
                let change = AccountChange {
                    before,
                    after,
                    ..AccountChange::default()
                };
                (address, change)
            })
            .collect();
        if !slots.is_empty() {
            let is_new = self.nonces.insert(TOKEN, 1).is_none();
            let change = AccountChange {
                before: (!is_new).then(|| token(1)),
                after: Some(token(1)),
                storage_wiped: false,
                storage: SortedMap::from_sorted(slots.into_iter().collect()),
            };
            changed.insert(TOKEN, change);
        }
        let changes = ChangeSet {
            accounts: changed.into_iter().collect(),
            ..ChangeSet::default()
        };
        let (state_root, trie) = store.state_root(&changes).unwrap();
        let attributes = BlockAttributes {
            timestamp: number,
            gas_limit: parent.gas_limit,
            beneficiary: Address::ZERO,
            new_l1_origin: None,
        };
        let mut header = child_header(7, &parent, &attributes);
        header.state_root = state_root;
        header.logs_bloom = bloom;
        BlockBundle {
            senders: vec![Address::ZERO; transactions.len()],
            block: Block {
                header,
                transactions,
            }
            .seal(),
            receipts,
            changes: Arc::new(changes),
            trie: trie.into(),
        }
    }
}

/// Seconds of each commit.
fn grow(store: &Store, blocks: u64, transfers: usize) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(1);
    let mut chain = Chain::default();
    let mut seconds = Vec::new();
    for _ in 0..blocks {
        let bundle = chain.block(store, &mut random, transfers);
        let start = Instant::now();
        store.commit(&bundle).unwrap();
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds
}

fn bytes_below(path: &Path) -> u64 {
    std::fs::read_dir(path)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                bytes_below(&entry.path())
            } else {
                metadata.len()
            }
        })
        .sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn commit(path: &Path, blocks: u64, transfers: usize) {
    let store = open(path);
    let seconds = grow(&store, blocks, transfers);
    let all = median(seconds);
    println!(
        "{blocks} blocks of {transfers} transfers: commit {:.3} ms a block (median), {:.2} us a transfer",
        all * 1e3,
        all * 1e6 / transfers as f64
    );
    drop(store);
    println!(
        "{} bytes of tables a transfer, journals left out",
        bytes_below(&path.join("db/keyspaces")) / (blocks * transfers as u64)
    );
}

/// Logs of one user over the whole chain: by the headers' bloom filters alone, and by the index.
fn logs(path: &Path, blocks: u64, transfers: usize) {
    let store = open(path);
    grow(&store, blocks, transfers);
    drop(store);
    let store = open(path);
    let last = store.head().unwrap().number;
    let matches = |number: u64, wanted: &[(usize, B256)]| {
        let block = store.block_with_receipts(number).unwrap().unwrap();
        block
            .receipts
            .iter()
            .flat_map(|receipt| &receipt.logs)
            .filter(|log| {
                wanted
                    .iter()
                    .all(|(position, topic)| log.topics()[*position] == *topic)
            })
            .count()
    };
    let absent = B256::repeat_byte(9);
    let some = user(7).into_word();
    for (name, wanted) in [
        ("transfers of a user", vec![(0, TRANSFER), (1, some)]),
        ("transfers of nobody", vec![(0, TRANSFER), (2, absent)]),
        ("all transfers", vec![(0, TRANSFER)]),
    ] {
        if wanted.len() == 1 && blocks * transfers as u64 > 400_000 {
            continue;
        }
        let start = Instant::now();
        let mut by_bloom = 0;
        for number in 0..=last {
            let bloom = store.header(number).unwrap().unwrap().logs_bloom;
            let all = bloom.contains_input(BloomInput::Raw(TOKEN.as_slice()))
                && wanted
                    .iter()
                    .all(|(_, topic)| bloom.contains_input(BloomInput::Raw(topic.as_slice())));
            if all {
                by_bloom += matches(number, &wanted);
            }
        }
        let bloom_time = start.elapsed();
        let topics: Vec<Vec<B256>> = (0..3)
            .map(|position| {
                let at = wanted.iter().filter(|(wanted, _)| *wanted == position);
                at.map(|(_, topic)| *topic).collect()
            })
            .collect();
        let query = weft_state::LogQuery::new([&TOKEN], &topics);
        let (mut next, mut by_index) = (0, 0);
        let start = Instant::now();
        while next <= last {
            let (found, searched) = store.blocks_with_logs(&query, next, last).unwrap();
            by_index += found
                .into_iter()
                .map(|number| matches(number, &wanted))
                .sum::<usize>();
            next = searched;
        }
        let index_time = start.elapsed();
        assert_eq!(by_bloom, by_index);
        println!(
            "{name}: {by_index} logs in {last} blocks, {:.1} ms by headers, {:.2} ms by the index",
            bloom_time.as_secs_f64() * 1e3,
            index_time.as_secs_f64() * 1e3
        );
    }
}

/// Proofs further and further back.
fn proofs(path: &Path, blocks: u64, transfers: usize) {
    let store = open(path);
    grow(&store, blocks, transfers);
    let last = store.head().unwrap().number;
    let mut back = 1;
    while back <= last {
        let start = Instant::now();
        let slot = U256::from_be_bytes(keccak256(user(7)).0);
        store
            .proof_at::<StateError>(last - back, TOKEN, &[slot], usize::MAX, || Ok(()))
            .unwrap()
            .unwrap();
        println!(
            "proof {back} blocks back: {:.2} ms",
            start.elapsed().as_secs_f64() * 1e3
        );
        back *= 4;
    }
}

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let what = arguments.next().unwrap_or_else(|| "commit".to_owned());
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    match what.as_str() {
        "commit" => commit(&path, number(200), number(500) as usize),
        "logs" => logs(&path, number(100_000), number(2) as usize),
        "proofs" => proofs(&path, number(300), number(500) as usize),
        other => panic!("expected commit, logs or proofs, found {other}"),
    }
}
