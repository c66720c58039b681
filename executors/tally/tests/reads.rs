//! Reads of the state, which may fail at any point, and which of them are reported.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use common::{
    A, ADD, B, BALANCE, C, CREATE, Code, DELEGATE, LOAD, OUTPUT, SENDER, chain,
    evm::{self, Evm},
    layer, message, put, send, world,
};
use weft_executor_core::{Account, Call, ExecuteError, ExecutionLayer, MemoryState, StateView};
use weft_primitives::Fork;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {0} failed")]
struct Failed(usize);

/// A state whose read number `fails_at` fails. All before it and after it are answered.
struct Failing {
    state: MemoryState,
    reads: usize,
    fails_at: usize,
}

impl Failing {
    fn read(&mut self) -> Result<&mut MemoryState, Failed> {
        self.reads += 1;
        if self.reads == self.fails_at {
            return Err(Failed(self.reads));
        }
        Ok(&mut self.state)
    }
}

impl StateView for Failing {
    type Error = Failed;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Failed> {
        Ok(self.read()?.account(address).unwrap())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Failed> {
        Ok(self.read()?.storage(address, slot).unwrap())
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Failed> {
        Ok(self.read()?.has_storage(address).unwrap())
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Failed> {
        Ok(self.read()?.code(code_hash).unwrap())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Failed> {
        Ok(self.read()?.block_hash(number).unwrap())
    }
}

/// Tally calls EVM calls Tally calls EVM, each of which reads slots, accounts and code and creates.
fn tower() -> (MemoryState, Call) {
    let place = Address::repeat_byte;
    let tally = |next: Address, library: Address| {
        Code::new()
            .push(1)
            .op(LOAD)
            .push(place(0x77))
            .op(BALANCE)
            .op(ADD)
            .store(2, 3)
            .call_as(DELEGATE, library)
            .call(next, 1, 0)
            .push(0)
            .push(0)
            .op(CREATE)
            .call(place(0x78), 1, 0)
            .returns(OUTPUT)
            .code()
    };
    let evm = |next: Address, library: Address| {
        Evm::new()
            .push(1)
            .op(evm::SLOAD)
            .push(place(0x79))
            .op(evm::BALANCE)
            .call_as(evm::DELEGATECALL, library)
            .call(next, 1, 0)
            .create(0, 0)
            .output()
            .return_top()
            .code()
    };
    let library = Code::new().push(7).op(LOAD).store(8, 1).code();
    let evm_library = Evm::new().push(9).op(evm::SLOAD).store(10, 1).code();
    let (d, tally_library, evm_library_at) = (place(0xd4), place(0x51), place(0x52));
    let mut state = world(&[(tally_library, &library), (evm_library_at, &evm_library)]);
    put(&mut state, A, 9, &tally(B, evm_library_at), &[(1, 5)]);
    put(&mut state, B, 9, &evm(C, tally_library), &[(1, 5)]);
    put(&mut state, C, 9, &tally(d, tally_library), &[(1, 5)]);
    put(&mut state, d, 9, &evm(place(0x7a), evm_library_at), &[]);
    let init = Code::new().push(1).op(LOAD).init();
    let mut call = message(TxKind::Call(A), &init);
    call.gas_limit = 5_000_000;
    (state, call)
}

#[test]
fn a_read_that_fails_ends_the_execution_from_any_depth() {
    let (state, call) = tower();
    let block = chain::block(Fork::LATEST);
    let run = |fails_at| {
        let mut state = Failing {
            state: state.clone(),
            reads: 0,
            fails_at,
        };
        // Code is read anew each time.
        let result = layer().call(&block, &call, &mut state);
        (result, state.reads)
    };
    let (all, reads) = run(0);
    let all = all.unwrap();
    assert!(all.execution.outcome.is_success());
    assert!(reads > 30, "{reads}");
    for fails_at in 1..=reads {
        match run(fails_at) {
            (Err(ExecuteError::State(failed)), _) => assert_eq!(failed, Failed(fails_at)),
            (other, _) => panic!("{fails_at} of {reads}: {other:?}"),
        }
        // Nothing of it is left on the thread.
        assert_eq!(run(0).0.unwrap(), all);
    }
}

/// A state that notes what is read.
#[derive(Default)]
struct Noting {
    state: MemoryState,
    accounts: Vec<Address>,
    slots: Vec<(Address, U256)>,
}

impl StateView for Noting {
    type Error = std::convert::Infallible;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Self::Error> {
        self.accounts.push(address);
        self.state.account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        self.slots.push((address, slot));
        self.state.storage(address, slot)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Self::Error> {
        self.state.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.state.block_hash(number)
    }
}

#[test]
fn all_that_is_read_is_reported_and_an_access_list_of_it_makes_all_warm() {
    let (state, mut call) = tower();
    let mut noting = Noting {
        state: state.clone(),
        ..Noting::default()
    };
    let block = chain::block(Fork::LATEST);
    let outcome = layer().call(&block, &call, &mut noting).unwrap();
    for address in &noting.accounts {
        let found = |at: &weft_executor_core::AccessedAccount| at.address == *address;
        assert!(outcome.accessed.iter().any(found), "{address}");
    }
    for (address, slot) in &noting.slots {
        let entry = outcome.accessed.iter().find(|at| at.address == *address);
        assert!(entry.unwrap().slots.contains(slot), "{address} {slot}");
    }
    assert!(outcome.accessed.iter().any(|at| at.address == SENDER));
    let items = outcome.accessed.iter().map(|at| {
        let storage_keys = at.slots.iter().map(|slot| B256::from(*slot)).collect();
        alloy_eips::eip2930::AccessListItem {
            address: at.address,
            storage_keys,
        }
    });
    let list: Vec<_> = items.collect();
    let slots: usize = list.iter().map(|item| item.storage_keys.len()).sum();
    call.access_list = list.clone().into();
    let warm = send(&layer(), &state, &call);
    assert!(warm.execution.outcome.is_success());
    let listed = |mut call: Call| {
        // Twice the same costs what the list costs, and nothing gets warmer.
        call.access_list.0.extend(list.clone());
        send(&layer(), &state, &call).execution.gas_used
    };
    let price = 2_400 * list.len() + 1_900 * slots;
    let price = u64::try_from(price).unwrap();
    assert_eq!(listed(call), warm.execution.gas_used + price);
}
