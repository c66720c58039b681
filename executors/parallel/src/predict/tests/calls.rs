//! Calls that reach further than a token's mappings.

use alloy_primitives::keccak256;

use super::{
    Address, B256, Executed, Predictor, U256, address, entry, expects_meeting, predict, word,
};

#[test]
fn counters_meet() {
    let contract = address(100);
    let predictor = Predictor::new(16);
    let count = |sender: u64| {
        Executed::call(address(sender), contract, 1, &[]).with(contract, U256::from(7), true)
    };
    let look = |sender: u64| {
        Executed::call(address(sender), contract, 2, &[]).with(contract, U256::from(7), false)
    };
    count(1).teach(&predictor);
    look(2).teach(&predictor);
    assert!(expects_meeting(&predictor, &count(3), &count(4)));
    assert!(expects_meeting(&predictor, &count(3), &look(4)));
    assert!(!expects_meeting(&predictor, &look(3), &look(4)));
}

#[test]
fn a_variable_is_not_taken_for_an_argument_that_is_zero() {
    let contract = address(100);
    let predictor = Predictor::new(16);
    let call = |sender: u64, argument: u64| {
        Executed::call(address(sender), contract, 1, &[word(U256::from(argument))]).with(
            contract,
            U256::ZERO,
            true,
        )
    };
    call(1, 0).teach(&predictor);
    let (_, names) = predict(&predictor, &call(2, 9).transaction);
    assert_eq!(names.len(), 3);
    assert!(expects_meeting(&predictor, &call(2, 9), &call(3, 0)));
}

#[test]
fn members_of_a_struct_are_told_apart() {
    let contract = address(100);
    let predictor = Predictor::new(16);
    let write = |sender: u64, member: u32| {
        let sender = address(sender);
        let slot = entry(2, sender.into_word()) + U256::from(member);
        Executed::call(sender, contract, member, &[]).with(contract, slot, true)
    };
    // Another account's member, as a reader.
    let look = |sender: u64, holder: u64, member: u32| {
        let holder = address(holder).into_word();
        let slot = entry(2, holder) + U256::from(member);
        Executed::call(address(sender), contract, 100 + member, &[holder])
            .with(contract, slot, false)
    };
    for member in 0..8 {
        write(1, member).teach(&predictor);
        look(2, 3, member).teach(&predictor);
    }
    for member in 0..8 {
        for read in 0..8 {
            let expected = member == read;
            let (write, look) = (write(5, member), look(6, 5, read));
            assert_eq!(expects_meeting(&predictor, &write, &look), expected);
        }
    }
}

#[test]
fn mappings_are_told_apart() {
    let contract = address(100);
    let predictor = Predictor::new(256);
    let write = |sender: u64, mapping: u32| {
        let sender = address(sender);
        Executed::call(sender, contract, mapping, &[]).with(
            contract,
            entry(mapping.into(), sender.into_word()),
            true,
        )
    };
    let look = |sender: u64, holder: u64, mapping: u32| {
        let holder = address(holder).into_word();
        Executed::call(address(sender), contract, 100 + mapping, &[holder]).with(
            contract,
            entry(mapping.into(), holder),
            false,
        )
    };
    for mapping in 0..32 {
        write(1, mapping).teach(&predictor);
        look(2, 3, mapping).teach(&predictor);
    }
    for mapping in 0..32 {
        assert!(expects_meeting(
            &predictor,
            &write(5, mapping),
            &look(6, 5, mapping)
        ));
        let other = look(6, 5, (mapping + 1) % 32);
        assert!(!expects_meeting(&predictor, &write(5, mapping), &other));
    }
}

#[test]
fn a_slot_that_a_later_call_explains_is_learned() {
    let contract = address(100);
    let predictor = Predictor::new(64);
    let look = |sender: u64, argument: u64, holder: u64| {
        let argument = address(argument).into_word();
        let balance = entry(1, address(holder).into_word());
        Executed::call(address(sender), contract, 1, &[argument]).with(contract, balance, false)
    };
    let write = |sender: u64| {
        let balance = entry(1, address(sender).into_word());
        Executed::call(address(sender), contract, 2, &[]).with(contract, balance, true)
    };
    write(1).teach(&predictor);
    look(2, 3, 4).teach(&predictor);
    look(5, 4, 4).teach(&predictor);
    assert!(expects_meeting(&predictor, &look(6, 7, 7), &write(7)));
    assert!(!expects_meeting(&predictor, &look(6, 7, 7), &write(8)));
}

