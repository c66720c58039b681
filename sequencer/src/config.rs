//! `weft.toml`: the configuration of a production node.
