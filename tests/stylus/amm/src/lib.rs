//! A constant product pool of two ERC-20 tokens; `Amm.sol` is its twin, storage layout included.
//!
//! Products that do not fit 256 bits fail, as they do in the twin.

extern crate alloc;

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};
use alloy_sol_types::{sol, Panic, PanicKind, SolError};
use stylus_sdk::{prelude::*, stylus_core::calls::errors::Error as CallError};

/// The fee is 3 of 1000 parts of what comes in.
const FEE_PARTS: U256 = U256::from_limbs([3, 0, 0, 0]);
const ALL_PARTS: U256 = U256::from_limbs([1000, 0, 0, 0]);

sol_interface! {
    interface IErc20 {
        function transfer(address to, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
    }
}

sol! {
    event Initialized(address indexed token0, address indexed token1);
    event LiquidityAdded(address indexed provider, uint256 amount0, uint256 amount1, uint256 liquidity);
    event Swapped(address indexed trader, bool zeroForOne, uint256 amountIn, uint256 amountOut);

    error AlreadyInitialized();
    error NotInitialized();
    error InvalidTokens(address token0, address token1);
    error InsufficientLiquidity();
    error InsufficientOutput(uint256 amountOut, uint256 minOut);
    error TransferFailed(address token);
}

sol_storage! {
    #[entrypoint]
    pub struct Amm {
        address token0;
        address token1;
        uint256 reserve0;
        uint256 reserve1;
        uint256 total_liquidity;
        mapping(address => uint256) liquidity;
    }
}

#[public]
impl Amm {
    pub fn initialize(&mut self, token0: Address, token1: Address) -> Result<(), Vec<u8>> {
        if !self.token0.get().is_zero() {
            return Err(AlreadyInitialized {}.abi_encode());
        }
        if token0.is_zero() || token1.is_zero() || token0 == token1 {
            return Err(InvalidTokens { token0, token1 }.abi_encode());
        }
        self.token0.set(token0);
        self.token1.set(token1);
        self.vm().log(Initialized { token0, token1 });
        Ok(())
    }

    /// Takes both amounts as they are and returns the shares that they give. The first provider's
    /// shares are the amount of token 0; later ones get the lesser part of what they add.
    pub fn add_liquidity(&mut self, amount0: U256, amount1: U256) -> Result<U256, Vec<u8>> {
        let (token0, token1) = self.tokens()?;
        let (reserve0, reserve1) = self.reserves();
        let total = self.total_liquidity.get();
        let liquidity = if total.is_zero() {
            amount0
        } else {
            let of0 = multiply(amount0, total)? / reserve0;
            let of1 = multiply(amount1, total)? / reserve1;
            of0.min(of1)
        };
        if liquidity.is_zero() || amount1.is_zero() {
            return Err(InsufficientLiquidity {}.abi_encode());
        }
        let provider = self.vm().msg_sender();
        self.reserve0.set(add(reserve0, amount0)?);
        self.reserve1.set(add(reserve1, amount1)?);
        self.total_liquidity.set(add(total, liquidity)?);
        let shares = add(self.liquidity.get(provider), liquidity)?;
        self.liquidity.insert(provider, shares);

        self.take(token0, provider, amount0)?;
        self.take(token1, provider, amount1)?;
        self.vm().log(LiquidityAdded {
            provider,
            amount0,
            amount1,
            liquidity,
        });
        Ok(liquidity)
    }

    pub fn swap(
        &mut self,
        zero_for_one: bool,
        amount_in: U256,
        min_out: U256,
    ) -> Result<U256, Vec<u8>> {
        let (token0, token1) = self.tokens()?;
        let (reserve0, reserve1) = self.reserves();
        let (token_in, token_out, reserve_in, reserve_out) = if zero_for_one {
            (token0, token1, reserve0, reserve1)
        } else {
            (token1, token0, reserve1, reserve0)
        };
        if reserve_in.is_zero() {
            return Err(InsufficientLiquidity {}.abi_encode());
        }
        let in_after_fee = multiply(amount_in, ALL_PARTS - FEE_PARTS)?;
        let amount_out = multiply(in_after_fee, reserve_out)?
            / add(multiply(reserve_in, ALL_PARTS)?, in_after_fee)?;
        if amount_out < min_out {
            return Err(InsufficientOutput {
                amountOut: amount_out,
                minOut: min_out,
            }
            .abi_encode());
        }
        let reserve_in = add(reserve_in, amount_in)?;
        // What goes out is always less than the reserve.
        let reserve_out = reserve_out.wrapping_sub(amount_out);
        let (reserve0, reserve1) = if zero_for_one {
            (reserve_in, reserve_out)
        } else {
            (reserve_out, reserve_in)
        };
        self.reserve0.set(reserve0);
        self.reserve1.set(reserve1);

        let trader = self.vm().msg_sender();
        self.take(token_in, trader, amount_in)?;
        self.give(token_out, trader, amount_out)?;
        self.vm().log(Swapped {
            trader,
            zeroForOne: zero_for_one,
            amountIn: amount_in,
            amountOut: amount_out,
        });
        Ok(amount_out)
    }

    pub fn reserves(&self) -> (U256, U256) {
        (self.reserve0.get(), self.reserve1.get())
    }

    pub fn total_liquidity(&self) -> U256 {
        self.total_liquidity.get()
    }

    pub fn liquidity_of(&self, provider: Address) -> U256 {
        self.liquidity.get(provider)
    }
}

impl Amm {
    fn tokens(&self) -> Result<(Address, Address), Vec<u8>> {
        let token0 = self.token0.get();
        if token0.is_zero() {
            return Err(NotInitialized {}.abi_encode());
        }
        Ok((token0, self.token1.get()))
    }

    fn take(&mut self, token: Address, from: Address, value: U256) -> Result<(), Vec<u8>> {
        let to = self.vm().contract_address();
        let config = Call::new_mutating(self);
        check(
            token,
            IErc20::new(token).transfer_from(self.vm(), config, from, to, value),
        )
    }

    fn give(&mut self, token: Address, to: Address, value: U256) -> Result<(), Vec<u8>> {
        let config = Call::new_mutating(self);
        check(
            token,
            IErc20::new(token).transfer(self.vm(), config, to, value),
        )
    }
}

/// A token that returns no boolean fails without a reason, as it does with Solidity's decoder.
fn check(token: Address, result: Result<bool, CallError>) -> Result<(), Vec<u8>> {
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(TransferFailed { token }.abi_encode()),
        Err(CallError::Revert(data)) => Err(data),
        Err(CallError::AbiDecodingFailed(_)) => Err(Vec::new()),
    }
}

fn add(a: U256, b: U256) -> Result<U256, Vec<u8>> {
    a.checked_add(b).ok_or_else(overflow)
}

fn multiply(a: U256, b: U256) -> Result<U256, Vec<u8>> {
    a.checked_mul(b).ok_or_else(overflow)
}

fn overflow() -> Vec<u8> {
    Panic::from(PanicKind::UnderOverflow).abi_encode()
}
