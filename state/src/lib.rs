//! The chain's store: flat state, trie, blocks, receipts and history on fjall.
