/// How the engine went about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExecutionStats {
    /// Threads that took part.
    pub threads: usize,
    /// Transactions that were executed ahead of their turn.
    pub speculated: usize,
    /// Executions ahead of their turn that did not hold and were done again.
    pub reexecutions: usize,
}
