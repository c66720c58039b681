use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{
    CallKind, CallRequest, CreateRequest, Frame, FrameEnd, HaltReason, Host, Priced, WriteError,
};

use crate::{Instruction, MARK};

/// Gas of each instruction, beside what the host asks for.
const STEP_GAS: u64 = 3;

/// Gas of a log with one topic and one word, as in the EVM.
const LOG_GAS: u64 = 375 + 375 + 8 * 32;

/// Words on the stack at most.
const STACK_LIMIT: usize = 64;

/// A step that ends the frame, well or not, has its end in the place of an error.
type Step<T> = Result<T, FrameEnd>;

struct Run<'a> {
    frame: &'a Frame,
    host: &'a mut dyn Host,
    gas_left: u64,
    stack: Vec<U256>,
    /// What the last call came back with.
    output: Bytes,
}

/// Runs a contract to its end.
pub(crate) fn run(frame: &Frame, host: &mut dyn Host) -> FrameEnd {
    let mut run = Run {
        frame,
        host,
        gas_left: frame.gas,
        stack: Vec::new(),
        output: Bytes::new(),
    };
    let mut rest = frame.code.get(MARK.len()..).unwrap_or_default();
    while !rest.is_empty() {
        rest = match run.step(rest) {
            Ok(rest) => rest,
            Err(end) => return end,
        };
    }
    FrameEnd::Returned {
        output: Bytes::new(),
        gas_left: run.gas_left,
    }
}

/// The end of a frame that the host has refused something.
fn refused(error: WriteError) -> FrameEnd {
    match error {
        WriteError::Static => FrameEnd::Halted(HaltReason::Other("write protection")),
        WriteError::OutOfGas => FrameEnd::Halted(HaltReason::OutOfGas),
        WriteError::State(_) => FrameEnd::StateUnread,
    }
}

fn word(bytes: &[u8]) -> U256 {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    U256::from_be_bytes(word)
}

impl Run<'_> {
    /// Executes the first instruction; what is to be executed after it.
    fn step<'c>(&mut self, code: &'c [u8]) -> Step<&'c [u8]> {
        self.pay(STEP_GAS)?;
        // Code that a genesis has put there was never admitted.
        let invalid = FrameEnd::Halted(HaltReason::InvalidInstruction);
        let (instruction, rest) = Instruction::decode(code).ok_or(invalid)?;
        match instruction {
            Instruction::Push(word) => self.push(word)?,
            Instruction::Calldata => {
                let offset = self.pop()?;
                self.push(word(&self.calldata_from(offset)))?;
            }
            Instruction::Load => {
                let slot = self.pop()?;
                let loaded = self.host.storage(slot);
                let value = self.priced(loaded)?;
                self.push(value)?;
            }
            Instruction::Store => {
                let (slot, value) = (self.pop()?, self.pop()?);
                let gas = self.host.set_storage(slot, value, self.gas_left);
                self.pay(gas.map_err(refused)?)?;
            }
            Instruction::Add => {
                let sum = self.pop()?.wrapping_add(self.pop()?);
                self.push(sum)?;
            }
            Instruction::Log => {
                let (topic, data) = (B256::from(self.pop()?), B256::from(self.pop()?));
                self.pay(LOG_GAS)?;
                let logged = self.host.log(vec![topic], data.into());
                logged.map_err(refused)?;
            }
            Instruction::Call => self.call(CallKind::Call)?,
            Instruction::DelegateCall => self.call(CallKind::Delegate)?,
            Instruction::StaticCall => self.call(CallKind::Static)?,
            Instruction::Output => self.push(word(&self.output))?,
            Instruction::Create => self.create(None)?,
            Instruction::Create2 => {
                let salt = self.pop()?.into();
                self.create(Some(salt))?;
            }
            Instruction::Balance => {
                let address = self.pop_address()?;
                let account = self.host.account(address);
                let account = self.priced(account)?;
                self.push(account.balance)?;
            }
            Instruction::Caller => self.push(self.frame.caller.into_word().into())?,
            Instruction::Value => self.push(self.frame.value)?,
            Instruction::Itself => self.push(self.frame.contract.into_word().into())?,
            Instruction::Gas => self.push(U256::from(self.gas_left))?,
            Instruction::Reentrant => self.push(U256::from(self.host.is_reentrant()))?,
            Instruction::SkipIfZero => {
                if self.pop()?.is_zero() {
                    return Ok(Instruction::decode(rest).map_or(rest, |(_, behind)| behind));
                }
            }
            Instruction::Return => {
                return Err(FrameEnd::Returned {
                    output: B256::from(self.pop()?).into(),
                    gas_left: self.gas_left,
                });
            }
            Instruction::Revert => {
                return Err(FrameEnd::Reverted {
                    output: B256::from(self.pop()?).into(),
                    gas_left: self.gas_left,
                });
            }
        }
        Ok(rest)
    }

    fn call(&mut self, kind: CallKind) -> Step<()> {
        let to = self.pop_address()?;
        let value = match kind {
            CallKind::Call => self.pop()?,
            CallKind::Delegate | CallKind::Static => U256::ZERO,
        };
        let offset = self.pop()?;
        let called = self.host.call(CallRequest {
            kind,
            to,
            value,
            input: self.calldata_from(offset),
            gas: u64::MAX,
            gas_left: self.gas_left,
        });
        let called = called.map_err(refused)?;
        self.pay(called.gas)?;
        self.output = called.output;
        self.push(U256::from(called.success))
    }

    fn create(&mut self, salt: Option<B256>) -> Step<()> {
        let (value, offset) = (self.pop()?, self.pop()?);
        let created = self.host.create(CreateRequest {
            init: self.calldata_from(offset),
            value,
            salt,
            gas_left: self.gas_left,
        });
        let created = created.map_err(refused)?;
        self.pay(created.gas)?;
        self.output = created.output;
        self.push(created.address.unwrap_or_default().into_word().into())
    }

    fn calldata_from(&self, offset: U256) -> Bytes {
        let input = &self.frame.input;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        input.slice(offset.min(input.len())..)
    }

    fn priced<T, E: Into<WriteError>>(&mut self, answer: Result<Priced<T>, E>) -> Step<T> {
        let Priced { value, gas } = answer.map_err(|error| refused(error.into()))?;
        self.pay(gas)?;
        Ok(value)
    }

    fn pay(&mut self, gas: u64) -> Step<()> {
        let left = self.gas_left.checked_sub(gas);
        self.gas_left = left.ok_or(FrameEnd::Halted(HaltReason::OutOfGas))?;
        Ok(())
    }

    fn push(&mut self, word: U256) -> Step<()> {
        if self.stack.len() == STACK_LIMIT {
            return Err(FrameEnd::Halted(HaltReason::Other("stack limit reached")));
        }
        self.stack.push(word);
        Ok(())
    }

    fn pop(&mut self) -> Step<U256> {
        let stack_underflow = FrameEnd::Halted(HaltReason::Other("stack underflow"));
        self.stack.pop().ok_or(stack_underflow)
    }

    fn pop_address(&mut self) -> Step<Address> {
        Ok(Address::from_word(self.pop()?.into()))
    }
}
