// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title The L1 block that the chain has taken in
/// @notice A predeploy on L2, at 0x4200000000000000000000000000000000000015. The first transaction
/// of a block that moves to a new L1 origin, a deposit that only the chain itself can make, sets it.
/// @dev The code stands in the genesis state, where no constructor runs: no immutables, and every
/// value is zero until the first L1 origin. Getters and their storage are named as in `L1Block` of
/// the OP Stack.
contract L1Origin {
    /// @notice The only account that may set the L1 origin. Nobody holds a key for it.
    address public constant DEPOSITOR_ACCOUNT = 0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001;

    /// @notice Number of the L1 block.
    uint64 public number;
    /// @notice Timestamp of the L1 block, in seconds since the Unix epoch.
    uint64 public timestamp;
    /// @notice Base fee of the L1 block, in wei per gas.
    uint256 public basefee;
    /// @notice Hash of the L1 block.
    bytes32 public hash;

    /// @notice The sender may not set the L1 origin.
    error NotDepositor(address expected, address found);
    /// @notice The L1 origin would not move forward.
    error NumberNotIncreasing(uint64 current, uint64 found);

    /// @notice Moves to a new L1 origin.
    /// @param number_ Number of the L1 block; above the last one's.
    /// @param timestamp_ Timestamp of the L1 block, in seconds since the Unix epoch.
    /// @param baseFee Base fee of the L1 block, in wei per gas.
    /// @param hash_ Hash of the L1 block.
    function setL1Origin(uint64 number_, uint64 timestamp_, uint256 baseFee, bytes32 hash_) external {
        if (msg.sender != DEPOSITOR_ACCOUNT) revert NotDepositor(DEPOSITOR_ACCOUNT, msg.sender);
        if (number_ <= number) revert NumberNotIncreasing(number, number_);
        number = number_;
        timestamp = timestamp_;
        basefee = baseFee;
        hash = hash_;
    }
}
