use std::marker::PhantomData;

use revm::{
    Context, Journal,
    bytecode::opcode::KECCAK256,
    context::{BlockEnv as RevmBlockEnv, CfgEnv, Evm, LocalContext, TxEnv},
    context_interface::result::EVMError,
    handler::{EthFrame, EthPrecompiles, instructions::InstructionProvider},
    interpreter::{
        Host,
        instructions::{GasTable, Instruction, InstructionTable, instruction_table},
        interpreter::EthInterpreter,
    },
};

use crate::{
    database::{ReadFailed, StateDatabase},
    keccak::keccak256_instruction,
};

/// What revm knows of the transaction, its block and the state.
pub(crate) type TransactionContext<'a> = Context<
    Box<RevmBlockEnv>,
    TxEnv,
    Box<CfgEnv>,
    StateDatabase<'a>,
    Journal<StateDatabase<'a>>,
    (),
    LocalContext,
>;

/// revm, set up for one transaction.
pub(crate) type TransactionEvm<'a> = Evm<
    TransactionContext<'a>,
    (),
    Instructions<TransactionContext<'a>>,
    EthPrecompiles,
    EthFrame<EthInterpreter>,
>;

/// Why a transaction gave no result.
pub(crate) type TransactionError = EVMError<ReadFailed>;

#[expect(
    clippy::indexing_slicing,
    reason = "the table has an entry for each byte"
)]
const fn instructions<CTX: Host>() -> InstructionTable<EthInterpreter, CTX> {
    let mut table = instruction_table::<EthInterpreter, CTX>();
    table[KECCAK256 as usize] = Instruction::new(keccak256_instruction);
    table
}

/// Ethereum's instructions. Their table is a constant of the program, so that nothing is allocated
/// or copied for it when a transaction starts.
pub(crate) struct Instructions<CTX> {
    gas: GasTable,
    context: PhantomData<fn(CTX)>,
}

impl<CTX> Instructions<CTX> {
    pub(crate) const fn new(gas: GasTable) -> Self {
        Self {
            gas,
            context: PhantomData,
        }
    }
}

impl<CTX: Host> InstructionProvider for Instructions<CTX> {
    type Context = CTX;
    type InterpreterTypes = EthInterpreter;

    fn instruction_table(&self) -> &InstructionTable<EthInterpreter, CTX> {
        const { &instructions::<CTX>() }
    }

    fn gas_table(&self) -> &GasTable {
        &self.gas
    }
}
