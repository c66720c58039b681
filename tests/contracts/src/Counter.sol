// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title A counter that also fails in every way a contract can
contract Counter {
    /// @notice The count.
    uint256 public count;
    /// @notice How often each account has counted.
    mapping(address account => uint256) public countOf;
    /// @notice Wei that came with calls.
    uint256 public received;

    /// @notice The count changed.
    /// @param by Who changed it.
    /// @param count The count now.
    event Counted(address indexed by, uint256 count);

    /// @notice A revert with arguments.
    error CountTooLow(uint256 required, uint256 count);

    /// @notice Takes ETH.
    receive() external payable {
        received += msg.value;
    }

    /// @notice Counts one up.
    function increment() external payable {
        received += msg.value;
        _set(count + 1);
    }

    /// @notice Sets the count.
    function set(uint256 newCount) external {
        _set(newCount);
    }

    /// @notice Writes `slots` storage slots, each new to this account and this count: gas use grows
    /// with the argument.
    function fill(uint256 slots) external {
        for (uint256 index; index < slots; ++index) {
            countOf[address(uint160(uint256(keccak256(abi.encode(msg.sender, count, index)))))] = index + 1;
        }
        _set(count + 1);
    }

    /// @notice Fails with a reason (`Error(string)`) unless the count is at least `required`.
    function requireWithReason(uint256 required) external view returns (uint256) {
        require(count >= required, "count too low");
        return count;
    }

    /// @notice Fails with a custom error unless the count is at least `required`.
    function requireWithError(uint256 required) external view returns (uint256) {
        if (count < required) revert CountTooLow(required, count);
        return count;
    }

    /// @notice Fails with `Panic(0x11)`, arithmetic underflow, when `amount` is above the count.
    function decrement(uint256 amount) external {
        _set(count - amount);
    }

    /// @notice Fails with `Panic(0x01)` after it has changed storage and logged.
    function countAndFail() external {
        _set(count + 1);
        assert(false);
    }

    /// @notice Uses all the gas that it is given.
    function exhaustGas() external pure {
        assembly ("memory-safe") {
            invalid()
        }
    }

    function _set(uint256 newCount) private {
        count = newCount;
        ++countOf[msg.sender];
        emit Counted(msg.sender, newCount);
    }
}
