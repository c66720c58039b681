// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Calls for somebody else
/// @notice Makes a contract the caller: of a deposit on L1, say, whose sender is then aliased.
contract Forwarder {
    /// @notice Calls `target` with the ETH sent, and fails as it fails.
    /// @param target Whom to call.
    /// @param input The call's input.
    /// @return output What the call returned.
    function forward(address target, bytes calldata input) external payable returns (bytes memory output) {
        bool success;
        (success, output) = target.call{value: msg.value}(input);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(output, 0x20), mload(output))
            }
        }
    }
}
