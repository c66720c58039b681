//! An ERC-20 token that anybody may mint; `Erc20.sol` is its twin, storage layout included.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use alloy_primitives::{Address, U256};
use alloy_sol_types::{sol, Panic, PanicKind, SolError};
use stylus_sdk::prelude::*;

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error InsufficientBalance(address from, uint256 balance, uint256 needed);
    error InsufficientAllowance(address owner, address spender, uint256 allowance, uint256 needed);
}

sol_storage! {
    #[entrypoint]
    pub struct Erc20 {
        mapping(address => uint256) balances;
        mapping(address => mapping(address => uint256)) allowances;
        uint256 total_supply;
    }
}

#[public]
impl Erc20 {
    pub fn name() -> String {
        "Woven Token".into()
    }

    pub fn symbol() -> String {
        "WOVEN".into()
    }

    pub fn decimals() -> u8 {
        18
    }

    pub fn total_supply(&self) -> U256 {
        self.total_supply.get()
    }

    pub fn balance_of(&self, owner: Address) -> U256 {
        self.balances.get(owner)
    }

    pub fn allowance(&self, owner: Address, spender: Address) -> U256 {
        self.allowances.getter(owner).get(spender)
    }

    pub fn transfer(&mut self, to: Address, value: U256) -> Result<bool, Vec<u8>> {
        let from = self.vm().msg_sender();
        self.move_tokens(from, to, value)?;
        Ok(true)
    }

    pub fn approve(&mut self, spender: Address, value: U256) -> bool {
        let owner = self.vm().msg_sender();
        self.allowances.setter(owner).insert(spender, value);
        self.vm().log(Approval { owner, spender, value });
        true
    }

    /// Every allowance is spent, the largest one too.
    pub fn transfer_from(
        &mut self,
        from: Address,
        to: Address,
        value: U256,
    ) -> Result<bool, Vec<u8>> {
        let spender = self.vm().msg_sender();
        let mut allowances = self.allowances.setter(from);
        let allowance = allowances.get(spender);
        let Some(rest) = allowance.checked_sub(value) else {
            return Err(InsufficientAllowance {
                owner: from,
                spender,
                allowance,
                needed: value,
            }
            .abi_encode());
        };
        allowances.insert(spender, rest);
        self.move_tokens(from, to, value)?;
        Ok(true)
    }

    pub fn mint(&mut self, to: Address, value: U256) -> Result<(), Vec<u8>> {
        let Some(supply) = self.total_supply.get().checked_add(value) else {
            return Err(Panic::from(PanicKind::UnderOverflow).abi_encode());
        };
        self.total_supply.set(supply);
        self.credit(to, value);
        self.vm().log(Transfer {
            from: Address::ZERO,
            to,
            value,
        });
        Ok(())
    }
}

impl Erc20 {
    fn move_tokens(&mut self, from: Address, to: Address, value: U256) -> Result<(), Vec<u8>> {
        let balance = self.balances.get(from);
        let Some(rest) = balance.checked_sub(value) else {
            return Err(InsufficientBalance {
                from,
                balance,
                needed: value,
            }
            .abi_encode());
        };
        self.balances.insert(from, rest);
        self.credit(to, value);
        self.vm().log(Transfer { from, to, value });
        Ok(())
    }

    /// Cannot overflow: all balances add up to the total supply.
    fn credit(&mut self, to: Address, value: U256) {
        let balance = self.balances.get(to);
        self.balances.insert(to, balance.wrapping_add(value));
    }
}
