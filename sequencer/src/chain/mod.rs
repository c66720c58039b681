//! The chain as the rest of the node sees it: one writer makes blocks, many readers follow the head.

mod handle;

pub use handle::{ChainHandle, Head, L1Labels};
