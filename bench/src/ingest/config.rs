use std::{num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

/// What the transactions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionKind {
    /// Value transfers between accounts without code.
    Transfers,
    /// Transfers of one ERC-20 token.
    Erc20,
    /// The two in turn.
    Mix,
}

/// How transactions are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One JSON-RPC request in each HTTP request.
    Http,
    /// JSON-RPC batches over HTTP.
    Batch,
    /// Requests over WebSocket, many in flight on one connection.
    WebSocket,
}

/// A name that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what} {name:?}: expected {expected}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    expected: &'static str,
}

impl TransactionKind {
    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Erc20 => "erc20",
            Self::Mix => "mix",
        }
    }

    /// Whether a token is needed.
    pub(super) const fn has_tokens(self) -> bool {
        matches!(self, Self::Erc20 | Self::Mix)
    }
}

impl FromStr for TransactionKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Transfers, Self::Erc20, Self::Mix]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownName {
                what: "workload",
                name: name.to_owned(),
                expected: "transfers, erc20 or mix",
            })
    }
}

impl Transport {
    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Batch => "batch",
            Self::WebSocket => "ws",
        }
    }

    /// Connections when the caller does not say.
    const fn default_connections(self) -> usize {
        match self {
            Self::Http => 64,
            Self::Batch | Self::WebSocket => 8,
        }
    }
}

impl FromStr for Transport {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Http, Self::Batch, Self::WebSocket]
            .into_iter()
            .find(|transport| transport.name() == name)
            .ok_or_else(|| UnknownName {
                what: "transport",
                name: name.to_owned(),
                expected: "http, batch or ws",
            })
    }
}

/// What to drive, with what, and how.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// The node's HTTP endpoint; `None` starts a node of its own.
    pub url: Option<String>,
    /// The node's WebSocket endpoint, where it is not the HTTP endpoint's host and port.
    pub websocket_url: Option<String>,
    /// Process id of the node, when it runs already and on this machine.
    pub pid: Option<u32>,
    /// Accounts that senders are funded from: the first ten of this mnemonic.
    pub mnemonic: String,
    /// What the transactions are.
    pub kind: TransactionKind,
    /// How they are sent.
    pub transport: Transport,
    /// Most requests in one batch, and most requests in flight on one WebSocket connection.
    pub batch: NonZeroUsize,
    /// Connections; by transport when `None`.
    pub connections: Option<NonZeroUsize>,
    /// Accounts that send, in turn. One sender has at most one request whose answer is not in.
    pub senders: NonZeroUsize,
    /// Accounts that receive.
    pub receivers: NonZeroUsize,
    /// Transactions of one throughput run.
    pub transactions: NonZeroUsize,
    /// Throughput runs.
    pub runs: usize,
    /// Most transactions that are sent and not seen in a block, in a throughput run.
    pub window: NonZeroUsize,
    /// Transactions that are sent one after the other on the idle chain to measure its latency.
    pub idle: usize,
    /// Pause before each of them.
    pub idle_pause: Duration,
    /// Loads at which latencies are measured, one after the other.
    pub paces: Vec<Pace>,
    /// Load above what the throughput runs came to, as a multiple of it.
    pub overload: Option<f64>,
    /// Seconds of each of these loads.
    pub seconds: NonZeroUsize,
    /// What keys, receivers and values come from.
    pub seed: u64,
    /// Folder in which the node's own data folder is made; the system's temporary folder when
    /// `None`.
    pub data_dir: Option<PathBuf>,
    /// Settings of the node, as `weft sequence --set` takes them.
    pub settings: Vec<String>,
}

impl IngestConfig {
    pub(super) fn connections(&self) -> usize {
        self.connections
            .map_or(self.transport.default_connections(), NonZeroUsize::get)
    }

    /// Requests in flight on one connection.
    pub(super) const fn depth(&self) -> usize {
        match self.transport {
            Transport::Http => 1,
            Transport::Batch | Transport::WebSocket => self.batch.get(),
        }
    }
}

/// How fast transactions are sent, whatever the node does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many a second.
    Rate(f64),
    /// This share of what the throughput runs came to.
    Fraction(f64),
}
