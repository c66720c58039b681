use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use weft_executor_core::{
    AccountInfo, BlockEnv, CallKind, CallRequest, Called, CreateRequest, Created, Frame, FrameEnd,
    Host, Machine, Priced, StateUnread, TransactionInfo, WriteError,
};

use super::{ALICE, Answer, Chain};

/// Most frames at once, as in the EVM.
const MAX_DEPTH: usize = 1024;

/// What one frame reaches; the EVM's prices.
pub(crate) struct FrameHost<'a> {
    pub(crate) chain: &'a mut Chain,
    pub(crate) frame: Frame,
    pub(crate) is_reentrant: bool,
}

impl FrameHost<'_> {
    fn writable(&self) -> Result<(), WriteError> {
        if self.frame.is_static {
            return Err(WriteError::Static);
        }
        Ok(())
    }

    fn access_account(&mut self, address: Address) -> Result<u64, StateUnread> {
        if self.chain.unreadable {
            return Err(StateUnread);
        }
        let cold = self.chain.state.warm_accounts.insert(address);
        Ok(if cold { 2_600 } else { 100 })
    }

    /// Whether the slot was cold, and its value.
    fn access_slot(&mut self, slot: U256) -> Result<(bool, U256), StateUnread> {
        if self.chain.unreadable {
            return Err(StateUnread);
        }
        let contract = self.frame.contract;
        let cold = self.chain.state.warm_slots.insert((contract, slot));
        Ok((cold, self.chain.storage(contract, slot)))
    }

    /// Runs what is at the callee, and says what it returned and what is left of its gas.
    fn callee(&mut self, frame: Frame) -> (bool, Bytes, u64) {
        if self.chain.machine.owns(&frame.code) {
            return match self.chain.enter(&frame) {
                FrameEnd::Returned { output, gas_left } => (true, output, gas_left),
                FrameEnd::Reverted { output, gas_left } => (false, output, gas_left),
                FrameEnd::Halted(_) => (false, Bytes::new(), 0),
                FrameEnd::StateUnread => panic!("no nested frame cannot read"),
            };
        }
        if let Some(barrier) = &self.chain.barrier {
            barrier.wait();
        }
        let answer = self
            .chain
            .answers
            .get(&frame.contract)
            .cloned()
            .unwrap_or(Answer {
                success: true,
                output: Bytes::new(),
                gas: 0,
            });
        let gas_left = frame.gas - answer.gas.min(frame.gas);
        self.chain.calls.push(frame);
        (answer.success, answer.output, gas_left)
    }

    fn move_value(&mut self, to: Address, value: U256) -> bool {
        let accounts = &mut self.chain.state.accounts;
        let from = accounts.entry(self.frame.contract).or_default();
        let Some(left) = from.balance.checked_sub(value) else {
            return false;
        };
        from.balance = left;
        accounts.entry(to).or_default().balance += value;
        true
    }
}

