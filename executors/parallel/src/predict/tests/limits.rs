//! What callers can do to a predictor.

use alloy_primitives::keccak256;
use proptest::prelude::*;

use super::{
    super::{
        names::NamedPattern,
        pattern::Pattern,
        resolve::MAX_HASHES,
        table::Key,
        template::{MAX_PATTERNS, Template},
    },
    Address, Executed, Predictor, U256, address, entry, expects_meeting, predict, word,
};

fn hash(parts: [u64; 2]) -> U256 {
    let [one, two] = parts.map(u64::to_be_bytes);
    keccak256([one, two].concat()).into()
}

#[test]
fn observations_that_never_repeat_take_no_more_room() {
    let predictor = Predictor::new(16);
    let contract = address(100);
    let call = |round: u64, places: u64| {
        let mut call = Executed::call(address(round), contract, 1, &[word(hash([round, 0]))]);
        for place in 0..places {
            let account = Address::from_word(hash([round, place + 1]).into());
            call = call
                .with(account, hash([place, round]), true)
                .with(account, U256::from(round * 100 + place), false)
                .with(contract, hash([place, round]), true);
        }
        call
    };
    for round in 0..60 {
        call(round, 1 + round % 9).teach(&predictor);
    }
    call(1_000, 2_000).teach(&predictor);
    assert_eq!(predictor.table.read().len(), 1);
    let (prediction, names) = predict(&predictor, &call(2_000, 1).transaction);
    assert!(prediction.known);
    assert!(names.len() <= MAX_PATTERNS + 2);
    assert!(predictor.save().len() < MAX_PATTERNS * 110);
}

#[test]
fn searches_in_vain_come_to_an_end_and_what_was_found_stays() {
    let predictor = Predictor::new(16);
    let contract = address(100);
    // The sender's balance, and a slot that nothing explains.
    let call = |sender: u64| {
        let balance = entry(3, address(sender).into_word());
        Executed::call(address(sender), contract, 1, &[])
            .with(contract, balance, true)
            .with(contract, hash([sender, 0]), false)
    };
    let budget = || {
        let table = predictor.table.read();
        let (_, template, _) = table.iter().next().unwrap();
        template.budget()
    };
    call(0).teach(&predictor);
    let first = budget();
    for sender in 1..40 {
        let before = budget();
        call(sender).teach(&predictor);
        assert!(budget() < before || before == 0);
    }
    assert!(first > 0 && budget() == 0);
    let (one, other) = (call(50), call(51));
    assert!(!expects_meeting(&predictor, &one, &other));
    assert!(expects_meeting(&predictor, &one, &one));
    let (_, names) = predict(&predictor, &one.transaction);
    assert_eq!(names.values().filter(|write| **write).count(), 2);
}

#[test]
fn what_needs_no_search_leaves_it_to_others() {
    let predictor = Predictor::new(16);
    let contract = address(100);
    let call = |sender: u64| {
        let argument = hash([sender, 0]);
        Executed::call(address(sender), contract, 1, &[word(argument)])
            .with(contract, argument, true)
            .with(contract, address(sender).into_word().into(), true)
            .with(contract, U256::from(5), true)
    };
    for sender in 0..5 {
        call(sender).teach(&predictor);
    }
    let table = predictor.table.read();
    let (_, template, _) = table.iter().next().unwrap();
    assert_eq!(template.budget(), MAX_HASHES);
}

#[test]
fn a_template_takes_as_much_room_as_is_said() {
    let pattern = size_of::<Pattern>() + size_of::<NamedPattern>();
    let entry = 2 * size_of::<(Key, Template)>() + 100;
    assert!(MAX_PATTERNS * pattern + entry < 8 << 10);
}

#[test]
fn a_search_that_finds_something_lets_others_follow() {
    let predictor = Predictor::new(16);
    let contract = address(100);
    let call = |sender: u64, slot: U256| {
        Executed::call(address(sender), contract, 1, &[]).with(contract, slot, true)
    };
    let budget = || {
        let table = predictor.table.read();
        let (_, template, _) = table.iter().next().unwrap();
        template.budget()
    };
    for sender in 0..3 {
        call(sender, hash([sender, 0])).teach(&predictor);
    }
    let before = budget();
    call(3, entry(1, address(3).into_word())).teach(&predictor);
    assert!(budget() > before);
}

#[test]
fn what_is_often_right_stays_in_a_full_template() {
    let predictor = Predictor::new(16);
    let contract = address(100);
    let full = |sender: u64| {
        (0..MAX_PATTERNS).fold(
            Executed::call(address(sender), contract, 1, &[]),
            |call, slot| call.with(contract, U256::from(slot), true),
        )
    };
    for sender in 0..10 {
        full(sender).teach(&predictor);
    }
    let (_, names) = predict(&predictor, &full(20).transaction);
    for sender in 10..20 {
        full(sender)
            .with(contract, U256::from(1_000 + sender), true)
            .teach(&predictor);
        assert_eq!(predict(&predictor, &full(20).transaction).1, names);
    }
}

