// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Rollup} from "../src/Rollup.sol";
import {Batches} from "../src/rollup/Batches.sol";
import {Deposits} from "../src/rollup/Deposits.sol";
import {Disputes} from "../src/rollup/Disputes.sol";
import {RollupState} from "../src/rollup/RollupState.sol";
import {BatchHeader, DisputeState, RollupParameters} from "../src/rollup/Types.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice Opens a dispute, and tries to have its bond paid twice.
contract GreedyChallenger {
    Rollup private immutable rollup;
    uint256 private _disputeId;

    constructor(Rollup rollup_) payable {
        rollup = rollup_;
    }

    function challenge(uint256 index) external {
        _disputeId = rollup.challengeBatch{value: address(this).balance}(index, rollup.batchHashes(index));
    }

    receive() external payable {
        rollup.claimBond(_disputeId);
    }
}

/// @notice When batches settle, and how they are disputed and removed.
contract RollupDisputeTest is RollupFixture {
    function setUp() public override {
        super.setUp();
        vm.deal(STRANGER, 100 ether);
    }

    function test_a_batch_settles_after_its_window() public {
        _postMany(1);
        uint256 postedAt = block.timestamp;
        vm.assertEq(rollup.batchPostedAt(0), postedAt);
        vm.assertEq(rollup.batchPostedAt(1), 0);
        vm.warp(postedAt + WINDOW - 1);
        vm.assertEq(rollup.settle(10), 0);
        vm.assertFalse(rollup.isSettled(0));
        vm.warp(postedAt + WINDOW);
        vm.expectEmit(address(rollup));
        emit Batches.BatchesSettled(1);
        vm.assertEq(rollup.settle(10), 1);
        vm.assertTrue(rollup.isSettled(0));
        vm.assertEq(rollup.settledBatches(), 1);
        vm.assertEq(rollup.settle(10), 0);
    }

    function test_settles_no_more_than_asked() public {
        _postMany(7);
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(rollup.settle(0), 0);
        vm.assertEq(rollup.settle(3), 3);
        vm.assertEq(rollup.settle(3), 3);
        vm.assertEq(rollup.settle(type(uint256).max), 1);
    }

    function test_a_batch_settles_two_older_ones() public {
        _postMany(5);
        vm.warp(block.timestamp + WINDOW);
        for (uint256 expected = 2; expected <= 6; expected += 2) {
            _postMany(1);
            vm.assertEq(rollup.settledBatches(), expected < 5 ? expected : 5);
        }
    }

    function test_a_dispute_stops_its_batch_and_later_ones() public {
        _postMany(6);
        uint256 disputeId = _challenge(3);
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(rollup.settle(10), 3);
        _postMany(1);
        vm.assertEq(rollup.settledBatches(), 3);

        vm.prank(ADMIN);
        rollup.upholdBatch(disputeId);
        // Later ones had their time to be challenged while the dispute was open.
        vm.assertEq(rollup.settle(10), 3);
        vm.assertEq(rollup.settledBatches(), 6);
    }

    function test_a_challenge() public {
        _postMany(2);
        bytes32 batchHash = rollup.batchHashes(1);
        vm.expectEmit(address(rollup));
        emit Disputes.BatchChallenged(0, 1, batchHash, STRANGER);
        vm.assertEq(_challenge(1), 0);
        vm.assertEq(address(rollup).balance, BOND);
        vm.assertEq(rollup.disputeCount(), 1);
        _assertDispute(0, 1, DisputeState.Open, false);
        vm.assertEq(rollup.bondOf(0), 0);
        vm.assertEq(_challenge(0), 1);
    }

    function test_refuses_a_challenge_after_the_window() public {
        _postMany(1);
        uint256 deadline = block.timestamp + WINDOW;
        vm.warp(deadline);
        _expectChallengeRefused(
            0, rollup.batchHashes(0), BOND, abi.encodeWithSelector(Disputes.ChallengeWindowOver.selector, deadline)
        );
        vm.warp(deadline - 1);
        _challenge(0);
    }

    function test_refuses_a_second_challenge_while_one_is_open() public {
        _postMany(1);
        _challenge(0);
        _expectChallengeRefused(
            0, rollup.batchHashes(0), BOND, abi.encodeWithSelector(Disputes.AlreadyDisputed.selector, 0)
        );
        vm.prank(ADMIN);
        rollup.upholdBatch(0);
        vm.assertEq(_challenge(0), 1);
    }

    function testFuzz_refuses_another_bond(uint96 bond) public {
        if (bond == BOND) return;
        _postMany(1);
        vm.deal(STRANGER, bond);
        _expectChallengeRefused(
            0, rollup.batchHashes(0), bond, abi.encodeWithSelector(Disputes.WrongBond.selector, BOND, bond)
        );
    }

    function testFuzz_refuses_a_challenge_of_another_batch(bytes32 batchHash, uint256 index) public {
        _postMany(2);
        if (index < 2) {
            bytes32 expected = rollup.batchHashes(index);
            if (batchHash == expected) return;
            _expectChallengeRefused(
                index,
                batchHash,
                BOND,
                abi.encodeWithSelector(RollupState.BatchHashMismatch.selector, expected, batchHash)
            );
        } else {
            _expectChallengeRefused(
                index, batchHash, BOND, abi.encodeWithSelector(RollupState.UnknownBatch.selector, index, 2)
            );
        }
    }

    function test_upholding_burns_the_bond() public {
        _postMany(1);
        _challenge(0);
        uint256 burned = address(0).balance;
        vm.expectEmit(address(rollup));
        emit Disputes.BatchUpheld(0, 0);
        vm.prank(ADMIN);
        rollup.upholdBatch(0);
        vm.assertEq(address(0).balance - burned, BOND);
        vm.assertEq(address(rollup).balance, 0);
        _assertDispute(0, 0, DisputeState.Upheld, false);
        _expectNoBond(0);
        _expectNotOpen(0, DisputeState.Upheld);
    }

    function testFuzz_only_the_resolver_upholds(address sender) public {
        if (sender == ADMIN) return;
        _postMany(1);
        _challenge(0);
        vm.warp(block.timestamp + 10 * RESOLUTION);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, sender, rollup.RESOLVER_ROLE()
            )
        );
        vm.prank(sender);
        rollup.upholdBatch(0);
    }

    function test_rejecting_removes_the_batch_and_later_ones() public {
        depositAs(USER, 1);
        BatchHeader[] memory headers = _postMany(2);
        depositAs(USER, 2);
        _postMany(3);
        _challenge(2);
        vm.expectEmit(address(rollup));
        emit Disputes.BatchesRejected(0, 2, 5);
        vm.prank(ADMIN);
        rollup.rejectBatch(0, headers[1]);

        vm.assertEq(rollup.batchCount(), 2);
        for (uint256 index = 2; index < 5; ++index) {
            vm.assertEq(rollup.batchHashes(index), bytes32(0));
            vm.assertEq(rollup.batchPostedAt(index), 0);
        }
        vm.assertEq(rollup.lastBatchHash(), keccak256(abi.encode(headers[1])));
        vm.assertEq(rollup.lastBlock(), headers[1].lastBlock);
        vm.assertEq(rollup.lastBlockHash(), headers[1].lastBlockHash);
        vm.assertEq(rollup.lastStateRoot(), headers[1].stateRoot);
        vm.assertEq(rollup.depositsConsumed(), 1);
        _assertDispute(0, 2, DisputeState.Rejected, false);

        // The line goes on from there.
        _postMany(3);
        vm.assertEq(rollup.batchCount(), 5);
        vm.assertEq(rollup.depositsConsumed(), 2);
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(rollup.settle(10), 5);
    }

    function test_rejecting_the_first_batch_goes_back_to_the_beginning() public {
        depositAs(USER, 1);
        _postMany(3);
        _challenge(0);
        BatchHeader memory ignored;
        vm.prank(ADMIN);
        rollup.rejectBatch(0, ignored);
        vm.assertEq(rollup.batchCount(), 0);
        vm.assertEq(rollup.lastBatchHash(), bytes32(0));
        vm.assertEq(rollup.lastBlock(), 0);
        vm.assertEq(rollup.lastBlockHash(), GENESIS);
        vm.assertEq(rollup.lastStateRoot(), bytes32(0));
        vm.assertEq(rollup.depositsConsumed(), 0);
        _postMany(1);
        vm.assertEq(rollup.depositsConsumed(), 1);
    }

    function testFuzz_rejecting_needs_the_header_before(uint64 lastBlock, bytes32 stateRoot, uint64 consumed) public {
        BatchHeader[] memory headers = _postMany(2);
        _challenge(1);
        BatchHeader memory forged = headers[0];
        (forged.lastBlock, forged.stateRoot, forged.depositsConsumed) = (lastBlock, stateRoot, consumed);
        bytes32 found = keccak256(abi.encode(forged));
        bytes32 expected = rollup.batchHashes(0);
        if (found == expected) return;
        vm.expectRevert(abi.encodeWithSelector(RollupState.BatchHashMismatch.selector, expected, found));
        vm.prank(ADMIN);
        rollup.rejectBatch(0, forged);
    }

    function test_anybody_rejects_when_the_resolver_is_late() public {
        BatchHeader[] memory headers = _postMany(2);
        _challenge(1);
        uint256 deadline = block.timestamp + RESOLUTION;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(Disputes.ResolutionTimeNotOver.selector, deadline));
        vm.prank(USER);
        rollup.rejectBatch(0, headers[0]);
        vm.warp(deadline);
        vm.prank(USER);
        rollup.rejectBatch(0, headers[0]);
        vm.assertEq(rollup.batchCount(), 1);
    }

    function test_the_challenger_gets_the_bond_back_once() public {
        _postMany(1);
        _challenge(0);
        _expectNoBond(0);
        BatchHeader memory ignored;
        vm.prank(ADMIN);
        rollup.rejectBatch(0, ignored);
        vm.assertEq(rollup.bondOf(0), BOND);
        uint256 before = STRANGER.balance;
        vm.expectEmit(address(rollup));
        emit Disputes.BondClaimed(0, STRANGER, BOND);
        vm.prank(USER);
        rollup.claimBond(0);
        vm.assertEq(STRANGER.balance - before, BOND);
        _assertDispute(0, 0, DisputeState.Rejected, true);
        _expectNoBond(0);
        _expectNotOpen(0, DisputeState.Rejected);
    }

    function test_a_bond_is_not_paid_twice_by_reentrancy() public {
        _postMany(2);
        GreedyChallenger greedy = new GreedyChallenger{value: 0}(rollup);
        vm.deal(address(greedy), BOND);
        greedy.challenge(0);
        _challenge(1);
        BatchHeader memory ignored;
        vm.prank(ADMIN);
        rollup.rejectBatch(0, ignored);
        vm.expectRevert(bytes4(keccak256("ReentrancyGuardReentrantCall()")));
        rollup.claimBond(0);
        vm.assertEq(address(rollup).balance, 2 * BOND);
    }

    function test_a_rejection_ends_the_disputes_of_later_batches() public {
        BatchHeader[] memory headers = _postMany(5);
        uint256 earlier = _challenge(0);
        uint256 later = _challenge(4);
        uint256 rejected = _challenge(2);
        vm.prank(ADMIN);
        rollup.rejectBatch(rejected, headers[1]);
        _assertDispute(later, 4, DisputeState.Superseded, false);
        _assertDispute(earlier, 0, DisputeState.Open, false);
        _expectNotOpen(later, DisputeState.Superseded);
        uint256 before = STRANGER.balance;
        rollup.claimBond(later);
        rollup.claimBond(rejected);
        vm.assertEq(STRANGER.balance - before, 2 * BOND);
        _expectNoBond(later);
        _expectNoBond(earlier);
    }

    /// @dev The same batches again, hash for hash and in the same second: what was said about the
    /// removed ones says nothing about these.
    function test_an_old_dispute_does_not_reach_a_batch_posted_again() public {
        BatchHeader[] memory headers = _postMany(3);
        uint256 first = _challenge(1);
        uint256 second = _challenge(2);
        vm.prank(ADMIN);
        rollup.rejectBatch(first, headers[0]);
        post(headers[1]);
        post(headers[2]);
        _assertDispute(second, 2, DisputeState.Superseded, false);
        _expectNotOpen(second, DisputeState.Superseded);
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(rollup.settle(10), 3);
        rollup.claimBond(second);
        _expectNoBond(second);
    }

    function test_a_batch_posted_again_can_be_challenged_again() public {
        BatchHeader[] memory headers = _postMany(2);
        _challenge(1);
        vm.prank(ADMIN);
        rollup.rejectBatch(0, headers[0]);
        post(headers[1]);
        uint256 again = _challenge(1);
        _assertDispute(again, 1, DisputeState.Open, false);
        vm.prank(ADMIN);
        rollup.rejectBatch(again, headers[0]);
        vm.assertEq(rollup.batchCount(), 1);
    }

    function test_a_rejection_starts_the_delay_of_deposits_again() public {
        depositAs(USER, 1);
        _postMany(1);
        _challenge(0);
        vm.warp(block.timestamp + DELAY + 5);
        BatchHeader memory ignored;
        vm.prank(ADMIN);
        rollup.rejectBatch(0, ignored);
        (bool exists, uint64 index, uint256 deadline) = rollup.oldestPendingDeposit();
        vm.assertTrue(exists);
        vm.assertEq(index, 0);
        vm.assertEq(deadline, block.timestamp + DELAY);

        BatchHeader memory header = nextHeader();
        header.depositsConsumed = 0;
        vm.warp(deadline + 1);
        expectRefusal(header, abi.encodeWithSelector(Deposits.DepositOverdue.selector, 0, deadline));
    }

    function test_disputes_go_on_while_paused() public {
        BatchHeader[] memory headers = _postMany(3);
        vm.prank(ADMIN);
        rollup.pause();
        _challenge(1);
        _challenge(2);
        vm.prank(ADMIN);
        rollup.upholdBatch(0);
        vm.prank(ADMIN);
        rollup.rejectBatch(1, headers[1]);
        rollup.claimBond(1);
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(rollup.settle(10), 2);
    }

    function test_unknown_disputes() public {
        bytes memory reason = abi.encodeWithSelector(Disputes.UnknownDispute.selector, 0, 0);
        BatchHeader memory ignored;
        vm.expectRevert(reason);
        rollup.disputes(0);
        vm.expectRevert(reason);
        rollup.bondOf(0);
        vm.expectRevert(reason);
        rollup.claimBond(0);
        vm.expectRevert(reason);
        rollup.rejectBatch(0, ignored);
        vm.expectRevert(reason);
        vm.prank(ADMIN);
        rollup.upholdBatch(0);
    }

    function test_a_free_challenge_when_the_bond_is_nothing() public {
        RollupParameters memory free = parameters();
        free.challengeBond = 0;
        rollup = new Rollup(free, SPEC);
        _postMany(1);
        bytes32 batchHash = rollup.batchHashes(0);
        vm.prank(STRANGER);
        rollup.challengeBatch(0, batchHash);
        BatchHeader memory ignored;
        vm.prank(ADMIN);
        rollup.rejectBatch(0, ignored);
        rollup.claimBond(0);
        _expectNoBond(0);
    }

    function test_the_longest_window_does_not_overflow() public {
        RollupParameters memory longest = parameters();
        longest.challengeWindow = type(uint64).max - 2;
        longest.resolutionTime = 1;
        longest.escapeDelay = type(uint64).max;
        rollup = new Rollup(longest, SPEC);
        _postMany(1);
        vm.warp(block.timestamp + 1000 * 365 days);
        vm.assertEq(rollup.settle(1), 0);
        _challenge(0);
    }

    function _postMany(uint256 count) private returns (BatchHeader[] memory headers) {
        headers = new BatchHeader[](count);
        for (uint256 index; index < count; ++index) {
            headers[index] = nextHeader();
            post(headers[index]);
        }
    }

    function _challenge(uint256 index) private returns (uint256) {
        bytes32 batchHash = rollup.batchHashes(index);
        vm.prank(STRANGER);
        return rollup.challengeBatch{value: BOND}(index, batchHash);
    }

    function _expectChallengeRefused(uint256 index, bytes32 batchHash, uint256 bond, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(STRANGER);
        rollup.challengeBatch{value: bond}(index, batchHash);
    }

    function _expectNoBond(uint256 disputeId) private {
        vm.assertEq(rollup.bondOf(disputeId), 0);
        vm.expectRevert(abi.encodeWithSelector(Disputes.NoBond.selector, disputeId));
        rollup.claimBond(disputeId);
    }

    function _expectNotOpen(uint256 disputeId, DisputeState state) private {
        bytes memory reason = abi.encodeWithSelector(Disputes.DisputeNotOpen.selector, disputeId, state);
        BatchHeader memory ignored;
        vm.expectRevert(reason);
        vm.prank(ADMIN);
        rollup.rejectBatch(disputeId, ignored);
        vm.expectRevert(reason);
        vm.prank(ADMIN);
        rollup.upholdBatch(disputeId);
    }

    function _assertDispute(uint256 disputeId, uint64 batch, DisputeState expected, bool claimed) private view {
        (address challenger, uint64 index,, DisputeState state, bool bondClaimed) = rollup.disputes(disputeId);
        vm.assertEq(challenger, STRANGER);
        vm.assertEq(index, batch);
        vm.assertEq(uint256(state), uint256(expected));
        vm.assertEq(bondClaimed, claimed);
    }
}
