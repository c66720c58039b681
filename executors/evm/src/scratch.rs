use std::cell::Cell;

use revm::{
    JournalEntry,
    context::{JournalInner, LocalContext},
    context_interface::FrameStack,
    handler::EthFrame,
    interpreter::interpreter::EthInterpreter,
};
use weft_primitives::Fork;

/// Accounts in one transaction from which on its maps are not kept: a thread's memory stays small.
const MAX_KEPT_ACCOUNTS: usize = 1024;

/// EVM memory, in bytes, from which on it is not kept.
const MAX_KEPT_MEMORY: usize = 1 << 20;

/// What an execution needs and the next one on the same thread can use again: stacks, memory and
/// the journal's maps. They are empty between executions.
pub(crate) struct Scratch {
    /// The journal remembers this fork's precompiles.
    pub(crate) fork: Fork,
    pub(crate) journal: JournalInner<JournalEntry>,
    pub(crate) frames: FrameStack<EthFrame<EthInterpreter>>,
    pub(crate) local: LocalContext,
}

thread_local! {
    static SCRATCH: Cell<Option<Scratch>> = const { Cell::new(None) };
}

impl Scratch {
    /// This thread's scratch, or a new one when an execution below this one on the stack has it or
    /// the last execution was of another fork.
    pub(crate) fn take(fork: Fork) -> Self {
        SCRATCH
            .take()
            .filter(|scratch| scratch.fork == fork)
            .unwrap_or_else(|| Self {
                fork,
                journal: JournalInner::new(),
                frames: FrameStack::new_prealloc(8),
                local: LocalContext::new(),
            })
    }

    /// Keeps the scratch for the thread's next execution.
    pub(crate) fn keep(mut self) {
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
        SCRATCH.set(Some(self));
    }
}
