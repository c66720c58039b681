// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {L2Address} from "./libraries/L2Address.sol";
import {WithdrawalTree} from "./libraries/WithdrawalTree.sol";

/// @title Where withdrawals from L2 to L1 start
/// @notice A predeploy on L2, at 0x4200000000000000000000000000000000000016. It keeps the ETH of
/// withdrawals for ever, which L1 pays out of what was deposited there, and the root of the tree of
/// all withdrawals, which every batch states.
/// @dev The code stands in the genesis state, where no constructor runs: no immutables, and every
/// value is zero at first. The tree is kept as the beacon chain's deposit contract keeps its own: of
/// the path to the last leaf only the left siblings are stored.
contract Withdrawals {
    /// @notice L1 gas limit of a withdrawal made by sending ETH to this contract.
    uint256 public constant RECEIVE_GAS_LIMIT = 100_000;
    /// @notice Highest gas limit of a withdrawal. More could not be delivered: an L1 transaction has
    /// at most 2^24 gas (EIP-7825).
    uint256 public constant MAX_GAS_LIMIT = 10_000_000;
    /// @notice Longest data of a withdrawal, in bytes: it must fit into an L1 transaction.
    uint256 public constant MAX_DATA = 100_000;

    /// @notice Number of withdrawals.
    uint256 public count;
    /// @notice Root of their tree; zero before the first.
    bytes32 public root;
    // At each height, the last node of that height that is complete and has an even number.
    bytes32[32] private _branch;

    /// @notice A withdrawal. The signature is that of the OP Stack.
    /// @param nonce Its number, from zero.
    /// @param sender Who started it.
    /// @param target Who is called on L1.
    /// @param value Wei that the target gets.
    /// @param gasLimit Least L1 gas that the target gets.
    /// @param data Input of the call.
    /// @param withdrawalHash keccak256(abi.encode(nonce, sender, target, value, gasLimit, data)).
    event MessagePassed(
        uint256 indexed nonce,
        address indexed sender,
        address indexed target,
        uint256 value,
        uint256 gasLimit,
        bytes data,
        bytes32 withdrawalHash
    );

    /// @notice The withdrawal asks for more gas than L1 has.
    error GasLimitTooHigh(uint256 maximum, uint256 found);
    /// @notice The withdrawal's data is too long.
    error DataTooLong(uint256 maximum, uint256 found);
    /// @notice A contract's address on L1 need not belong to it: it must call `initiateWithdrawal` and
    /// say where to.
    error ContractMustNameTarget(address sender);
    /// @notice There have been as many withdrawals as there can be.
    error TreeFull();

    /// @notice Withdraws the ETH sent to the sender's own address on L1. For EOAs only.
    receive() external payable {
        if (!L2Address.isKeyHolder(msg.sender)) revert ContractMustNameTarget(msg.sender);
        _initiate(msg.sender, RECEIVE_GAS_LIMIT, "");
    }

    /// @notice Withdraws the ETH sent, and calls a contract on L1 in the sender's name.
    /// @param target Who is called on L1; the rollup's own contract there refuses to be.
    /// @param gasLimit Least L1 gas that the target gets.
    /// @param data Input of the call.
    function initiateWithdrawal(address target, uint256 gasLimit, bytes calldata data) external payable {
        if (gasLimit > MAX_GAS_LIMIT) revert GasLimitTooHigh(MAX_GAS_LIMIT, gasLimit);
        if (data.length > MAX_DATA) revert DataTooLong(MAX_DATA, data.length);
        _initiate(target, gasLimit, data);
    }

    function _initiate(address target, uint256 gasLimit, bytes memory data) private {
        uint256 index = count;
        if (index >> WithdrawalTree.DEPTH != 0) revert TreeFull();
        bytes32 leaf = WithdrawalTree.leaf(index, msg.sender, target, msg.value, gasLimit, data);
        count = index + 1;
        root = _append(index, leaf);
        emit MessagePassed(index, msg.sender, target, msg.value, gasLimit, data, leaf);
    }

    /// @dev Root after a leaf was put at place `index`. Up to the first even node on its way the leaf
    /// completes nodes; above, what is to the right of the way is empty.
    function _append(uint256 index, bytes32 node) private returns (bytes32) {
        bytes32 empty;
        bool isStored;
        for (uint256 height; height < WithdrawalTree.DEPTH; ++height) {
            if ((index >> height) & 1 == 0) {
                if (!isStored) {
                    _branch[height] = node;
                    isStored = true;
                }
                node = Hashes.efficientKeccak256(node, empty);
            } else {
                node = Hashes.efficientKeccak256(_branch[height], node);
            }
            empty = Hashes.efficientKeccak256(empty, empty);
        }
        return node;
    }
}
