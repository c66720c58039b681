/// How the transactions of a segment are dealt to lanes.
#[derive(Debug, Default)]
pub(crate) struct Deal {
    /// The lane of each transaction.
    pub(crate) lane_of: Vec<u16>,
    /// The transactions of each lane, by their indexes in the block, in order.
    pub(crate) lanes: Vec<Vec<u32>>,
    /// Whether lanes cannot meet as long as all their transactions are transfers.
    pub(crate) transfers_apart: bool,
    /// Whether something is known of all transactions.
    pub(crate) all_known: bool,
}

/// The lane of a transaction that no lane executes: it is executed when those before it are settled.
pub(crate) const AT_TURN: u16 = u16::MAX;

/// How lanes that ran side by side went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneOutcome {
    /// None has looked at what another has changed.
    Apart,
    Met {
        /// Executions ahead of their turn.
        speculated: usize,
        /// Those that did not hold.
        stale: usize,
        /// First transaction that is not executed yet: the lanes have stopped early.
        end: usize,
    },
}

impl Deal {
    /// Numbers the lanes by what they have to do, the most first, and lists their transactions,
    /// which start at `start`.
    pub(crate) fn number_by_load(&mut self, loads: &[u64], start: usize) {
        let mut order: Vec<usize> = (0..loads.len()).collect();
        order.sort_by_key(|lane| std::cmp::Reverse(loads.get(*lane).copied()));
        let mut numbers = vec![0u16; loads.len()];
        for (lane, number) in order.into_iter().zip(0..) {
            if let Some(entry) = numbers.get_mut(lane) {
                *entry = number;
            }
        }
        let each = self.lane_of.len() / loads.len().max(1);
        self.lanes = (0..loads.len()).map(|_| Vec::with_capacity(each)).collect();
        for (lane, index) in self.lane_of.iter_mut().zip(start..) {
            let Some(number) = numbers.get(usize::from(*lane)) else {
                continue;
            };
            *lane = *number;
            if let Some(indexes) = self.lanes.get_mut(usize::from(*lane)) {
                indexes.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
    }

    /// The transactions of a segment that starts at `start`, with their lanes.
    pub(super) fn in_block_order(&self, start: usize) -> impl Iterator<Item = (usize, usize)> {
        (start..).zip(self.lane_of.iter().map(|lane| usize::from(*lane)))
    }
}
