// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Hashes of this chain's blocks, as far back as a contract can see them
library L1BlockHashes {
    /// @dev Where the last 8191 hashes are kept (EIP-2935).
    address internal constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    /// @notice The hash of an earlier block.
    /// @param number Number of the block.
    /// @return hash Its hash; zero for blocks that are not over or not known any more: 256 blocks ago,
    /// 8191 where the chain keeps a history.
    function hashOf(uint256 number) internal view returns (bytes32 hash) {
        hash = blockhash(number);
        if (hash != 0) return hash;
        (bool success, bytes memory found) = HISTORY.staticcall(abi.encode(number));
        if (success && found.length == 32) hash = abi.decode(found, (bytes32));
    }
}
