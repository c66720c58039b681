/// How the engine went about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExecutionStats {
    /// Threads that took part.
    pub threads: usize,
    /// Chains of transactions that were expected to meet, and so were kept in order on one thread
    /// each; a transaction that meets no other is a chain of its own.
    pub lanes: usize,
    /// Transactions that were executed ahead of their turn.
    pub speculated: usize,
    /// Executions ahead of their turn that did not hold and were done again.
    pub reexecutions: usize,
}
