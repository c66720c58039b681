use std::{
    mem,
    sync::{Arc, Mutex},
};

use super::{
    lane::{Lane, Places},
    log::LaneLog,
};

/// The lists of lanes that nobody needs any more, for new lanes: the system clears new memory, which
/// takes longer than what is written into it.
#[derive(Debug, Clone)]
pub(crate) struct Attic {
    /// Never waited for: without it, there is new memory.
    lists: Arc<Mutex<Vec<(Places, LaneLog)>>>,
    /// Most lists.
    room: usize,
}

/// Entries from which on a list is not kept.
const LONGEST_KEPT: usize = 1 << 18;

impl Attic {
    pub(super) fn new(room: usize) -> Self {
        Self {
            lists: Arc::default(),
            room,
        }
    }

    pub(super) fn take(&self) -> Option<(Places, LaneLog)> {
        self.lists.try_lock().ok()?.pop()
    }

    /// Keeps the lists of a lane, if there is room. The lane is of no use afterwards.
    pub(super) fn put(&self, lane: &mut Lane) {
        if lane.lengths().longest() > LONGEST_KEPT {
            return;
        }
        let (mut places, mut log) = (mem::take(&mut lane.places), mem::take(&mut lane.log));
        places.accounts.clear();
        places.slots.clear();
        log.clear();
        if let Ok(mut lists) = self.lists.try_lock()
            && lists.len() < self.room
        {
            lists.push((places, log));
        }
    }
}
