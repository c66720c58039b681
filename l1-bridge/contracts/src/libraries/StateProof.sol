// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";
import {TrieProof} from "@openzeppelin/contracts/utils/cryptography/TrieProof.sol";

/// @title Proofs of L2 state
/// @notice Merkle Patricia proofs as `eth_getProof` gives them (EIP-1186). What is not in the state
/// cannot be proven.
library StateProof {
    uint256 private constant BALANCE = 1;
    uint256 private constant STORAGE_ROOT = 2;

    /// @notice An account's balance, in wei.
    function balance(bytes32 stateRoot, address account, bytes[] memory proof) internal pure returns (uint256) {
        return RLP.readUint256(_account(stateRoot, account, proof)[BALANCE]);
    }

    /// @notice Root of an account's storage.
    function storageRoot(bytes32 stateRoot, address account, bytes[] memory proof) internal pure returns (bytes32) {
        return RLP.readBytes32(_account(stateRoot, account, proof)[STORAGE_ROOT]);
    }

    /// @notice Value of a storage slot; never zero.
    function slot(bytes32 root, bytes32 key, bytes[] memory proof) internal pure returns (uint256) {
        return RLP.decodeUint256(TrieProof.traverse(root, abi.encodePacked(keccak256(abi.encode(key))), proof));
    }

    function _account(bytes32 stateRoot, address account, bytes[] memory proof)
        private
        pure
        returns (Memory.Slice[] memory)
    {
        bytes memory key = abi.encodePacked(keccak256(abi.encodePacked(account)));
        return RLP.decodeList(TrieProof.traverse(stateRoot, key, proof));
    }
}
