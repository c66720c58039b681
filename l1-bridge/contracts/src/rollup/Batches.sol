// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {L1BlockHashes} from "../libraries/L1BlockHashes.sol";
import {Deposits} from "./Deposits.sol";
import {BatchHeader} from "./Types.sol";

/// @title The line of batches
/// @notice Takes batches one after another, and settles them in the same order.
abstract contract Batches is Deposits {
    /// @dev Where `data` begins in the calldata of `postBatch`: a selector, eleven words of header,
    /// an offset and a length.
    uint256 private constant BATCH_DATA_OFFSET = 4 + 13 * 32;
    /// @dev How many older batches a batch settles: more than one, so that those that waited for a
    /// dispute catch up.
    uint256 private constant SETTLED_BY_POST = 2;

    // A record for each batch, four to a slot. Low 40 bits: timestamp of its L1 block. One bit:
    // whether a dispute about it is open. 23 bits: how often batches had been removed before it
    // came, which tells it from one that had the same number before.
    mapping(uint256 group => uint64[4]) private _batchRecords;
    uint256 private constant DISPUTED = 1 << 40;
    uint256 private constant REMOVALS_SHIFT = 41;

    /// @notice A batch was taken. Its data is in the calldata, or in the blobs, of the transaction
    /// that emitted this.
    /// @param index Number of the batch, from zero, without gaps. After batches were removed their
    /// numbers are given again.
    /// @param batchHash keccak256 of the ABI-encoded header.
    /// @param header What the batch claims.
    event BatchPosted(uint256 indexed index, bytes32 indexed batchHash, BatchHeader header);
    /// @notice Batches can no longer be removed.
    /// @param settledBatches How many, counted from the first.
    event BatchesSettled(uint256 settledBatches);

    /// @notice A batch must be posted by a transaction itself, from an account without code, for its
    /// data to be that transaction's.
    error NotTopLevelCall(address sender);
    /// @notice The calldata is not laid out as every ABI encoder does, with the data last.
    error CalldataNotCanonical(uint256 expectedLength, uint256 foundLength);
    /// @notice The batch does not follow the last one.
    error PreviousBatchMismatch(bytes32 expected, bytes32 found);
    /// @notice The batch does not begin right after the last block posted.
    error FirstBlockMismatch(uint256 expected, uint64 found);
    /// @notice The batch ends before it begins.
    error BlockRangeEmpty(uint64 firstBlock, uint64 lastBlock);
    /// @notice The batch was made on an L1 that does not have this block. L1 has reorganised, or the
    /// block is not over; `expected` is zero then.
    error L1OriginMismatch(uint64 number, bytes32 expected, bytes32 found);
    /// @notice The batch has no data.
    error BatchDataEmpty();
    /// @notice The header does not state the number of blobs that hold the data.
    error BlobCountMismatch(uint256 expected, uint8 found);
    /// @notice The data does not have the stated hash.
    error DataHashMismatch(bytes32 expected, bytes32 found);

    /// @notice Posts the next batch with its data as calldata. The transaction must call this
    /// function directly, so that `data` can be read from its calldata.
    /// @param header What the batch claims.
    /// @param data The encoded blocks.
    function postBatch(BatchHeader calldata header, bytes calldata data) external {
        _requireCanonicalCalldata(data);
        if (header.blobCount != 0) revert BlobCountMismatch(0, header.blobCount);
        if (data.length == 0) revert BatchDataEmpty();
        _post(header, keccak256(data));
    }

    /// @notice Posts the next batch with its data in the blobs of the transaction, all of them. The
    /// transaction must call this function directly.
    /// @param header What the batch claims.
    function postBatchBlobs(BatchHeader calldata header) external {
        bytes memory versionedHashes;
        uint256 count;
        for (bytes32 hash = blobhash(0); hash != 0; hash = blobhash(count)) {
            versionedHashes = bytes.concat(versionedHashes, hash);
            ++count;
        }
        if (count == 0) revert BatchDataEmpty();
        if (header.blobCount != count) revert BlobCountMismatch(count, header.blobCount);
        _post(header, keccak256(versionedHashes));
    }

    /// @notice Settles batches, in order, whose time to be challenged has passed and that are not
    /// disputed. Anybody may call this.
    /// @param maxBatches How many at most.
    /// @return settled How many were.
    function settle(uint256 maxBatches) external returns (uint256 settled) {
        return _settle(maxBatches);
    }

    /// @notice Number of batches posted, without those that were removed.
    function batchCount() external view returns (uint256) {
        return _batchCount;
    }

    /// @notice Number of batches that can no longer be removed.
    function settledBatches() external view returns (uint256) {
        return _settledBatches;
    }

    /// @notice Whether a batch can no longer be removed.
    /// @param index Number of the batch, from zero.
    function isSettled(uint256 index) external view returns (bool) {
        return index < _settledBatches;
    }

    /// @notice Hash of a batch; zero when there is none.
    /// @param index Number of the batch, from zero.
    function batchHashes(uint256 index) external view returns (bytes32) {
        return index < _batchCount ? _batchHashes[index] : bytes32(0);
    }

    /// @notice When a batch was posted; zero when there is none.
    /// @param index Number of the batch, from zero.
    /// @return The timestamp of its L1 block, in seconds since the Unix epoch.
    function batchPostedAt(uint256 index) external view returns (uint64) {
        return index < _batchCount ? _postedAt(index) : 0;
    }

    /// @notice Hash of the last batch; zero before the first.
    function lastBatchHash() public view returns (bytes32) {
        return _batchCount == 0 ? bytes32(0) : _batchHashes[_batchCount - 1];
    }

    /// @notice Number of the last L2 block that was posted; 0 before the first batch.
    function lastBlock() external view returns (uint64) {
        return _lastBlock;
    }

    function _post(BatchHeader calldata header, bytes32 dataHash)
        private
        whenNotPaused
        whenOpen
        onlyRole(BATCHER_ROLE)
    {
        // An account with EIP-7702 code can be the origin and still call from within its own code.
        // forge-lint: disable-next-line(tx-origin)
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert NotTopLevelCall(msg.sender);

        uint256 index = _batchCount;
        bytes32 previous = lastBatchHash();
        if (header.previousBatchHash != previous) revert PreviousBatchMismatch(previous, header.previousBatchHash);
        uint256 nextBlock = uint256(_lastBlock) + 1;
        if (header.firstBlock != nextBlock) revert FirstBlockMismatch(nextBlock, header.firstBlock);
        if (header.lastBlock < header.firstBlock) revert BlockRangeEmpty(header.firstBlock, header.lastBlock);
        if (header.dataHash != dataHash) revert DataHashMismatch(header.dataHash, dataHash);
        _requireL1Origin(header.l1OriginNumber, header.l1OriginHash);
        _requireDepositsInTime(header.depositsConsumed);
        _settle(SETTLED_BY_POST);

        bytes32 batchHash = keccak256(abi.encode(header));
        _batchHashes[index] = batchHash;
        _batchRecords[index / 4][index % 4] = uint64(block.timestamp | uint256(_removals) << REMOVALS_SHIFT);
        _batchCount = uint48(index + 1);
        _lastBlock = header.lastBlock;
        _depositsConsumed = header.depositsConsumed;
        lastBlockHash = header.lastBlockHash;
        lastStateRoot = header.stateRoot;
        emit BatchPosted(index, batchHash, header);
    }

    function _settle(uint256 maxBatches) private returns (uint256 settled) {
        uint256 first = _settledBatches;
        uint256 count = _batchCount;
        while (settled < maxBatches && first + settled < count && _isSettleable(first + settled)) {
            ++settled;
        }
        if (settled != 0) {
            _settledBatches = uint48(first + settled);
            emit BatchesSettled(first + settled);
        }
    }

    /// @dev A batch can be challenged until then, and settled from then on.
    function _challengeDeadline(uint256 index) internal view returns (uint256) {
        return uint256(_postedAt(index)) + challengeWindow;
    }

    function _postedAt(uint256 index) internal view returns (uint64) {
        return uint40(_batchRecord(index));
    }

    function _isDisputed(uint256 index) internal view returns (bool) {
        return _batchRecord(index) & DISPUTED != 0;
    }

    /// @dev How often batches had been removed before this one came.
    function _removalsBefore(uint256 index) internal view returns (uint24) {
        return uint24(_batchRecord(index) >> REMOVALS_SHIFT);
    }

    function _setDisputed(uint256 index, bool disputed) internal {
        uint256 record = _batchRecord(index);
        record = disputed ? record | DISPUTED : record & ~DISPUTED;
        _batchRecords[index / 4][index % 4] = uint64(record);
    }

    function _batchRecord(uint256 index) private view returns (uint256) {
        return _batchRecords[index / 4][index % 4];
    }

    function _isSettleable(uint256 index) private view returns (bool) {
        return block.timestamp >= _challengeDeadline(index) && !_isDisputed(index);
    }

    /// @dev Without this a batch that is on its way while L1 reorganises could get in with deposits, or
    /// an origin, that L1 has no more. What contracts cannot see any more is older than L1's finality.
    function _requireL1Origin(uint64 number, bytes32 hash) private view {
        if (number == 0 && hash == 0) return;
        bytes32 expected = L1BlockHashes.hashOf(number);
        if (number >= block.number || (expected != 0 && hash != expected)) {
            revert L1OriginMismatch(number, expected, hash);
        }
    }

    /// @dev A reader can cut the data out of the calldata at a fixed place; no two ways of decoding
    /// the call can differ.
    function _requireCanonicalCalldata(bytes calldata data) private pure {
        uint256 offset;
        assembly ("memory-safe") {
            offset := data.offset
        }
        uint256 expectedLength = BATCH_DATA_OFFSET + (data.length + 31) / 32 * 32;
        if (offset != BATCH_DATA_OFFSET || msg.data.length != expectedLength) {
            revert CalldataNotCanonical(expectedLength, msg.data.length);
        }
    }
}
