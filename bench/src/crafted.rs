//! Blocks that are made to mislead an engine that executes transactions ahead of their turn. What
//! it may cost at most is what `docs/performance.md` says.

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use rand::{Rng, rngs::StdRng};
use weft_executor_core::MemoryState;
use weft_primitives::RecoveredTransaction;

use crate::{
    Scenario,
    accounts::{addresses, fund},
    scenario::transaction_with_list,
};

/// A way to mislead the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crafted {
    /// Calls of a contract that nobody knows, each with numbers of its own, from all of which the
    /// same slot comes out.
    HotSlot,
    /// Calls of a contract that kept callers apart in the block before, and lets all of them write
    /// one slot now.
    Turned,
    /// A heavy transaction that writes what all the light ones after it read.
    HeavyWriter,
    /// Tiny transactions that look at the balance of the block's beneficiary, whom all of them pay.
    BeneficiaryReads,
    /// Heavy transactions, of which each two that are half a block apart write the same slot.
    HeavyPairs,
    /// Calls that share nothing, and whose access lists (EIP-2930) all name one slot.
    FalseLists,
    /// As few light calls that meet as are worth several threads by what they say.
    Threshold,
}

/// Counts down from the first word of the calldata, for some 26 gas a step.
const COUNT_DOWN: [u8; 13] = [
    0x5f, 0x35, 0x5b, 0x60, 1, 0x90, 0x03, 0x80, 0x60, 2, 0x57, 0x50, 0x5b,
];

/// Adds one to the slot whose number is the second word of the calldata XOR the third.
const ADD_AT_MASKED: [u8; 15] = [
    0x60, 0x20, 0x35, 0x60, 0x40, 0x35, 0x18, 0x80, 0x54, 0x60, 1, 0x01, 0x90, 0x55, 0x00,
];

/// Sets the slot of the second word to one more than the slot of the third.
const COPY: [u8; 12] = [
    0x60, 0x40, 0x35, 0x54, 0x60, 1, 0x01, 0x60, 0x20, 0x35, 0x55, 0x00,
];

/// Adds one to a slot of the caller's own while slot 0 is zero, and to slot 1 otherwise.
const ADD_BY_FLAG: [u8; 15] = [
    0x5f, 0x54, 0x15, 0x33, 0x02, 0x60, 1, 0x01, 0x80, 0x54, 0x60, 1, 0x01, 0x90, 0x55,
];

/// Looks at the beneficiary's balance.
const BENEFICIARY_BALANCE: [u8; 4] = [0x41, 0x31, 0x50, 0x00];

/// Gas of a step of [`COUNT_DOWN`].
const STEP_GAS: u64 = 26;

const LIGHT_STEPS: u64 = 100;
const HEAVY_STEPS: u64 = 20_000;
const HEAVIEST_STEPS: u64 = 200_000;

/// Enough for everything but the steps.
const REST_GAS: u64 = 100_000;

/// One call of the contract.
struct Call {
    steps: u64,
    words: [U256; 2],
    /// More than it needs.
    spare_gas: u64,
    list: AccessList,
}

impl Call {
    fn new(steps: u64, words: [U256; 2]) -> Self {
        Self {
            steps,
            words,
            spare_gas: 0,
            list: AccessList::default(),
        }
    }

    fn signed(self, sender: Address, contract: Address) -> RecoveredTransaction {
        let words = [U256::from(self.steps), self.words[0], self.words[1]];
        let input: Vec<u8> = words.iter().flat_map(U256::to_be_bytes::<32>).collect();
        transaction_with_list(
            sender,
            0,
            TxKind::Call(contract),
            U256::ZERO,
            REST_GAS + STEP_GAS * self.steps + self.spare_gas,
            input.into(),
            self.list,
        )
    }
}

impl Crafted {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::HotSlot,
        Self::Turned,
        Self::HeavyWriter,
        Self::BeneficiaryReads,
        Self::HeavyPairs,
        Self::FalseLists,
        Self::Threshold,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HotSlot => "crafted-hot-slot",
            Self::Turned => "crafted-turned",
            Self::HeavyWriter => "crafted-heavy-writer",
            Self::BeneficiaryReads => "crafted-beneficiary",
            Self::HeavyPairs => "crafted-heavy-pairs",
            Self::FalseLists => "crafted-false-lists",
            Self::Threshold => "crafted-threshold",
        }
    }

    /// How many transactions a block of it has when nobody says otherwise.
    pub(crate) const fn default_transactions(self) -> usize {
        match self {
            Self::HeavyPairs => 100,
            Self::Threshold => 60,
            _ => 2_000,
        }
    }

    fn code(self) -> Vec<u8> {
        let then: &[u8] = match self {
            Self::HotSlot | Self::HeavyPairs | Self::FalseLists | Self::Threshold => &ADD_AT_MASKED,
            Self::Turned => &ADD_BY_FLAG,
            Self::HeavyWriter => &COPY,
            Self::BeneficiaryReads => return BENEFICIARY_BALANCE.to_vec(),
        };
        [&COUNT_DOWN, then].concat()
    }

    fn call(self, random: &mut StdRng, index: usize, count: usize, contract: Address) -> Call {
        let mask = U256::from(random.random::<u128>());
        let number = U256::from(index);
        match self {
            Self::HotSlot => Call::new(LIGHT_STEPS, [mask, mask]),
            Self::Turned => Call::new(LIGHT_STEPS, [U256::ZERO; 2]),
            Self::HeavyWriter if index == 0 => Call::new(HEAVIEST_STEPS, [U256::ZERO; 2]),
            Self::HeavyWriter => Call::new(1, [number, U256::ZERO]),
            Self::BeneficiaryReads => Call::new(1, [U256::ZERO; 2]),
            Self::HeavyPairs => {
                let pair = U256::from(index % (count / 2).max(1));
                Call::new(HEAVY_STEPS, [mask, mask ^ pair])
            }
            Self::FalseLists => Call {
                list: AccessList(vec![AccessListItem {
                    address: contract,
                    storage_keys: vec![B256::ZERO],
                }]),
                ..Call::new(10 * LIGHT_STEPS, [mask, mask ^ (number + U256::ONE)])
            },
            Self::Threshold => Call {
                spare_gas: REST_GAS,
                ..Call::new(1, [mask, mask])
            },
        }
    }

    pub(crate) fn generate(self, random: &mut StdRng, count: usize) -> Scenario {
        self.with_flag(random, count, true)
    }

    /// The block before it: what the engine learns there is wrong or of no use in the block itself.
    /// `random` is seeded as for that one.
    pub(crate) fn lure(self, random: &mut StdRng, count: usize) -> Scenario {
        if self != Self::Turned {
            // From here on everything is another: the contract is not known in the block itself.
            let _ = random.random::<u64>();
        }
        self.with_flag(random, count, false)
    }

    fn with_flag(self, random: &mut StdRng, count: usize, flag: bool) -> Scenario {
        let senders = addresses(random, count);
        let contract = Address::from(random.random::<[u8; 20]>());
        let mut base = MemoryState::default();
        fund(&mut base, &senders);
        // A slot that is there costs as much whoever is first.
        let slots = [(U256::ZERO, U256::from(flag)), (U256::ONE, U256::ONE)];
        base.insert(
            contract,
            1,
            U256::ZERO,
            Bytes::from(self.code()),
            slots.into_iter().filter(|(_, value)| !value.is_zero()),
        );
        let transactions = senders
            .into_iter()
            .enumerate()
            .map(|(index, sender)| {
                let call = self.call(random, index, count, contract);
                call.signed(sender, contract)
            })
            .collect();
        Scenario::new(base, transactions)
    }
}
