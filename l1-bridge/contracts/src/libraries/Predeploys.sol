// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Where the contracts of the L2 genesis are
library Predeploys {
    address internal constant L2_TOKEN_BRIDGE = 0x4200000000000000000000000000000000000010;
    address internal constant WITHDRAWALS = 0x4200000000000000000000000000000000000016;
}
