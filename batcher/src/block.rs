use alloy_primitives::Address;
use weft_primitives::{SealedBlock, Transaction};

/// What a batch says about one block: everything that was chosen by its producer. The rest of the
/// block follows from its parent, from L1 and from execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchBlock {
    /// Seconds since the Unix epoch; at least the parent's.
    pub timestamp: u64,
    /// Gas limit of the block, in gas.
    pub gas_limit: u64,
    /// Account that earns the fees.
    pub beneficiary: Address,
    /// Number of the L1 block that this block moved to; `None` when it kept its parent's origin.
    pub l1_origin: Option<u64>,
    /// Transactions in order, without deposits: those are read from L1.
    pub transactions: Vec<Transaction>,
}

impl From<&SealedBlock> for BatchBlock {
    fn from(block: &SealedBlock) -> Self {
        Self {
            timestamp: block.header.timestamp,
            gas_limit: block.header.gas_limit,
            beneficiary: block.header.beneficiary,
            l1_origin: block.new_l1_origin().map(|origin| origin.number),
            transactions: block
                .transactions
                .iter()
                .filter(|transaction| !transaction.is_deposit())
                .cloned()
                .collect(),
        }
    }
}
