//! Mempool, block producer, commit pipeline, JSON-RPC, ledger and the node that wires them.
