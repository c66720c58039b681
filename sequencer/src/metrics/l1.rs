//! What has to do with L1.

use metrics::{counter, gauge};
use weft_batcher::{Placement, SubmitterStatus};
use weft_l1_bridge::{Alarm, LaneStatus};

/// Records a batch that was derived from L1 and found right.
pub(crate) fn batch_verified(chain_id: u64) {
    counter!("weft_batches_verified_total", "chain_id" => chain_id.to_string()).increment(1);
}

/// Records a request to L1 that failed.
pub(crate) fn l1_error() {
    counter!("weft_l1_errors_total").increment(1);
}

/// Records whether L1 has dropped the block that a chain has as its origin.
pub(crate) fn origin_dropped(chain_id: u64, dropped: bool) {
    let dropped = if dropped { 1.0 } else { 0.0 };
    gauge!("weft_l1_origin_dropped", "chain_id" => chain_id.to_string()).set(dropped);
}

/// Records blocks that a chain took back.
pub(crate) fn blocks_unwound(chain_id: u64, blocks: u64) {
    counter!("weft_blocks_unwound_total", "chain_id" => chain_id.to_string()).increment(blocks);
}

/// Records what the submitter is doing.
pub(crate) fn submitter(status: &SubmitterStatus) {
    if let Some(last) = status.last_batch {
        gauge!("weft_batches_posted").set(last.count as f64);
    }
    gauge!("weft_batch_failures").set(f64::from(status.failures));
    let is = |condition: bool| f64::from(u8::from(condition));
    gauge!("weft_batcher_paused").set(is(status.paused));
    if let Some(placement) = status.placement {
        gauge!("weft_batch_in_blobs").set(is(placement == Placement::Blobs));
    }
}

/// Records what the batcher's account has on its way to L1.
pub(crate) fn l1_lane(status: &LaneStatus) {
    gauge!("weft_l1_transaction_attempts").set(f64::from(status.attempts));
    let kind = status.alarm.as_ref().map(Alarm::kind);
    for one in Alarm::KINDS {
        gauge!("weft_l1_transaction_alarm", "kind" => one)
            .set(f64::from(u8::from(kind == Some(one))));
    }
}
