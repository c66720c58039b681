// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Escape} from "./rollup/Escape.sol";
import {RollupState} from "./rollup/RollupState.sol";
import {RollupParameters} from "./rollup/Types.sol";

/// @title A weft chain on its L1
/// @notice Takes the chain's batches in order, deposits from L1 to L2 and disputes about batches,
/// and pays withdrawals from L2. Whoever reads this contract's events, and the calldata and blobs of
/// the transactions that emitted `BatchPosted`, can rebuild the whole chain.
/// @dev The contract does not execute L2 blocks: it keeps batches in one line, makes them take
/// deposits in time, and lets people dispute them. Whether a disputed batch is right the resolver
/// decides. There is no proxy and no way to change the code.
contract Rollup is Escape {
    /// @notice A chain begins.
    /// @param genesisBlockHash Hash of its block 0.
    /// @param chainSpecHash keccak256 of `chainSpec`.
    /// @param chainSpec The chain's genesis and limits: with it, a follower needs L1 alone.
    event ChainCreated(bytes32 indexed genesisBlockHash, bytes32 indexed chainSpecHash, bytes chainSpec);

    /// @notice The chain spec does not have the stated hash.
    error ChainSpecHashMismatch(bytes32 expected, bytes32 found);

    /// @notice Creates the chain's contract.
    /// @param parameters What the chain is created with.
    /// @param chainSpec The chain's genesis and limits, kept in an event only.
    constructor(RollupParameters memory parameters, bytes memory chainSpec) RollupState(parameters) {
        bytes32 found = keccak256(chainSpec);
        if (found != parameters.chainSpecHash) revert ChainSpecHashMismatch(parameters.chainSpecHash, found);
        emit ChainCreated(parameters.genesisBlockHash, parameters.chainSpecHash, chainSpec);
    }

    /// @notice Stops batches and deposits.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Resumes batches and deposits. Every deposit that waits may wait the full delay again
    /// from now on: the batcher could not take it while it was stopped, and must catch up first.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
        _restartDepositDelays();
    }
}
