use alloy_eips::BlockId;
use weft_primitives::{L1Origin, TxDeposit};

use crate::{L1Block, L1Client, L1Error, PlacedDeposit, RollupInfo, contract::Rollup};

/// How the chain moves from one L1 origin to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginConfig {
    /// L1 blocks that must follow a block before it can be an origin; 0 allows the newest block, and
    /// with it deposits that a reorganisation of L1 may undo.
    pub confirmations: u64,
    /// Most gas of deposits that one L2 block takes in, in gas. The deposits of one L1 block are
    /// never split, and the first are taken even when they need more: the contract bounds them.
    pub max_deposit_gas: u64,
}

/// Default of [`OriginConfig::max_deposit_gas`], in gas. At least what the contract takes in one L1
/// block (`MAX_DEPOSIT_GAS_PER_BLOCK`), so that no L2 block's deposits need more than this.
pub const MAX_DEPOSIT_GAS: u64 = 10_000_000;

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            confirmations: 4,
            max_deposit_gas: MAX_DEPOSIT_GAS,
        }
    }
}

/// A move to a new L1 origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginAdvance {
    /// The new origin.
    pub origin: L1Origin,
    /// The user deposits of all L1 blocks after the old origin up to the new one, in order.
    pub deposits: Vec<TxDeposit>,
}

/// Why the next L1 origin is not known.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// L1 did not answer properly.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// L1 has reorganised below the chain's origin: blocks here have taken in deposits that L1 may
    /// not hold any more. The chain must take in no further deposits until somebody has looked.
    #[error(
        "L1 reorganised: expected block {number}, the chain's L1 origin, to be {expected}, found {found}"
    )]
    Reorg {
        /// Number of the origin.
        number: u64,
        /// Its hash, as the chain has it.
        expected: alloy_primitives::B256,
        /// The hash that L1 has now.
        found: alloy_primitives::B256,
    },
}

impl L1Client {
    /// Whether L1 holds the block that a chain has as its origin.
    ///
    /// # Errors
    /// When L1 does not answer properly, or is shorter than that.
    pub async fn holds_origin(&self, origin: &L1Origin) -> Result<bool, L1Error> {
        Ok(self.existing_block(origin.number).await?.hash == origin.hash)
    }

    /// Checks that L1 still holds the block that a chain has as its origin.
    ///
    /// # Errors
    /// When it does not, or does not answer properly.
    pub(crate) async fn check_origin(&self, origin: &L1Origin) -> Result<(), OriginError> {
        let found = self.existing_block(origin.number).await?.hash;
        if found == origin.hash {
            return Ok(());
        }
        Err(OriginError::Reorg {
            number: origin.number,
            expected: origin.hash,
            found,
        })
    }
}

/// Finds the L1 blocks that the chain can move to, for the node that makes blocks.
#[derive(Debug)]
pub struct OriginSource {
    client: L1Client,
    contract: alloy_primitives::Address,
    deployment_block: u64,
    config: OriginConfig,
    /// What is already read, so that L1 blocks without deposits are not read again and again.
    scan: Option<Scan>,
}

/// The deposits of L1 blocks `after + 1 ..= to`.
#[derive(Debug)]
struct Scan {
    after: u64,
    to: L1Block,
    deposits: Vec<PlacedDeposit>,
}

/// Most deposits that are held; further L1 blocks are read when these are taken in.
const MAX_WAITING_DEPOSITS: usize = 20_000;

impl OriginSource {
    /// A source for a contract.
    pub const fn new(client: L1Client, info: &RollupInfo, config: OriginConfig) -> Self {
        Self {
            client,
            contract: info.contract,
            deployment_block: info.deployment_block,
            config,
            scan: None,
        }
    }

    /// The furthest move; `None` when L1 has no newer block with enough confirmations. `current` is
    /// the chain's origin and `deposits_so_far` the number of user deposits that the chain has taken
    /// in.
    ///
    /// # Errors
    /// When L1 does not answer properly, or has reorganised below the origin.
    pub async fn newest(
        &mut self,
        current: Option<L1Origin>,
        deposits_so_far: u64,
    ) -> Result<Option<OriginAdvance>, OriginError> {
        // The contract takes deposits from its own block on.
        let after = match &current {
            Some(origin) => origin.number,
            None => self.deployment_block.saturating_sub(1),
        };
        if let Some(current) = &current {
            self.client.check_origin(current).await?;
        }
        let head = self.client.block_number().await?;
        let to = head.saturating_sub(self.config.confirmations);
        if to <= after {
            return Ok(None);
        }
        let scan = self.scan_up_to(after, to).await?;
        self.check_count(&scan, deposits_so_far).await?;
        let advance = self.furthest(&scan).await?;
        self.scan = Some(scan);
        Ok(Some(advance))
    }

