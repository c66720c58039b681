// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {RollupParameters} from "./Types.sol";

/// @title What all parts of a rollup share
/// @notice Roles, the parameters of the chain, and the storage that more than one part needs.
abstract contract RollupState is AccessControl, Pausable, ReentrancyGuardTransient {
    /// @notice Of the functions, events and headers of this contract. It is raised when one of them
    /// changes, so that programs made for others do not use it.
    uint256 public constant VERSION = 2;
    /// @notice May post batches.
    bytes32 public constant BATCHER_ROLE = keccak256("BATCHER_ROLE");
    /// @notice May stop and resume batches and deposits.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");
    /// @notice May decide disputes.
    bytes32 public constant RESOLVER_ROLE = keccak256("RESOLVER_ROLE");

    /// @notice Hash of the chain's block 0.
    bytes32 public immutable genesisBlockHash;
    /// @notice keccak256 of the chain spec in `ChainCreated`.
    bytes32 public immutable chainSpecHash;
    /// @notice L1 block of this contract's creation: where to start reading its events.
    uint256 public immutable deploymentBlock;
    /// @notice How long a batch may leave a deposit out, in seconds of L1 time.
    uint64 public immutable forcedInclusionDelay;
    /// @notice How long after it was posted a batch can be challenged, in seconds.
    uint64 public immutable challengeWindow;
    /// @notice How long the resolver has for a dispute before anybody may reject the batch, in
    /// seconds.
    uint64 public immutable resolutionTime;
    /// @notice How long no batch may come before anybody can close the chain, in seconds.
    uint64 public immutable escapeDelay;
    /// @notice What a challenge costs until it is decided, in wei.
    uint128 public immutable challengeBond;

    uint64 internal immutable _deployedAt;

    // Written by every deposit; one slot, together with Pausable's flag, which a deposit reads.
    /// @notice Whether the chain has ended. There are no batches and no deposits any more.
    bool public closed;
    uint64 internal _depositCount;
    // L1 block that `_depositGas` counts for.
    uint64 internal _depositGasBlock;
    // Sum of the gas limits of the deposits of `_depositGasBlock`.
    uint32 internal _depositGas;
    // When the delay of every waiting deposit last began anew, in seconds; zero when it never did.
    uint64 internal _delayRestartedAt;

    // One slot, which every batch reads and writes.
    uint64 internal _lastBlock;
    uint64 internal _depositsConsumed;
    uint48 internal _batchCount;
    uint48 internal _settledBatches;
    // Number of times that batches were removed.
    uint24 internal _removals;

    /// @notice Hash of the last L2 block that was posted; of block 0 before the first batch.
    bytes32 public lastBlockHash;
    /// @notice State root of the last L2 block that was posted; zero before the first batch.
    bytes32 public lastStateRoot;
    // keccak256 of the ABI-encoded header of each batch. What lies at `_batchCount` and after was
    // removed.
    mapping(uint256 index => bytes32) internal _batchHashes;
    // What bonds of disputes the contract owes or holds, in wei.
    uint256 internal _bondsHeld;

    /// @notice The admin or the batcher is the zero address.
    error ZeroAddress();
    /// @notice A batch that cannot be challenged, or a dispute without time to decide it, would make
    /// whatever the batcher claims true.
    error ZeroPeriod();
    /// @notice The chain could be closed while a dispute is open.
    error EscapeDelayTooShort(uint256 minimum, uint256 found);
    /// @notice The chain has ended.
    error ChainIsClosed();
    /// @notice The chain has not ended.
    error ChainNotClosed();
    /// @notice There is no batch of this number.
    error UnknownBatch(uint256 index, uint256 batchCount);
    /// @notice The header is not that of the batch.
    error BatchHashMismatch(bytes32 expected, bytes32 found);
    /// @notice The payment would take the bonds of open disputes.
    error InsufficientBalance(uint256 available, uint256 needed);

    constructor(RollupParameters memory parameters) {
        if (parameters.admin == address(0) || parameters.batcher == address(0)) revert ZeroAddress();
        if (parameters.challengeWindow == 0 || parameters.resolutionTime == 0) revert ZeroPeriod();
        uint256 minimumDelay = uint256(parameters.challengeWindow) + parameters.resolutionTime + 1;
        if (parameters.escapeDelay < minimumDelay) revert EscapeDelayTooShort(minimumDelay, parameters.escapeDelay);

        genesisBlockHash = parameters.genesisBlockHash;
        chainSpecHash = parameters.chainSpecHash;
        deploymentBlock = block.number;
        forcedInclusionDelay = parameters.forcedInclusionDelay;
        challengeWindow = parameters.challengeWindow;
        resolutionTime = parameters.resolutionTime;
        escapeDelay = parameters.escapeDelay;
        challengeBond = parameters.challengeBond;
        _deployedAt = uint64(block.timestamp);
        lastBlockHash = parameters.genesisBlockHash;
        _grantRole(DEFAULT_ADMIN_ROLE, parameters.admin);
        _grantRole(PAUSER_ROLE, parameters.admin);
        _grantRole(RESOLVER_ROLE, parameters.admin);
        _grantRole(BATCHER_ROLE, parameters.batcher);
    }

    modifier whenOpen() {
        if (closed) revert ChainIsClosed();
        _;
    }

    modifier whenClosed() {
        if (!closed) revert ChainNotClosed();
        _;
    }

    /// @dev Pays out of the ETH that deposits brought, and never out of bonds.
    function _pay(address recipient, uint256 amount) internal {
        _requireFunds(amount);
        Address.sendValue(payable(recipient), amount);
    }

    function _requireFunds(uint256 amount) internal view {
        uint256 available = address(this).balance - _bondsHeld;
        if (available < amount) revert InsufficientBalance(available, amount);
    }

    function _requireBatch(uint256 index, bytes32 batchHash) internal view {
        if (index >= _batchCount) revert UnknownBatch(index, _batchCount);
        bytes32 expected = _batchHashes[index];
        if (batchHash != expected) revert BatchHashMismatch(expected, batchHash);
    }
}
