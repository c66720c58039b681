//! The workloads are what their names say, and every contestant agrees on them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256};
use weft_bench::{Crafted, PlainBlock, Scenario, Workload, check_execution, check_plain};
use weft_executor_core::{InvalidTransaction, MemoryState};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{BlockExecution, execute_sequential};

const COUNT: usize = 60;

fn execute(scenario: &Scenario) -> BlockExecution {
    execute_sequential(
        &EvmLayer::new(),
        &scenario.block,
        &scenario.transactions,
        scenario.base.clone(),
    )
    .unwrap()
}

fn sender_and_target(scenario: &Scenario) -> Vec<(Address, Address)> {
    scenario
        .transactions
        .iter()
        .map(|tx| (tx.signer(), tx.to().unwrap()))
        .collect()
}

fn distinct<T: Ord>(items: impl IntoIterator<Item = T>) -> usize {
    items.into_iter().collect::<BTreeSet<_>>().len()
}

/// For each transaction, the slots that only executing it on the base state writes.
fn slots_written(scenario: &Scenario) -> Vec<BTreeSet<(Address, U256)>> {
    let layer = EvmLayer::new();
    scenario
        .transactions
        .iter()
        .map(|transaction| {
            let alone = std::slice::from_ref(transaction);
            let state = scenario.base.clone();
            let result = execute_sequential(&layer, &scenario.block, alone, state).unwrap();
            assert_eq!(result.dropped, []);
            let accounts = result.changes.accounts.into_iter();
            accounts
                .flat_map(|(address, change)| {
                    change
                        .storage
                        .into_iter()
                        .map(move |(slot, _)| (address, slot))
                })
                .collect()
        })
        .collect()
}

/// How many transactions write each slot.
fn writers(written: &[BTreeSet<(Address, U256)>]) -> BTreeMap<(Address, U256), usize> {
    let mut writers = BTreeMap::new();
    for slot in written.iter().flatten() {
        *writers.entry(*slot).or_default() += 1;
    }
    writers
}

#[test]
fn every_transaction_is_included_and_succeeds_and_plain_revm_agrees() {
    let crafted = Crafted::ALL.map(Workload::Crafted);
    for workload in Workload::ALL.into_iter().chain(crafted) {
        let scenario = workload.generate(7, COUNT).unwrap();
        assert_eq!(scenario.transactions.len(), COUNT, "{workload}");
        let oracle = execute(&scenario);
        assert_eq!(oracle.dropped, [], "{workload}");
        assert_eq!(oracle.receipts.len(), COUNT, "{workload}");
        assert!(
            oracle.receipts.iter().all(|receipt| receipt.success),
            "{workload}"
        );
        let (_, plain) = PlainBlock::new(&scenario).run().unwrap();
        check_plain(&scenario.block, &oracle, &plain)
            .unwrap_or_else(|mismatch| panic!("{workload}: {mismatch}"));
    }
}

#[test]
fn a_wrong_result_of_the_plain_loop_is_found() {
    let scenario = Workload::Erc20.generate(7, 3).unwrap();
    let oracle = execute(&scenario);
    let run = || PlainBlock::new(&scenario).run().unwrap().1;
    let check = |plain: &_| check_plain(&scenario.block, &oracle, plain);
    assert!(check(&run()).is_ok());

    let mut plain = run();
    plain.results.pop();
    assert!(check(&plain).is_err(), "a result is missing");

    let mut plain = run();
    plain.results.swap(0, 1);
    assert!(check(&plain).is_err(), "logs are in another order");

    let token = scenario.transactions[0].to().unwrap();
    let mut plain = run();
    for value in plain
        .state
        .cache
        .accounts
        .get_mut(&token)
        .unwrap()
        .storage
        .values_mut()
    {
        *value += U256::ONE;
    }
    assert!(check(&plain).is_err(), "slots differ");

    let mut plain = run();
    let sender = scenario.transactions[0].signer();
    plain
        .state
        .cache
        .accounts
        .get_mut(&sender)
        .unwrap()
        .info
        .nonce += 1;
    assert!(check(&plain).is_err(), "an account differs");
}

