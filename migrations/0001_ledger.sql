-- What people query about L1. Rebuilt from L1 and the store; never needed to answer a transaction.
--
-- Runs unchanged on SQLite and Postgres, so: BIGINT and TEXT only; hashes and addresses are
-- lower-case hex with 0x; amounts in wei are decimal text, since they do not fit 64 bits; times are
-- seconds since the Unix epoch.

-- Batches that the L1 contract has accepted. They tile the chain: no gap, no overlap.
CREATE TABLE batches (
    batch_index BIGINT NOT NULL PRIMARY KEY,
    batch_hash TEXT NOT NULL,
    previous_batch_hash TEXT NOT NULL,
    first_block BIGINT NOT NULL,
    last_block BIGINT NOT NULL CHECK (last_block >= first_block),
    last_block_hash TEXT NOT NULL,
    state_root TEXT NOT NULL,
    deposits_consumed BIGINT NOT NULL,
    data_hash TEXT NOT NULL,
    posted_bytes BIGINT NOT NULL,
    l1_block_number BIGINT NOT NULL,
    l1_block_hash TEXT NOT NULL,
    l1_tx_hash TEXT NOT NULL
);

CREATE INDEX batches_by_last_block ON batches (last_block);
CREATE INDEX batches_by_l1_block ON batches (l1_block_number);

-- What the batcher wants on L1: one row for each nonce that it has used.
CREATE TABLE l1_transactions (
    sender TEXT NOT NULL,
    nonce BIGINT NOT NULL,
    first_batch BIGINT NOT NULL,
    last_batch BIGINT NOT NULL CHECK (last_batch >= first_batch),
    PRIMARY KEY (sender, nonce)
);

-- Each signed transaction that was sent for such a nonce.
CREATE TABLE l1_attempts (
    tx_hash TEXT NOT NULL PRIMARY KEY,
    sender TEXT NOT NULL,
    nonce BIGINT NOT NULL,
    gas_limit BIGINT NOT NULL,
    max_fee_per_gas TEXT NOT NULL,
    max_priority_fee_per_gas TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sent', 'included', 'failed', 'replaced')),
    error TEXT,
    l1_block_number BIGINT,
    FOREIGN KEY (sender, nonce) REFERENCES l1_transactions (sender, nonce)
);

CREATE INDEX l1_attempts_by_nonce ON l1_attempts (sender, nonce);
CREATE INDEX l1_attempts_by_l1_block ON l1_attempts (l1_block_number);

-- Deposits that the L1 contract has emitted. l2_block is unknown until a block has taken one in.
CREATE TABLE deposits (
    deposit_index BIGINT NOT NULL PRIMARY KEY,
    source_hash TEXT NOT NULL,
    l1_block_number BIGINT NOT NULL,
    l1_block_hash TEXT NOT NULL,
    l1_tx_hash TEXT NOT NULL,
    l1_log_index BIGINT NOT NULL,
    from_address TEXT NOT NULL,
    to_address TEXT,
    mint TEXT NOT NULL,
    value TEXT NOT NULL,
    l2_tx_hash TEXT NOT NULL,
    l2_block BIGINT
);

CREATE INDEX deposits_by_l1_block ON deposits (l1_block_number);
CREATE INDEX deposits_by_from_address ON deposits (from_address);

-- The last L1 block whose logs are all recorded above. At most one row.
CREATE TABLE l1_cursor (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    block_number BIGINT NOT NULL,
    block_hash TEXT NOT NULL
);