impl Host for FrameHost<'_> {
    fn block(&self) -> &BlockEnv {
        &self.chain.block
    }

    fn transaction(&self) -> TransactionInfo {
        TransactionInfo {
            origin: ALICE,
            gas_price: 13,
            base_fee: 10,
        }
    }

    fn is_reentrant(&self) -> bool {
        self.is_reentrant
    }

    fn storage(&mut self, slot: U256) -> Result<Priced<U256>, StateUnread> {
        let (cold, value) = self.access_slot(slot)?;
        let gas = if cold { 2_100 } else { 100 };
        Ok(Priced { value, gas })
    }

    fn set_storage(&mut self, slot: U256, value: U256, gas_left: u64) -> Result<u64, WriteError> {
        self.writable()?;
        if gas_left <= 2_300 {
            return Err(WriteError::OutOfGas);
        }
        let (cold, current) = self.access_slot(slot)?;
        let contract = self.frame.contract;
        let original = self
            .chain
            .before
            .get(&contract)
            .and_then(|account| account.storage.get(&slot))
            .copied()
            .unwrap_or_default();
        let price = match (value == current, original == current, original.is_zero()) {
            (false, true, true) => 20_000,
            (false, true, false) => 2_900,
            _ => 100,
        };
        let gas = price + if cold { 2_100 } else { 0 };
        if gas > gas_left {
            return Err(WriteError::OutOfGas);
        }
        let accounts = &mut self.chain.state.accounts;
        let storage = &mut accounts.entry(contract).or_default().storage;
        storage.insert(slot, value);
        Ok(gas)
    }

    fn transient_storage(&mut self, slot: U256) -> U256 {
        let account = self.chain.account(self.frame.contract);
        account.transient.get(&slot).copied().unwrap_or_default()
    }

    fn set_transient_storage(&mut self, slot: U256, value: U256) -> Result<(), WriteError> {
        self.writable()?;
        let accounts = &mut self.chain.state.accounts;
        let account = accounts.entry(self.frame.contract).or_default();
        account.transient.insert(slot, value);
        Ok(())
    }

    fn account(&mut self, address: Address) -> Result<Priced<AccountInfo>, StateUnread> {
        let gas = self.access_account(address)?;
        let account = self.chain.account(address);
        let is_empty = account.balance.is_zero() && account.code.is_empty() && account.nonce == 0;
        Ok(Priced {
            value: AccountInfo {
                balance: account.balance,
                code_hash: if is_empty {
                    B256::ZERO
                } else {
                    keccak256(&account.code)
                },
            },
            gas,
        })
    }

    fn code(&mut self, address: Address) -> Result<Priced<Bytes>, StateUnread> {
        let gas = self.access_account(address)?;
        let value = self.chain.account(address).code;
        Ok(Priced { value, gas })
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateUnread> {
        Ok(keccak256(number.to_be_bytes()))
    }

    fn log(&mut self, topics: Vec<B256>, data: Bytes) -> Result<(), WriteError> {
        self.writable()?;
        let log = Log::new(self.frame.contract, topics, data).expect("at most four topics");
        self.chain.state.logs.push(log);
        Ok(())
    }

    fn call(&mut self, request: CallRequest) -> Result<Called, WriteError> {
        let has_value = !request.value.is_zero();
        if has_value {
            self.writable()?;
        }
        let mut price = self.access_account(request.to)?;
        if has_value {
            price += 9_000;
        }
        let left = request
            .gas_left
            .checked_sub(price)
            .ok_or(WriteError::OutOfGas)?;
        let handed = request.gas.min(left - left / 64);
        let gas = handed + if has_value { 2_300 } else { 0 };
        let failed = |gas_left: u64| Called {
            success: false,
            output: Bytes::new(),
            gas: (price + handed).saturating_sub(gas_left),
        };
        let before = self.chain.state.clone();
        if self.chain.stack.len() >= MAX_DEPTH
            || (has_value && !self.move_value(request.to, request.value))
        {
            return Ok(failed(gas));
        }
        let code = self.chain.account(request.to).code;
        let is_delegated = request.kind == CallKind::Delegate;
        let (contract, caller, value) = if is_delegated {
            (self.frame.contract, self.frame.caller, self.frame.value)
        } else {
            (request.to, self.frame.contract, request.value)
        };
        let (success, output, gas_left) = self.callee(Frame {
            code_hash: keccak256(&code),
            code,
            contract,
            caller,
            value,
            input: request.input,
            gas,
            is_static: self.frame.is_static || request.kind == CallKind::Static,
            is_delegated,
        });
        if !success {
            self.chain.state = before;
        }
        Ok(Called {
            success,
            output,
            gas: (price + handed).saturating_sub(gas_left),
        })
    }

    /// Creates programs; any other init data reverts with itself.
    fn create(&mut self, request: CreateRequest) -> Result<Created, WriteError> {
        self.writable()?;
        let left = request
            .gas_left
            .checked_sub(32_000)
            .ok_or(WriteError::OutOfGas)?;
        let Some(code) = self.chain.machine.assemble(&request.init) else {
            return Ok(Created {
                address: None,
                output: request.init,
                gas: 32_000,
            });
        };
        let gas = left - left / 64;
        let creator = self.frame.contract;
        let account = self.chain.state.accounts.entry(creator).or_default();
        let address = match request.salt {
            Some(salt) => creator.create2(salt, keccak256(&request.init)),
            None => creator.create(account.nonce),
        };
        account.nonce += 1;
        let deposit = 200 * code.len() as u64;
        let stored = gas
            .checked_sub(deposit)
            .and_then(|left| self.chain.machine.admit(&code, left).ok());
        let created = stored.is_some() && self.move_value(address, request.value);
        if created {
            self.chain.put_code(address, code);
        }
        Ok(Created {
            address: created.then_some(address),
            output: Bytes::new(),
            gas: 32_000
                + stored
                    .filter(|_| created)
                    .map_or(gas, |price| deposit + price),
        })
    }

    fn shared(&mut self) -> &mut [u64; 2] {
        &mut self.chain.shared
    }
}
