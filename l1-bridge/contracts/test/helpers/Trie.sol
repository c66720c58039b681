// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";

/// @notice Merkle Patricia tries, built from all their leaves: states of L2 that tests make up.
library Trie {
    /// @dev A path of 32 bytes, and what lies there. No leaf is so short that its parent would hold it.
    struct Leaf {
        bytes32 path;
        bytes value;
    }

    bytes32 private constant NO_CODE = keccak256("");

    /// @notice The leaf of an account without code.
    function account(address who, uint256 balance, bytes32 storageRoot) internal pure returns (Leaf memory) {
        bytes[] memory fields = new bytes[](4);
        fields[0] = RLP.encode(uint256(1));
        fields[1] = RLP.encode(balance);
        fields[2] = RLP.encode(storageRoot);
        fields[3] = RLP.encode(NO_CODE);
        return Leaf(keccak256(abi.encodePacked(who)), RLP.encode(fields));
    }

    /// @notice The leaf of a storage slot.
    function slot(bytes32 key, uint256 value) internal pure returns (Leaf memory) {
        return Leaf(keccak256(abi.encode(key)), RLP.encode(value));
    }

    function root(Leaf[] memory leaves) internal pure returns (bytes32) {
        return leaves.length == 0 ? keccak256(hex"80") : keccak256(_node(leaves, 0));
    }

    /// @notice The nodes on the way to a path, from the root on, as far as they go.
    function proof(Leaf[] memory leaves, bytes32 path) internal pure returns (bytes[] memory nodes) {
        bytes[] memory found = new bytes[](65);
        uint256 count;
        uint256 depth;
        while (leaves.length != 0) {
            found[count++] = _node(leaves, depth);
            if (leaves.length == 1) break;
            uint256 shared = _shared(leaves, depth);
            if (shared != 0) {
                if (_sharedOf(leaves[0].path, path, depth) < shared) break;
                depth += shared;
            } else {
                leaves = _below(leaves, depth, _nibble(path, depth));
                ++depth;
            }
        }
        nodes = new bytes[](count);
        for (uint256 index; index < count; ++index) {
            nodes[index] = found[index];
        }
    }

    function _node(Leaf[] memory leaves, uint256 depth) private pure returns (bytes memory) {
        if (leaves.length == 1) {
            return _pair(_compact(leaves[0].path, depth, 64, true), RLP.encode(leaves[0].value));
        }
        uint256 shared = _shared(leaves, depth);
        if (shared != 0) {
            bytes32 child = keccak256(_node(leaves, depth + shared));
            return _pair(_compact(leaves[0].path, depth, depth + shared, false), RLP.encode(child));
        }
        bytes[] memory children = new bytes[](17);
        for (uint256 nibble; nibble < 16; ++nibble) {
            Leaf[] memory below = _below(leaves, depth, nibble);
            children[nibble] = below.length == 0 ? bytes(hex"80") : RLP.encode(keccak256(_node(below, depth + 1)));
        }
        children[16] = hex"80";
        return RLP.encode(children);
    }

    function _pair(bytes memory path, bytes memory encoded) private pure returns (bytes memory) {
        bytes[] memory items = new bytes[](2);
        (items[0], items[1]) = (RLP.encode(path), encoded);
        return RLP.encode(items);
    }

    /// @dev Nibbles `from..to` of a path, with the prefix that says how many and of what.
    function _compact(bytes32 path, uint256 from, uint256 to, bool isLeaf) private pure returns (bytes memory packed) {
        uint256 prefix = isLeaf ? 2 : 0;
        if ((to - from) % 2 == 1) {
            packed = abi.encodePacked(uint8((prefix + 1) << 4 | _nibble(path, from)));
            ++from;
        } else {
            packed = abi.encodePacked(uint8(prefix << 4));
        }
        for (; from < to; from += 2) {
            packed = abi.encodePacked(packed, uint8(_nibble(path, from) << 4 | _nibble(path, from + 1)));
        }
    }

    function _below(Leaf[] memory leaves, uint256 depth, uint256 nibble) private pure returns (Leaf[] memory below) {
        uint256 count;
        for (uint256 index; index < leaves.length; ++index) {
            if (_nibble(leaves[index].path, depth) == nibble) ++count;
        }
        below = new Leaf[](count);
        for (uint256 index = leaves.length; index != 0; --index) {
            if (_nibble(leaves[index - 1].path, depth) == nibble) below[--count] = leaves[index - 1];
        }
    }

    function _shared(Leaf[] memory leaves, uint256 depth) private pure returns (uint256 least) {
        least = 64;
        for (uint256 index = 1; index < leaves.length; ++index) {
            uint256 shared = _sharedOf(leaves[0].path, leaves[index].path, depth);
            if (shared < least) least = shared;
        }
    }

    function _sharedOf(bytes32 left, bytes32 right, uint256 depth) private pure returns (uint256 shared) {
        while (depth + shared < 64 && _nibble(left, depth + shared) == _nibble(right, depth + shared)) ++shared;
    }

    function _nibble(bytes32 path, uint256 depth) private pure returns (uint256) {
        return uint256(path) >> (252 - 4 * depth) & 15;
    }
}
