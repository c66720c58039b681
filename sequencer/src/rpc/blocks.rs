use alloy_consensus::{Header, Sealed, proofs};
use alloy_eips::{BlockId, BlockNumberOrTag, RpcBlockHash};
use alloy_primitives::{Address, B256};
use weft_primitives::{BlockAttributes, Receipt, SealedBlock, Transaction, child_header};
use weft_state::{BlockWithReceipts, StateReader};

use super::{
    RpcError,
    api::{Api, now},
};

/// Most transactions that the pending block shows.
const PENDING_TRANSACTIONS: usize = 1000;

/// The transactions that would be in the next block.
#[derive(Debug)]
pub(super) struct PendingBlock {
    pub(super) block: SealedBlock,
    pub(super) senders: Vec<Address>,
}

/// A block that was asked for.
#[derive(Debug)]
pub(super) enum FoundBlock {
    Durable(BlockWithReceipts),
    Pending(PendingBlock),
}

impl FoundBlock {
    pub(super) const fn block(&self) -> &SealedBlock {
        match self {
            Self::Durable(durable) => &durable.block,
            Self::Pending(pending) => &pending.block,
        }
    }

    pub(super) fn senders(&self) -> &[Address] {
        match self {
            Self::Durable(durable) => &durable.senders,
            Self::Pending(pending) => &pending.senders,
        }
    }

    /// One for each transaction; none for the pending block.
    pub(super) fn receipts(&self) -> &[Receipt] {
        match self {
            Self::Durable(durable) => &durable.receipts,
            Self::Pending(_) => &[],
        }
    }

    /// Sender and content of a transaction, with the receipts of its block.
    pub(super) fn transaction(&self, index: u64) -> Option<(Address, &Transaction)> {
        let index = usize::try_from(index).ok()?;
        let transaction = self.block().transactions.get(index)?;
        Some((*self.senders().get(index)?, transaction))
    }
}

/// Whether the block is the head, whichever that is.
pub(super) const fn is_head(id: BlockId) -> bool {
    matches!(
        id,
        BlockId::Number(BlockNumberOrTag::Latest | BlockNumberOrTag::Pending)
    )
}

impl Api {
    /// Number that a tag stands for. `pending` has no number of its own: reads see the head.
    pub(super) fn number_of_tag(&self, tag: BlockNumberOrTag) -> u64 {
        match tag {
            BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => self.chain.head().number,
            BlockNumberOrTag::Safe => self.chain.labels().safe.min(self.chain.head().number),
            BlockNumberOrTag::Finalized => {
                self.chain.labels().finalized.min(self.chain.head().number)
            }
            BlockNumberOrTag::Earliest => 0,
            BlockNumberOrTag::Number(number) => number,
        }
    }

    /// Number of the block; `None` when the chain has no such block. What the store holds beyond
    /// the head is not visible yet.
    pub(super) fn number_of(&self, id: BlockId) -> Result<Option<u64>, RpcError> {
        let number = match id {
            BlockId::Number(tag) => Some(self.number_of_tag(tag)),
            BlockId::Hash(RpcBlockHash { block_hash, .. }) => self.number_of_hash(block_hash)?,
        };
        Ok(number.filter(|number| *number <= self.chain.head().number))
    }

    fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, RpcError> {
        let head = self.chain.head();
        if head.hash() == hash {
            return Ok(Some(head.number));
        }
        Ok(self.chain.store().block_number(hash)?)
    }

    /// Header of a durable block; that of the head for `pending`.
    pub(super) fn header(&self, id: BlockId) -> Result<Option<Sealed<Header>>, RpcError> {
        match self.number_of(id)? {
            None => Ok(None),
            Some(number) => self.header_at(number),
        }
    }

    /// Header of block `number`.
    pub(super) fn header_at(&self, number: u64) -> Result<Option<Sealed<Header>>, RpcError> {
        let head = self.chain.head();
        if head.number == number {
            return Ok(Some(head));
        }
        if number > head.number {
            return Ok(None);
        }
        Ok(self.chain.store().header(number)?)
    }

    /// Header of a durable block; that of the head for `pending`.
    ///
    /// # Errors
    /// When the chain has no such block.
    pub(super) fn known_header(&self, id: BlockId) -> Result<Sealed<Header>, RpcError> {
        self.header(id)?.ok_or(match id {
            BlockId::Hash(_) => RpcError::UnknownBlock("header for hash not found"),
            BlockId::Number(_) => RpcError::UnknownBlock("header not found"),
        })
    }

    /// State after a block, with the block's header.
    ///
    /// # Errors
    /// When the chain has no such block or its state is not kept.
    pub(super) fn state(&self, id: BlockId) -> Result<(Sealed<Header>, StateReader), RpcError> {
        let mut header = self.known_header(id)?;
        loop {
            if let Some(state) = self.chain.store().state_at(header.number)? {
                return Ok((header, state));
            }
            // Where few states are kept, the head's may have gone since it was the head.
            let again = self.known_header(id)?;
            if !is_head(id) || again.number == header.number {
                return Err(RpcError::StateNotKept(header.number));
            }
            header = again;
        }
    }

    /// The block with all that belongs to it; `None` when the chain has no such block.
    pub(super) fn block(&self, id: BlockId) -> Result<Option<FoundBlock>, RpcError> {
        if id == BlockId::pending() {
            return Ok(Some(FoundBlock::Pending(self.pending_block())));
        }
        let Some(number) = self.number_of(id)? else {
            return Ok(None);
        };
        let block = self.chain.store().block_with_receipts(number)?;
        Ok(block.map(FoundBlock::Durable))
    }

    /// The next block as it would be with the transactions that are executable now. They are not
    /// executed: gas used, state root and receipts root are those of an empty block.
    fn pending_block(&self) -> PendingBlock {
        let head = self.chain.head();
        let mut header = child_header(
            self.chain.spec().chain_id(),
            &head,
            &BlockAttributes {
                timestamp: now().max(head.timestamp),
                gas_limit: head.gas_limit,
                beneficiary: head.beneficiary,
                new_l1_origin: None,
            },
        );
        let pooled = self.mempool.as_ref().map_or_else(Vec::new, |mempool| {
            mempool.best(header.gas_limit, PENDING_TRANSACTIONS)
        });
        let (transactions, senders): (Vec<_>, Vec<_>) = pooled
            .iter()
            .map(|pooled| {
                let sender = pooled.transaction.signer();
                (pooled.transaction.inner().clone(), sender)
            })
            .unzip();
        header.transactions_root = proofs::calculate_transaction_root(&transactions);
        PendingBlock {
            block: weft_primitives::Block {
                header,
                transactions,
            }
            .seal(),
            senders,
        }
    }
}
