// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {BridgedToken} from "../src/BridgedToken.sol";
import {Rollup} from "../src/Rollup.sol";
import {TokenBridge} from "../src/TokenBridge.sol";
import {Payouts} from "../src/rollup/Payouts.sol";
import {BatchHeader, Withdrawal} from "../src/rollup/Types.sol";
import {TokenFixture} from "./helpers/TokenFixture.sol";
import {FeeToken, HookToken, NoReturnToken, PlainToken} from "./helpers/Tokens.sol";
import {bound, vm} from "./helpers/Vm.sol";

/// @notice ERC-20 tokens to L2 and back.
contract TokenBridgeTest is TokenFixture {
    function test_a_deposit() public {
        uint256 before = token.balanceOf(USER);
        depositAs(USER, 1);
        vm.expectEmit(address(bridge));
        emit TokenBridge.TokenDeposited(address(token), USER, STRANGER, 1000, 1);
        vm.prank(USER, USER);
        bridge.depositToken(address(token), STRANGER, 1000);
        vm.assertEq(before - token.balanceOf(USER), 1000);
        vm.assertEq(token.balanceOf(address(bridge)), 1000);
        vm.assertEq(rollup.depositCount(), 2);
    }

    function testFuzz_there_and_back(uint128 amount, uint128 back) public {
        amount = uint128(bound(amount, 1, type(uint128).max));
        back = uint128(bound(back, 0, amount));
        token.mint(USER, amount);
        vm.assertTrue(execute(depositTokens(address(token), USER, amount)));
        BridgedToken there = l2Token(address(token));
        vm.assertEq(there.balanceOf(USER), amount);
        vm.assertEq(there.totalSupply(), amount);

        Withdrawal memory withdrawal = _settled(withdrawTokens(address(token), STRANGER, back));
        vm.assertEq(there.totalSupply(), amount - back);
        vm.expectEmit(address(bridge));
        emit TokenBridge.TokenWithdrawn(address(token), STRANGER, back);
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(token.balanceOf(STRANGER), back);
        vm.assertEq(token.balanceOf(address(bridge)), amount - back);
        vm.expectRevert(abi.encodeWithSelector(Payouts.AlreadyFinalized.selector, hashOf(withdrawal)));
        rollup.finalizeWithdrawal(withdrawal);
    }

    function test_the_first_deposit_asks_for_a_creation() public {
        vm.assertFalse(bridge.isKnown(address(token)));
        vm.assertEq(_gasLimit(depositTokens(address(token), USER, 1)), bridge.CREATION_GAS_LIMIT());
        vm.assertTrue(bridge.isKnown(address(token)));
        vm.assertEq(_gasLimit(depositTokens(address(token), USER, 1)), bridge.DEPOSIT_GAS_LIMIT());
    }

    function test_the_layout_of_a_token_on_L2() public {
        execute(depositTokens(address(token), USER, 1000));
        BridgedToken there = l2Token(address(token));
        // Where `escapeToken` looks, and where L2TokenBridge finds its bridge.
        vm.assertEq(vm.load(address(there), keccak256(abi.encode(USER, 0))), bytes32(uint256(1000)));
        vm.assertEq(bridge.l2TokenOf(address(token)), address(there));
        vm.assertEq(L2_BRIDGE.l1Bridge(), address(bridge));
    }

    function test_creation_needs_a_rollup() public {
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.NotARollup.selector, USER));
        new TokenBridge(Rollup(payable(USER)));
        vm.assertEq(address(bridge.rollup()), address(rollup));
    }

    function test_refuses_the_zero_address() public {
        vm.expectRevert(TokenBridge.ZeroAddress.selector);
        vm.prank(USER);
        bridge.depositToken(address(token), address(0), 1);
    }

    function test_refuses_a_deposit_of_nothing() public {
        vm.expectRevert(TokenBridge.NothingReceived.selector);
        vm.prank(USER);
        bridge.depositToken(address(token), USER, 0);
    }

    function test_refuses_more_than_was_approved() public {
        vm.prank(USER);
        token.approve(address(bridge), 9);
        vm.expectRevert();
        vm.prank(USER);
        bridge.depositToken(address(token), USER, 10);
    }

    function test_refuses_what_is_no_token() public {
        vm.expectRevert();
        vm.prank(USER);
        bridge.depositToken(STRANGER, USER, 1);
    }

    function test_refuses_while_paused() public {
        vm.prank(ADMIN);
        rollup.pause();
        vm.expectRevert();
        vm.prank(USER, USER);
        bridge.depositToken(address(token), USER, 1);
        vm.assertEq(token.balanceOf(address(bridge)), 0);
    }

    function test_counts_what_arrives_of_a_token_with_a_fee() public {
        FeeToken fee = new FeeToken();
        fee.mint(USER, 1000);
        vm.prank(USER);
        fee.approve(address(bridge), 1000);
        vm.assertTrue(execute(depositTokens(address(fee), USER, 1000)));
        vm.assertEq(l2Token(address(fee)).balanceOf(USER), 900);
        vm.assertEq(fee.balanceOf(address(bridge)), 900);
        Withdrawal memory withdrawal = _settled(withdrawTokens(address(fee), USER, 900));
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(fee.balanceOf(USER), 810);
        vm.assertEq(fee.balanceOf(address(bridge)), 0);
    }

    function test_a_token_that_returns_nothing() public {
        NoReturnToken odd = new NoReturnToken();
        odd.mint(USER, 1000);
        vm.prank(USER);
        odd.approve(address(bridge), 1000);
        vm.assertTrue(execute(depositTokens(address(odd), USER, 1000)));
        BridgedToken there = l2Token(address(odd));
        vm.assertEq(bytes(there.name()), "");
        vm.assertEq(bytes(there.symbol()), "");
        vm.assertEq(there.decimals(), 18);
        Withdrawal memory withdrawal = _settled(withdrawTokens(address(odd), STRANGER, 1000));
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(odd.balanceOf(STRANGER), 1000);
    }

    /// @dev A deposit within a deposit would be counted by both.
    function test_a_token_with_hooks_cannot_be_counted_twice() public {
        HookToken hooked = new HookToken();
        hooked.mint(USER, 100);
        hooked.mint(address(hooked), 100);
        vm.prank(USER);
        hooked.approve(address(bridge), 100);
        vm.prank(address(hooked));
        hooked.approve(address(bridge), 100);
        hooked.hook(address(bridge), abi.encodeCall(bridge.depositToken, (address(hooked), STRANGER, 100)));
        vm.assertTrue(execute(depositTokens(address(hooked), USER, 100)));
        vm.assertEq(hooked.returned(), abi.encodeWithSelector(bytes4(keccak256("ReentrancyGuardReentrantCall()"))));
        vm.assertEq(hooked.balanceOf(address(bridge)), 100);
        vm.assertEq(l2Token(address(hooked)).totalSupply(), 100);
        vm.assertEq(rollup.depositCount(), 1);
    }

    function testFuzz_only_the_rollup_pays(address sender) public {
        if (sender == address(rollup)) return;
        depositTokens(address(token), USER, 1000);
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.NotRollup.selector, address(rollup), sender));
        vm.prank(sender);
        bridge.finalizeWithdrawal(address(token), STRANGER, 1);
    }

    /// @dev Anybody can make the rollup call the bridge; only the bridge on L2 is believed.
    function testFuzz_only_for_the_bridge_on_L2(address sender) public {
        if (sender == address(L2_BRIDGE) || sender == address(0) || sender == address(WITHDRAWALS)) return;
        depositTokens(address(token), USER, 1000);
        bytes memory data = abi.encodeCall(bridge.finalizeWithdrawal, (address(token), STRANGER, 1000));
        Withdrawal memory forged = _settled(withdrawAs(sender, address(bridge), 0, 200_000, data));
        bytes memory reason = abi.encodeWithSelector(TokenBridge.NotL2TokenBridge.selector, address(L2_BRIDGE), sender);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WithdrawalFailed.selector, reason));
        rollup.finalizeWithdrawal(forged);
    }

    function test_a_withdrawal_without_the_tokens_waits_for_them() public {
        execute(depositTokens(address(token), USER, 1000));
        // As a token that changes balances by itself would do.
        vm.prank(address(bridge));
        token.transfer(STRANGER, 1);
        Withdrawal memory withdrawal = _settled(withdrawTokens(address(token), USER, 1000));
        vm.expectPartialRevert(Payouts.WithdrawalFailed.selector);
        rollup.finalizeWithdrawal(withdrawal);
        vm.prank(STRANGER);
        token.transfer(address(bridge), 1);
        rollup.finalizeWithdrawal(withdrawal);
    }

    function test_two_tokens_do_not_mix() public {
        PlainToken other = new PlainToken("Plain token", "PLN", 6);
        other.mint(USER, 500);
        vm.prank(USER);
        other.approve(address(bridge), 500);
        execute(depositTokens(address(token), USER, 1000));
        execute(depositTokens(address(other), USER, 500));
        vm.assertEq(l2Token(address(token)).balanceOf(USER), 1000);
        vm.assertEq(l2Token(address(other)).balanceOf(USER), 500);
        vm.assertTrue(address(l2Token(address(token))) != address(l2Token(address(other))));
    }

    function _gasLimit(bytes memory opaqueData) private pure returns (uint64 gasLimit) {
        assembly ("memory-safe") {
            gasLimit := shr(192, mload(add(opaqueData, 96)))
        }
    }

    function _settled(Withdrawal memory withdrawal) internal returns (Withdrawal memory) {
        uint256 index = rollup.batchCount();
        BatchHeader memory header = nextHeader();
        post(header);
        prove(withdrawal, index, header);
        vm.warp(block.timestamp + WINDOW);
        rollup.settle(type(uint256).max);
        return withdrawal;
    }
}
