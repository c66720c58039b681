use std::fmt;

use rand::{SeedableRng, rngs::StdRng};

use crate::{
    BenchError, Crafted, Scenario,
    amm::{self, Pairs},
    erc20, transfers,
};

/// How many accounts the `-random` workloads choose from.
const POPULATION: usize = 10_000;

/// A kind of block, by what its transactions do and where they meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Value transfers, each between two accounts of its own.
    Transfers,
    /// Value transfers between random ones of 10,000 accounts.
    TransfersRandom,
    /// Value transfers from senders of their own to one receiver.
    TransfersHot,
    /// Value transfers of one sender to receivers of their own.
    TransfersChain,
    /// Transfers of one ERC-20 token, each between two holders of its own.
    Erc20,
    /// Transfers of one ERC-20 token between random ones of 10,000 holders.
    Erc20Random,
    /// Transfers of one ERC-20 token from holders of their own to one receiver.
    Erc20Hot,
    /// Heavy swaps, each on a pair of its own.
    Amm,
    /// Heavy swaps of traders of their own, each on a random one of 100 pairs.
    Amm100,
    /// Heavy swaps of traders of their own, all on one pair.
    AmmOne,
    /// Made to mislead the engine.
    Crafted(Crafted),
}

impl Workload {
    /// All that are not made to mislead.
    pub const ALL: [Self; 10] = [
        Self::Transfers,
        Self::TransfersRandom,
        Self::TransfersHot,
        Self::TransfersChain,
        Self::Erc20,
        Self::Erc20Random,
        Self::Erc20Hot,
        Self::Amm,
        Self::Amm100,
        Self::AmmOne,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::TransfersRandom => "transfers-random",
            Self::TransfersHot => "transfers-hot",
            Self::TransfersChain => "transfers-chain",
            Self::Erc20 => "erc20",
            Self::Erc20Random => "erc20-random",
            Self::Erc20Hot => "erc20-hot",
            Self::Amm => "amm",
            Self::Amm100 => "amm-100",
            Self::AmmOne => "amm-one",
            Self::Crafted(crafted) => crafted.name(),
        }
    }

    /// How many transactions a block of it has when nobody says otherwise.
    pub const fn default_transactions(self) -> usize {
        match self {
            Self::Transfers
            | Self::TransfersRandom
            | Self::TransfersHot
            | Self::TransfersChain
            | Self::Erc20
            | Self::Erc20Random
            | Self::Erc20Hot => 10_000,
            Self::Amm | Self::Amm100 | Self::AmmOne => 1_000,
            Self::Crafted(crafted) => crafted.default_transactions(),
        }
    }

    /// A block of so many transactions, the same for the same seed. Contracts and balances come into
    /// its base state by transactions of their own.
    ///
    /// # Errors
    /// When one of these cannot be executed.
    pub fn generate(self, seed: u64, transactions: usize) -> Result<Scenario, BenchError> {
        let random = &mut StdRng::seed_from_u64(seed);
        Ok(match self {
            Self::Transfers => transfers::independent(random, transactions),
            Self::TransfersRandom => transfers::among(random, transactions, POPULATION),
            Self::TransfersHot => transfers::to_one(random, transactions),
            Self::TransfersChain => transfers::from_one(random, transactions),
            Self::Erc20 => erc20::independent(random, transactions)?,
            Self::Erc20Random => erc20::among(random, transactions, POPULATION)?,
            Self::Erc20Hot => erc20::to_one(random, transactions)?,
            Self::Amm => amm::trades(random, transactions, Pairs::OneEach)?,
            Self::Amm100 => amm::trades(random, transactions, Pairs::Shared(100))?,
            Self::AmmOne => amm::trades(random, transactions, Pairs::Shared(1))?,
            Self::Crafted(crafted) => crafted.generate(random, transactions),
        })
    }

    /// What an engine that knows nothing executes before the block of the same seed, in order to
    /// expect something else there. `None` for workloads that are not made to mislead.
    pub fn lure(self, seed: u64, transactions: usize) -> Option<Scenario> {
        let Self::Crafted(crafted) = self else {
            return None;
        };
        Some(crafted.lure(&mut StdRng::seed_from_u64(seed), transactions))
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