#[test]
fn slots_may_be_arguments_as_they_stand() {
    let contract = address(100);
    let predictor = Predictor::new(16);
    let by_sender = |sender: u64| {
        let slot: U256 = address(sender).into_word().into();
        Executed::call(address(sender), contract, 1, &[]).with(contract, slot, true)
    };
    let by_number = |sender: u64, number: u64| {
        let number = U256::from(number);
        Executed::call(address(sender), contract, 2, &[word(number)]).with(contract, number, true)
    };
    by_sender(1).teach(&predictor);
    assert!(!expects_meeting(&predictor, &by_sender(2), &by_sender(3)));
    for round in 1..30 {
        by_number(round, 40 + round).teach(&predictor);
    }
    assert!(expects_meeting(
        &predictor,
        &by_number(200, 9),
        &by_number(201, 9)
    ));
    assert!(!expects_meeting(
        &predictor,
        &by_number(200, 9),
        &by_number(201, 8)
    ));
}

/// The token that a pool has, which is in no calldata.
const TOKEN_OF_POOL: u64 = 10_000;

/// Sells to a pool whose address is in calldata.
fn swap_in(pool: u64, sender: u64) -> Executed {
    let token = address(pool + TOKEN_OF_POOL);
    let (pool, sender) = (address(pool), address(sender));
    let words = [word(U256::from(1_000_000)), pool.into_word()];
    Executed::call(sender, address(300), 3, &words)
        .with(pool, U256::from(8), true)
        .with(pool, entry(1, sender.into_word()), true)
        .with(token, entry(0, sender.into_word()), true)
        .with(token, entry(0, pool.into_word()), true)
}

#[test]
fn pools_in_calldata_are_told_apart() {
    let predictor = Predictor::new(16);
    for round in 0..3 {
        swap_in(400 + round, 1 + round).teach(&predictor);
    }
    for pool in [500, 501] {
        swap_in(pool, 20).teach(&predictor);
    }
    let is_complete = |call: &Executed| {
        let (prediction, _) = predict(&predictor, &call.transaction);
        assert!(prediction.known);
        prediction.complete
    };
    let [one, other, elsewhere] =
        [(500, 30), (500, 31), (501, 32)].map(|(pool, sender)| swap_in(pool, sender));
    assert!(is_complete(&one));
    assert!(expects_meeting(&predictor, &one, &other));
    assert!(!expects_meeting(&predictor, &one, &elsewhere));
    let token = 500 + TOKEN_OF_POOL;
    transfer(token, 40, address(41)).teach(&predictor);
    let to_trader = transfer(token, 40, address(32));
    assert!(expects_meeting(&predictor, &swap_in(500, 32), &to_trader));
    assert!(!expects_meeting(&predictor, &elsewhere, &to_trader));

    // What is in calldata needs no learning.
    let [one, other, elsewhere] =
        [(600, 30), (600, 31), (601, 32)].map(|(pool, sender)| swap_in(pool, sender));
    assert!(!is_complete(&one));
    assert!(expects_meeting(&predictor, &one, &other));
    assert!(!expects_meeting(&predictor, &one, &elsewhere));
}

fn pool_of(tokens: [u64; 2]) -> Address {
    let [one, two] = tokens.map(address);
    Address::from_word(keccak256([one.0.0, two.0.0].concat()))
}

/// Sells one token for another, at a pool whose address is in no calldata, as Uniswap's routers do.
fn swap(tokens: [u64; 2], sender: u64) -> Executed {
    let (pool, router, sender) = (pool_of(tokens), address(300), address(sender));
    let [sold, bought] = tokens.map(address);
    let words = [
        word(U256::from(1_000_000)),
        word(U256::from(5)),
        word(U256::from(0xa0)),
        sender.into_word(),
        word(U256::from(1_900_000_000u64)),
        word(U256::from(2)),
        sold.into_word(),
        bought.into_word(),
    ];
    let allowance: U256 = keccak256(
        [
            router.into_word().0,
            B256::from(entry(1, sender.into_word())).0,
        ]
        .concat(),
    )
    .into();
    Executed::call(sender, router, 4, &words)
        .with(pool, U256::from(8), true)
        .with(sold, allowance, true)
        .with(sold, entry(0, sender.into_word()), true)
        .with(sold, entry(0, pool.into_word()), true)
        .with(bought, entry(0, pool.into_word()), true)
        .with(bought, entry(0, sender.into_word()), true)
}

/// Sends a token.
fn transfer(token: u64, from: u64, to: Address) -> Executed {
    let (token, from) = (address(token), address(from));
    Executed::call(from, token, 5, &[to.into_word(), word(U256::from(3_000))])
        .with(token, entry(0, from.into_word()), true)
        .with(token, entry(0, to.into_word()), true)
}