#[test]
fn a_wrong_result_of_the_engine_is_found() {
    let scenario = Workload::Erc20.generate(7, 3).unwrap();
    let oracle = execute(&scenario);
    let check = |wrong: fn(&mut BlockExecution)| {
        let mut found = execute(&scenario);
        wrong(&mut found);
        check_execution(&oracle, &found)
    };
    assert_eq!(check(|_| {}), Ok(()));
    for (what, wrong) in [
        (
            "a receipt is missing",
            (|found| drop(found.receipts.pop())) as fn(&mut BlockExecution),
        ),
        ("receipts in another order", |found| {
            found.receipts.swap(0, 1);
        }),
        ("a receipt says failure", |found| {
            found.receipts[2].success = false;
        }),
        ("gas", |found| found.gas_used += 1),
        ("a transaction is left out too", |found| {
            let reason = InvalidTransaction::UnsupportedType;
            found.dropped.push((1, reason));
        }),
        ("an account is missing", |found| {
            found.changes.accounts = found.changes.accounts.clone().into_iter().skip(1).collect();
        }),
    ] {
        assert!(check(wrong).is_err(), "{what}");
    }
}

#[test]
fn the_seed_decides_everything() {
    fn parts(state: &MemoryState) -> impl PartialEq + use<'_> {
        (&state.accounts, &state.storage, &state.code)
    }
    for workload in Workload::ALL {
        let [first, again, other] = [3, 3, 4].map(|seed| workload.generate(seed, COUNT).unwrap());
        assert!(parts(&first.base) == parts(&again.base), "{workload}");
        assert_eq!(first.block, again.block, "{workload}");
        let hashes = |scenario: &Scenario| -> Vec<_> {
            let transactions = scenario.transactions.iter();
            transactions.map(|tx| (tx.signer(), tx.hash())).collect()
        };
        assert_eq!(hashes(&first), hashes(&again), "{workload}");
        assert_ne!(hashes(&first), hashes(&other), "{workload}");
        assert!(parts(&first.base) != parts(&other.base), "{workload}");
    }
}

#[test]
fn transfers_meet_as_their_names_say() {
    let pairs = |workload: Workload| sender_and_target(&workload.generate(7, COUNT).unwrap());

    let independent = pairs(Workload::Transfers);
    let addresses = independent.iter().flat_map(|(from, to)| [from, to]);
    assert_eq!(distinct(addresses), 2 * COUNT);

    let hot = pairs(Workload::TransfersHot);
    assert_eq!(distinct(hot.iter().map(|(from, _)| from)), COUNT);
    assert_eq!(distinct(hot.iter().map(|(_, to)| to)), 1);

    let chain = pairs(Workload::TransfersChain);
    assert_eq!(distinct(chain.iter().map(|(from, _)| from)), 1);
    assert_eq!(distinct(chain.iter().map(|(_, to)| to)), COUNT);

    let many = Workload::TransfersRandom.generate(7, 20_000).unwrap();
    assert_eq!(many.base.accounts.len(), 10_000);
    let pairs = sender_and_target(&many);
    assert!(pairs.iter().all(|(from, to)| from != to));
    // Of 10,000 accounts 20,000 draws with replacement leave out a share of e^-2.
    for side in [
        distinct(pairs.iter().map(|(from, _)| from)),
        distinct(pairs.iter().map(|(_, to)| to)),
    ] {
        assert!((8_400..8_900).contains(&side), "{side} of 10,000 drawn");
    }
}

#[test]
fn erc20_transfers_meet_as_their_names_say() {
    for (workload, senders) in [(Workload::Erc20, COUNT), (Workload::Erc20Hot, COUNT)] {
        let pairs = sender_and_target(&workload.generate(7, COUNT).unwrap());
        assert_eq!(distinct(pairs.iter().map(|(from, _)| from)), senders);
        assert_eq!(distinct(pairs.iter().map(|(_, token)| token)), 1);
    }

    let written = slots_written(&Workload::Erc20.generate(7, COUNT).unwrap());
    assert!(written.iter().all(|slots| slots.len() == 2));
    assert!(writers(&written).into_values().all(|count| count == 1));

    let written = slots_written(&Workload::Erc20Hot.generate(7, COUNT).unwrap());
    let writers = writers(&written);
    assert_eq!(writers.len(), COUNT + 1);
    assert_eq!(writers.values().filter(|count| **count == COUNT).count(), 1);

    let random = Workload::Erc20Random.generate(7, 2_000).unwrap();
    let token = random.transactions[0].to().unwrap();
    // 10,000 balances and the supply.
    assert_eq!(random.base.storage[&token].len(), 10_001);
    let senders = distinct(random.transactions.iter().map(|tx| tx.signer()));
    assert!((1_700..1_900).contains(&senders), "{senders} of 2,000");
}

