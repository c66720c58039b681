use alloy_primitives::BlockHash;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use weft_state::LogQuery;

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
        let store = self.chain.store();
        let topics = filter.topics.iter().map(|topics| topics.iter());
        let query = LogQuery::new(filter.address.iter(), topics);
        let mut logs = Vec::new();
        let mut bytes = 0_usize;
        let mut next = first;
        while next <= last {
            deadline.check()?;
            let (blocks, searched) = store.blocks_with_logs(&query, next, last)?;
            if searched <= next {
                // The chain ends here.
                break;
            }
            for number in blocks {
                deadline.check()?;
                let found = self.logs_of_block(filter, number)?;
                if found.is_empty() {
                    continue;
                }
                bytes = bytes.saturating_add(logs_json_size(&found));
                let before = logs.len();
                logs.extend(found);
                if logs.len() > self.config.max_log_results
                    || bytes > self.config.max_response_bytes
                {
                    full(logs.len(), number)?;
                    // A single block is never split.
                    if before > 0 {
                        logs.truncate(before);
                        return Ok((logs, number));
                    }
                    return Ok((logs, number.saturating_add(1)));
                }
            }
            next = searched;
        }
        Ok((logs, next))
    }

    /// Logs of a block that a filter selects. What the index knows of whole blocks, the header's bloom
    /// filter may know better.
    fn logs_of_block(&self, filter: &Filter, number: u64) -> Result<Vec<Log>, RpcError> {
        let bloom = self.header_at(number)?.map(|header| header.logs_bloom);
        if !bloom.is_some_and(|bloom| filter.matches_bloom(bloom)) {
            return Ok(Vec::new());
        }
        let Some(block) = self.chain.store().block_with_receipts(number)? else {
            return Ok(Vec::new());
        };
        let parts = BlockParts {
            block: &block.block,
            senders: &block.senders,
            receipts: &block.receipts,
        };
        Ok(parts.logs(|log| filter.matches(log)).collect())
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
