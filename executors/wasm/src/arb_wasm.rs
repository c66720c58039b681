//! Arbitrum's `ArbWasm`, as far as Stylus' tools ask it: at its address there, although programs
//! here need no activation and do not expire.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, address, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolInterface, sol};
use weft_executor_core::{CallKind, CallRequest, Frame, FrameEnd, HaltReason, Host, WriteError};

use crate::{
    code::{is_program, module_of},
    memory::{FREE_MEMORY_PAGES, MEMORY_PAGE_GAS},
    meter::{CALL_BASE_GAS, INK_PER_GAS, log_gas, validate_gas},
    module::{MAX_MEMORY_PAGES, validate},
};

/// Where Arbitrum has it.
pub(crate) const ARB_WASM: Address = address!("0x0000000000000000000000000000000000000071");

/// The version of Stylus' rules that programs run under.
const STYLUS_VERSION: u16 = 2;

/// Gas of a question.
const QUESTION_GAS: u64 = 800;

/// What `programTimeLeft` says: programs do not expire. Arbitrum's own time, 365 days.
const TIME_LEFT: u64 = 365 * 24 * 60 * 60;

sol! {
    interface ArbWasm {
        function activateProgram(address program) external payable returns (uint16 version, uint256 dataFee);
        function stylusVersion() external view returns (uint16 version);
        function codehashVersion(bytes32 codehash) external view returns (uint16 version);
        function programVersion(address program) external view returns (uint16 version);
        function programInitGas(address program) external view returns (uint64 gas, uint64 gasWhenCached);
        function programMemoryFootprint(address program) external view returns (uint16 footprint);
        function programTimeLeft(address program) external view returns (uint64 _secs);
        function inkPrice() external view returns (uint32 price);
        function freePages() external view returns (uint16 pages);
        function pageGas() external view returns (uint16 gas);
        function pageLimit() external view returns (uint16 limit);

        event ProgramActivated(
            bytes32 indexed codehash, bytes32 moduleHash, address program, uint256 dataFee, uint16 version
        );

        error ProgramNotWasm();
        error ProgramNotActivated();
        error ProgramRefused(string reason);
    }
}

use ArbWasm::ArbWasmCalls as Question;

/// Answers a call of [`ARB_WASM`].
pub(crate) fn answer(frame: &Frame, host: &mut dyn Host) -> FrameEnd {
    let Some(gas) = frame.gas.checked_sub(QUESTION_GAS) else {
        return FrameEnd::Halted(HaltReason::OutOfGas);
    };
    // As Solidity: unknown functions and bad arguments revert without data.
    let Ok(question) = Question::abi_decode(&frame.input) else {
        return reverted(Vec::new(), gas);
    };
    let mut meter = Meter { gas };
    match reply(frame, host, &mut meter, question) {
        Ok(output) => FrameEnd::Returned {
            output: output.into(),
            gas_left: meter.gas,
        },
        Err(Refusal::Revert(data)) => reverted(data, meter.gas),
        Err(Refusal::Write(WriteError::OutOfGas)) => FrameEnd::Halted(HaltReason::OutOfGas),
        Err(Refusal::Write(WriteError::Static)) => reverted(Vec::new(), meter.gas),
        Err(Refusal::Write(WriteError::State(_))) => FrameEnd::StateUnread,
    }
}

fn reverted(data: Vec<u8>, gas_left: u64) -> FrameEnd {
    FrameEnd::Reverted {
        output: data.into(),
        gas_left,
    }
}

enum Refusal {
    Revert(Vec<u8>),
    Write(WriteError),
}

impl<E: Into<WriteError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Write(error.into())
    }
}

fn revert<E: SolError>(error: &E) -> Refusal {
    Refusal::Revert(error.abi_encode())
}

struct Meter {
    gas: u64,
}

impl Meter {
    fn pay(&mut self, gas: u64) -> Result<(), Refusal> {
        self.gas = self.gas.checked_sub(gas).ok_or(WriteError::OutOfGas)?;
        Ok(())
    }
}

