// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {BridgedToken} from "../src/BridgedToken.sol";
import {L2TokenBridge} from "../src/L2TokenBridge.sol";
import {TokenBridge} from "../src/TokenBridge.sol";
import {Withdrawals} from "../src/Withdrawals.sol";
import {TokenFixture} from "./helpers/TokenFixture.sol";
import {OddMetadata} from "./helpers/Tokens.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice The bridge on L2 and the tokens that it creates.
contract L2TokenBridgeTest is TokenFixture {
    address private l1Alias;

    function setUp() public override {
        super.setUp();
        l1Alias = aliasOf(address(bridge));
    }

    function test_the_first_deposit_creates_the_token() public {
        address expected = L2_BRIDGE.tokenOf(address(token));
        vm.assertEq(expected.code.length, 0);
        vm.assertEq(L2_BRIDGE.l1TokenOf(expected), address(0));
        vm.expectEmit(address(L2_BRIDGE));
        emit L2TokenBridge.TokenCreated(address(token), expected);
        vm.expectEmit(address(L2_BRIDGE));
        emit L2TokenBridge.DepositFinalized(address(token), USER, STRANGER, 5);
        _finalize(address(token), STRANGER, 5);
        BridgedToken there = BridgedToken(expected);
        vm.assertEq(there.balanceOf(STRANGER), 5);
        vm.assertEq(bytes(there.name()), "n");
        vm.assertEq(bytes(there.symbol()), "s");
        vm.assertEq(there.decimals(), 9);
        vm.assertEq(there.l1Token(), address(token));
        vm.assertEq(there.bridge(), address(L2_BRIDGE));
        vm.assertEq(L2_BRIDGE.l1TokenOf(expected), address(token));

        _finalize(address(token), STRANGER, 6);
        vm.assertEq(there.balanceOf(STRANGER), 11);
    }

    function testFuzz_only_the_bridge_on_L1_mints(address sender) public {
        if (sender == l1Alias) return;
        vm.expectRevert(abi.encodeWithSelector(L2TokenBridge.NotL1Bridge.selector, l1Alias, sender));
        vm.prank(sender);
        L2_BRIDGE.finalizeDeposit(address(token), USER, USER, 1, "n", "s", 9);
    }

    /// @dev On L2 nobody is the bridge on L1 but its alias: not who happens to have its address.
    function test_the_address_of_the_bridge_on_L1_is_not_the_bridge() public {
        vm.expectRevert(abi.encodeWithSelector(L2TokenBridge.NotL1Bridge.selector, l1Alias, address(bridge)));
        vm.prank(address(bridge));
        L2_BRIDGE.finalizeDeposit(address(token), USER, USER, 1, "n", "s", 9);
    }

    function testFuzz_only_the_bridge_touches_a_token(address sender) public {
        if (sender == address(L2_BRIDGE)) return;
        _finalize(address(token), USER, 5);
        BridgedToken there = l2Token(address(token));
        bytes memory reason = abi.encodeWithSelector(BridgedToken.NotBridge.selector, address(L2_BRIDGE), sender);
        vm.expectRevert(reason);
        vm.prank(sender);
        there.mint(sender, 1);
        vm.expectRevert(reason);
        vm.prank(sender);
        there.burn(USER, 1);
        vm.expectRevert(reason);
        vm.prank(sender);
        there.initialize(address(1), "x", "y", 1);
    }

    function test_a_withdrawal() public {
        _finalize(address(token), USER, 5);
        bytes memory data = abi.encodeCall(TokenBridge.finalizeWithdrawal, (address(token), STRANGER, 3));
        bytes32 hash = keccak256(abi.encode(0, address(L2_BRIDGE), address(bridge), 0, 200_000, data));
        vm.expectEmit(address(L2_BRIDGE));
        emit L2TokenBridge.WithdrawalInitiated(address(token), USER, STRANGER, 3);
        vm.expectEmit(address(WITHDRAWALS));
        emit Withdrawals.MessagePassed(0, address(L2_BRIDGE), address(bridge), 0, 200_000, data, hash);
        vm.prank(USER);
        L2_BRIDGE.withdraw(address(token), STRANGER, 3);
        vm.assertEq(l2Token(address(token)).balanceOf(USER), 2);
        vm.assertEq(l2Token(address(token)).totalSupply(), 2);
    }

    function test_nobody_withdraws_what_it_has_not() public {
        _finalize(address(token), USER, 5);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, STRANGER, 0, 1));
        vm.prank(STRANGER);
        L2_BRIDGE.withdraw(address(token), STRANGER, 1);
    }

    function test_an_unknown_token_is_not_withdrawn() public {
        vm.expectRevert(abi.encodeWithSelector(L2TokenBridge.UnknownToken.selector, address(token)));
        vm.prank(USER);
        L2_BRIDGE.withdraw(address(token), USER, 1);
    }

    function test_tokens_do_not_go_to_the_zero_address() public {
        _finalize(address(token), USER, 5);
        vm.expectRevert(L2TokenBridge.ZeroAddress.selector);
        vm.prank(USER);
        L2_BRIDGE.withdraw(address(token), address(0), 1);
    }

    /// @dev The most that a first deposit can cost on L2: the longest name and symbol.
    function test_the_gas_of_a_first_deposit_suffices() public {
        (address costly, bytes memory opaque) = _costlyDeposit();
        uint256 gasLimit = bridge.CREATION_GAS_LIMIT();
        uint256 used = _gasUsed(address(l2Token(costly)), opaque);
        vm.assertEq(bytes(l2Token(costly).name()).length, 64);
        // A margin of a half.
        vm.assertLt(used * 3 / 2, gasLimit);
    }

    function test_the_gas_of_a_later_deposit_suffices() public {
        (address costly, bytes memory opaque) = _costlyDeposit();
        vm.assertTrue(execute(opaque));
        opaque = depositTokens(costly, address(0xF00D), 1);
        uint256 gasLimit = bridge.DEPOSIT_GAS_LIMIT();
        uint256 used = _gasUsed(address(l2Token(costly)), opaque);
        vm.assertEq(l2Token(costly).balanceOf(address(0xF00D)), 1);
        vm.assertLt(used * 3 / 2, gasLimit);
    }

    /// @dev Gas of a deposit on L2 as a transaction: with what its input costs.
    function _gasUsed(address costly, bytes memory opaque) private returns (uint256 used) {
        (, bytes memory input) = this.decodeOpaque(opaque);
        vm.cool(address(L2_BRIDGE));
        vm.cool(costly);
        vm.prank(l1Alias, l1Alias);
        (bool success,) = address(L2_BRIDGE).call(input);
        vm.assertTrue(success);
        used = vm.lastCallGas().gasTotalUsed;
        uint256 intrinsic = 21_000;
        for (uint256 index; index < input.length; ++index) {
            intrinsic += input[index] == 0 ? 4 : 16;
        }
        used += intrinsic;
    }

    function _costlyDeposit() private returns (address costly, bytes memory opaque) {
        OddMetadata odd = new OddMetadata();
        bytes memory text = new bytes(64);
        for (uint256 index; index < 64; ++index) {
            text[index] = "x";
        }
        odd.set(abi.encode(string(text)), abi.encode(77), false);
        odd.mint(USER, type(uint256).max);
        vm.prank(USER);
        odd.approve(address(bridge), type(uint256).max);
        return (address(odd), depositTokens(address(odd), STRANGER, type(uint256).max - 1));
    }

    function _finalize(address l1Token, address to, uint256 amount) private {
        vm.prank(l1Alias);
        L2_BRIDGE.finalizeDeposit(l1Token, USER, to, amount, "n", "s", 9);
    }
}
