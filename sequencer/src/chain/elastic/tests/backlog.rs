use proptest::prelude::*;

use super::super::backlog::{Backlog, Unsafe};

proptest! {
    /// Against adding up from scratch, while the safe block moves forth and back.
    #[test]
    fn as_added_up(
        first in 1..1_000_u64,
        steps in proptest::collection::vec((0..1_000_u64, 0..300_u64), 1..200),
    ) {
        let mut backlog = Backlog::default();
        let mut blocks = Vec::new();
        for ((size, behind), number) in steps.into_iter().zip(first..) {
            let timestamp = 1_000 + number;
            backlog.push(number, timestamp, size);
            blocks.push((number, timestamp, size));
            let safe = number.saturating_sub(behind);
            let not_safe = || blocks.iter().filter(|(number, _, _)| *number > safe);
            let expected = Unsafe {
                blocks: not_safe().count() as u64,
                bytes: not_safe().map(|(_, _, size)| size).sum(),
                since: not_safe().next().map(|(_, timestamp, _)| *timestamp),
            };
            prop_assert_eq!(backlog.behind(safe), expected);
        }
    }
}

#[test]
fn safe_blocks_are_forgotten_but_for_the_last() {
    let mut backlog = Backlog::default();
    for number in 1..=100_000_u64 {
        backlog.push(number, number, 10);
        let behind = backlog.behind(number.saturating_sub(5));
        assert_eq!(behind.blocks, number.min(5));
        assert_eq!(behind.bytes, 10 * number.min(5));
    }
    assert!(backlog.remembered() <= 4096 + 6);
    // L1 has reorganised.
    assert_eq!(backlog.behind(99_000).bytes, 10_000);
}
