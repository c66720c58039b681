// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TrieProof} from "@openzeppelin/contracts/utils/cryptography/TrieProof.sol";
import {Rollup} from "../src/Rollup.sol";
import {Disputes} from "../src/rollup/Disputes.sol";
import {Escape} from "../src/rollup/Escape.sol";
import {RollupState} from "../src/rollup/RollupState.sol";
import {BatchHeader, RollupParameters, Withdrawal} from "../src/rollup/Types.sol";
import {PayoutFixture} from "./helpers/PayoutFixture.sol";
import {ReentrantTarget} from "./helpers/Targets.sol";
import {Trie} from "./helpers/Trie.sol";
import {bound, vm} from "./helpers/Vm.sol";

/// @notice How a chain is closed, and what everybody gets out of it.
contract RollupEscapeTest is PayoutFixture {
    address private constant ALICE = address(0xA11CE);
    uint160 private constant OFFSET = uint160(0x1111000000000000000000000000000000001111);
    Trie.Leaf[] private _state;

    function setUp() public override {
        super.setUp();
        vm.deal(STRANGER, 100 ether);
    }

    function test_closing_takes_the_whole_delay() public {
        uint256 deadline = block.timestamp + ESCAPE;
        _expectNotYet(deadline);
        vm.warp(block.timestamp + 100);
        post(nextHeader());
        deadline += 100;
        vm.assertEq(rollup.escapeDeadline(), deadline);
        vm.warp(deadline - 1);
        _expectNotYet(deadline);
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(Escape.BatchesNotSettled.selector, 0, 1));
        rollup.closeChain();
        rollup.settle(1);
        vm.assertFalse(rollup.closed());
        vm.expectEmit(address(rollup));
        emit Escape.ChainClosed(1);
        rollup.closeChain();
        vm.assertTrue(rollup.closed());
    }

    function test_a_closed_chain_takes_nothing_more() public {
        BatchHeader memory header = nextHeader();
        _close();
        expectRefusal(header, abi.encodeWithSelector(RollupState.ChainIsClosed.selector));
        vm.expectRevert(RollupState.ChainIsClosed.selector);
        vm.prank(USER, USER);
        rollup.depositTransaction{value: 1}(USER, 0, 21_000, false, "");
        vm.prank(USER, USER);
        (bool success,) = address(rollup).call{value: 1}("");
        vm.assertFalse(success);
        vm.expectRevert(RollupState.ChainIsClosed.selector);
        rollup.closeChain();
    }

    function test_the_clock_runs_on_while_paused() public {
        uint256 deadline = block.timestamp + ESCAPE;
        vm.prank(ADMIN);
        rollup.pause();
        vm.warp(deadline);
        rollup.closeChain();
        // Nothing of this waits for the pauser.
        vm.assertTrue(rollup.closed());
        vm.assertTrue(rollup.paused());
    }

    /// @dev Else whoever holds a batcher's key could keep a chain open by batches that never settle.
    function test_removed_batches_do_not_put_the_escape_off() public {
        BatchHeader memory first = nextHeader();
        post(first);
        uint256 deadline = block.timestamp + ESCAPE;
        vm.warp(deadline - 1);
        post(nextHeader());
        vm.assertEq(rollup.escapeDeadline(), deadline - 1 + ESCAPE);
        bytes32 batchHash = rollup.batchHashes(1);
        vm.prank(STRANGER);
        rollup.challengeBatch{value: BOND}(1, batchHash);
        vm.warp(block.timestamp + RESOLUTION);
        rollup.rejectBatch(0, first);
        vm.assertEq(rollup.escapeDeadline(), deadline);
        rollup.settle(1);
        rollup.closeChain();
    }

    /// @dev Whatever was disputed when the last batch came, the chain can be closed when its time is
    /// up, without the resolver.
    function testFuzz_no_dispute_keeps_a_chain_open(uint8 count, uint8 disputed, uint64 when) public {
        uint256 total = bound(count, 1, 10);
        BatchHeader[] memory headers = new BatchHeader[](total);
        for (uint256 index; index < total; ++index) {
            headers[index] = nextHeader();
            post(headers[index]);
            vm.warp(block.timestamp + 60);
        }
        uint256 deadline = rollup.escapeDeadline();
        uint256 first = disputed % total;
        vm.warp(block.timestamp + bound(when, 0, WINDOW - 601));
        for (uint256 index = first; index < total; ++index) {
            bytes32 batchHash = rollup.batchHashes(index);
            vm.prank(STRANGER);
            rollup.challengeBatch{value: BOND}(index, batchHash);
        }
        vm.warp(deadline);
        BatchHeader memory previous;
        if (first != 0) previous = headers[first - 1];
        rollup.rejectBatch(0, previous);
        rollup.settle(type(uint256).max);
        rollup.closeChain();
        vm.assertEq(rollup.batchCount(), first);
    }

    function test_a_chain_without_a_batch_gives_deposits_back_only() public {
        depositAs(USER, 3 ether);
        _close();
        bytes[] memory proof = new bytes[](0);
        vm.expectRevert(Escape.NoBatch.selector);
        vm.prank(USER, USER);
        rollup.escapeEther(USER, proof);
        uint256 before = USER.balance;
        rollup.refundDeposit(0, USER, USER, USER, _opaque(3 ether, 3 ether, 100_000));
        vm.assertEq(USER.balance - before, 3 ether);
    }

    function test_nobody_escapes_an_open_chain() public {
        _fund(10 ether);
        _hold(ALICE, 4 ether);
        _postState();
        bytes[] memory proof = _proof(ALICE);
        vm.warp(block.timestamp + WINDOW);
        rollup.settle(1);
        vm.expectRevert(RollupState.ChainNotClosed.selector);
        vm.prank(ALICE, ALICE);
        rollup.escapeEther(ALICE, proof);
    }

    function test_an_account_takes_its_balance_once() public {
        _fund(10 ether);
        _hold(ALICE, 4 ether);
        _hold(STRANGER, 5 ether);
        _postState();
        _close();
        bytes[] memory proof = _proof(ALICE);
        vm.expectEmit(address(rollup));
        emit Escape.EtherEscaped(ALICE, address(0xCAFE), 4 ether);
        vm.prank(ALICE, ALICE);
        rollup.escapeEther(address(0xCAFE), proof);
        vm.assertEq(address(0xCAFE).balance, 4 ether);
        vm.assertTrue(rollup.escaped(ALICE));

        vm.expectRevert(abi.encodeWithSelector(Escape.AlreadyEscaped.selector, ALICE));
        vm.prank(ALICE, ALICE);
        rollup.escapeEther(address(0xCAFE), proof);
        // Nor somebody else's balance.
        vm.expectRevert();
        vm.prank(STRANGER, STRANGER);
        rollup.escapeEther(STRANGER, proof);
    }

    function test_a_contract_takes_what_its_alias_holds() public {
        address wallet = address(0xC0DE);
        _fund(10 ether);
        _hold(wallet, 3 ether);
        _hold(address(uint160(wallet) + OFFSET), 4 ether);
        _postState();
        _close();
        bytes[] memory own = _proof(wallet);
        // The same address on L2 may belong to somebody else.
        vm.expectRevert();
        vm.prank(wallet, STRANGER);
        rollup.escapeEther(wallet, own);
        bytes[] memory aliased = _proof(address(uint160(wallet) + OFFSET));
        vm.prank(wallet, STRANGER);
        rollup.escapeEther(wallet, aliased);
        vm.assertEq(wallet.balance, 4 ether);
    }

    function test_an_account_that_is_not_there_takes_nothing() public {
        _fund(10 ether);
        _hold(ALICE, 4 ether);
        _hold(STRANGER, 5 ether);
        _postState();
        _close();
        bytes[] memory proof = Trie.proof(_state, keccak256(abi.encodePacked(USER)));
        vm.expectRevert();
        vm.prank(USER, USER);
        rollup.escapeEther(USER, proof);
    }

    function test_only_the_last_state_counts() public {
        _fund(10 ether);
        _hold(ALICE, 4 ether);
        _postState();
        bytes[] memory old = _proof(ALICE);
        delete _state;
        _hold(ALICE, 1 ether);
        _postState();
        _close();
        vm.expectPartialRevert(TrieProof.TrieProofTraversalError.selector);
        vm.prank(ALICE, ALICE);
        rollup.escapeEther(ALICE, old);
        bytes[] memory proof = _proof(ALICE);
        vm.prank(ALICE, ALICE);
        rollup.escapeEther(ALICE, proof);
        vm.assertEq(ALICE.balance, 1 ether);
    }

    function test_the_state_of_a_removed_batch_does_not_count() public {
        _fund(10 ether);
        _hold(ALICE, 1 ether);
        BatchHeader memory right = _postState();
        delete _state;
        _hold(ALICE, 9 ether);
        _postState();
        bytes[] memory forged = _proof(ALICE);
        bytes32 batchHash = rollup.batchHashes(2);
        vm.prank(STRANGER);
        rollup.challengeBatch{value: BOND}(2, batchHash);
        vm.prank(ADMIN);
        rollup.rejectBatch(0, right);
        _close();
        vm.expectPartialRevert(TrieProof.TrieProofTraversalError.selector);
        vm.prank(ALICE, ALICE);
        rollup.escapeEther(ALICE, forged);
    }

    function test_an_escape_is_not_paid_twice_by_reentrancy() public {
        ReentrantTarget target = new ReentrantTarget(address(rollup));
        _fund(10 ether);
        _hold(address(uint160(address(target)) + OFFSET), 4 ether);
        _postState();
        _close();
        bytes[] memory proof = _proof(address(uint160(address(target)) + OFFSET));
        target.set(abi.encodeCall(rollup.escapeEther, (address(target), proof)));
        vm.prank(address(target), STRANGER);
        rollup.escapeEther(address(target), proof);
        vm.assertFalse(target.succeeded());
        vm.assertEq(address(target).balance, 4 ether);
    }

    function test_withdrawals_are_still_paid() public {
        _fund(10 ether);
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 2 ether, "");
        BatchHeader memory header = nextHeader();
        post(header);
        _close();
        prove(withdrawal, rollup.batchCount() - 1, header);
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(address(0xCAFE).balance, 2 ether);
    }

    function test_bonds_stay_with_their_owners() public {
        _fund(1 ether);
        _hold(ALICE, 2 ether);
        BatchHeader memory header = _postState();
        post(nextHeader());
        bytes32 batchHash = rollup.batchHashes(rollup.batchCount() - 1);
        uint256 last = rollup.batchCount() - 1;
        vm.prank(STRANGER);
        rollup.challengeBatch{value: BOND}(last, batchHash);
        vm.prank(ADMIN);
        rollup.rejectBatch(0, header);
        _close();
        bytes[] memory proof = _proof(ALICE);
        vm.expectRevert(abi.encodeWithSelector(RollupState.InsufficientBalance.selector, 1 ether, 2 ether));
        vm.prank(ALICE, ALICE);
        rollup.escapeEther(ALICE, proof);
        rollup.claimBond(0);
    }

    function testFuzz_gives_a_deposit_back_once(uint96 mint, uint256 value, bytes calldata data) public {
        uint64 gasLimit = uint64(21_000 + 40 * data.length);
        depositAs(USER, 5 ether);
        _postTaking(1);
        vm.deal(USER, mint);
        vm.prank(USER, USER);
        rollup.depositTransaction{value: mint}(STRANGER, value, gasLimit, false, data);
        bytes memory opaque = abi.encodePacked(uint256(mint), value, gasLimit, false, data);
        bytes memory taken = _opaque(5 ether, 5 ether, 100_000);
        vm.assertFalse(rollup.isStranded(1, USER, USER, STRANGER, opaque));
        _close();
        vm.assertTrue(rollup.isStranded(1, USER, USER, STRANGER, opaque));

        // One that was executed, and one that nobody made.
        vm.expectRevert(abi.encodeWithSelector(Escape.DepositNotStranded.selector, 0));
        rollup.refundDeposit(0, USER, USER, USER, taken);
        vm.expectRevert(abi.encodeWithSelector(Escape.DepositNotStranded.selector, 2));
        rollup.refundDeposit(2, USER, USER, STRANGER, opaque);

        vm.expectEmit(address(rollup));
        emit Escape.DepositRefunded(1, USER, mint);
        vm.prank(STRANGER);
        rollup.refundDeposit(1, USER, USER, STRANGER, opaque);
        vm.assertEq(USER.balance, mint);
        vm.assertTrue(rollup.refunded(1));
        vm.expectRevert(abi.encodeWithSelector(Escape.AlreadyRefunded.selector, 1));
        rollup.refundDeposit(1, USER, USER, STRANGER, opaque);
    }

    function testFuzz_a_changed_deposit_is_not_given_back(uint8 field, uint256 other) public {
        depositAs(USER, 1 ether);
        _close();
        (address sender, address from, address to) = (USER, USER, USER);
        bytes memory opaque = _opaque(1 ether, 1 ether, 100_000);
        field %= 4;
        if (field == 0) sender = address(uint160(other));
        if (field == 1) from = address(uint160(other));
        if (field == 2) to = address(uint160(other));
        if (field == 3) opaque = _opaque(other, 1 ether, 100_000);
        if (address(uint160(other)) == USER || other == 1 ether) return;
        vm.expectRevert(abi.encodeWithSelector(Escape.DepositNotStranded.selector, 0));
        rollup.refundDeposit(0, sender, from, to, opaque);
    }

    function test_deposits_of_a_removed_batch_are_given_back() public {
        depositAs(USER, 1 ether);
        _postTaking(1);
        bytes32 batchHash = rollup.batchHashes(0);
        vm.prank(STRANGER);
        rollup.challengeBatch{value: BOND}(0, batchHash);
        BatchHeader memory ignored;
        vm.prank(ADMIN);
        rollup.rejectBatch(0, ignored);
        _close();
        rollup.refundDeposit(0, USER, USER, USER, _opaque(1 ether, 1 ether, 100_000));
    }

    function test_a_refund_is_not_paid_twice_by_reentrancy() public {
        ReentrantTarget target = new ReentrantTarget(address(rollup));
        vm.deal(address(target), 1 ether);
        vm.prank(address(target), STRANGER);
        rollup.depositTransaction{value: 1 ether}(USER, 0, 21_000, false, "");
        depositAs(USER, 1 ether);
        _close();
        address aliased = address(uint160(address(target)) + OFFSET);
        bytes memory opaque = _opaque(1 ether, 0, 21_000);
        target.set(abi.encodeCall(rollup.refundDeposit, (0, address(target), aliased, USER, opaque)));
        rollup.refundDeposit(0, address(target), aliased, USER, opaque);
        vm.assertFalse(target.succeeded());
        vm.assertEq(address(target).balance, 1 ether);
    }

    function testFuzz_the_escape_delay_outlasts_a_dispute(uint64 window, uint64 resolution, uint64 escape) public {
        RollupParameters memory given = parameters();
        (given.challengeWindow, given.resolutionTime, given.escapeDelay) = (window, resolution, escape);
        uint256 minimum = uint256(window) + resolution + 1;
        if (window == 0 || resolution == 0) {
            vm.expectRevert(RollupState.ZeroPeriod.selector);
        } else if (escape < minimum) {
            vm.expectRevert(abi.encodeWithSelector(RollupState.EscapeDelayTooShort.selector, minimum, escape));
        }
        new Rollup(given, SPEC);
    }

    function test_the_shortest_escape_delay() public {
        RollupParameters memory given = parameters();
        given.escapeDelay = given.challengeWindow + given.resolutionTime;
        vm.expectRevert(
            abi.encodeWithSelector(RollupState.EscapeDelayTooShort.selector, given.escapeDelay + 1, given.escapeDelay)
        );
        new Rollup(given, SPEC);
        ++given.escapeDelay;
        new Rollup(given, SPEC);
    }

    function _expectNotYet(uint256 deadline) private {
        vm.expectRevert(abi.encodeWithSelector(Escape.EscapeDelayNotOver.selector, deadline));
        rollup.closeChain();
    }

    function _close() private {
        vm.warp(rollup.escapeDeadline());
        rollup.settle(type(uint256).max);
        rollup.closeChain();
    }

    /// @dev ETH that L2 has taken in.
    function _fund(uint256 amount) private {
        depositAs(USER, amount);
        post(nextHeader());
    }

    function _postTaking(uint64 deposits) private {
        BatchHeader memory header = nextHeader();
        header.depositsConsumed = deposits;
        post(header);
    }

    function _hold(address account, uint256 balance) private {
        _state.push(Trie.account(account, balance, keccak256(hex"80")));
    }

    function _postState() private returns (BatchHeader memory header) {
        header = nextHeader();
        header.stateRoot = Trie.root(_state);
        post(header);
    }

    function _proof(address account) private view returns (bytes[] memory) {
        return Trie.proof(_state, keccak256(abi.encodePacked(account)));
    }

    function _opaque(uint256 mint, uint256 value, uint64 gasLimit) private pure returns (bytes memory) {
        return bytes.concat(bytes32(mint), bytes32(value), bytes8(gasLimit), bytes1(0));
    }
}
