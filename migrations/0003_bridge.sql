-- Withdrawals: what batches say about them, and how far each is on L1.

ALTER TABLE batches ADD COLUMN withdrawals_root TEXT NOT NULL
    DEFAULT '0x0000000000000000000000000000000000000000000000000000000000000000';
ALTER TABLE batches ADD COLUMN blob_count BIGINT NOT NULL DEFAULT 0;

-- Withdrawals that L2 has started, and what L1 says about them. Nothing is known of L1 before a
-- withdrawal is proven there.
CREATE TABLE withdrawals (
    withdrawal_index BIGINT NOT NULL PRIMARY KEY,
    withdrawal_hash TEXT NOT NULL,
    sender TEXT NOT NULL,
    target TEXT NOT NULL,
    value TEXT NOT NULL,
    l2_block BIGINT NOT NULL,
    l2_tx_hash TEXT NOT NULL
);

CREATE INDEX withdrawals_by_sender ON withdrawals (sender);
CREATE INDEX withdrawals_by_l2_block ON withdrawals (l2_block);

-- What happened to a withdrawal on L1. One may be proven again, with another batch.
CREATE TABLE withdrawal_events (
    withdrawal_hash TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('proven', 'finalized')),
    batch_index BIGINT,
    l1_block_number BIGINT NOT NULL,
    l1_log_index BIGINT NOT NULL,
    l1_tx_hash TEXT NOT NULL,
    PRIMARY KEY (l1_block_number, l1_log_index)
);

CREATE INDEX withdrawal_events_by_hash ON withdrawal_events (withdrawal_hash);
