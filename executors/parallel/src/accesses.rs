use crate::access::TransactionAccess;

/// What the transactions of a block looked at and wrote, as it was written down while they ran.
#[derive(Debug, Default)]
pub struct BlockAccesses {
    pub(crate) transactions: Vec<TransactionAccess>,
}
