// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BatchHeader} from "../src/rollup/Types.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {RollupHandler} from "./helpers/RollupHandler.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice What holds after any sequence of calls. The books are the handler's, not the contract's.
contract RollupInvariantTest is RollupFixture {
    RollupHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new RollupHandler(rollup, ADMIN, BATCHER);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev I4: no gap, no overlap, one line of hashes.
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
                uint256 since = made > batch.unpausedAt ? made : batch.unpausedAt;
                vm.assertLe(batch.timestamp, since + DELAY);
            }
        }
    }

    function invariant_timestamps_are_kept() public view {
        for (uint256 index; index < handler.depositsMade(); ++index) {
            vm.assertEq(rollup.depositTimestamps(index), handler.depositTimestamps(index));
        }
    }

    /// @dev I5: what was minted on L2 lies here.
    function invariant_balance_is_the_sum_of_mints() public view {
        vm.assertEq(address(rollup).balance, handler.minted());
    }

    function invariant_deposit_gas_is_bounded() public view {
        vm.assertLe(handler.depositGas(handler.currentBlock()), rollup.MAX_DEPOSIT_GAS_PER_BLOCK());
    }

    function invariant_nothing_is_taken_while_paused() public view {
        vm.assertFalse(handler.tookWhilePaused());
    }
}
