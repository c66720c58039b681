//! The chain as the rest of the node sees it: one writer makes blocks, many readers follow the head.

mod access_lists;
mod elastic;
mod engine;
mod handle;
mod inclusions;
mod layers;
mod pending;
mod predictions;
mod preload;
mod producer;
mod recent;
mod replay;
mod stages;
mod withdrawals;
mod writer;

pub use access_lists::{AccessListCounts, AccessListRecord, AccessListSource};
pub use elastic::{ElasticConfig, Ramp};
pub use engine::engine;
pub use handle::{ChainHandle, Head, L1Labels, LabelSource, RecordError};
pub use layers::{ExecutionMode, Layers, PROGRAMS};
pub(crate) use predictions::Predictions;
pub use preload::Preloader;
pub(crate) use producer::admission_rules;
pub use producer::{OriginUpdate, Producer, ProducerConfig};
pub use recent::{BlockParallelism, BlockRecord};
pub use replay::{ReplayError, Replayer, VerifiedBatch};
pub(crate) use replay::{withdrawals_root_at, wrong_claim};
pub use withdrawals::{
    StartedWithdrawal, WithdrawalIndex, WithdrawalIndexError, in_block as withdrawals_in_block,
};
pub use writer::{ChainWriter, ExecutedBlock};
