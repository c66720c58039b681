use std::{collections::BTreeMap, fmt, mem, ops::Range};

use alloy_consensus::Transaction as _;
use alloy_primitives::map::DefaultHashBuilder;
use weft_executor_core::{BlockEnv, ExecutionLayer, StateView};
use weft_primitives::RecoveredTransaction;

use super::{
    attic::Attic,
    changes::gather,
    deal::{AT_TURN, Deal, LaneOutcome},
    in_order::{InOrder, PRELOADED},
    lane::{Ids, Lane},
    log::{LaneResult, Lengths},
    meeting::{have_met, marks},
    outcome::{InvalidDeposit, Outcome},
    record::{Included, LaneRecord},
    register::Register,
    settled::Settled,
    speculation::Speculation,
    view::LaneView,
    walk::Followed,
};
use crate::{
    BlockExecution, EngineError, ExecutionStats,
    accesses::{AccessRecord, BlockAccesses},
    crew::Crew,
};

/// A block that is executed in lanes, segment by segment.
///
/// The transactions of a segment are dealt to lanes. Each lane executes its own in order, on a state
/// that nobody else sees. If no lane has looked at what another has changed, all of it counts, as if
/// it had been executed in the order of the block. If lanes have met, the transactions are settled
/// one after another: one counts if everything that it had found is what is there now, and is
/// executed again otherwise.
pub(crate) struct LaneRun<'a, L, S> {
    layer: &'a L,
    block: &'a BlockEnv,
    transactions: &'a [RecoveredTransaction],
    base: S,
    settled: Settled,
    /// Whether the newest settled lane was executed in order, and so can go on.
    open: bool,
    /// Threads that have executed transactions.
    threads: usize,
    outcome: Outcome,
    memory: &'a mut LaneMemory,
}

/// Memory of the last block for the next one.
pub(crate) struct LaneMemory {
    ids: Vec<Ids>,
    /// Most maps and lists that are kept.
    room: usize,
    attic: Attic,
    register: Register,
    hasher: DefaultHashBuilder,
    /// How long the lists of the last block's lanes were.
    lengths: Lengths,
}

impl fmt::Debug for LaneMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneMemory").finish_non_exhaustive()
    }
}

impl LaneMemory {
    pub(crate) fn new(threads: usize) -> Self {
        // For a block that is being made and one that somebody still looks at.
        let room = threads.saturating_mul(8).saturating_add(2);
        Self {
            ids: Vec::new(),
            room,
            attic: Attic::new(room),
            register: Register::new(threads),
            hasher: DefaultHashBuilder::default(),
            lengths: Lengths::default(),
        }
    }

    /// Keeps the maps of a lane, if there is room. Nothing can be looked up in it any more.
    fn keep_ids(&mut self, lane: &mut Lane) {
        let ids = lane.take_ids();
        if self.ids.len() < self.room {
            self.ids.push(ids);
        }
    }

    fn lane(&mut self, transactions: usize) -> Lane {
        Lane::new(
            self.ids.pop().unwrap_or_default(),
            self.attic.take().unwrap_or_default(),
            self.lengths.scaled(transactions),
        )
    }
}

/// Places whose changes several threads gather even if one has executed all transactions.
const MANY_PLACES: usize = 4096;

impl<'a, L: ExecutionLayer, S: StateView + Clone + Send> LaneRun<'a, L, S> {
    pub(crate) fn new(
        layer: &'a L,
        block: &'a BlockEnv,
        transactions: &'a [RecoveredTransaction],
        base: S,
        memory: &'a mut LaneMemory,
    ) -> Self {
        Self {
            layer,
            block,
            transactions,
            base,
            settled: Settled::default(),
            open: false,
            threads: 1,
            outcome: Outcome::with_capacity(transactions.len()),
            memory,
        }
    }

    /// Executes these transactions one after another.
    pub(crate) fn in_order(&mut self, range: Range<usize>) -> Result<(), EngineError<S::Error>> {
        let lane = self.open_lane(range.len());
        let mut turn = InOrder {
            layer: self.layer,
            block: self.block,
            base: self.base.clone(),
            settled: &self.settled,
            lane,
            outcome: &mut self.outcome,
        };
        let transactions = self.transactions.get(range.clone()).unwrap_or_default();
        let mut next = range.start;
        for together in transactions.chunks(PRELOADED) {
            let mut view = turn.view();
            for transaction in together {
                view.preload(transaction);
            }
            for transaction in together {
                turn.execute(next, transaction)?;
                next = next.saturating_add(1);
            }
        }
        let lane = turn.lane;
        self.settled.lanes.push(lane);
        self.open = true;
        Ok(())
    }

