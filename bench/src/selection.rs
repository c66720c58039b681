use std::str::FromStr;

use crate::{Crafted, Workload};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// One generated workload.
    One(Workload),
    /// Real blocks.
    Fixtures,
    /// Every workload that is made to mislead the engine.
    Crafted,
    /// Every other workload, then the real blocks when they are there.
    All,
}

/// A name that is no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no workload {0:?}: expected {list}, crafted, {crafted}, fixtures or all", list = Workload::ALL.map(Workload::name).join(", "), crafted = Crafted::ALL.map(Crafted::name).join(", "))]
pub struct UnknownSelection(pub String);

impl FromStr for Selection {
    type Err = UnknownSelection;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "fixtures" => Ok(Self::Fixtures),
            "all" => Ok(Self::All),
            "crafted" => Ok(Self::Crafted),
            _ => Workload::ALL
                .into_iter()
                .chain(Crafted::ALL.map(Workload::Crafted))
                .find(|workload| workload.name() == name)
                .map(Self::One)
                .ok_or_else(|| UnknownSelection(name.to_owned())),
        }
    }
}
