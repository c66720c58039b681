//! What the node reports: `docs/operations.md` has the same table.

use metrics::Unit;

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric: kind, name, unit, help text. The base fee's unit (wei) is one that the exporter
/// does not know.
pub(super) const METRICS: &[(Kind, &str, Unit, &str)] = &[
    (
        Kind::Counter,
        "weft_blocks_total",
        Unit::Count,
        "Blocks made durable",
    ),
    (
        Kind::Counter,
        "weft_transactions_total",
        Unit::Count,
        "Transactions made durable, deposits included",
    ),
    (
        Kind::Counter,
        "weft_gas_used_total",
        Unit::Count,
        "Gas used by durable blocks, in gas",
    ),
    (
        Kind::Counter,
        "weft_transactions_dropped_total",
        Unit::Count,
        "Transactions that were invalid at their turn in a block and left out",
    ),
    (
        Kind::Gauge,
        "weft_head_block_number",
        Unit::Count,
        "Number of the last durable block",
    ),
    (
        Kind::Gauge,
        "weft_safe_block_number",
        Unit::Count,
        "Number of the last safe block",
    ),
    (
        Kind::Gauge,
        "weft_finalized_block_number",
        Unit::Count,
        "Number of the last finalized block",
    ),
    (
        Kind::Gauge,
        "weft_oldest_state_block_number",
        Unit::Count,
        "Oldest block whose state is kept",
    ),
    (
        Kind::Gauge,
        "weft_base_fee_wei",
        Unit::Count,
        "Base fee of the last block, in wei per gas",
    ),
    (
        Kind::Gauge,
        "weft_l1_origin_number",
        Unit::Count,
        "Number of the L1 origin block",
    ),
    (
        Kind::Gauge,
        "weft_l1_origin_dropped",
        Unit::Count,
        "1 while L1 does not have the chain's L1 origin any more, 0 otherwise",
    ),
    (
        Kind::Counter,
        "weft_blocks_unwound_total",
        Unit::Count,
        "Blocks that the chain took back after a deep reorganisation of L1",
    ),
    (
        Kind::Histogram,
        "weft_stage_seconds",
        Unit::Seconds,
        "Time that a stage works on a block (`execute`, `seal`, `commit`) or on a batch of sent transactions (`admit`), by stage",
    ),
    (
        Kind::Histogram,
        "weft_stage_wait_seconds",
        Unit::Seconds,
        "Time that a block or a sent transaction waits for a stage, by stage",
    ),
    (
        Kind::Gauge,
        "weft_stage_queue_depth",
        Unit::Count,
        "Blocks or sent transactions that wait for a stage, by stage",
    ),
    (
        Kind::Histogram,
        "weft_transaction_seconds",
        Unit::Seconds,
        "Time since a sent transaction was received, when it is `admitted`, `executed`, `durable` and `answered`, by state",
    ),
    (
        Kind::Counter,
        "weft_reexecutions_total",
        Unit::Count,
        "Executions ahead of their turn that did not hold and were done again",
    ),
    (
        Kind::Gauge,
        "weft_block_gas_limit",
        Unit::Count,
        "Gas limit of the next block, in gas",
    ),
    (
        Kind::Gauge,
        "weft_block_interval_seconds",
        Unit::Seconds,
        "Least time between the starts of two blocks now",
    ),
    (
        Kind::Gauge,
        "weft_pressure_ratio",
        Unit::Count,
        "How much L1 slows the chain down, from 0 to 1",
    ),
    (
        Kind::Gauge,
        "weft_l1_backlog_blocks",
        Unit::Count,
        "Blocks that are not safe yet",
    ),
    (
        Kind::Gauge,
        "weft_l1_backlog_bytes",
        Unit::Bytes,
        "Bytes of transactions in blocks that are not safe yet",
    ),
    (
        Kind::Gauge,
        "weft_l1_backlog_age_seconds",
        Unit::Seconds,
        "Age of the oldest block that is not safe yet",
    ),
    (
        Kind::Gauge,
        "weft_predictions_bytes",
        Unit::Bytes,
        "Size of what the engine has learned, when it was written last",
    ),
    (
        Kind::Counter,
        "weft_access_lists_total",
        Unit::Count,
        "Access lists that this node was given and has checked, by outcome",
    ),
    (
        Kind::Gauge,
        "weft_block_lanes",
        Unit::Count,
        "Groups of transactions that share nothing, in the block looked at last",
    ),
    (
        Kind::Gauge,
        "weft_block_speed_up_bound",
        Unit::Count,
        "Gas over the gas of the longest chain of waiting transactions, in the block looked at last",
    ),
    (
        Kind::Gauge,
        "weft_mempool_pending_transactions",
        Unit::Count,
        "Waiting transactions that are executable",
    ),
    (
        Kind::Gauge,
        "weft_mempool_queued_transactions",
        Unit::Count,
        "Waiting transactions behind a nonce gap",
    ),
    (
        Kind::Counter,
        "weft_state_cache_total",
        Unit::Count,
        "Accounts and slots that were looked up, by outcome: `hit` (in memory) or `miss`",
    ),
    (
        Kind::Gauge,
        "weft_state_cache_bytes",
        Unit::Bytes,
        "Memory of accounts and slots",
    ),
    (
        Kind::Counter,
        "weft_preload_total",
        Unit::Count,
        "Accounts and slots that sent transactions are expected to look at, by outcome: `cached` (in memory already), `loaded`, `dropped` (too many waited) or `failed`",
    ),
    (
        Kind::Gauge,
        "weft_batches_posted",
        Unit::Count,
        "Batches that the contract on L1 has taken",
    ),
    (
        Kind::Gauge,
        "weft_batch_failures",
        Unit::Count,
        "Attempts to post a batch that failed since the last one that did not",
    ),
    (
        Kind::Gauge,
        "weft_batch_in_blobs",
        Unit::Count,
        "1 when the last batch of this process was posted in blobs, 0 when as calldata",
    ),
    (
        Kind::Gauge,
        "weft_batcher_paused",
        Unit::Count,
        "1 while the batcher begins no further batch, because it was told so",
    ),
    (
        Kind::Gauge,
        "weft_l1_transaction_attempts",
        Unit::Count,
        "Attempts so far to bring the batcher's present transaction into L1; 0 while it has none",
    ),
    (
        Kind::Gauge,
        "weft_l1_transaction_alarm",
        Unit::Count,
        "1 while the batcher's transaction waits and cannot be helped, by kind: `fee_cap` (L1 asks for more than may be paid) or `stuck` (not in a block for `batcher.stuck_after_s`)",
    ),
    (
        Kind::Counter,
        "weft_l1_errors_total",
        Unit::Count,
        "Requests to L1 that failed or were answered with nonsense",
    ),
    (
        Kind::Counter,
        "weft_batches_verified_total",
        Unit::Count,
        "Batches that this process derived from L1 and found right",
    ),
    (
        Kind::Counter,
        "weft_rpc_requests_total",
        Unit::Count,
        "JSON-RPC requests to known methods, by method and outcome",
    ),
    (
        Kind::Counter,
        "weft_rpc_refused_total",
        Unit::Count,
        "Messages, and sent transactions, that were refused because of a client's limit or because the server was busy, by reason",
    ),
    (
        Kind::Histogram,
        "weft_rpc_request_duration_seconds",
        Unit::Seconds,
        "Time to answer a JSON-RPC request, by method",
    ),
];