    /// The newest lane if it was executed in order, for what comes next, or a new one: the more lanes
    /// there are the longer it takes to find out what they have.
    fn open_lane(&mut self, transactions: usize) -> Lane {
        let open = mem::take(&mut self.open)
            .then(|| self.settled.lanes.pop())
            .flatten();
        open.unwrap_or_else(|| self.memory.lane(transactions))
    }

    /// Executes these transactions in lanes that run side by side.
    pub(crate) fn side_by_side(
        &mut self,
        crew: &Crew,
        range: Range<usize>,
        deal: &Deal,
    ) -> Result<LaneOutcome, EngineError<S::Error>> {
        self.threads = crew.threads();
        self.memory.register.clear(deal.lanes.len());
        let mut done: Vec<Lane> = Vec::with_capacity(deal.lanes.len());
        for indexes in &deal.lanes {
            done.push(self.memory.lane(indexes.len()));
        }
        let speculation = Speculation {
            layer: self.layer,
            block: self.block,
            transactions: self.transactions,
            settled: &self.settled,
            register: &self.memory.register,
            transfers_apart: deal.transfers_apart,
            all_known: deal.all_known,
        };
        let bases = vec![self.base.clone(); done.len()];
        let work = done
            .iter_mut()
            .zip(&deal.lanes)
            .zip(bases)
            .zip(0..)
            .collect();
        let (hasher, parts) = (&self.memory.hasher, crew.threads());
        let certain = deal.transfers_apart;
        let told = crew.each(work, |(((lane, indexes), base), number)| {
            speculation.execute(number, lane, indexes, base);
            // At once, while the lane's places are near.
            (!certain).then(|| marks(lane, hasher, parts))
        });
        let finished = done
            .iter()
            .zip(&deal.lanes)
            .all(|(lane, indexes)| lane.log.transactions.len() == indexes.len());
        let complete = finished
            && done.iter().all(|lane| lane.saw_beneficiary == 0)
            && !deal.lane_of.contains(&AT_TURN);
        let apart = complete
            && if certain {
                done.iter().all(|lane| !lane.executed) || {
                    let lanes = done.iter().collect();
                    !have_met(&crew.each(lanes, |lane| marks(lane, hasher, parts)), crew)
                }
            } else {
                let told: Vec<_> = told.into_iter().flatten().collect();
                !have_met(&told, crew)
            };
        if !apart || !self.has_room(range.clone(), &mut done) {
            let (speculated, stale) = (self.outcome.speculated, self.outcome.stale.len());
            let end = finished.then_some(range.end);
            let end = self.follow(range, end, deal, done)?;
            return Ok(LaneOutcome::Met {
                end,
                speculated: self.outcome.speculated.saturating_sub(speculated),
                stale: self.outcome.stale.len().saturating_sub(stale),
            });
        }
        self.count(range, deal, done)?;
        Ok(LaneOutcome::Apart)
    }

    /// Whether the block's gas is enough for all transactions of the range.
    fn has_room(&self, range: Range<usize>, lanes: &mut [Lane]) -> bool {
        let transactions = self.transactions.get(range).unwrap_or_default();
        let left = self.block.gas_limit.saturating_sub(self.outcome.gas_used);
        let limits = transactions
            .iter()
            .map(|transaction| transaction.gas_limit())
            .fold(0, u64::saturating_add);
        if limits <= left {
            return true;
        }
        let mut used = self.outcome.gas_used;
        let mut entries: Vec<_> = lanes
            .iter()
            .flat_map(|lane| &lane.log.transactions)
            .map(|entry| (entry.index as usize, entry.result.gas_used()))
            .collect();
        entries.sort_unstable();
        entries.into_iter().all(|(index, gas_used)| {
            let Some(transaction) = self.transactions.get(index) else {
                return false;
            };
            let fits = transaction.gas_limit() <= self.block.gas_limit.saturating_sub(used);
            used = used.saturating_add(gas_used);
            fits
        })
    }