/// The pair that each trade names in its calldata: the first argument of `trade`.
fn pairs_named(scenario: &Scenario) -> Vec<Address> {
    let transactions = scenario.transactions.iter();
    transactions
        .map(|tx| Address::from_slice(&tx.input()[16..36]))
        .collect()
}

#[test]
fn swaps_meet_as_their_names_say() {
    let own = Workload::Amm.generate(7, COUNT).unwrap();
    assert_eq!(distinct(pairs_named(&own)), COUNT);
    let written = slots_written(&own);
    assert!(writers(&written).into_values().all(|count| count == 1));

    let one = Workload::AmmOne.generate(7, COUNT).unwrap();
    assert_eq!(
        distinct(one.transactions.iter().map(|tx| tx.signer())),
        COUNT
    );
    let pairs = pairs_named(&one);
    assert_eq!(distinct(&pairs), 1);
    let written = slots_written(&one);
    // Its reserves, both sums of prices, and its balances of both tokens.
    let by_all = writers(&written);
    let by_all = by_all.iter().filter(|(_, count)| **count == COUNT);
    let of_pair = by_all
        .clone()
        .filter(|((address, _), _)| *address == pairs[0]);
    assert_eq!((by_all.count(), of_pair.count()), (5, 3));

    let hundred = Workload::Amm100.generate(7, 300).unwrap();
    // 300 draws from 100 leave out a share of e^-3.
    let used = distinct(pairs_named(&hundred));
    assert!((88..=100).contains(&used), "{used} of 100 pairs");
}

#[test]
fn crafted_blocks_meet_as_their_names_say() {
    let most_writers = |scenario: &Scenario| {
        let writers = writers(&slots_written(scenario));
        writers.into_values().max().unwrap_or(0)
    };
    for (crafted, most, lanes) in [
        (Crafted::HotSlot, 12, 1),
        (Crafted::Turned, 12, 1),
        (Crafted::HeavyWriter, 1, 1),
        (Crafted::BeneficiaryReads, 0, 1),
        (Crafted::HeavyPairs, 2, 6),
        (Crafted::FalseLists, 1, 12),
        (Crafted::Threshold, 12, 1),
    ] {
        let workload = Workload::Crafted(crafted);
        let scenario = workload.generate(7, 12).unwrap();
        assert_eq!(most_writers(&scenario), most, "{workload}");
        let found = execute(&scenario).conflicts().lanes;
        assert_eq!(found, lanes, "{workload}");
    }

    // What the engine has learned by then is of the same contract and the same calls.
    let turned = Workload::Crafted(Crafted::Turned);
    let (lure, block) = (turned.lure(7, 12).unwrap(), turned.generate(7, 12).unwrap());
    assert_eq!(most_writers(&lure), 1);
    assert_eq!(sender_and_target(&lure), sender_and_target(&block));
    assert!(Workload::Erc20.lure(7, 12).is_none());
}

#[test]
fn a_swap_is_heavy() {
    let gas = |workload: Workload| execute(&workload.generate(7, 20).unwrap()).gas_used / 20;
    let (transfer, swap) = (gas(Workload::Erc20), gas(Workload::Amm));
    assert!(swap > 10 * transfer, "{swap} and {transfer} gas");
}

#[test]
fn lanes_are_what_the_names_say() {
    for (workload, transactions, lanes) in [
        (Workload::Transfers, 50, 50),
        (Workload::TransfersHot, 50, 50),
        (Workload::TransfersChain, 50, 1),
        (Workload::Erc20, 50, 50),
        (Workload::Erc20Hot, 50, 1),
        (Workload::Amm, 5, 5),
        (Workload::AmmOne, 5, 1),
    ] {
        let scenario = workload.generate(7, transactions).unwrap();
        let found = execute(&scenario).conflicts().lanes;
        assert_eq!(found, lanes, "{}", workload.name());
    }
}
