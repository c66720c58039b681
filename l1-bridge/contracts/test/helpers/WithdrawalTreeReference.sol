// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice The tree of withdrawals worked out from all its leaves at once, level by level: slow, and
/// unlike the contract's way of doing it.
library WithdrawalTreeReference {
    uint256 private constant DEPTH = 32;

    /// @notice Root of the tree, and the siblings of leaf `index`, leaf upwards.
    function rootAndProof(bytes32[] memory leaves, uint256 index)
        internal
        pure
        returns (bytes32 root, bytes32[] memory siblings)
    {
        siblings = new bytes32[](DEPTH);
        bytes32 empty;
        bytes32[] memory level = leaves;
        for (uint256 height; height < DEPTH; ++height) {
            uint256 sibling = index ^ 1;
            siblings[height] = sibling < level.length ? level[sibling] : empty;
            bytes32[] memory above = new bytes32[]((level.length + 1) / 2);
            for (uint256 node; node < above.length; ++node) {
                bytes32 right = 2 * node + 1 < level.length ? level[2 * node + 1] : empty;
                above[node] = keccak256(bytes.concat(level[2 * node], right));
            }
            empty = keccak256(bytes.concat(empty, empty));
            level = above;
            index >>= 1;
        }
        return (level[0], siblings);
    }
}
