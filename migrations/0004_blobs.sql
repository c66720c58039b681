-- Fee cap of an attempt's blobs, in wei per blob gas; NULL for a transaction without blobs.
ALTER TABLE l1_attempts ADD COLUMN max_fee_per_blob_gas TEXT;
