use std::time::Duration;

use super::FeeCaps;

/// How transactions are brought into L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxManagerConfig {
    /// L1 blocks, the including one among them, after which a transaction counts as included; at
    /// least 1.
    pub confirmations: u64,
    /// How often L1 is looked at.
    pub poll_interval: Duration,
    /// How long a transaction may wait before it is replaced by one that pays more; also how long
    /// another transaction that holds the nonce is waited for.
    pub resend_after: Duration,
    /// How long a transaction may wait before the alarm is raised that it is stuck. It is waited for
    /// further.
    pub stuck_after: Duration,
    /// How long a transaction is waited for at all; `None` for as long as it takes.
    pub give_up_after: Option<Duration>,
    /// Most that is offered.
    pub fee_caps: FeeCaps,
}

impl Default for TxManagerConfig {
    /// As a person who waits for the outcome wants it.
    fn default() -> Self {
        Self {
            confirmations: 1,
            poll_interval: Duration::from_millis(500),
            resend_after: Duration::from_secs(60),
            stuck_after: Duration::from_secs(300),
            give_up_after: Some(Duration::from_secs(600)),
            fee_caps: FeeCaps::default(),
        }
    }
}
