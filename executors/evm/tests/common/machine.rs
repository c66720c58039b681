//! A small machine: programs are lists of instructions on one word.
#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{
    CallKind, CallRequest, CreateRequest, Frame, FrameEnd, HaltReason, Host, Machine, StateUnread,
    WriteError,
};
use weft_executor_evm::EvmLayer;

/// First bytes of a program.
pub(crate) const PREFIX: [u8; 3] = [0xef, 0xf0, 0x7f];

/// First bytes of init data that is a program.
pub(crate) const INIT_PREFIX: [u8; 3] = [0x00, 0xf0, 0x7f];

/// Gas of each instruction.
pub(crate) const STEP_GAS: u64 = 10;

/// What a program does next. The word is zero at the start.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Returns the word.
    Return,
    /// Reverts with the word.
    Revert,
    /// Takes the word of calldata at this offset.
    Data(u16),
    /// Takes a word.
    Put(U256),
    /// Reads a slot.
    Load(u8),
    /// Writes the word to a slot.
    Store(u8),
    /// Writes the word to a transient slot.
    StoreTransient(u8),
    /// Logs with the word as topic and the calldata as data.
    Log,
    /// Calls a contract; the input is the selector and the word. Takes the output's first word; all
    /// ones when the call fails.
    Call(CallKind, Address, u8, [u8; 4]),
    /// Creates a contract that has no code; takes its address.
    Create,
    /// Reverts with the word unless it is this one.
    Expect(U256),
    /// Takes the caller.
    Caller,
    /// Takes the gas that is left.
    Gas,
    /// Uses gas.
    Spend(u32),
    /// Is stopped.
    Trap,
}

pub(crate) fn program(steps: &[Do]) -> Bytes {
    let mut code = PREFIX.to_vec();
    for step in steps {
        match step {
            Do::Return => code.push(0),
            Do::Revert => code.push(1),
            Do::Data(offset) => {
                code.push(2);
                code.extend(offset.to_be_bytes());
            }
            Do::Put(word) => {
                code.push(3);
                code.extend(word.to_be_bytes::<32>());
            }
            Do::Load(slot) => code.extend([4, *slot]),
            Do::Store(slot) => code.extend([5, *slot]),
            Do::StoreTransient(slot) => code.extend([6, *slot]),
            Do::Log => code.push(7),
            Do::Call(kind, to, value, selector) => {
                let kind = match kind {
                    CallKind::Call => 0,
                    CallKind::Delegate => 1,
                    CallKind::Static => 2,
                };
                code.extend([8, kind]);
                code.extend(to);
                code.push(*value);
                code.extend(selector);
            }
            Do::Create => code.push(9),
            Do::Expect(word) => {
                code.push(10);
                code.extend(word.to_be_bytes::<32>());
            }
            Do::Caller => code.push(11),
            Do::Gas => code.push(12),
            Do::Spend(gas) => {
                code.push(13);
                code.extend(gas.to_be_bytes());
            }
            Do::Trap => code.push(14),
        }
    }
    code.into()
}

/// The layer with the machine.
pub(crate) fn layer() -> EvmLayer {
    EvmLayer::new().with_machine(Arc::new(WordMachine))
}

pub(crate) struct WordMachine;

enum Stop {
    End(FrameEnd),
    Unread,
}

impl From<StateUnread> for Stop {
    fn from(_: StateUnread) -> Self {
        Self::Unread
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Static => halted(HaltReason::Other("write protection")),
            WriteError::OutOfGas => halted(HaltReason::OutOfGas),
            WriteError::State(_) => Self::Unread,
        }
    }
}

fn halted(reason: HaltReason) -> Stop {
    Stop::End(FrameEnd::Halted(reason))
}

struct Run<'r> {
    frame: &'r Frame,
    host: &'r mut dyn Host,
    code: &'r [u8],
    gas: u64,
}

