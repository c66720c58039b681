// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice What a batch claims, posted to L1 next to the batch's data. A batch's hash is
/// keccak256(abi.encode(header)).
/// @param previousBatchHash Hash of the batch before this one; zero for the first.
/// @param firstBlock Number of the batch's first L2 block.
/// @param lastBlock Number of the batch's last L2 block, inclusive.
/// @param lastBlockHash Hash of L2 block `lastBlock`.
/// @param stateRoot State root of L2 block `lastBlock`.
/// @param withdrawalsRoot Root of the tree of withdrawals after L2 block `lastBlock`; zero before the
/// first withdrawal.
/// @param l1OriginNumber Number of the L1 block that is the origin of L2 block `lastBlock`; zero
/// while the chain has taken in none.
/// @param l1OriginHash Hash of that L1 block: a batch counts only on the L1 that it was made on.
/// @param depositsConsumed Deposits that the chain has executed up to `lastBlock`, from genesis on.
/// @param blobCount Number of blobs that hold the batch's data; zero when it is calldata.
/// @param dataHash keccak256 of the data when it is calldata, of the blobs' versioned hashes, one
/// after another, when it is in blobs.
struct BatchHeader {
    bytes32 previousBatchHash;
    uint64 firstBlock;
    uint64 lastBlock;
    bytes32 lastBlockHash;
    bytes32 stateRoot;
    bytes32 withdrawalsRoot;
    uint64 l1OriginNumber;
    bytes32 l1OriginHash;
    uint64 depositsConsumed;
    uint8 blobCount;
    bytes32 dataHash;
}

/// @notice What a rollup is created with. None of it can be changed.
/// @param admin Gets the admin role, which grants and revokes all roles, the pauser's and the
/// resolver's.
/// @param batcher Gets the batcher role.
/// @param genesisBlockHash Hash of L2 block 0.
/// @param chainSpecHash keccak256 of the chain spec.
/// @param forcedInclusionDelay How long a batch may leave a deposit out, in seconds.
/// @param challengeWindow How long after it was posted a batch can be challenged, in seconds.
/// @param resolutionTime How long the resolver has for a dispute before anybody may reject the
/// batch, in seconds.
/// @param escapeDelay How long no batch may come before anybody can close the chain, in seconds;
/// longer than the challenge window and the resolution time together.
/// @param challengeBond What a challenge costs until it is decided, in wei.
struct RollupParameters {
    address admin;
    address batcher;
    bytes32 genesisBlockHash;
    bytes32 chainSpecHash;
    uint64 forcedInclusionDelay;
    uint64 challengeWindow;
    uint64 resolutionTime;
    uint64 escapeDelay;
    uint128 challengeBond;
}

/// @notice A message from L2, with ETH, that L1 delivers once.
/// @param index Its number on L2, from zero.
/// @param sender Who started it on L2.
/// @param target Who is called on L1.
/// @param value Wei that the target gets.
/// @param gasLimit Least gas that the target gets.
/// @param data Input of the call.
struct Withdrawal {
    uint256 index;
    address sender;
    address target;
    uint256 value;
    uint256 gasLimit;
    bytes data;
}

/// @notice How a dispute stands.
enum DisputeState {
    /// Nobody has decided it.
    Open,
    /// The batch was right. The bond is gone.
    Upheld,
    /// The batch was removed. The bond goes back.
    Rejected,
    /// The batch was removed together with an earlier one. The bond goes back.
    Superseded
}
