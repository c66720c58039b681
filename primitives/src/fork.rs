use std::{fmt, str::FromStr};

/// An Ethereum hard fork: the rule set that a block is executed under.
///
/// Ordered by activation, so `fork >= Fork::London` asks whether London's rules hold. Glacier and
/// blob-parameter-only forks are left out because they change nothing in execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the variants are the forks' own names")]
pub enum Fork {
    Frontier,
    Homestead,
    Tangerine,
    SpuriousDragon,
    Byzantium,
    Petersburg,
    Istanbul,
    Berlin,
    London,
    Merge,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
}

impl Fork {
    /// The newest fork that weft runs: the fork of every weft chain.
    pub const LATEST: Self = Self::Osaka;

    const NAMES: [(Self, &'static str); 14] = [
        (Self::Frontier, "frontier"),
        (Self::Homestead, "homestead"),
        (Self::Tangerine, "tangerine"),
        (Self::SpuriousDragon, "spurious_dragon"),
        (Self::Byzantium, "byzantium"),
        (Self::Petersburg, "petersburg"),
        (Self::Istanbul, "istanbul"),
        (Self::Berlin, "berlin"),
        (Self::London, "london"),
        (Self::Merge, "merge"),
        (Self::Shanghai, "shanghai"),
        (Self::Cancun, "cancun"),
        (Self::Prague, "prague"),
        (Self::Osaka, "osaka"),
    ];
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES
            .iter()
            .find(|(fork, _)| fork == self)
            .map_or("unknown", |(_, name)| name);
        f.write_str(name)
    }
}

/// A fork name that weft does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fork {0:?}: expected one of frontier .. osaka in snake case")]
pub struct UnknownFork(pub String);

impl FromStr for Fork {
    type Err = UnknownFork;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(fork, _)| *fork)
            .ok_or_else(|| UnknownFork(name.to_owned()))
    }
}
