//! ERC-20 tokens in several layouts: predictions against what the calls do.

use proptest::prelude::*;

use super::{
    super::pattern::Order, Address, B256, Executed, Predictor, U256, address, expects_meeting,
    predict, word,
};

const TRANSFER: u32 = 0xa905_9cbb;
const TRANSFER_FROM: u32 = 0x23b8_72dd;
const APPROVE: u32 = 0x095e_a7b3;

/// Where a token keeps what.
#[derive(Debug, Clone, Copy)]
struct Layout {
    order: Order,
    balances: U256,
    allowances: U256,
    /// Position in the entry of [`Self::balances`].
    balance: u8,
}

fn layouts() -> [Layout; 5] {
    let layout = |order, balances: u64, allowances: u64, balance| Layout {
        order,
        balances: U256::from(balances),
        allowances: U256::from(allowances),
        balance,
    };
    let upgradeable = alloy_primitives::uint!(
        0x52c63247e1f47db19d5ce0460030c497f067ca4cebf71ba98eeadabe20bace00_U256
    );
    [
        layout(Order::Solidity, 0, 1, 0),
        layout(Order::Solidity, 9, 10, 0),
        layout(Order::Solidity, 4, 7, 5),
        layout(Order::Vyper, 2, 3, 0),
        Layout {
            balances: upgradeable,
            allowances: upgradeable + U256::from(1),
            ..layout(Order::Solidity, 0, 0, 0)
        },
    ]
}

#[derive(Debug, Clone, Copy)]
struct Token {
    address: Address,
    layout: Layout,
}

impl Token {
    fn balance(&self, holder: Address) -> U256 {
        let Layout {
            order, balances, ..
        } = self.layout;
        let start = order.entry_slot(&balances.into(), &holder.into_word());
        U256::from(self.layout.balance) + U256::from_be_bytes(start.0)
    }

    fn allowance(&self, holder: Address, spender: Address) -> U256 {
        let Layout {
            order, allowances, ..
        } = self.layout;
        let inner = order.entry_slot(&allowances.into(), &holder.into_word());
        order.entry_slot(&inner, &spender.into_word()).into()
    }

    fn call(&self, sender: Address, selector: u32, words: &[B256]) -> Executed {
        Executed::call(sender, self.address, selector, words)
    }

    fn transfer(&self, from: Address, to: Address) -> Executed {
        self.call(from, TRANSFER, &[to.into_word(), word(U256::from(77_777))])
            .with(self.address, self.balance(from), true)
            .with(self.address, self.balance(to), true)
    }

    fn transfer_from(&self, spender: Address, from: Address, to: Address) -> Executed {
        let words = [from.into_word(), to.into_word(), word(U256::from(99_999))];
        self.call(spender, TRANSFER_FROM, &words)
            .with(self.address, self.allowance(from, spender), true)
            .with(self.address, self.balance(from), true)
            .with(self.address, self.balance(to), true)
    }

    fn approve(&self, holder: Address, spender: Address) -> Executed {
        let words = [spender.into_word(), word(U256::MAX)];
        self.call(holder, APPROVE, &words)
            .with(self.address, self.allowance(holder, spender), true)
    }

    fn balance_at(&self, reader: Address, holder: Address) -> Executed {
        self.call(reader, 0x70a0_8231, &[holder.into_word()]).with(
            self.address,
            self.balance(holder),
            false,
        )
    }

    fn any(&self, kind: u8, [one, two, three]: [u64; 3]) -> Executed {
        let (one, two, three) = (address(one), address(two), address(three));
        match kind {
            0 => self.transfer(one, two),
            1 => self.transfer_from(one, two, three),
            2 => self.approve(one, two),
            _ => self.balance_at(one, two),
        }
    }
}

fn taught(tokens: &[Token]) -> Predictor {
    let predictor = Predictor::new(64);
    for token in tokens {
        for kind in 0..4 {
            for round in 0..3 {
                let first = 1_000 + 10 * round;
                token
                    .any(kind, [first, first + 1, first + 2])
                    .teach(&predictor);
            }
        }
    }
    predictor
}