fn reply(
    frame: &Frame,
    host: &mut dyn Host,
    meter: &mut Meter,
    question: Question,
) -> Result<Vec<u8>, Refusal> {
    if !frame.value.is_zero() && !matches!(question, Question::activateProgram(_)) {
        return Err(Refusal::Revert(Vec::new()));
    }
    Ok(match question {
        Question::activateProgram(call) => activate(frame, host, meter, call.program)?,
        Question::stylusVersion(_) => {
            ArbWasm::stylusVersionCall::abi_encode_returns(&STYLUS_VERSION)
        }
        // Code cannot be found by its hash here, so every hash counts as a program's, but that of no
        // code.
        Question::codehashVersion(call) if call.codehash == KECCAK256_EMPTY => {
            return Err(revert(&ArbWasm::ProgramNotActivated {}));
        }
        Question::codehashVersion(_) => {
            ArbWasm::codehashVersionCall::abi_encode_returns(&STYLUS_VERSION)
        }
        Question::programVersion(call) => {
            program(host, meter, call.program)?;
            ArbWasm::programVersionCall::abi_encode_returns(&STYLUS_VERSION)
        }
        Question::programInitGas(call) => {
            program(host, meter, call.program)?;
            ArbWasm::programInitGasCall::abi_encode_returns(&ArbWasm::programInitGasReturn {
                gas: CALL_BASE_GAS,
                gasWhenCached: CALL_BASE_GAS,
            })
        }
        Question::programMemoryFootprint(call) => {
            let code = program(host, meter, call.program)?;
            let (_, pages) = validated(meter, &code)?;
            ArbWasm::programMemoryFootprintCall::abi_encode_returns(&pages)
        }
        Question::programTimeLeft(call) => {
            program(host, meter, call.program)?;
            ArbWasm::programTimeLeftCall::abi_encode_returns(&TIME_LEFT)
        }
        Question::inkPrice(_) => ArbWasm::inkPriceCall::abi_encode_returns(
            &u32::try_from(INK_PER_GAS).unwrap_or(u32::MAX),
        ),
        Question::freePages(_) => {
            ArbWasm::freePagesCall::abi_encode_returns(&narrow(FREE_MEMORY_PAGES))
        }
        Question::pageGas(_) => ArbWasm::pageGasCall::abi_encode_returns(&narrow(MEMORY_PAGE_GAS)),
        Question::pageLimit(_) => {
            ArbWasm::pageLimitCall::abi_encode_returns(&narrow(MAX_MEMORY_PAGES))
        }
    })
}

fn narrow(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Code of a program.
fn program(host: &mut dyn Host, meter: &mut Meter, address: Address) -> Result<Bytes, Refusal> {
    let code = host.code(address)?;
    meter.pay(code.gas)?;
    if !is_program(&code.value) {
        return Err(revert(&ArbWasm::ProgramNotWasm {}));
    }
    Ok(code.value)
}

/// Hash of a program's module, and pages of memory that it begins with.
fn validated(meter: &mut Meter, code: &Bytes) -> Result<(B256, u16), Refusal> {
    let refused = |reason: &str| {
        revert(&ArbWasm::ProgramRefused {
            reason: reason.to_owned(),
        })
    };
    let module = module_of(code).map_err(|error| refused(error.reason()))?;
    meter.pay(validate_gas(module.len()))?;
    let shape = validate(&module).map_err(|error| refused(error.reason()))?;
    Ok((keccak256(&module), narrow(shape.initial_pages)))
}

/// Says that a program is active, which it is from its creation on, gives back what was paid, and
/// logs what tools wait for.
fn activate(
    frame: &Frame,
    host: &mut dyn Host,
    meter: &mut Meter,
    address: Address,
) -> Result<Vec<u8>, Refusal> {
    let code = program(host, meter, address)?;
    let (module_hash, _) = validated(meter, &code)?;
    let event = ArbWasm::ProgramActivated {
        codehash: keccak256(&code),
        moduleHash: module_hash,
        program: address,
        dataFee: U256::ZERO,
        version: STYLUS_VERSION,
    };
    let log = event.encode_log_data();
    meter.pay(log_gas(EVENT_TOPICS, EVENT_BYTES))?;
    let (topics, data) = log.split();
    host.log(topics, data)?;
    if !frame.value.is_zero() {
        let returned = host.call(CallRequest {
            kind: CallKind::Call,
            to: frame.caller,
            value: frame.value,
            input: Bytes::new(),
            gas: u64::MAX,
            gas_left: meter.gas,
        })?;
        meter.pay(returned.gas)?;
        if !returned.success {
            return Err(Refusal::Revert(returned.output.to_vec()));
        }
    }
    Ok(ArbWasm::activateProgramCall::abi_encode_returns(
        &ArbWasm::activateProgramReturn {
            version: STYLUS_VERSION,
            dataFee: U256::ZERO,
        },
    ))
}

/// Topics of [`ArbWasm::ProgramActivated`].
const EVENT_TOPICS: u32 = 2;

/// Bytes of its data: four words.
const EVENT_BYTES: u32 = 128;
