// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title The tree of withdrawals
/// @notice A binary Merkle tree of 2^32 leaves, keccak256, in order of the withdrawals' numbers; a
/// leaf without a withdrawal is zero. A node is the hash of 64 bytes and a leaf that of at least 256,
/// so that neither can pass for the other.
library WithdrawalTree {
    /// @notice Hashes between a leaf and the root.
    uint256 internal constant DEPTH = 32;

    /// @notice Hash of a withdrawal, which is its leaf.
    function leaf(uint256 index, address sender, address target, uint256 value, uint256 gasLimit, bytes memory data)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(index, sender, target, value, gasLimit, data));
    }

    /// @notice Root of the tree that has `node` at place `index` and these siblings, leaf upwards.
    function root(bytes32 node, uint256 index, bytes32[] calldata siblings) internal pure returns (bytes32) {
        for (uint256 height; height < siblings.length; ++height) {
            node = (index >> height) & 1 == 0
                ? Hashes.efficientKeccak256(node, siblings[height])
                : Hashes.efficientKeccak256(siblings[height], node);
        }
        return node;
    }
}
