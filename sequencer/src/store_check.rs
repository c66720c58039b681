use std::time::Duration;

use weft_state::Store;

use crate::{error::NodeError, tasks::Tasks};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ends the node when the database has failed in the background, where it writes tables: an idle node
/// would not notice, and a writer that the database holds up until tables are merged would wait for
/// good (invariant I6).
pub(crate) fn watch_store(tasks: &mut Tasks, store: Store) {
    tasks.spawn_droppable("store", async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let store = store.clone();
            let looked = tokio::task::spawn_blocking(move || store.check_writable()).await;
            looked
                .map_err(|error| NodeError::Setup(format!("looking at the store: {error}")))??;
        }
    });
}