fn tokens() -> Vec<Token> {
    let numbered = layouts().into_iter().zip(500..);
    numbered
        .map(|(layout, number)| Token {
            address: address(number),
            layout,
        })
        .collect()
}

proptest! {
    /// Few holders, so that calls meet in all ways, and holders that no call had in the lessons.
    #[test]
    fn calls_of_tokens_are_expected_to_meet_where_they_do(
        calls in prop::collection::vec(
            (0..5usize, 0..4u8, prop::array::uniform3(0..12u64)),
            2..24,
        ),
    ) {
        let tokens = tokens();
        let predictor = taught(&tokens);
        let calls: Vec<Executed> = calls
            .into_iter()
            .map(|(token, kind, parties)| tokens[token].any(kind, parties))
            .collect();
        for (index, one) in calls.iter().enumerate() {
            for other in &calls[..index] {
                prop_assert_eq!(
                    expects_meeting(&predictor, one, other),
                    one.meets(other),
                    "{:?} {:?}",
                    one,
                    other
                );
            }
        }
    }
}

#[test]
fn one_lesson_is_enough_for_a_transfer() {
    for token in tokens() {
        let predictor = Predictor::new(64);
        let unknown = token.transfer(address(1), address(2));
        let (prediction, _) = predict(&predictor, &unknown.transaction);
        assert!(!prediction.known);
        unknown.teach(&predictor);
        {
            // What is predicted of every call takes no room.
            let table = predictor.table.read();
            let (_, template, _) = table.iter().next().unwrap();
            assert_eq!(template.patterns.len(), 2);
        }
        let (prediction, names) = predict(
            &predictor,
            &token.transfer(address(3), address(4)).transaction,
        );
        assert!(prediction.known);
        assert_eq!(prediction.time, 50_000);
        // The sender, the token and two balances.
        assert_eq!(names.len(), 4, "{:?}", token.layout);
        assert_eq!(names.values().filter(|write| **write).count(), 3);
    }
}

#[test]
fn a_call_that_looks_like_another_does_not_mislead_for_long() {
    let token = tokens()[0];
    let predictor = Predictor::new(64);
    // The spender is the holder.
    token
        .transfer_from(address(1), address(1), address(2))
        .teach(&predictor);
    for round in 0..20 {
        let first = 100 + 3 * round;
        token
            .transfer_from(address(first), address(first + 1), address(first + 2))
            .teach(&predictor);
    }
    let call = token.transfer_from(address(3), address(4), address(5));
    let own_balance = token.balance_at(address(9), address(3));
    assert!(!expects_meeting(&predictor, &call, &own_balance));
    let (_, names) = predict(&predictor, &call.transaction);
    assert_eq!(names.len(), 5);
}

/// For holders that nobody has seen, the keys are the slots that the state itself has.
#[test]
fn keys_of_another_transfer_are_its_slots() {
    for (number, layout) in (1..).zip(layouts()) {
        let token = Token {
            address: address(1_000 + number),
            layout,
        };
        let predictor = Predictor::new(16);
        let keys = |transfer: &Executed| {
            let mut keys = Vec::new();
            predictor.keys(&transfer.transaction, &mut keys);
            keys
        };
        for (from, to) in [(1, 2), (3, 4), (5, 6), (1, 6)] {
            token.transfer(address(from), address(to)).teach(&predictor);
        }
        let transfer = token.transfer(address(70), address(80));
        let found = keys(&transfer);
        for (account, slot, _) in &transfer.slots {
            assert!(found.contains(&(*account, Some(*slot))), "{layout:?}");
        }
        assert!(found.contains(&(address(70), None)) && found.contains(&(token.address, None)));
        assert_eq!(found.iter().filter(|(_, slot)| slot.is_some()).count(), 2);
    }
}
