//! The execution engine over any execution layer.