impl Run<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let (taken, rest) = self
            .code
            .split_first_chunk::<N>()
            .ok_or_else(|| halted(HaltReason::InvalidInstruction))?;
        self.code = rest;
        Ok(*taken)
    }

    fn pay(&mut self, gas: u64) -> Result<(), Stop> {
        let left = self.gas.checked_sub(gas);
        self.gas = left.ok_or_else(|| halted(HaltReason::OutOfGas))?;
        Ok(())
    }

    fn returned(&self, word: U256) -> Stop {
        Stop::End(FrameEnd::Returned {
            output: word.to_be_bytes::<32>().into(),
            gas_left: self.gas,
        })
    }

    fn reverted(&self, word: U256) -> Stop {
        Stop::End(FrameEnd::Reverted {
            output: word.to_be_bytes::<32>().into(),
            gas_left: self.gas,
        })
    }

    fn step(&mut self, word: U256) -> Result<U256, Stop> {
        if self.code.is_empty() {
            return Err(self.returned(word));
        }
        self.pay(STEP_GAS)?;
        let [instruction] = self.take()?;
        Ok(match instruction {
            0 => return Err(self.returned(word)),
            1 => return Err(self.reverted(word)),
            2 => {
                let offset = usize::from(u16::from_be_bytes(self.take()?));
                let data = self.frame.input.get(offset..).unwrap_or_default();
                let mut word = [0; 32];
                for (to, from) in word.iter_mut().zip(data) {
                    *to = *from;
                }
                U256::from_be_bytes(word)
            }
            3 => U256::from_be_bytes::<32>(self.take()?),
            4 => {
                let [slot] = self.take()?;
                let load = self.host.storage(U256::from(slot))?;
                self.pay(load.gas)?;
                load.value
            }
            5 => {
                let [slot] = self.take()?;
                let gas = self.host.set_storage(U256::from(slot), word, self.gas)?;
                self.pay(gas)?;
                word
            }
            6 => {
                let [slot] = self.take()?;
                self.host.set_transient_storage(U256::from(slot), word)?;
                word
            }
            7 => {
                self.pay(750 + 8 * self.frame.input.len() as u64)?;
                self.host
                    .log(vec![B256::from(word)], self.frame.input.clone())?;
                word
            }
            8 => {
                let [kind] = self.take()?;
                let to = Address::from(self.take::<20>()?);
                let [value] = self.take()?;
                let selector = self.take::<4>()?;
                let called = self.host.call(CallRequest {
                    kind: match kind {
                        0 => CallKind::Call,
                        1 => CallKind::Delegate,
                        _ => CallKind::Static,
                    },
                    to,
                    value: U256::from(value),
                    input: [&selector[..], &word.to_be_bytes::<32>()].concat().into(),
                    gas: u64::MAX,
                    gas_left: self.gas,
                })?;
                self.pay(called.gas)?;
                match called.output.first_chunk::<32>() {
                    _ if !called.success => U256::MAX,
                    Some(word) => U256::from_be_bytes(*word),
                    None => U256::ZERO,
                }
            }
            9 => {
                let created = self.host.create(CreateRequest {
                    init: Bytes::new(),
                    value: U256::ZERO,
                    salt: None,
                    gas_left: self.gas,
                })?;
                self.pay(created.gas)?;
                let address = created.address.unwrap_or_default();
                U256::from_be_bytes(address.into_word().0)
            }
            10 => {
                if word != U256::from_be_bytes::<32>(self.take()?) {
                    return Err(self.reverted(word));
                }
                word
            }
            11 => U256::from_be_bytes(self.frame.caller.into_word().0),
            12 => U256::from(self.gas),
            13 => {
                let gas = u32::from_be_bytes(self.take()?);
                self.pay(gas.into())?;
                word
            }
            14 => return Err(halted(HaltReason::Other("trap"))),
            _ => return Err(halted(HaltReason::InvalidInstruction)),
        })
    }
}

impl Machine for WordMachine {
    fn name(&self) -> &'static str {
        "words"
    }

    fn owns(&self, code: &[u8]) -> bool {
        code.starts_with(&PREFIX)
    }

    fn assemble(&self, init: &Bytes) -> Option<Bytes> {
        let steps = init.strip_prefix(&INIT_PREFIX)?;
        Some([&PREFIX[..], steps].concat().into())
    }

    fn admit(&self, code: &Bytes, gas: u64) -> Result<u64, HaltReason> {
        let cost = code.len() as u64;
        (cost <= gas).then_some(cost).ok_or(HaltReason::OutOfGas)
    }

    fn run(&self, frame: &Frame, host: &mut dyn Host) -> FrameEnd {
        let mut run = Run {
            frame,
            host,
            code: frame.code.get(PREFIX.len()..).unwrap_or_default(),
            gas: frame.gas,
        };
        let mut word = U256::ZERO;
        loop {
            match run.step(word) {
                Ok(next) => word = next,
                Err(Stop::End(end)) => return end,
                Err(Stop::Unread) => return FrameEnd::StateUnread,
            }
        }
    }
}
