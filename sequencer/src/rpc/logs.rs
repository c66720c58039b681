use alloy_primitives::BlockHash;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};

use super::{
    RpcError,
    api::Api,
    json::{BlockParts, logs_json_size},
    workers::Deadline,
};

/// Most addresses, and most topics in one position, of a filter; geth's bound.
const MAX_FILTER_VALUES: usize = 1000;

/// Blocks that a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogRange {
    /// One block.
    Block(BlockHash),
    /// First and last; the range is empty when the first is after the last.
    Numbers(u64, u64),
}

impl Api {
    /// The logs that a filter selects.
    ///
    /// # Errors
    /// When the range is malformed or a bound is exceeded.
    pub(super) fn logs(&self, filter: &Filter, deadline: Deadline) -> Result<Vec<Log>, RpcError> {
        check_filter(filter)?;
        let (first, last) = match self.log_range(filter)? {
            LogRange::Block(hash) => {
                let number = self
                    .number_of(hash.into())?
                    .ok_or(RpcError::UnknownBlock("unknown block"))?;
                (number, number)
            }
            LogRange::Numbers(first, last) => (first, last),
        };
        if last.saturating_sub(first) >= self.config.max_log_range {
            return Err(RpcError::LimitExceeded(format!(
                "query covers blocks {first} to {last}, at most {} blocks are searched",
                self.config.max_log_range
            )));
        }
        let (logs, _) = self.collect_logs(filter, first, last, deadline, |found, number| {
            Err(RpcError::LimitExceeded(format!(
                "query has {found} results or more up to block {number}, at most {} in {} bytes \
                 are given: try a smaller range",
                self.config.max_log_results, self.config.max_response_bytes
            )))
        })?;
        Ok(logs)
    }

    /// Logs of the blocks `first` to `last`, and the first block that was not searched. `full` is
    /// asked what to do when the next block's logs would be too many.
    pub(super) fn collect_logs(
        &self,
        filter: &Filter,
        first: u64,
        last: u64,
        deadline: Deadline,
        full: impl Fn(usize, u64) -> Result<(), RpcError>,
    ) -> Result<(Vec<Log>, u64), RpcError> {
        let mut logs = Vec::new();
        let mut bytes = 0_usize;
        for number in first..=last {
            deadline.check()?;
            let Some(header) = self.header_at(number)? else {
                return Ok((logs, number));
            };
            if !filter.matches_bloom(header.logs_bloom) {
                continue;
            }
            let Some(block) = self.chain.store().block_with_receipts(number)? else {
                return Ok((logs, number));
            };
            let parts = BlockParts {
                block: &block.block,
                senders: &block.senders,
                receipts: &block.receipts,
            };
            let before = logs.len();
            logs.extend(parts.logs(|log| filter.matches(log)));
            bytes = bytes.saturating_add(logs_json_size(logs.get(before..).unwrap_or_default()));
            if logs.len() > self.config.max_log_results || bytes > self.config.max_response_bytes {
                full(logs.len(), number)?;
                // A single block is never split.
                if before > 0 {
                    logs.truncate(before);
                    return Ok((logs, number));
                }
                return Ok((logs, number.saturating_add(1)));
            }
        }
        Ok((logs, last.saturating_add(1).max(first)))
    }

    fn log_range(&self, filter: &Filter) -> Result<LogRange, RpcError> {
        let (from, to) = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => return Ok(LogRange::Block(hash)),
            FilterBlockOption::Range {
                from_block,
                to_block,
            } => (from_block, to_block),
        };
        let head = self.chain.head().number;
        let first = from.map_or(head, |tag| self.number_of_tag(tag));
        let last = to.map_or(head, |tag| self.number_of_tag(tag));
        if first > last && to.is_some() && from.is_some() {
            return Err(RpcError::InvalidParams(format!(
                "invalid block range params: from {first} to {last}"
            )));
        }
        Ok(LogRange::Numbers(first, last.min(head)))
    }
}

/// # Errors
/// When the filter holds too many values.
pub(super) fn check_filter(filter: &Filter) -> Result<(), RpcError> {
    let longest = filter.topics.iter().map(|topic| topic.len()).max();
    if filter.address.len().max(longest.unwrap_or(0)) > MAX_FILTER_VALUES {
        return Err(RpcError::LimitExceeded(format!(
            "at most {MAX_FILTER_VALUES} addresses or topics per search position"
        )));
    }
    Ok(())
}
