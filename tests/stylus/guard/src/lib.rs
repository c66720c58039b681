//! A hook that bounds what a call of `pay(address,uint256)` may pay, for owners to bind to their
//! contract: `Treasury.sol` is one.

extern crate alloc;

use alloc::vec::Vec;

use alloy_primitives::{address, Address, U256};
use alloy_sol_types::{sol, SolCall, SolError};
use stylus_sdk::{abi::Bytes, prelude::*};

/// Where a chain's hooks are called from.
const HOOKS: Address = address!("0x7765667400000000000000000000000000000001");

sol! {
    function pay(address to, uint256 amount) external;

    event Allowed(address indexed caller, uint256 amount);

    error LimitExceeded(uint256 amount, uint256 limit);
    error NotTheRegistry(address caller);
}

sol_storage! {
    #[entrypoint]
    pub struct Guard {
        uint256 limit;
    }
}

#[public]
impl Guard {
    pub fn limit(&self) -> U256 {
        self.limit.get()
    }

    /// Anybody may set it: this is a test.
    pub fn set_limit(&mut self, limit: U256) {
        self.limit.set(limit);
    }

    pub fn before_call(
        &mut self,
        _target: Address,
        caller: Address,
        _value: U256,
        data: Bytes,
    ) -> Result<(), Vec<u8>> {
        let registry = self.vm().msg_sender();
        if registry != HOOKS {
            return Err(NotTheRegistry { caller: registry }.abi_encode());
        }
        let Ok(call) = payCall::abi_decode(&data) else {
            return Ok(());
        };
        let limit = self.limit.get();
        if call.amount > limit {
            return Err(LimitExceeded {
                amount: call.amount,
                limit,
            }
            .abi_encode());
        }
        self.vm().log(Allowed {
            caller,
            amount: call.amount,
        });
        Ok(())
    }
}
