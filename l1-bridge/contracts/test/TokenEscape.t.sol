// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TokenBridge} from "../src/TokenBridge.sol";
import {BatchHeader} from "../src/rollup/Types.sol";
import {Trie} from "./helpers/Trie.sol";
import {TokenFixture} from "./helpers/TokenFixture.sol";
import {bound, vm} from "./helpers/Vm.sol";

/// @notice Tokens out of a chain that has stopped.
contract TokenEscapeTest is TokenFixture {
    address private constant ALICE = address(0xA11CE);

    function test_an_account_takes_its_tokens_once() public {
        (bytes[] memory tokenProof, bytes[] memory balanceProof) = _stopped(600, 400, ALICE);
        vm.expectEmit(address(bridge));
        emit TokenBridge.TokenEscaped(address(token), ALICE, STRANGER, 600);
        vm.prank(ALICE, ALICE);
        bridge.escapeToken(address(token), STRANGER, tokenProof, balanceProof);
        vm.assertEq(token.balanceOf(STRANGER), 600);
        vm.assertTrue(bridge.escaped(address(token), ALICE));
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.AlreadyEscaped.selector, address(token), ALICE));
        vm.prank(ALICE, ALICE);
        bridge.escapeToken(address(token), STRANGER, tokenProof, balanceProof);
        // The same proof is nothing to anybody else.
        vm.expectRevert();
        vm.prank(USER, USER);
        bridge.escapeToken(address(token), USER, tokenProof, balanceProof);
    }

    function testFuzz_what_L2_says_is_paid(uint64 mine, uint64 others) public {
        mine = uint64(bound(mine, 1, 600_000));
        others = uint64(bound(others, 1, 400_000));
        (bytes[] memory tokenProof, bytes[] memory balanceProof) = _stopped(mine, others, ALICE);
        vm.prank(ALICE, ALICE);
        bridge.escapeToken(address(token), ALICE, tokenProof, balanceProof);
        vm.assertEq(token.balanceOf(ALICE), mine);
        vm.assertEq(token.balanceOf(address(bridge)), others);
    }

    function test_a_contract_takes_what_its_alias_holds() public {
        address wallet = address(0xC0DE);
        (bytes[] memory tokenProof, bytes[] memory balanceProof) = _stopped(600, 400, aliasOf(wallet));
        vm.prank(wallet, STRANGER);
        bridge.escapeToken(address(token), wallet, tokenProof, balanceProof);
        vm.assertEq(token.balanceOf(wallet), 600);
    }

    function test_a_contract_does_not_take_what_its_own_address_holds() public {
        address wallet = address(0xC0DE);
        (bytes[] memory tokenProof, bytes[] memory balanceProof) = _stopped(600, 400, wallet);
        vm.expectRevert();
        vm.prank(wallet, STRANGER);
        bridge.escapeToken(address(token), wallet, tokenProof, balanceProof);
    }

    function test_the_proof_is_of_the_tokens_own_contract() public {
        (bytes[] memory tokenProof, bytes[] memory balanceProof) = _stopped(600, 400, ALICE);
        vm.expectRevert();
        vm.prank(ALICE, ALICE);
        bridge.escapeToken(address(0x70CE2), ALICE, tokenProof, balanceProof);
    }

    function test_nobody_escapes_an_open_chain() public {
        bytes[] memory none = new bytes[](0);
        vm.expectRevert(TokenBridge.ChainNotClosed.selector);
        vm.prank(ALICE, ALICE);
        bridge.escapeToken(address(token), ALICE, none, none);
    }

    function test_a_deposit_that_L2_never_took_comes_back_once() public {
        vm.prank(USER, USER);
        rollup.depositTransaction(USER, 0, 21_000, false, "");
        bytes memory opaque = depositTokens(address(token), STRANGER, 700);
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.DepositNotStranded.selector, 1));
        bridge.refundToken(1, opaque);
        vm.warp(rollup.escapeDeadline());
        rollup.closeChain();

        // It brought no ETH, and the bridge takes none.
        vm.expectRevert();
        rollup.refundDeposit(1, address(bridge), aliasOf(address(bridge)), address(L2_BRIDGE), opaque);
        uint256 before = token.balanceOf(USER);
        vm.expectEmit(address(bridge));
        emit TokenBridge.TokenRefunded(address(token), USER, 700, 1);
        vm.prank(STRANGER);
        bridge.refundToken(1, opaque);
        vm.assertEq(token.balanceOf(USER) - before, 700);
        vm.assertTrue(bridge.refunded(1));
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.AlreadyRefunded.selector, 1));
        bridge.refundToken(1, opaque);
    }

    function test_a_deposit_that_L2_took_does_not_come_back() public {
        bytes memory opaque = depositTokens(address(token), STRANGER, 700);
        post(nextHeader());
        _close();
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.DepositNotStranded.selector, 0));
        bridge.refundToken(0, opaque);
    }

    /// @dev What somebody else deposits for the bridge on L2 is no deposit of this bridge.
    function test_a_deposit_of_somebody_else_does_not_come_back() public {
        depositTokens(address(token), STRANGER, 700);
        bytes memory call =
            abi.encodeCall(L2_BRIDGE.finalizeDeposit, (address(token), STRANGER, STRANGER, 700, "", "", 18));
        vm.prank(STRANGER, STRANGER);
        rollup.depositTransaction(address(L2_BRIDGE), 0, 200_000, false, call);
        _close();
        bytes memory opaque = abi.encodePacked(uint256(0), uint256(0), uint64(200_000), false, call);
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.DepositNotStranded.selector, 1));
        bridge.refundToken(1, opaque);
    }

    function testFuzz_a_changed_deposit_does_not_come_back(uint16 place, uint8 flip) public {
        bytes memory opaque = depositTokens(address(token), STRANGER, 700);
        _close();
        if (flip == 0) return;
        opaque[place % opaque.length] ^= bytes1(flip);
        vm.expectRevert(abi.encodeWithSelector(TokenBridge.DepositNotStranded.selector, 0));
        bridge.refundToken(0, opaque);
    }

    /// @dev A chain that stopped with the bridge's tokens split between `owner` and somebody else.
    function _stopped(uint256 mine, uint256 others, address owner)
        private
        returns (bytes[] memory tokenProof, bytes[] memory balanceProof)
    {
        depositTokens(address(token), USER, mine + others);
        Trie.Leaf[] memory balances = new Trie.Leaf[](3);
        balances[0] = Trie.slot(keccak256(abi.encode(owner, 0)), mine);
        balances[1] = Trie.slot(keccak256(abi.encode(STRANGER, 0)), others);
        balances[2] = Trie.slot(bytes32(uint256(2)), mine + others);
        Trie.Leaf[] memory state = new Trie.Leaf[](3);
        state[0] = Trie.account(bridge.l2TokenOf(address(token)), 0, Trie.root(balances));
        state[1] = Trie.account(USER, 5, keccak256(hex"80"));
        state[2] = Trie.account(STRANGER, 6, keccak256(hex"80"));
        BatchHeader memory header = nextHeader();
        header.stateRoot = Trie.root(state);
        post(header);
        _close();
        return (Trie.proof(state, state[0].path), Trie.proof(balances, balances[0].path));
    }

    function _close() private {
        vm.warp(rollup.escapeDeadline());
        rollup.settle(type(uint256).max);
        rollup.closeChain();
    }
}