    /// Takes the lanes as they are.
    fn count(
        &mut self,
        range: Range<usize>,
        deal: &Deal,
        mut done: Vec<Lane>,
    ) -> Result<(), EngineError<S::Error>> {
        let first = self.settled.lanes.len();
        for (index, lane) in deal.in_block_order(range.start) {
            let Some(log) = done.get_mut(lane).map(|lane| &mut lane.log) else {
                continue;
            };
            let position = log.counted;
            log.counted = position.saturating_add(1);
            let place = Included::new(first.saturating_add(lane), position);
            if let Some(entry) = log.transactions.get_mut(position)
                && let Some(transaction) = self.transactions.get(index)
            {
                let result = &mut entry.result;
                if !matches!(result, LaneResult::Transfer(_)) {
                    self.outcome.speculated = self.outcome.speculated.saturating_add(1);
                }
                self.outcome
                    .add(index, transaction, result, place)
                    .map_err(InvalidDeposit::into)?;
            }
        }
        self.settled.lanes.append(&mut done);
        self.open = false;
        Ok(())
    }

    /// Settles the transactions of lanes that have met, one after another, up to `end` or as far as
    /// the lanes have come. Where that is.
    fn follow(
        &mut self,
        range: Range<usize>,
        end: Option<usize>,
        deal: &Deal,
        done: Vec<Lane>,
    ) -> Result<usize, EngineError<S::Error>> {
        let last = done
            .iter()
            .filter_map(|lane| lane.log.transactions.last())
            .map(|entry| entry.index as usize)
            .max();
        // The first one at least, which the lanes may have left open because of an error.
        let reached = last.unwrap_or(range.start).saturating_add(1).min(range.end);
        let end = end.unwrap_or(reached);
        let mut followed: Vec<Followed> = done.into_iter().map(Followed::new).collect();
        let lane = self.open_lane(range.len());
        let mut turn = InOrder {
            layer: self.layer,
            block: self.block,
            base: self.base.clone(),
            settled: &self.settled,
            lane,
            outcome: &mut self.outcome,
        };
        for (index, lane) in deal
            .in_block_order(range.start)
            .take_while(|(index, _)| *index < end)
        {
            let Some(transaction) = self.transactions.get(index) else {
                continue;
            };
            match followed.get_mut(lane) {
                Some(lane) => lane.settle(index, transaction, &mut turn)?,
                None => turn.execute(index, transaction)?,
            }
        }
        let lane = turn.lane;
        self.settled.lanes.push(lane);
        self.open = true;
        for followed in followed {
            let mut lane = followed.into_lane();
            self.memory.keep_ids(&mut lane);
            self.memory.attic.put(&mut lane);
        }
        Ok(end)
    }

    /// What the block did, and the transactions that were executed ahead of their turn in vain.
    pub(crate) fn finish(
        mut self,
        crew: Option<&Crew>,
    ) -> Result<(BlockExecution, Vec<usize>), EngineError<S::Error>> {
        self.pay_beneficiary()?;
        let Self {
            mut settled,
            outcome,
            memory,
            block,
            threads,
            ..
        } = self;
        let places = settled.lanes.iter().map(Lane::lengths);
        let places: usize = places
            .map(|lengths| lengths.accounts.max(lengths.slots))
            .sum();
        // Otherwise it is done before a helper is awake.
        let crew = crew.filter(|_| threads > 1 || places >= MANY_PLACES);
        let code: BTreeMap<_, _> = settled
            .lanes
            .iter_mut()
            .flat_map(|lane| mem::take(&mut lane.code))
            .collect();
        let changes = gather(&settled.lanes, code, crew);
        let lengths = settled.lanes.iter().map(Lane::lengths);
        if let Some(longest) = lengths.max_by_key(|lengths| lengths.transactions) {
            memory.lengths = longest;
        }
        for lane in &mut settled.lanes {
            memory.keep_ids(lane);
        }
        let execution = BlockExecution {
            receipts: outcome.receipts,
            changes,
            gas_used: outcome.gas_used,
            dropped: outcome.dropped,
            accesses: BlockAccesses {
                beneficiary: block.beneficiary,
                record: AccessRecord::Lanes(LaneRecord::new(
                    settled.lanes,
                    outcome.included,
                    memory.attic.clone(),
                )),
            },
            stats: ExecutionStats {
                threads,
                speculated: outcome.speculated,
                reexecutions: outcome.stale.len(),
            },
        };
        Ok((execution, outcome.stale))
    }

    fn pay_beneficiary(&mut self) -> Result<(), EngineError<S::Error>> {
        if !self.outcome.earned.is_owed() {
            return Ok(());
        }
        let mut lane = self.open_lane(0);
        let mut view = LaneView {
            lane: &mut lane,
            settled: &self.settled,
            base: &mut self.base,
            block: self.block,
            earned: Some(&mut self.outcome.earned),
        };
        view.pay().map_err(EngineError::State)?;
        self.settled.lanes.push(lane);
        Ok(())
    }
}
