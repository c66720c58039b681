// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title A contract whose owner may bind hooks to it
contract Treasury {
    /// @notice Who may bind hooks (ERC-173), and pay.
    address public immutable owner = msg.sender;

    error NotOwner();
    error PaymentFailed();

    receive() external payable {}

    /// @notice Sends `amount` wei to `to`.
    function pay(address to, uint256 amount) external {
        if (msg.sender != owner) revert NotOwner();
        (bool success,) = to.call{value: amount}("");
        if (!success) revert PaymentFailed();
    }
}
