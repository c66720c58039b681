//! Execution in lanes.

mod attic;
mod changes;
mod in_order;
mod lane;
mod log;
mod meeting;
mod outcome;
pub(crate) mod record;
mod register;
mod run;
mod settled;
mod view;
mod walk;

pub(crate) use in_order::TIMED;
pub(crate) use run::{AT_TURN, Deal, LaneMemory, LaneOutcome, LaneRun};