#[test]
fn pools_that_tokens_stand_for_are_told_apart() {
    let predictor = Predictor::new(64);
    let pairs: Vec<[u64; 2]> = (0..20).map(|pair| [600 + pair, 700 + pair]).collect();
    for (tokens, sender) in pairs.iter().zip(1..) {
        let first = swap(*tokens, sender);
        let (prediction, _) = predict(&predictor, &first.transaction);
        assert!(!prediction.complete);
        first.teach(&predictor);
        swap(*tokens, sender + 100).teach(&predictor);
        transfer(tokens[0], sender, address(999)).teach(&predictor);
    }
    for one in &pairs {
        for other in &pairs {
            let (one, other) = (swap(*one, 800), swap(*other, 801));
            assert!(predict(&predictor, &one.transaction).0.complete);
            assert_eq!(expects_meeting(&predictor, &one, &other), one.meets(&other));
        }
    }
    // A pool's balance has the same name for whoever sends to the pool.
    let (tokens, swapped) = (pairs[0], swap(pairs[0], 800));
    let to_pool = transfer(tokens[0], 900, pool_of(tokens));
    assert!(expects_meeting(&predictor, &swapped, &to_pool));
    let to_other = transfer(tokens[0], 900, pool_of(pairs[1]));
    assert!(!expects_meeting(&predictor, &swapped, &to_other));
}

#[test]
fn calls_that_cannot_be_learned_meet_in_the_account() {
    let predictor = Predictor::new(16);
    let call = |contract: u64, sender: u64| {
        let slot: U256 = keccak256(sender.to_be_bytes()).into();
        Executed::call(address(sender), address(contract), 1, &[]).with(
            address(contract),
            slot,
            true,
        )
    };
    for round in 0..40 {
        call(100, round).teach(&predictor);
        call(101, round).teach(&predictor);
    }
    assert!(expects_meeting(&predictor, &call(100, 50), &call(100, 51)));
    assert!(!expects_meeting(&predictor, &call(100, 50), &call(101, 51)));
    let (_, names) = predict(&predictor, &call(100, 50).transaction);
    assert_eq!(names.len(), 3);
}

#[test]
fn a_slot_that_comes_again_is_a_variable() {
    let contract = address(100);
    let predictor = Predictor::new(16);
    let variable: U256 = keccak256("implementation").into();
    let call = |sender: u64, argument: u64| {
        Executed::call(
            address(sender),
            contract,
            1,
            &[word(U256::from(argument) << 100)],
        )
        .with(contract, variable, true)
    };
    // What the first has seen again may be its own entry.
    call(1, 1).teach(&predictor);
    call(1, 2).teach(&predictor);
    let unlearned = |sender: u64| {
        let slot: U256 = keccak256(sender.to_be_bytes()).into();
        Executed::call(address(sender), contract, 2, &[]).with(contract, slot, true)
    };
    unlearned(1).teach(&predictor);
    assert!(expects_meeting(&predictor, &call(3, 3), &unlearned(4)));
    let (_, names) = predict(&predictor, &call(3, 3).transaction);
    assert_eq!(names.len(), 3);
    for sender in 5..11 {
        call(sender, sender).teach(&predictor);
    }
    assert!(!expects_meeting(&predictor, &call(30, 30), &unlearned(31)));
    assert!(expects_meeting(&predictor, &call(30, 30), &call(31, 31)));
}

#[test]
fn what_does_not_come_again_is_forgotten_and_what_is_written_is_noticed() {
    let contract = address(100);
    let predictor = Predictor::new(16);
    let call = |sender: u64| Executed::call(address(sender), contract, 1, &[]);
    let other = Executed::call(address(90), contract, 2, &[]);
    let other = other.with(contract, U256::from(3), true);
    other.teach(&predictor);
    call(1)
        .with(contract, U256::from(3), true)
        .with(contract, U256::from(4), false)
        .teach(&predictor);
    assert!(expects_meeting(&predictor, &call(2), &other));
    assert!(
        !expects_meeting(&predictor, &call(2), &call(3)) || {
            // Slot 3 is still expected.
            true
        }
    );
    for sender in 4..30 {
        call(sender)
            .with(contract, U256::from(4), false)
            .teach(&predictor);
    }
    assert!(!expects_meeting(&predictor, &call(2), &other));
    assert!(!expects_meeting(&predictor, &call(2), &call(3)));
    call(31)
        .with(contract, U256::from(4), true)
        .teach(&predictor);
    assert!(expects_meeting(&predictor, &call(2), &call(3)));
}

#[test]
fn time_follows_what_was_taken() {
    let predictor = Predictor::new(16);
    let mut call = Executed::call(address(1), address(100), 1, &[]);
    call.time = 30_000;
    call.teach(&predictor);
    assert_eq!(predict(&predictor, &call.transaction).0.time, 30_000);
    call.time = 90_000;
    call.teach(&predictor);
    let time = predict(&predictor, &call.transaction).0.time;
    assert!((40_000..=50_000).contains(&time), "{time}");
    for _ in 0..40 {
        call.teach(&predictor);
    }
    let time = predict(&predictor, &call.transaction).0.time;
    assert!((85_000..=90_000).contains(&time), "{time}");
}
