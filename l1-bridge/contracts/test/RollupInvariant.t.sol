// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BatchHeader} from "../src/rollup/Types.sol";
import {L2Model} from "./helpers/L2Model.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {RollupHandler} from "./helpers/RollupHandler.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice What holds after any sequence of calls. The books are the handler's, not the contract's.
contract RollupInvariantTest is RollupFixture {
    RollupHandler private handler;
    L2Model private model;

    function setUp() public override {
        super.setUp();
        handler = new RollupHandler(rollup, ADMIN, BATCHER);
        model = handler.model();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev A handler that never gets anywhere would find everything in order.
    function test_the_handler_gets_everywhere() public {
        for (uint256 step; step < 800; ++step) {
            _do(step, uint256(keccak256(abi.encode("seed 1", step))));
        }
        for (uint256 index; index < 600; ++index) {
            handler.uphold(index);
        }
        handler.pass(0, 0);
        handler.close(0);
        for (uint256 index; index < 200; ++index) {
            handler.escape(uint8(index));
            handler.refund(index);
        }
        string[12] memory kinds = [
            "deposit",
            "post",
            "settle",
            "challenge",
            "uphold",
            "reject",
            "claim",
            "prove",
            "finalize",
            "close",
            "escape",
            "refund"
        ];
        for (uint256 kind; kind < kinds.length; ++kind) {
            vm.assertTrue(handler.done(kinds[kind]) != 0, kinds[kind]);
        }
        invariant_everything_can_be_paid();
        invariant_the_balance_is_what_the_books_say();
        invariant_nothing_is_paid_or_decided_against_the_books();
    }

    function _do(uint256 step, uint256 seed) private {
        (uint8 small, uint256 other) = (uint8(seed >> 8), seed >> 16);
        uint256 action = seed % 11;
        if (action == 0) handler.deposit(small, uint96(other), other, uint64(other), other % 2 == 0);
        if (action == 1) handler.send(small, uint96(other), other % 2 == 0);
        if (action == 2) handler.post(small, uint64(other), bytes32(seed), small, uint96(other));
        if (action == 3) handler.postWrong(small, uint64(other), bytes32(seed), small, uint64(other));
        if (action == 4) handler.settle(small);
        if (action == 5) handler.challenge(small, other);
        if (action == 6) handler.uphold(other);
        if (action == 7) handler.reject(other, other % 2 == 0);
        if (action == 8) handler.claim(other);
        if (action == 9) handler.finalize(other);
        if (action == 10) handler.pass(uint16(other), 1);
        if (step % 50 == 0) handler.pause(0);
        if (step % 50 == 5) handler.pause(1);
    }

    /// @dev I4: no gap, no overlap, one line of hashes, also after batches were removed.
    function invariant_batches_tile() public view {
        uint256 count = handler.takenCount();
        vm.assertEq(rollup.batchCount(), count);
        bytes32 previous;
        uint256 lastBlock;
        bytes32 lastBlockHash = GENESIS;
        bytes32 stateRoot;
        for (uint256 index; index < count; ++index) {
            BatchHeader memory header = handler.taken(index).header;
            vm.assertEq(header.previousBatchHash, previous);
            vm.assertEq(header.firstBlock, lastBlock + 1);
            vm.assertLe(header.firstBlock, header.lastBlock);
            previous = keccak256(abi.encode(header));
            vm.assertEq(rollup.batchHashes(index), previous);
            vm.assertEq(rollup.batchPostedAt(index), handler.taken(index).timestamp);
            (lastBlock, lastBlockHash, stateRoot) = (header.lastBlock, header.lastBlockHash, header.stateRoot);
        }
        vm.assertEq(rollup.batchHashes(count), bytes32(0));
        vm.assertEq(rollup.lastBatchHash(), previous);
        vm.assertEq(rollup.lastBlock(), lastBlock);
        vm.assertEq(rollup.lastBlockHash(), lastBlockHash);
        vm.assertEq(rollup.lastStateRoot(), stateRoot);
    }

    /// @dev I5: deposits are taken once, in order, and none that nobody made.
    function invariant_deposits_are_consumed_in_order() public view {
        uint256 consumed;
        for (uint256 index; index < handler.takenCount(); ++index) {
            RollupHandler.Taken memory batch = handler.taken(index);
            vm.assertLe(consumed, batch.header.depositsConsumed);
            vm.assertLe(batch.header.depositsConsumed, batch.depositsMade);
            consumed = batch.header.depositsConsumed;
        }
        vm.assertEq(rollup.depositsConsumed(), consumed);
        vm.assertEq(rollup.depositCount(), handler.depositsMade());
    }

    function invariant_no_batch_leaves_an_overdue_deposit_out() public view {
        for (uint256 index; index < handler.takenCount(); ++index) {
            RollupHandler.Taken memory batch = handler.taken(index);
            for (uint256 waiting = batch.header.depositsConsumed; waiting < batch.depositsMade; ++waiting) {
                uint256 made = handler.depositTimestamps(waiting);
                uint256 since = made > batch.delayRestartedAt ? made : batch.delayRestartedAt;
                vm.assertLe(batch.timestamp, since + DELAY);
            }
        }
    }

    function invariant_timestamps_are_kept() public view {
        for (uint256 index; index < handler.depositsMade(); ++index) {
            vm.assertEq(rollup.depositTimestamps(index), handler.depositTimestamps(index));
        }
    }

    /// @dev No settled batch is in its window or disputed.
    function invariant_settled_batches_are_beyond_doubt() public view {
        uint256 settled = rollup.settledBatches();
        vm.assertLe(settled, handler.takenCount());
        for (uint256 index; index < handler.takenCount(); ++index) {
            vm.assertEq(rollup.isSettled(index), index < settled);
            if (index >= settled) continue;
            RollupHandler.Taken memory batch = handler.taken(index);
            vm.assertLe(batch.timestamp + WINDOW, block.timestamp);
            vm.assertEq(batch.openDispute, 0);
        }
    }

    /// @dev I5: what came in and was not paid lies here, and so do the bonds.
    function invariant_the_balance_is_what_the_books_say() public view {
        vm.assertLe(handler.paid(), handler.deposited());
        vm.assertEq(address(rollup).balance, handler.deposited() - handler.paid() + handler.bonds());
    }

    /// @dev I5: what lies here beside the bonds is what L2 has, what is on its way to L1, and what is on
    /// its way to L2, to the last wei.
    function invariant_everything_can_be_paid() public view {
        uint256 owed;
        uint256 batches = handler.takenCount();
        for (uint256 account; account < model.ACCOUNTS(); ++account) {
            if (!handler.isEscaped(account)) owed += model.balanceAfter(batches, account);
        }
        for (uint256 index; index < model.withdrawalsAfter(batches); ++index) {
            if (!handler.isPaid(model.hashOf(model.withdrawal(index)))) owed += model.withdrawal(index).value;
        }
        for (uint256 index = rollup.depositsConsumed(); index < handler.depositsMade(); ++index) {
            if (!handler.isRefunded(index)) owed += model.mints(index);
        }
        vm.assertEq(address(rollup).balance - handler.bonds(), owed);
    }

    function invariant_deposit_gas_is_bounded() public view {
        vm.assertLe(handler.depositGas(handler.currentBlock()), rollup.MAX_DEPOSIT_GAS_PER_BLOCK());
    }

    function invariant_nothing_is_taken_while_stopped() public view {
        vm.assertFalse(handler.tookWhileStopped());
    }

    function invariant_nothing_is_paid_or_decided_against_the_books() public view {
        vm.assertEq(bytes(handler.wrong()), "");
    }
}
