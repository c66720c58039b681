// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Batches} from "./Batches.sol";
import {BatchHeader, DisputeState} from "./Types.sol";

/// @title Disputes about batches
/// @notice Anybody can say within the challenge window that a batch is wrong, against a bond. Until
/// the resolver has decided, neither that batch nor a later one settles.
abstract contract Disputes is Batches {
    struct Dispute {
        address challenger;
        uint48 index;
        uint40 openedAt;
        // Whether the resolver upheld the batch, or a decision of this dispute removed it.
        DisputeState decision;
        // Which of the batches that had this number it is about.
        uint24 removalsBefore;
        bool bondClaimed;
    }

    /// @dev Where a burned bond goes. Nobody holds a key for it.
    address private constant BURNED = address(0);

    Dispute[] private _disputes;

    /// @notice Somebody says that a batch is wrong.
    event BatchChallenged(
        uint256 indexed disputeId, uint256 indexed index, bytes32 indexed batchHash, address challenger
    );
    /// @notice The resolver says that a batch is right.
    event BatchUpheld(uint256 indexed disputeId, uint256 indexed index);
    /// @notice Batches were removed: number `fromIndex` and all later ones.
    /// @param batchCountBefore How many batches there were.
    event BatchesRejected(uint256 indexed disputeId, uint256 indexed fromIndex, uint256 batchCountBefore);
    /// @notice A challenger has its bond back.
    event BondClaimed(uint256 indexed disputeId, address indexed challenger, uint256 amount);

    /// @notice The batch can no longer be challenged.
    error ChallengeWindowOver(uint256 deadline);
    /// @notice The batch is disputed already.
    error AlreadyDisputed(uint256 index);
    /// @notice A challenge costs the bond, no more and no less.
    error WrongBond(uint256 expected, uint256 found);
    /// @notice There is no dispute of this number.
    error UnknownDispute(uint256 disputeId, uint256 disputeCount);
    /// @notice The dispute is decided already.
    error DisputeNotOpen(uint256 disputeId, DisputeState state);
    /// @notice Until then only the resolver may reject the batch.
    error ResolutionTimeNotOver(uint256 deadline);
    /// @notice The dispute is open, or was lost, or its bond was claimed.
    error NoBond(uint256 disputeId);

    /// @notice Disputes a batch.
    /// @param index Number of the batch, from zero.
    /// @param batchHash Its hash, so that another batch of this number is not meant.
    /// @return disputeId Number of the dispute, from zero.
    function challengeBatch(uint256 index, bytes32 batchHash) external payable returns (uint256 disputeId) {
        _requireBatch(index, batchHash);
        uint256 deadline = _challengeDeadline(index);
        if (block.timestamp >= deadline) revert ChallengeWindowOver(deadline);
        if (_isDisputed(index)) revert AlreadyDisputed(index);
        if (msg.value != challengeBond) revert WrongBond(challengeBond, msg.value);

        disputeId = _disputes.length;
        _disputes.push(
            Dispute(
                msg.sender, uint48(index), uint40(block.timestamp), DisputeState.Open, _removalsBefore(index), false
            )
        );
        _setDisputed(index, true);
        _bondsHeld += msg.value;
        emit BatchChallenged(disputeId, index, batchHash, msg.sender);
    }

    /// @notice Decides that a disputed batch is right. The bond is burned, so that nobody gains by
    /// disputes.
    /// @param disputeId Number of the dispute.
    function upholdBatch(uint256 disputeId) external onlyRole(RESOLVER_ROLE) {
        Dispute storage dispute = _openDispute(disputeId);
        dispute.decision = DisputeState.Upheld;
        _setDisputed(dispute.index, false);
        _bondsHeld -= challengeBond;
        emit BatchUpheld(disputeId, dispute.index);
        Address.sendValue(payable(BURNED), challengeBond);
    }

    /// @notice Removes a disputed batch and all later ones. For the resolver, and for anybody when
    /// the resolver has let its time pass. The delay of every waiting deposit begins anew.
    /// @param disputeId Number of the dispute.
    /// @param previous Header of the batch before the disputed one; ignored when that is the first.
    function rejectBatch(uint256 disputeId, BatchHeader calldata previous) external {
        Dispute storage dispute = _openDispute(disputeId);
        uint256 deadline = uint256(dispute.openedAt) + resolutionTime;
        if (block.timestamp < deadline && !hasRole(RESOLVER_ROLE, msg.sender)) revert ResolutionTimeNotOver(deadline);

        dispute.decision = DisputeState.Rejected;
        uint256 index = dispute.index;
        uint256 countBefore = _batchCount;
        _batchCount = uint48(index);
        ++_removals;
        if (index == 0) {
            (_lastBlock, _depositsConsumed) = (0, 0);
            (lastBlockHash, lastStateRoot) = (genesisBlockHash, 0);
        } else {
            _requireBatch(index - 1, keccak256(abi.encode(previous)));
            (_lastBlock, _depositsConsumed) = (previous.lastBlock, previous.depositsConsumed);
            (lastBlockHash, lastStateRoot) = (previous.lastBlockHash, previous.stateRoot);
        }
        _restartDepositDelays();
        emit BatchesRejected(disputeId, index, countBefore);
    }

    /// @notice Pays the bond of a dispute whose batch was removed to its challenger. Anybody may call
    /// this.
    /// @param disputeId Number of the dispute.
    function claimBond(uint256 disputeId) external nonReentrant {
        uint256 amount = bondOf(disputeId);
        Dispute storage dispute = _disputes[disputeId];
        if (dispute.bondClaimed || !_isWon(dispute)) revert NoBond(disputeId);
        dispute.bondClaimed = true;
        _bondsHeld -= amount;
        emit BondClaimed(disputeId, dispute.challenger, amount);
        Address.sendValue(payable(dispute.challenger), amount);
    }

    /// @notice What `claimBond` would pay, in wei.
    /// @param disputeId Number of the dispute.
    function bondOf(uint256 disputeId) public view returns (uint256) {
        Dispute storage dispute = _dispute(disputeId);
        return dispute.bondClaimed || !_isWon(dispute) ? 0 : challengeBond;
    }

    /// @notice Number of disputes there have been.
    function disputeCount() external view returns (uint256) {
        return _disputes.length;
    }

    /// @notice A dispute.
    /// @param disputeId Number of the dispute, from zero.
    /// @return challenger Who opened it.
    /// @return index Number of the batch.
    /// @return openedAt When, in seconds since the Unix epoch.
    /// @return state How it stands.
    /// @return bondClaimed Whether the challenger has its bond back.
    function disputes(uint256 disputeId)
        external
        view
        returns (address challenger, uint64 index, uint64 openedAt, DisputeState state, bool bondClaimed)
    {
        Dispute storage dispute = _dispute(disputeId);
        return (dispute.challenger, dispute.index, dispute.openedAt, _state(dispute), dispute.bondClaimed);
    }

    function _openDispute(uint256 disputeId) private view returns (Dispute storage dispute) {
        dispute = _dispute(disputeId);
        DisputeState state = _state(dispute);
        if (state != DisputeState.Open) revert DisputeNotOpen(disputeId, state);
    }

    function _dispute(uint256 disputeId) private view returns (Dispute storage) {
        if (disputeId >= _disputes.length) revert UnknownDispute(disputeId, _disputes.length);
        return _disputes[disputeId];
    }

    function _isWon(Dispute storage dispute) private view returns (bool) {
        DisputeState state = _state(dispute);
        return state == DisputeState.Rejected || state == DisputeState.Superseded;
    }

    /// @dev An undecided dispute whose batch is not there any more, or not the one that now has its
    /// number, was decided by the removal.
    function _state(Dispute storage dispute) private view returns (DisputeState) {
        if (dispute.decision != DisputeState.Open) return dispute.decision;
        bool stands = dispute.index < _batchCount && _removalsBefore(dispute.index) == dispute.removalsBefore;
        return stands ? DisputeState.Open : DisputeState.Superseded;
    }
}
