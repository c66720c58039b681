//! What is kept across restarts.

use alloy_primitives::keccak256;
use proptest::prelude::*;

use super::{
    super::{PredictorError, encoding::checksum},
    Executed, Predictor, U256, address, entry, expects_meeting, predict, word,
};

/// A call of one of some contracts, at places that numbers stand for.
fn call(contract: u64, sender: u64, selector: u32, places: &[(u8, bool)]) -> Executed {
    let (contract, sender) = (address(1_000 + contract), address(sender));
    let argument = address(2_000 + u64::from(selector)).into_word();
    let mut call = Executed::call(sender, contract, selector, &[argument]);
    for (place, write) in places {
        let number = U256::from(*place);
        let slot = match place % 6 {
            0 => number,
            1 => entry(u64::from(place / 16), sender.into_word()) + number / U256::from(60),
            2 => entry(u64::from(place / 16), argument),
            3 => keccak256([*place]).into(),
            4 => keccak256([argument.0, word(entry(1, sender.into_word())).0].concat()).into(),
            _ => sender.into_word().into(),
        };
        let account = match place % 4 {
            0 => address(2_000 + u64::from(selector)),
            1 => address(u64::from(*place)),
            _ => contract,
        };
        call = call.with(account, slot, *write);
    }
    call
}

fn calls() -> impl Strategy<Value = Vec<Executed>> {
    let places = prop::collection::vec((any::<u8>(), any::<bool>()), 0..8);
    let call = (0..6u64, 0..9u64, 0..3u32, places)
        .prop_map(|(contract, sender, selector, places)| call(contract, sender, selector, &places));
    prop::collection::vec(call, 1..20)
}

fn taught(calls: &[Executed], capacity: usize) -> Predictor {
    let predictor = Predictor::new(capacity);
    for call in calls {
        call.teach(&predictor);
        predict(&predictor, &call.transaction);
    }
    predictor
}

/// Puts the right checksum behind the bytes.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    body.extend(checksum(&body).to_le_bytes());
    body
}

proptest! {
    #[test]
    fn what_was_saved_is_restored(calls in calls(), capacity in 1..20usize) {
        let predictor = taught(&calls, capacity);
        let saved = predictor.save();
        let restored = Predictor::restore(&saved, capacity).unwrap();
        prop_assert_eq!(restored.save(), saved.clone());
        {
            let (table, other) = (predictor.table.read(), restored.table.read());
            prop_assert!(table.iter().eq(other.iter()));
        }
        for one in &calls {
            let expected = predict(&predictor, &one.transaction).0;
            prop_assert_eq!(predict(&restored, &one.transaction).0, expected);
            for other in &calls {
                prop_assert_eq!(
                    expects_meeting(&restored, one, other),
                    expects_meeting(&predictor, one, other)
                );
            }
        }
        let smaller = Predictor::restore(&saved, capacity / 2).unwrap();
        prop_assert!(smaller.table.read().len() <= (capacity / 2).max(1));
    }

    #[test]
    fn bytes_that_were_not_saved_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Predictor::restore(&bytes, 10).is_err());
    }

    #[test]
    fn damage_is_noticed(calls in calls(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut saved = taught(&calls, 20).save();
        let at = at.index(saved.len());
        saved[at] ^= 1 << bit;
        prop_assert!(Predictor::restore(&saved, 20).is_err());
        saved[at] ^= 1 << bit;
        saved.truncate(at);
        prop_assert!(Predictor::restore(&saved, 20).is_err());
    }

    /// Whoever makes the checksum right may teach nonsense and nothing worse.
    #[test]
    fn nonsense_is_refused_or_harmless(
        calls in calls(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut body = taught(&calls, 20).save();
        body.truncate(body.len() - 8);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if cut {
            body.truncate(end.index(body.len()));
        }
        if let Ok(predictor) = Predictor::restore(&sealed(body), 5) {
            prop_assert!(predictor.table.read().len() <= 5);
            for call in &calls {
                predict(&predictor, &call.transaction);
                call.teach(&predictor);
            }
            prop_assert!(Predictor::restore(&predictor.save(), 5).is_ok());
        }
    }

    #[test]
    fn random_templates_are_refused_or_harmless(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        count in 0..4u32,
    ) {
        let mut body = vec![1];
        body.extend(count.to_le_bytes());
        body.extend(bytes);
        if let Ok(predictor) = Predictor::restore(&sealed(body), 5) {
            prop_assert!(predictor.table.read().len() <= count as usize);
        }
    }
}

#[test]
fn the_oldest_goes_first_after_a_restart_too() {
    let predictor = Predictor::new(8);
    let calls: Vec<Executed> = (0..10).map(|contract| call(contract, 1, 1, &[])).collect();
    let (last, before) = calls.split_last().unwrap();
    for call in before {
        call.teach(&predictor);
    }
    let restored = Predictor::restore(&predictor.save(), 8).unwrap();
    last.teach(&restored);
    let known: Vec<bool> = calls
        .iter()
        .map(|call| predict(&restored, &call.transaction).0.known)
        .collect();
    let forgotten: Vec<usize> = (0..10).filter(|index| !known[*index]).collect();
    // The first six have a place of their own, and the last two are the newest.
    assert_eq!(forgotten, [6, 7]);
}

#[test]
fn refusals_say_why() {
    let saved = taught(&[call(1, 2, 3, &[(4, true)])], 4).save();
    assert_eq!(
        Predictor::restore(&saved[..5], 4).unwrap_err(),
        PredictorError::TooShort(5)
    );
    let body = &saved[..saved.len() - 8];
    let other_version = [&[9], &body[1..]].concat();
    assert_eq!(
        Predictor::restore(&sealed(other_version), 4).unwrap_err(),
        PredictorError::Version(9)
    );
    let longer = [body, &[0; 3]].concat();
    assert_eq!(
        Predictor::restore(&sealed(longer), 4).unwrap_err(),
        PredictorError::Malformed { left: 3 }
    );
    // The position of a word, behind version, number, key, time and counts.
    let mut far_word = body.to_vec();
    far_word[5 + 25 + 10] = 14;
    assert!(matches!(
        Predictor::restore(&sealed(far_word), 4).unwrap_err(),
        PredictorError::Malformed { .. }
    ));
    let mut damaged = saved;
    damaged[5] ^= 1;
    assert!(matches!(
        Predictor::restore(&damaged, 4).unwrap_err(),
        PredictorError::Checksum { .. }
    ));
}
