//! The SQL ledger of what happened on L1.
