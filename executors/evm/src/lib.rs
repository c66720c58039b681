//! The EVM (revm) as an execution layer.
