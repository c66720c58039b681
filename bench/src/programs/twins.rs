use std::str::FromStr;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_sol_types::SolCall;
use rand::{Rng, SeedableRng, rngs::StdRng};
use weft_executor_core::MemoryState;
use weft_executor_evm::EvmLayer;

use super::contracts::{
    EMPTY_CONTRACT, EMPTY_MODULE, ERC20_MODULE, Erc20, HASHING_MODULE, Hashing, program_init_code,
};
use crate::{
    BenchError, Scenario,
    accounts::{addresses, fund},
    contracts::{Deployer, call, raw_call},
    scenario::execute_setup_on,
};

/// A contract in both forms, and what is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twins {
    /// A contract that does nothing: what a call costs by itself.
    Empty,
    /// Transfers of an ERC-20 token, each between two holders of its own.
    Erc20,
    /// A chain of SHA-256 hashes, computed by the contract.
    Hashing,
}

const BALANCE: U256 = U256::from_limbs([1_000_000, 0, 0, 0]);

/// Hashes in one call.
const HASHES: u64 = 20;

/// A name that is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no program {0:?}: expected {list}", list = Twins::ALL.map(Twins::name).join(", "))]
pub struct UnknownProgram(pub String);

impl FromStr for Twins {
    type Err = UnknownProgram;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|twins| twins.name() == name)
            .ok_or_else(|| UnknownProgram(name.to_owned()))
    }
}

impl Twins {
    pub(super) const ALL: [Self; 3] = [Self::Empty, Self::Erc20, Self::Hashing];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Erc20 => "erc20",
            Self::Hashing => "hashing",
        }
    }

    const fn transactions(self) -> usize {
        match self {
            Self::Empty | Self::Erc20 => 10_000,
            Self::Hashing => 200,
        }
    }

    fn init_code(self) -> Result<[Bytes; 2], BenchError> {
        let program = |module| program_init_code(module).map_err(BenchError::Compression);
        Ok(match self {
            Self::Empty => [
                Bytes::from_static(EMPTY_CONTRACT),
                Bytes::from_static(EMPTY_MODULE),
            ],
            Self::Erc20 => [Erc20::BYTECODE.clone(), program(ERC20_MODULE)?],
            Self::Hashing => [Hashing::BYTECODE.clone(), program(HASHING_MODULE)?],
        })
    }

    /// The block of calls to the EVM contract, and that of the same calls to the program.
    pub(super) fn scenarios(
        self,
        layer: &EvmLayer,
        seed: u64,
    ) -> Result<(Scenario, Scenario), BenchError> {
        let [evm, wasm] = self.init_code()?;
        Ok((
            self.scenario(layer, &evm, seed)?,
            self.scenario(layer, &wasm, seed)?,
        ))
    }

    fn scenario(
        self,
        layer: &EvmLayer,
        init_code: &Bytes,
        seed: u64,
    ) -> Result<Scenario, BenchError> {
        let random = &mut StdRng::seed_from_u64(seed);
        let owner = Address::from(random.random::<[u8; 20]>());
        let senders = addresses(random, self.transactions());
        let mut base = MemoryState::default();
        fund(&mut base, &[owner]);
        fund(&mut base, &senders);
        let mut deployer = Deployer::new(owner);
        let contract = deployer.deploy(init_code, &[]);
        if let Self::Erc20 = self {
            for holder in &senders {
                deployer.call(
                    contract,
                    &Erc20::mintCall {
                        to: *holder,
                        value: BALANCE,
                    },
                );
            }
        }
        execute_setup_on(layer, &mut base, &deployer.into_transactions())?;
        let receivers = addresses(random, senders.len());
        let transactions = senders
            .iter()
            .zip(receivers)
            .map(|(sender, to)| match self {
                Self::Empty => raw_call(*sender, 0, contract, 100_000, Bytes::new()),
                Self::Erc20 => {
                    let value = U256::ONE;
                    call(
                        *sender,
                        0,
                        contract,
                        200_000,
                        &Erc20::transferCall { to, value },
                    )
                }
                Self::Hashing => raw_call(
                    *sender,
                    0,
                    contract,
                    16_000_000,
                    Hashing::sha256ChainCall {
                        seed: keccak256(to),
                        rounds: U256::from(HASHES),
                    }
                    .abi_encode()
                    .into(),
                ),
            })
            .collect();
        Ok(Scenario::new(base, transactions))
    }
}
