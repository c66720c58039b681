//! Calls, creations and everything else that a contract asks its host for; `Relay.sol` is its twin.

extern crate alloc;

use alloc::{string::String, vec, vec::Vec};
use core::hint::black_box;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{sol, Panic, PanicKind, Revert, SolError};
use stylus_sdk::{
    abi::Bytes,
    call::{call, delegate_call, static_call},
    deploy::RawDeploy,
    prelude::*,
};

mod vm_hooks;

sol! {
    event Incremented(uint256 counter);
}

sol_storage! {
    #[entrypoint]
    pub struct Relay {
        uint256 counter;
    }
}

/// Sender, value, self, origin, gas price, number, timestamp, base fee, gas limit, coinbase, chain
/// id, reentrant.
type Context = (
    Address,
    U256,
    Address,
    Address,
    U256,
    U256,
    U256,
    U256,
    U256,
    Address,
    U256,
    bool,
);

#[public]
impl Relay {
    #[receive]
    #[payable]
    pub fn receive(&mut self) -> Result<(), Vec<u8>> {
        Ok(())
    }

    #[payable]
    pub fn call(&mut self, to: Address, value: U256, data: Bytes) -> Result<Bytes, Vec<u8>> {
        let config = Call::new_payable(self, value);
        Ok(call(self.vm(), config, to, &data)?.into())
    }

    pub fn delegate(&mut self, to: Address, data: Bytes) -> Result<Bytes, Vec<u8>> {
        let config = Call::new_mutating(self);
        // SAFETY: nothing of the storage is held across the call.
        let output = unsafe { delegate_call(self.vm(), config, to, &data) }?;
        Ok(output.into())
    }

    pub fn static_call(&self, to: Address, data: Bytes) -> Result<Bytes, Vec<u8>> {
        Ok(static_call(self.vm(), Call::new(), to, &data)?.into())
    }

    pub fn try_call(&mut self, to: Address, data: Bytes) -> (bool, Bytes) {
        let config = Call::new_mutating(self);
        match call(self.vm(), config, to, &data) {
            Ok(output) => (true, output.into()),
            Err(failure) => (false, Vec::from(failure).into()),
        }
    }

    #[payable]
    pub fn create(&mut self, init_code: Bytes, value: U256) -> Result<Address, Vec<u8>> {
        self.deploy(RawDeploy::new(), &init_code, value)
    }

    #[payable]
    pub fn create2(
        &mut self,
        init_code: Bytes,
        value: U256,
        salt: B256,
    ) -> Result<Address, Vec<u8>> {
        self.deploy(RawDeploy::new().salt(salt), &init_code, value)
    }

    pub fn counter(&self) -> U256 {
        self.counter.get()
    }

    pub fn increment(&mut self) -> Result<U256, Vec<u8>> {
        let Some(counter) = self.counter.get().checked_add(U256::ONE) else {
            return Err(Panic::from(PanicKind::UnderOverflow).abi_encode());
        };
        self.counter.set(counter);
        self.vm().log(Incremented { counter });
        Ok(counter)
    }

    /// Increments, then calls `via`, which may call back. Returns the counter before and after that
    /// call.
    pub fn reenter(&mut self, via: Address, data: Bytes) -> Result<(U256, U256), Vec<u8>> {
        let before = self.increment()?;
        let config = Call::new_mutating(self);
        call(self.vm(), config, via, &data)?;
        Ok((before, self.counter.get()))
    }

    pub fn code_of(&self, account: Address) -> Bytes {
        self.vm().code(account).into()
    }

    pub fn code_hash_of(&self, account: Address) -> B256 {
        self.vm().code_hash(account)
    }

    pub fn code_size_of(&self, account: Address) -> U256 {
        U256::from(self.vm().code_size(account))
    }

    pub fn balance_of(&self, account: Address) -> U256 {
        self.vm().balance(account)
    }

    #[payable]
    pub fn context(&mut self) -> Context {
        let vm = self.vm();
        (
            vm.msg_sender(),
            vm.msg_value(),
            vm.contract_address(),
            vm.tx_origin(),
            vm.tx_gas_price(),
            U256::from(vm.block_number()),
            U256::from(vm.block_timestamp()),
            vm.block_basefee(),
            U256::from(vm.block_gas_limit()),
            vm.block_coinbase(),
            U256::from(vm.chain_id()),
            vm.msg_reentrant(),
        )
    }

    /// What transient storage held at `key`, and what it holds once `value` is stored there.
    pub fn transient_round_trip(&mut self, key: B256, value: B256) -> (B256, B256) {
        let before = vm_hooks::transient_load(key);
        vm_hooks::transient_store(key, value);
        (before, vm_hooks::transient_load(key))
    }

    pub fn spin() -> Result<(), Vec<u8>> {
        loop {}
    }

    pub fn grow(bytes: U256) -> Result<U256, Vec<u8>> {
        let Ok(bytes) = usize::try_from(bytes) else {
            return Err(Panic::from(PanicKind::ResourceError).abi_encode());
        };
        // An allocation that nobody sees would be left out by the compiler.
        Ok(U256::from(black_box(vec![0_u8; bytes]).len()))
    }

    pub fn fail(reason: String) -> Result<(), Vec<u8>> {
        Err(Revert::from(reason).abi_encode())
    }

    pub fn panic() -> Result<(), Vec<u8>> {
        panic!("as asked")
    }

    pub fn burn_recursion(depth: U256) -> U256 {
        U256::from(descend(depth.saturating_to()))
    }

    /// `a / b`, `a % b`, `a ** b`, `(a + b) % c`, `(a * b) % c`, by the host.
    pub fn math_check(a: U256, b: U256, c: U256) -> (U256, U256, U256, U256, U256) {
        (
            vm_hooks::divide(a, b),
            vm_hooks::modulo(a, b),
            vm_hooks::power(a, b),
            vm_hooks::add_modulo(a, b, c),
            vm_hooks::multiply_modulo(a, b, c),
        )
    }
}

impl Relay {
    fn deploy(&self, how: RawDeploy, init_code: &[u8], value: U256) -> Result<Address, Vec<u8>> {
        // SAFETY: nothing of the storage is held across the creation.
        unsafe {
            how.clear_storage_cache()
                .deploy(&self.vm().host, init_code, value)
        }
    }
}

/// What follows the inner call is not associative, so no compiler makes a loop of the recursion.
fn descend(depth: u64) -> u64 {
    match depth.checked_sub(1) {
        Some(rest) => descend(rest).rotate_left(1) ^ depth,
        None => 1,
    }
}
