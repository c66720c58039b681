//! Execution in lanes.

mod attic;
mod changes;
mod deal;
mod in_order;
mod lane;
mod log;
mod meeting;
mod outcome;
pub(crate) mod record;
mod register;
mod run;
mod settled;
mod speculation;
mod view;
mod walk;

pub(crate) use deal::{AT_TURN, Deal, LaneOutcome};
pub(crate) use in_order::TIMED;
pub(crate) use run::{LaneMemory, LaneRun};
