// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Payouts} from "../src/rollup/Payouts.sol";
import {RollupState} from "../src/rollup/RollupState.sol";
import {BatchHeader, Withdrawal} from "../src/rollup/Types.sol";
import {PayoutFixture} from "./helpers/PayoutFixture.sol";
import {CarelessTarget, LoudTarget, RecordingTarget, ReentrantTarget, ReluctantTarget} from "./helpers/Targets.sol";
import {bound, vm} from "./helpers/Vm.sol";

/// @notice Withdrawals: what is paid, when, and what is refused.
contract RollupPayoutTest is PayoutFixture {
    bytes4 private constant REENTRANT = bytes4(keccak256("ReentrancyGuardReentrantCall()"));

    function setUp() public override {
        super.setUp();
        depositAs(USER, 10 ether);
        vm.deal(STRANGER, 10 ether);
    }

    function test_pays_a_withdrawal_once() public {
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 3 ether, "");
        bytes32 hash = hashOf(withdrawal);
        BatchHeader memory header = nextHeader();
        post(header);
        vm.expectRevert(abi.encodeWithSelector(Payouts.NotProven.selector, hash));
        rollup.finalizeWithdrawal(withdrawal);

        vm.expectEmit(address(rollup));
        emit Payouts.WithdrawalProven(hash, 0);
        prove(withdrawal, 0, header);
        (uint64 index, bytes32 batchHash) = rollup.provenWithdrawals(hash);
        vm.assertEq(index, 0);
        vm.assertEq(batchHash, rollup.batchHashes(0));
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(Payouts.BatchNotSettled.selector, 0));
        rollup.finalizeWithdrawal(withdrawal);

        rollup.settle(1);
        vm.expectEmit(address(rollup));
        emit Payouts.WithdrawalFinalized(hash);
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(address(0xCAFE).balance, 3 ether);
        vm.assertEq(address(rollup).balance, 7 ether);
        vm.assertTrue(rollup.finalizedWithdrawals(hash));

        vm.expectRevert(abi.encodeWithSelector(Payouts.AlreadyFinalized.selector, hash));
        rollup.finalizeWithdrawal(withdrawal);
        // Nor after another proof.
        header = nextHeader();
        post(header);
        vm.expectRevert(abi.encodeWithSelector(Payouts.AlreadyProven.selector, 0));
        prove(withdrawal, 1, header);
    }

    function test_pays_while_paused() public {
        Withdrawal memory withdrawal = _settled(withdraw(address(0xCAFE), 1 ether, ""));
        vm.prank(ADMIN);
        rollup.pause();
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(address(0xCAFE).balance, 1 ether);
    }

    function test_the_same_withdrawal_twice_on_L2_is_two() public {
        Withdrawal memory first = withdraw(address(0xCAFE), 1 ether, "");
        Withdrawal memory second = withdraw(address(0xCAFE), 1 ether, "");
        BatchHeader memory header = nextHeader();
        post(header);
        prove(first, 0, header);
        prove(second, 0, header);
        _pass();
        rollup.finalizeWithdrawal(first);
        rollup.finalizeWithdrawal(second);
        vm.assertEq(address(0xCAFE).balance, 2 ether);
    }

    /// @dev The tree that L2 keeps is the one that L1 checks, at every place and for every count.
    function testFuzz_every_withdrawal_of_many_can_be_proven(uint8 count, uint256 seed) public {
        uint256 total = bound(count, 1, 70);
        Withdrawal[] memory all = new Withdrawal[](total);
        for (uint256 index; index < total; ++index) {
            bytes memory data = new bytes(uint256(keccak256(abi.encode(seed, index))) % 100);
            all[index] = withdraw(address(0xCAFE), index, data);
        }
        BatchHeader memory header = nextHeader();
        post(header);
        for (uint256 index; index < total; ++index) {
            prove(all[index], 0, header);
            (, bytes32 batchHash) = rollup.provenWithdrawals(hashOf(all[index]));
            vm.assertEq(batchHash, rollup.batchHashes(0));
        }
    }

    function testFuzz_a_changed_withdrawal_cannot_be_proven(uint8 field, uint256 other) public {
        withdraw(address(0xCAFE), 1, "");
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 3 ether, "data");
        withdraw(address(0xCAFE), 1, "");
        bytes32[] memory proof = proofOf(1);
        BatchHeader memory header = nextHeader();
        post(header);
        bytes32 hash = hashOf(withdrawal);
        field %= 6;
        if (field == 0) withdrawal.index = uint32(other);
        if (field == 1) withdrawal.sender = address(uint160(other));
        if (field == 2) withdrawal.target = address(uint160(other));
        if (field == 3) withdrawal.value = other;
        if (field == 4) withdrawal.gasLimit = other;
        if (field == 5) withdrawal.data = abi.encode(other);
        if (hashOf(withdrawal) == hash) return;
        vm.expectPartialRevert(Payouts.WithdrawalNotInBatch.selector);
        rollup.proveWithdrawal(withdrawal, 0, header, proof);
    }

    function testFuzz_a_changed_proof_proves_nothing(uint8 place, bytes32 other) public {
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1, "");
        withdraw(address(0xCAFE), 1, "");
        BatchHeader memory header = nextHeader();
        post(header);
        bytes32[] memory proof = proofOf(0);
        if (proof[place % 32] == other) return;
        proof[place % 32] = other;
        vm.expectPartialRevert(Payouts.WithdrawalNotInBatch.selector);
        rollup.proveWithdrawal(withdrawal, 0, header, proof);
    }

    function testFuzz_a_proof_has_32_siblings(uint8 length) public {
        if (length == 32) return;
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1, "");
        BatchHeader memory header = nextHeader();
        // As if the batch claimed the leaf itself for its root.
        if (length == 0) header.withdrawalsRoot = hashOf(withdrawal);
        post(header);
        vm.expectRevert(abi.encodeWithSelector(Payouts.MalformedProof.selector, 0, length));
        rollup.proveWithdrawal(withdrawal, 0, header, new bytes32[](length));
    }

    /// @dev Else one leaf would be as many withdrawals as there are numbers that agree in 32 bits.
    function testFuzz_a_number_has_32_bits(uint256 index) public {
        index = bound(index, 1 << 32, type(uint256).max);
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1, "");
        BatchHeader memory header = nextHeader();
        post(header);
        bytes32[] memory proof = proofOf(0);
        withdrawal.index = index;
        vm.expectRevert(abi.encodeWithSelector(Payouts.MalformedProof.selector, index, 32));
        rollup.proveWithdrawal(withdrawal, 0, header, proof);
    }

    function test_a_batch_before_the_first_withdrawal_proves_none() public {
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1, "");
        BatchHeader memory header = nextHeader();
        header.withdrawalsRoot = 0;
        post(header);
        // No tree has a root of zero, which a batch states before the first withdrawal.
        vm.expectPartialRevert(Payouts.WithdrawalNotInBatch.selector);
        prove(withdrawal, 0, header);
    }

    function test_a_header_that_was_not_posted_proves_nothing() public {
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1, "");
        BatchHeader memory header = nextHeader();
        BatchHeader memory forged = nextHeader();
        header.withdrawalsRoot = 0;
        post(header);
        bytes32 posted = rollup.batchHashes(0);
        bytes32 found = keccak256(abi.encode(forged));
        vm.expectRevert(abi.encodeWithSelector(RollupState.BatchHashMismatch.selector, posted, found));
        this.proveExternally(withdrawal, 0, forged);
        vm.expectRevert(abi.encodeWithSelector(RollupState.UnknownBatch.selector, 1, 1));
        this.proveExternally(withdrawal, 1, forged);
    }

    function test_a_proof_against_a_removed_batch_is_void() public {
        BatchHeader memory first = nextHeader();
        post(first);
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1 ether, "");
        bytes32 hash = hashOf(withdrawal);
        BatchHeader memory removed = nextHeader();
        post(removed);
        prove(withdrawal, 1, removed);
        _reject(1, first);
        vm.warp(block.timestamp + WINDOW);
        rollup.settle(10);
        vm.expectRevert(abi.encodeWithSelector(Payouts.NotProven.selector, hash));
        rollup.finalizeWithdrawal(withdrawal);
        vm.expectRevert(abi.encodeWithSelector(RollupState.UnknownBatch.selector, 1, 1));
        this.proveExternally(withdrawal, 1, removed);

        // In its place comes a batch that does not know of the withdrawal.
        BatchHeader memory right = nextHeader();
        right.withdrawalsRoot = 0;
        post(right);
        _pass();
        vm.expectRevert(abi.encodeWithSelector(Payouts.NotProven.selector, hash));
        rollup.finalizeWithdrawal(withdrawal);

        // A later one does, and the withdrawal is proven anew.
        BatchHeader memory later = nextHeader();
        post(later);
        prove(withdrawal, 2, later);
        _pass();
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(address(0xCAFE).balance, 1 ether);
    }

    function test_a_batch_posted_again_unchanged_keeps_its_proofs() public {
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1 ether, "");
        BatchHeader memory header = nextHeader();
        post(header);
        prove(withdrawal, 0, header);
        BatchHeader memory ignored;
        _reject(0, ignored);
        post(header);
        vm.expectRevert(abi.encodeWithSelector(Payouts.BatchNotSettled.selector, 0));
        rollup.finalizeWithdrawal(withdrawal);
        _pass();
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(address(0xCAFE).balance, 1 ether);
    }

    /// @dev Else anybody could put a withdrawal off for ever by proving it against ever newer batches.
    function test_a_proof_is_not_replaced_by_a_later_one() public {
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 1 ether, "");
        BatchHeader memory early = nextHeader();
        post(early);
        BatchHeader memory middle = nextHeader();
        post(middle);
        BatchHeader memory late = nextHeader();
        post(late);
        prove(withdrawal, 1, middle);
        vm.expectRevert(abi.encodeWithSelector(Payouts.AlreadyProven.selector, 1));
        this.proveExternally(withdrawal, 2, late);
        vm.expectRevert(abi.encodeWithSelector(Payouts.AlreadyProven.selector, 1));
        this.proveExternally(withdrawal, 1, middle);
        prove(withdrawal, 0, early);
        (uint64 index,) = rollup.provenWithdrawals(hashOf(withdrawal));
        vm.assertEq(index, 0);
    }

    function test_the_target_sees_who_sends() public {
        RecordingTarget target = new RecordingTarget(rollup);
        bytes memory data = hex"0102030405";
        Withdrawal memory withdrawal = _settled(withdrawAs(address(0xA11CE), address(target), 2 ether, 300_000, data));
        vm.expectRevert(Payouts.NoWithdrawal.selector);
        rollup.l2Sender();
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(target.l2Sender(), address(0xA11CE));
        vm.assertEq(target.sender(), address(rollup));
        vm.assertEq(target.value(), 2 ether);
        vm.assertEq(target.data(), data);
        vm.expectRevert(Payouts.NoWithdrawal.selector);
        rollup.l2Sender();
    }

    function test_a_target_that_refuses_can_be_tried_again() public {
        ReluctantTarget target = new ReluctantTarget();
        Withdrawal memory withdrawal = _settled(withdraw(address(target), 2 ether, ""));
        bytes memory reason = abi.encodeWithSelector(ReluctantTarget.NotYet.selector, 2 ether);
        for (uint256 attempt; attempt < 2; ++attempt) {
            vm.expectRevert(abi.encodeWithSelector(Payouts.WithdrawalFailed.selector, reason));
            rollup.finalizeWithdrawal(withdrawal);
            vm.assertFalse(rollup.finalizedWithdrawals(hashOf(withdrawal)));
        }
        target.accept();
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(address(target).balance, 2 ether);
    }

    /// @dev Whoever delivers a withdrawal cannot make a part of it fail by giving little gas.
    function testFuzz_the_target_gets_its_gas(uint64 gasGiven) public {
        CarelessTarget target = new CarelessTarget();
        uint256 gasLimit = 100_000;
        Withdrawal memory withdrawal = _settled(withdrawAs(USER, address(target), 0, gasLimit, hex"01"));
        gasGiven = uint64(bound(gasGiven, 30_000, 400_000));
        (bool success,) = address(rollup).call{gas: gasGiven}(abi.encodeCall(rollup.finalizeWithdrawal, (withdrawal)));
        vm.assertEq(success, rollup.finalizedWithdrawals(hashOf(withdrawal)));
        vm.assertEq(target.done(), success ? 1 : 0);
    }

    function testFuzz_the_gas_is_what_was_asked_for(uint32 gasLimit, uint256 gasGiven) public {
        gasLimit = uint32(bound(gasLimit, 200_000, 10_000_000));
        RecordingTarget target = new RecordingTarget(rollup);
        Withdrawal memory withdrawal = _settled(withdrawAs(USER, address(target), 1, gasLimit, ""));
        gasGiven = bound(gasGiven, gasLimit, uint256(gasLimit) * 64 / 63 + 200_000);
        (bool success,) = address(rollup).call{gas: gasGiven}(abi.encodeCall(rollup.finalizeWithdrawal, (withdrawal)));
        if (success) vm.assertLe(gasLimit, target.gas() + 100);
    }

    function test_more_gas_than_can_be() public {
        // The predeploy does not take such a limit; a forged state could hold one.
        Withdrawal memory withdrawal = Withdrawal(0, USER, address(0xCAFE), 1, type(uint256).max, "");
        leaves.push(hashOf(withdrawal));
        BatchHeader memory header = nextHeader();
        (header.withdrawalsRoot,) = _rootAndProof(0);
        post(header);
        prove(withdrawal, 0, header);
        _pass();
        vm.expectPartialRevert(Payouts.InsufficientGas.selector);
        rollup.finalizeWithdrawal(withdrawal);
    }

    function test_the_rollup_is_no_target() public {
        Withdrawal memory withdrawal = _settled(
            withdraw(address(rollup), 1, abi.encodeCall(rollup.depositTransaction, (USER, 0, 21_000, false, "")))
        );
        vm.expectRevert(Payouts.TargetIsRollup.selector);
        rollup.finalizeWithdrawal(withdrawal);
    }

    function test_a_target_cannot_be_paid_twice_by_reentrancy() public {
        ReentrantTarget target = new ReentrantTarget(address(rollup));
        Withdrawal memory first = withdraw(address(target), 1 ether, "");
        Withdrawal memory second = withdrawAs(USER, address(0xCAFE), 1 ether, GAS_LIMIT, "");
        BatchHeader memory header = nextHeader();
        post(header);
        prove(first, 0, header);
        prove(second, 0, header);
        _pass();
        Withdrawal[2] memory again = [first, second];
        bytes4[2] memory expected = [REENTRANT, REENTRANT];
        uint256 snapshot = vm.snapshotState();
        for (uint256 index; index < 2; ++index) {
            target.set(abi.encodeCall(rollup.finalizeWithdrawal, (again[index])));
            rollup.finalizeWithdrawal(first);
            vm.assertFalse(target.succeeded());
            vm.assertEq(target.returned(), abi.encodeWithSelector(expected[index]));
            vm.assertEq(address(target).balance, 1 ether);
            vm.assertTrue(vm.revertToState(snapshot));
            snapshot = vm.snapshotState();
        }
    }

    function test_a_target_may_deposit_again() public {
        ReentrantTarget target = new ReentrantTarget(address(rollup));
        Withdrawal memory withdrawal = _settled(withdrawAs(USER, address(target), 1 ether, 500_000, ""));
        target.set(abi.encodeCall(rollup.depositTransaction, (USER, 0, 21_000, false, "")));
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertTrue(target.succeeded());
        vm.assertEq(rollup.depositCount(), 2);
    }

    function test_a_loud_target_costs_nothing_more() public {
        LoudTarget target = new LoudTarget();
        Withdrawal memory withdrawal = _settled(withdraw(address(target), 1, ""));
        uint256 before = gasleft();
        rollup.finalizeWithdrawal(withdrawal);
        // Its own memory, but no copy of it.
        vm.assertLt(before - gasleft(), 130_000);
    }

    function test_bonds_pay_no_withdrawals() public {
        // A forged withdrawal asks for all that there is, the bond of a challenge included.
        Withdrawal memory withdrawal = withdraw(address(0xCAFE), 10 ether + 1, "");
        BatchHeader memory header = nextHeader();
        post(header);
        prove(withdrawal, 0, header);
        vm.warp(block.timestamp + WINDOW / 2);
        post(nextHeader());
        bytes32 batchHash = rollup.batchHashes(1);
        vm.prank(STRANGER);
        rollup.challengeBatch{value: BOND}(1, batchHash);
        _pass();
        vm.assertTrue(rollup.isSettled(0));
        vm.expectRevert(abi.encodeWithSelector(RollupState.InsufficientBalance.selector, 10 ether, 10 ether + 1));
        rollup.finalizeWithdrawal(withdrawal);
        vm.prank(ADMIN);
        rollup.rejectBatch(0, header);
        rollup.claimBond(0);
        vm.assertEq(address(rollup).balance, 10 ether);
    }

    function proveExternally(Withdrawal calldata withdrawal, uint256 batchIndex, BatchHeader calldata header) external {
        rollup.proveWithdrawal(withdrawal, batchIndex, header, proofOf(withdrawal.index));
    }

    /// @dev Proves a withdrawal against a batch that is settled.
    function _settled(Withdrawal memory withdrawal) private returns (Withdrawal memory) {
        uint256 index = rollup.batchCount();
        BatchHeader memory header = nextHeader();
        post(header);
        prove(withdrawal, index, header);
        _pass();
        return withdrawal;
    }

    function _pass() private {
        vm.warp(block.timestamp + WINDOW);
        rollup.settle(type(uint256).max);
    }

    function _reject(uint256 index, BatchHeader memory previous) private {
        bytes32 batchHash = rollup.batchHashes(index);
        vm.prank(STRANGER);
        uint256 disputeId = rollup.challengeBatch{value: BOND}(index, batchHash);
        vm.prank(ADMIN);
        rollup.rejectBatch(disputeId, previous);
    }
}