/// Among slots that differ from call to call, more of them than can be noted.
#[test]
fn a_variable_is_found_among_many_slots_that_nothing_explains() {
    let predictor = Predictor::new(16);
    let contract = address(100);
    let variable = hash([0, 0]);
    let call = |sender: u64| {
        let call = Executed::call(address(sender), contract, 1, &[]);
        (0..20).fold(call, |call, place| match place {
            12 => call.with(contract, variable, true),
            _ => call.with(contract, hash([sender, place + 1]), false),
        })
    };
    let writer = |sender: u64| {
        Executed::call(address(sender), contract, 2, &[]).with(contract, variable, true)
    };
    for sender in 1..30 {
        call(sender).teach(&predictor);
        writer(sender).teach(&predictor);
    }
    let (_, names) = predict(&predictor, &call(40).transaction);
    let (_, others) = predict(&predictor, &writer(41).transaction);
    let shared = names
        .iter()
        .filter(|(name, write)| **write && others.contains_key(name));
    assert_eq!(shared.count(), 1);
}

#[test]
fn a_flood_of_new_calls_leaves_what_is_in_use() {
    let predictor = Predictor::new(64);
    let call = |contract: u64| {
        Executed::call(address(1), address(contract), 1, &[]).with(
            address(contract),
            U256::from(1),
            true,
        )
    };
    let known = |contract: u64| predict(&predictor, &call(contract).transaction).0.known;
    // In use in several blocks.
    for contract in 0..40 {
        call(contract).teach(&predictor);
    }
    for _ in 0..3 {
        assert!((0..40).all(known));
    }
    // A block full of others, which are of use in that block only.
    let mut flood = 1_000..;
    for contract in flood.by_ref().take(1_000) {
        call(contract).teach(&predictor);
        assert!(predictor.table.read().len() <= 64);
    }
    assert_eq!((0..40).filter(|contract| known(*contract)).count(), 40);
    // Those that come into use find room, and those that go out of use give it.
    let last: Vec<u64> = (0..16).map(|step| 5_000 + step).collect();
    for contract in &last {
        call(*contract).teach(&predictor);
        assert!(known(*contract));
    }
    for _ in 0..3 {
        assert!(last.iter().all(|contract| known(*contract)));
    }
    for contract in flood.take(1_000) {
        call(contract).teach(&predictor);
    }
    assert!(last.iter().all(|contract| known(*contract)));
    assert!(predictor.table.read().len() <= 64);
}

#[test]
fn what_is_used_now_stays_before_what_was_used_once() {
    let predictor = Predictor::new(8);
    let call = |contract: u64| Executed::call(address(1), address(contract), 1, &[]);
    let known = |contract: u64| predict(&predictor, &call(contract).transaction).0.known;
    // Six with a place of their own, and two new ones that were of use in two blocks.
    for contract in 0..8 {
        call(contract).teach(&predictor);
    }
    for _ in 0..2 {
        assert!((6..8).all(known));
    }
    for _ in 0..3 {
        assert!((0..6).all(known));
    }
    for contract in 8..10 {
        call(contract).teach(&predictor);
    }
    assert!((0..6).all(known));
    assert!(!(6..8).any(known));
}

#[test]
fn any_capacity_will_do() {
    for capacity in 0..10 {
        let predictor = Predictor::new(capacity);
        for contract in 0..20 {
            Executed::call(address(1), address(contract), 1, &[])
                .with(address(contract), U256::from(1), true)
                .teach(&predictor);
            assert!(predictor.table.read().len() <= capacity.max(1));
        }
        let last = Executed::call(address(1), address(19), 1, &[]);
        assert!(predict(&predictor, &last.transaction).0.known);
    }
}

#[test]
fn threads_may_share_it() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    is_shared(&Predictor::new(1));
}

proptest! {
    /// Whatever calldata is, and whatever was seen.
    #[test]
    fn anything_can_be_learned(
        calls in prop::collection::vec(
            (
                prop::collection::vec(any::<u8>(), 0..100),
                prop::collection::vec((any::<u8>(), any::<[u8; 32]>(), any::<bool>()), 0..12),
            ),
            1..6,
        ),
    ) {
        let predictor = Predictor::new(8);
        for (input, slots) in calls {
            let mut call = Executed::new(address(1), address(2), 0, input);
            for (account, slot, write) in slots {
                call = call.with(Address::repeat_byte(account), U256::from_be_bytes(slot), write);
            }
            call.teach(&predictor);
            predict(&predictor, &call.transaction);
        }
    }
}
