//! Watches the node's blocks.

use std::time::{Duration, Instant};

use super::{IngestError, load::Load, rpc::Rpc};

/// How long to go on without a block that holds what was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at every block after `head` until all that was sent is in one, and returns the last one's
/// number. Asks again after `pause` when there is no new block.
pub(super) async fn follow(
    rpc: &mut Rpc,
    mut head: u64,
    load: &Load,
    pause: Duration,
) -> Result<u64, IngestError> {
    let mut last_progress = Instant::now();
    let mut last_included = 0;
    while !load.all_included() {
        match rpc.block(head + 1).await? {
            Some(block) => {
                head += 1;
                load.seen(&block);
            }
            None => tokio::time::sleep(pause).await,
        }
        let counts = load.counts();
        let waiting = counts.accepted > counts.included || !load.all_sent();
        if counts.included > last_included || !waiting {
            last_included = counts.included;
            last_progress = Instant::now();
        }
        if last_progress.elapsed() > PATIENCE {
            return Err(load.missing(PATIENCE));
        }
    }
    Ok(head)
}
