// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BridgedToken} from "../src/BridgedToken.sol";
import {TokenBridge} from "../src/TokenBridge.sol";
import {BatchHeader, Withdrawal} from "../src/rollup/Types.sol";
import {TokenFixture} from "./helpers/TokenFixture.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice ERC-20 tokens to L2 and back.
contract TokenBridgeTest is TokenFixture {
    function test_there_and_back() public {
        bytes memory opaque = depositTokens(address(token), USER, 1000);
        vm.assertTrue(execute(opaque));
        BridgedToken there = l2Token(address(token));
        vm.assertEq(there.balanceOf(USER), 1000);
        vm.assertEq(there.totalSupply(), 1000);
        vm.assertEq(bytes(there.name()), "Plain token");
        vm.assertEq(bytes(there.symbol()), "PLN");
        vm.assertEq(there.decimals(), 6);
        vm.assertEq(there.l1Token(), address(token));
        vm.assertEq(there.bridge(), address(L2_BRIDGE));
        vm.assertEq(L2_BRIDGE.l1TokenOf(address(there)), address(token));
        vm.assertEq(bridge.l2TokenOf(address(token)), address(there));

        Withdrawal memory withdrawal = withdrawTokens(address(token), STRANGER, 400);
        vm.assertEq(there.balanceOf(USER), 600);
        BatchHeader memory header = nextHeader();
        post(header);
        prove(withdrawal, 0, header);
        vm.warp(block.timestamp + WINDOW);
        rollup.settle(1);
        vm.expectEmit(address(bridge));
        emit TokenBridge.TokenWithdrawn(address(token), STRANGER, 400);
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(token.balanceOf(STRANGER), 400);
        vm.assertEq(token.balanceOf(address(bridge)), 600);
    }
}