    /// Reads on from what is already read, as far as that still holds.
    async fn scan_up_to(&mut self, after: u64, to: u64) -> Result<Scan, L1Error> {
        let mut scan = match self.scan.take() {
            Some(scan) if scan.after <= after && after <= scan.to.number => {
                let now = self.client.existing_block(scan.to.number).await?;
                (now.hash == scan.to.hash).then_some(scan)
            }
            _ => None,
        };
        if let Some(scan) = &mut scan {
            scan.after = after;
            scan.deposits.retain(|deposit| deposit.l1_block > after);
        }
        let mut next = scan.as_ref().map_or(after, |scan| scan.to.number);
        let span = self.client.config().max_log_range.max(1);
        while next < to
            && scan
                .as_ref()
                .is_none_or(|scan| scan.deposits.len() < MAX_WAITING_DEPOSITS)
        {
            let end = next.saturating_add(span).min(to);
            let pinned = self.client.existing_block(end).await?;
            let deposits = self.client.deposits(self.contract, next, end).await?;
            // The same block before and after: the logs between are of its chain.
            let again = self.client.existing_block(end).await?;
            if again.hash != pinned.hash {
                return Err(L1Error::answer(
                    format!("eth_getBlockByNumber({end})"),
                    format!("block {}", pinned.hash),
                    format!("block {}: L1 reorganised meanwhile", again.hash),
                ));
            }
            let progress = scan.get_or_insert(Scan {
                after,
                to: pinned,
                deposits: Vec::new(),
            });
            progress.to = pinned;
            progress.deposits.extend(deposits);
            next = end;
        }
        match scan {
            Some(scan) => Ok(scan),
            // `to` is above `after`, so that there was something to read or to keep.
            None => Err(L1Error::answer(
                "deposits",
                format!("L1 blocks after {after}"),
                format!("none up to {to}"),
            )),
        }
    }

    /// The contract counts its deposits: an L1 node that leaves out logs is found out here. A chain
    /// that misses one could never be derived again.
    async fn check_count(&self, scan: &Scan, deposits_so_far: u64) -> Result<(), L1Error> {
        let block = scan.to.number;
        let found = self
            .client
            .view(
                self.contract,
                &Rollup::depositCountCall {},
                BlockId::number(block),
            )
            .await?;
        let expected = deposits_so_far.saturating_add(scan.deposits.len() as u64);
        if found == expected {
            return Ok(());
        }
        Err(L1Error::answer(
            format!("depositCount() at L1 block {block}"),
            format!(
                "{expected}: {deposits_so_far} that the chain has and the {} logs after block {}",
                scan.deposits.len(),
                scan.after
            ),
            found.to_string(),
        ))
    }

    /// The furthest block of a scan whose deposits together stay within the bound.
    async fn furthest(&self, scan: &Scan) -> Result<OriginAdvance, L1Error> {
        let mut gas = 0u64;
        let mut taken = 0;
        let mut target = scan.to.number;
        for group in scan.deposits.chunk_by(|a, b| a.l1_block == b.l1_block) {
            gas = group.iter().fold(gas, |gas, placed| {
                gas.saturating_add(placed.deposit.gas_limit)
            });
            if gas > self.config.max_deposit_gas
                && taken > 0
                && let Some(first) = group.first()
            {
                target = first.l1_block.saturating_sub(1);
                break;
            }
            taken += group.len();
        }
        let origin = if target == scan.to.number {
            scan.to
        } else {
            self.client.existing_block(target).await?
        };
        let taken = scan.deposits.iter().take(taken);
        if let Some(last) = taken.clone().last()
            && last.l1_block == origin.number
            && last.l1_block_hash != origin.hash
        {
            return Err(L1Error::answer(
                format!("eth_getBlockByNumber({target})"),
                format!("block {}, which its logs name", last.l1_block_hash),
                origin.hash.to_string(),
            ));
        }
        Ok(OriginAdvance {
            origin,
            deposits: taken.map(|placed| placed.deposit.clone()).collect(),
        })
    }
}
