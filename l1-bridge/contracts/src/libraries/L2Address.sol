// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Who a sender on L1 is on L2
/// @notice A key holder is itself. A contract is its alias, so that it does not speak for whoever
/// controls the same address on L2. Rule and offset are the OP Stack's.
library L2Address {
    uint160 private constant ALIAS_OFFSET = uint160(0x1111000000000000000000000000000000001111);
    /// @dev First bytes of an account's code that delegates by EIP-7702; 20 more bytes follow. No
    /// contract can have such code (EIP-3541).
    bytes3 private constant DELEGATION_PREFIX = 0xef0100;

    /// @notice The L2 account of whoever calls.
    function ofSender(address sender) internal view returns (address) {
        return isKeyHolder(sender) ? sender : aliasOf(sender);
    }

    /// @notice Whether the sender of this call is the transaction's own sender, or an account that
    /// delegates to code by EIP-7702.
    function isKeyHolder(address sender) internal view returns (bool) {
        // forge-lint: disable-next-line(tx-origin)
        if (sender == tx.origin) return true;
        return sender.code.length == 23 && bytes3(sender.code) == DELEGATION_PREFIX;
    }

    /// @notice The L2 account of an L1 contract.
    function aliasOf(address l1Contract) internal pure returns (address) {
        unchecked {
            return address(uint160(l1Contract) + ALIAS_OFFSET);
        }
    }
}
