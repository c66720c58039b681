//! Between the chain and its L1: contracts, client, watcher, derivation.
