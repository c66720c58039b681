use std::cell::Cell;

use revm::{
    JournalEntry,
    context::{BlockEnv as RevmBlockEnv, CfgEnv, JournalInner, LocalContext},
    context_interface::FrameStack,
    handler::EthFrame,
    interpreter::interpreter::EthInterpreter,
};
use weft_executor_core::BlockEnv;

use crate::{
    environment::{block_env, rules},
    frames::SpareStacks,
};

/// Accounts in one transaction from which on its maps are not kept: a thread's memory stays small.
const MAX_KEPT_ACCOUNTS: usize = 1024;

/// Stacks of frames below machines' frames from which on they are not kept.
const MAX_KEPT_STACKS: usize = 8;

/// EVM memory, in bytes, from which on it is not kept.
const MAX_KEPT_MEMORY: usize = 1 << 20;

/// What an execution needs and the next one on the same thread can use again: stacks, memory and
/// the journal's maps. They are empty between executions. It is large, and so stays in a box.
pub(crate) struct Scratch {
    /// The block that `rules` and `env` belong to.
    pub(crate) block: Box<BlockEnv>,
    pub(crate) rules: Box<CfgEnv>,
    pub(crate) env: Box<RevmBlockEnv>,
    pub(crate) journal: JournalInner<JournalEntry>,
    pub(crate) frames: FrameStack<EthFrame<EthInterpreter>>,
    pub(crate) local: LocalContext,
    pub(crate) spare: SpareStacks,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// This thread's scratch for a block, or a new one when an execution below this one on the
    /// stack has it or the last execution was of another fork, whose precompiles the journal
    /// remembers.
    pub(crate) fn take(block: &BlockEnv) -> Box<Self> {
        match SCRATCH.take() {
            Some(scratch) if *scratch.block == *block => scratch,
            Some(mut scratch) if scratch.block.fork == block.fork => {
                *scratch.block = block.clone();
                *scratch.rules = rules(block);
                *scratch.env = block_env(block);
                scratch
            }
            _ => Box::new(Self {
                block: Box::new(block.clone()),
                rules: Box::new(rules(block)),
                env: Box::new(block_env(block)),
                journal: JournalInner::new(),
                frames: FrameStack::new_prealloc(8),
                local: LocalContext::new(),
                spare: SpareStacks::new(),
            }),
        }
    }

    /// Keeps the scratch for the thread's next execution.
    pub(crate) fn keep(mut self: Box<Self>) {
        if self.journal.state.capacity() > MAX_KEPT_ACCOUNTS
            || self.local.shared_memory_buffer.borrow().capacity() > MAX_KEPT_MEMORY
        {
            return;
        }
        // Also clears everything else of the journal.
        let mut state = self.journal.finalize();
        state.clear();
        self.journal.state = state;
        self.frames.clear();
        self.spare.truncate(MAX_KEPT_STACKS);
        SCRATCH.set(Some(self));
    }
}
