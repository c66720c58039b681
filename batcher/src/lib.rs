//! Batches: when they close, their encoding and their submission.
