// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {LowLevelCall} from "@openzeppelin/contracts/utils/LowLevelCall.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {WithdrawalTree} from "../libraries/WithdrawalTree.sol";
import {Disputes} from "./Disputes.sol";
import {BatchHeader, Withdrawal} from "./Types.sol";

/// @title Withdrawals from L2 to L1
/// @notice Calls and pays the target of a withdrawal that is in the tree of a settled batch, once.
/// A pause does not stop this.
abstract contract Payouts is Disputes {
    /// @notice Against which batch a withdrawal was proven.
    struct Proven {
        uint64 batchIndex;
        bytes32 batchHash;
    }

    /// @dev Most gas that goes between the check of what is left and the target's first instruction:
    /// a call with value to an account that is cold and does not exist costs 36,600.
    uint256 private constant CALL_RESERVE = 40_000;

    /// @notice Against which batch a withdrawal was proven; zero when it was not.
    mapping(bytes32 withdrawalHash => Proven) public provenWithdrawals;
    /// @notice Whether a withdrawal was delivered.
    mapping(bytes32 withdrawalHash => bool) public finalizedWithdrawals;
    // Zero but while a withdrawal's target is called.
    address private transient _l2Sender;

    /// @notice A withdrawal was shown to be in a batch.
    event WithdrawalProven(bytes32 indexed withdrawalHash, uint256 indexed batchIndex);
    /// @notice A withdrawal was delivered.
    event WithdrawalFinalized(bytes32 indexed withdrawalHash);

    /// @notice The proof does not lead to the batch's root of withdrawals.
    error WithdrawalNotInBatch(bytes32 expectedRoot, bytes32 foundRoot);
    /// @notice A proof has 32 hashes, and a withdrawal's number is below 2^32.
    error MalformedProof(uint256 index, uint256 proofLength);
    /// @notice The withdrawal is proven against this batch, which still stands and settles no later.
    error AlreadyProven(uint256 batchIndex);
    /// @notice The withdrawal was not proven, or the batch that it was proven against was removed.
    error NotProven(bytes32 withdrawalHash);
    /// @notice The batch that the withdrawal was proven against can still be removed.
    error BatchNotSettled(uint256 batchIndex);
    /// @notice The withdrawal was delivered already.
    error AlreadyFinalized(bytes32 withdrawalHash);
    /// @notice No withdrawal may speak in this contract's name to itself.
    error TargetIsRollup();
    /// @notice The target would get less gas than the withdrawal says.
    error InsufficientGas(uint256 needed, uint256 found);
    /// @notice The target refused the withdrawal; it can be tried again.
    error WithdrawalFailed(bytes reason);
    /// @notice No withdrawal is being delivered.
    error NoWithdrawal();

    /// @notice Shows that a withdrawal is in a batch. To be called again when that batch was removed.
    /// @dev An earlier batch settles no later than a later one and, when it is removed, takes the
    /// later one along: replacing a proof only by one against an earlier batch lets nobody put
    /// another's withdrawal off.
    /// @param withdrawal The withdrawal.
    /// @param batchIndex Number of the batch.
    /// @param header Header of the batch.
    /// @param proof The 32 siblings on the way to the root, leaf upwards.
    function proveWithdrawal(
        Withdrawal calldata withdrawal,
        uint256 batchIndex,
        BatchHeader calldata header,
        bytes32[] calldata proof
    ) external {
        bytes32 batchHash = keccak256(abi.encode(header));
        _requireBatch(batchIndex, batchHash);
        if (proof.length != WithdrawalTree.DEPTH || withdrawal.index >> WithdrawalTree.DEPTH != 0) {
            revert MalformedProof(withdrawal.index, proof.length);
        }
        bytes32 withdrawalHash = _hash(withdrawal);
        bytes32 root = WithdrawalTree.root(withdrawalHash, withdrawal.index, proof);
        if (root != header.withdrawalsRoot) revert WithdrawalNotInBatch(header.withdrawalsRoot, root);

        Proven storage proven = provenWithdrawals[withdrawalHash];
        if (_stands(proven) && proven.batchIndex <= batchIndex) revert AlreadyProven(proven.batchIndex);
        (proven.batchIndex, proven.batchHash) = (uint64(batchIndex), batchHash);
        emit WithdrawalProven(withdrawalHash, batchIndex);
    }

    /// @notice Delivers a withdrawal: calls its target with its value and data. When the target
    /// refuses, everything is as before. Anybody may call this.
    /// @param withdrawal The withdrawal.
    function finalizeWithdrawal(Withdrawal calldata withdrawal) external nonReentrant {
        bytes32 withdrawalHash = _hash(withdrawal);
        if (finalizedWithdrawals[withdrawalHash]) revert AlreadyFinalized(withdrawalHash);
        Proven storage proven = provenWithdrawals[withdrawalHash];
        if (!_stands(proven)) revert NotProven(withdrawalHash);
        if (proven.batchIndex >= _settledBatches) revert BatchNotSettled(proven.batchIndex);
        if (withdrawal.target == address(this)) revert TargetIsRollup();
        _requireFunds(withdrawal.value);

        finalizedWithdrawals[withdrawalHash] = true;
        emit WithdrawalFinalized(withdrawalHash);
        _l2Sender = withdrawal.sender;
        bytes memory data = withdrawal.data;
        // A call passes on at most 63 of 64 parts of what is left (EIP-150).
        uint256 forwarded = Math.saturatingSub(gasleft(), CALL_RESERVE) / 64 * 63;
        if (forwarded < withdrawal.gasLimit) revert InsufficientGas(withdrawal.gasLimit, forwarded);
        if (!LowLevelCall.callNoReturn(withdrawal.target, withdrawal.value, data)) {
            revert WithdrawalFailed(LowLevelCall.returnData());
        }
        _l2Sender = address(0);
    }

    /// @notice Who started, on L2, the withdrawal that is being delivered. A target that is called by
    /// this contract learns from it whom to trust.
    function l2Sender() external view returns (address) {
        if (_l2Sender == address(0)) revert NoWithdrawal();
        return _l2Sender;
    }

    function _stands(Proven storage proven) private view returns (bool) {
        bytes32 batchHash = proven.batchHash;
        return batchHash != 0 && proven.batchIndex < _batchCount && _batchHashes[proven.batchIndex] == batchHash;
    }

    function _hash(Withdrawal calldata withdrawal) private pure returns (bytes32) {
        return WithdrawalTree.leaf(
            withdrawal.index,
            withdrawal.sender,
            withdrawal.target,
            withdrawal.value,
            withdrawal.gasLimit,
            withdrawal.data
        );
    }
}
