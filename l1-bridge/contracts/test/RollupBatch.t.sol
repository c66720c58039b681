// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Rollup} from "../src/Rollup.sol";
import {Batches} from "../src/rollup/Batches.sol";
import {Deposits} from "../src/rollup/Deposits.sol";
import {BatchHeader, RollupParameters} from "../src/rollup/Types.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice What `postBatch` takes and what it refuses.
contract RollupBatchTest is RollupFixture {
    function test_before_the_first_batch() public view {
        vm.assertEq(rollup.batchCount(), 0);
        vm.assertEq(rollup.lastBatchHash(), bytes32(0));
        vm.assertEq(rollup.batchHashes(0), bytes32(0));
        vm.assertEq(rollup.lastBlock(), 0);
        vm.assertEq(rollup.lastBlockHash(), GENESIS);
        vm.assertEq(rollup.lastStateRoot(), bytes32(0));
        vm.assertEq(rollup.depositsConsumed(), 0);
    }

    function test_takes_a_batch() public {
        depositAs(USER, 1 ether);
        BatchHeader memory header = nextHeader();
        header.lastBlock = 7;
        bytes32 batchHash = keccak256(abi.encode(header));

        vm.expectEmit(address(rollup));
        emit Batches.BatchPosted(0, batchHash, header);
        post(header);

        vm.assertEq(rollup.batchCount(), 1);
        vm.assertEq(rollup.batchHashes(0), batchHash);
        vm.assertEq(rollup.lastBatchHash(), batchHash);
        vm.assertEq(rollup.lastBlock(), 7);
        vm.assertEq(rollup.lastBlockHash(), header.lastBlockHash);
        vm.assertEq(rollup.lastStateRoot(), header.stateRoot);
        vm.assertEq(rollup.depositsConsumed(), 1);
    }

    function test_takes_a_large_batch() public {
        post(nextHeader());
        // As compressed data is: hardly a zero byte in it.
        bytes memory data = new bytes(100_000);
        for (uint256 index; index < data.length; ++index) {
            data[index] = bytes1(uint8(1 + index % 255));
        }
        BatchHeader memory header = nextHeader();
        header.dataHash = keccak256(data);
        vm.prank(BATCHER, BATCHER);
        rollup.postBatch(header, data);
        vm.assertEq(rollup.batchCount(), 2);
    }

    function test_takes_small_batches_one_after_another() public {
        for (uint256 index; index < 10; ++index) {
            post(nextHeader());
        }
        vm.assertEq(rollup.batchCount(), 10);
        vm.assertEq(rollup.lastBlock(), 10);
    }

    function testFuzz_takes_a_line_of_batches(uint8[6] calldata lengths, bytes calldata data) public {
        if (data.length == 0) return;
        for (uint256 index; index < lengths.length; ++index) {
            BatchHeader memory header = nextHeader();
            header.lastBlock += lengths[index];
            header.dataHash = keccak256(data);
            vm.prank(BATCHER, BATCHER);
            rollup.postBatch(header, data);
            vm.assertEq(rollup.batchCount(), index + 1);
            vm.assertEq(rollup.lastBlock(), header.lastBlock);
        }
    }

    function test_refuses_the_same_batch_twice() public {
        BatchHeader memory header = nextHeader();
        post(header);
        expectRefusal(header, abi.encodeWithSelector(Batches.PreviousBatchMismatch.selector, rollup.lastBatchHash(), 0));
    }

    function testFuzz_refuses_another_predecessor(bytes32 previous) public {
        post(nextHeader());
        BatchHeader memory header = nextHeader();
        if (previous == header.previousBatchHash) return;
        bytes memory reason =
            abi.encodeWithSelector(Batches.PreviousBatchMismatch.selector, header.previousBatchHash, previous);
        header.previousBatchHash = previous;
        expectRefusal(header, reason);
    }

    function testFuzz_refuses_gap_and_overlap(uint64 firstBlock) public {
        post(nextHeader());
        if (firstBlock == 2) return;
        BatchHeader memory header = nextHeader();
        (header.firstBlock, header.lastBlock) = (firstBlock, type(uint64).max);
        expectRefusal(header, abi.encodeWithSelector(Batches.FirstBlockMismatch.selector, 2, firstBlock));
    }

    function test_refuses_a_batch_after_the_last_number() public {
        BatchHeader memory header = nextHeader();
        header.lastBlock = type(uint64).max;
        post(header);
        header.previousBatchHash = rollup.lastBatchHash();
        header.firstBlock = 0;
        expectRefusal(
            header, abi.encodeWithSelector(Batches.FirstBlockMismatch.selector, uint256(type(uint64).max) + 1, 0)
        );
    }

    function test_refuses_an_empty_range() public {
        BatchHeader memory header = nextHeader();
        header.lastBlock = 0;
        expectRefusal(header, abi.encodeWithSelector(Batches.BlockRangeEmpty.selector, 1, 0));
    }

    function test_refuses_a_batch_without_data() public {
        BatchHeader memory header = nextHeader();
        header.dataHash = keccak256("");
        vm.expectRevert(Batches.BatchDataEmpty.selector);
        vm.prank(BATCHER, BATCHER);
        rollup.postBatch(header, "");
    }

    function testFuzz_refuses_other_data(bytes calldata data) public {
        if (data.length == 0 || keccak256(data) == keccak256(DATA)) return;
        BatchHeader memory header = nextHeader();
        vm.expectRevert(abi.encodeWithSelector(Batches.DataHashMismatch.selector, header.dataHash, keccak256(data)));
        vm.prank(BATCHER, BATCHER);
        rollup.postBatch(header, data);
    }

    function test_refuses_deposits_that_nobody_made() public {
        depositAs(USER, 1);
        BatchHeader memory header = nextHeader();
        header.depositsConsumed = 2;
        expectRefusal(header, abi.encodeWithSelector(Deposits.DepositsConsumedOutOfRange.selector, 0, 1, 2));
    }

    function test_refuses_to_give_deposits_back() public {
        depositAs(USER, 1);
        depositAs(USER, 1);
        post(nextHeader());
        BatchHeader memory header = nextHeader();
        header.depositsConsumed = 1;
        expectRefusal(header, abi.encodeWithSelector(Deposits.DepositsConsumedOutOfRange.selector, 2, 2, 1));
    }

    function test_forces_a_deposit_in_after_the_delay() public {
        depositAs(USER, 1);
        uint256 deadline = block.timestamp + DELAY;
        vm.warp(block.timestamp + 10);
        depositAs(USER, 2);
        (bool exists, uint64 index, uint256 stated) = rollup.oldestPendingDeposit();
        vm.assertTrue(exists);
        vm.assertEq(index, 0);
        vm.assertEq(stated, deadline);

        vm.warp(deadline);
        BatchHeader memory header = nextHeader();
        header.depositsConsumed = 0;
        post(header);

        vm.warp(deadline + 1);
        header = nextHeader();
        header.depositsConsumed = 0;
        expectRefusal(header, abi.encodeWithSelector(Deposits.DepositOverdue.selector, 0, deadline));
        header.depositsConsumed = 1;
        post(header);

        vm.warp(deadline + 11);
        header = nextHeader();
        header.depositsConsumed = 1;
        expectRefusal(header, abi.encodeWithSelector(Deposits.DepositOverdue.selector, 1, deadline + 10));
        header.depositsConsumed = 2;
        post(header);
        (exists, index, stated) = rollup.oldestPendingDeposit();
        vm.assertFalse(exists);
        vm.assertEq(index, 0);
        vm.assertEq(stated, 0);
    }

    function test_unpausing_gives_the_batcher_the_full_delay_again() public {
        depositAs(USER, 1);
        vm.prank(ADMIN);
        rollup.pause();
        vm.warp(block.timestamp + 10 * DELAY);
        vm.prank(ADMIN);
        rollup.unpause();
        uint256 deadline = block.timestamp + DELAY;

        vm.warp(deadline);
        BatchHeader memory header = nextHeader();
        header.depositsConsumed = 0;
        post(header);

        vm.warp(deadline + 1);
        header = nextHeader();
        header.depositsConsumed = 0;
        expectRefusal(header, abi.encodeWithSelector(Deposits.DepositOverdue.selector, 0, deadline));
    }

    function test_the_longest_delay_does_not_overflow() public {
        RollupParameters memory longest = parameters();
        longest.forcedInclusionDelay = type(uint64).max;
        rollup = new Rollup(longest, SPEC);
        depositAs(USER, 1);
        BatchHeader memory header = nextHeader();
        header.depositsConsumed = 0;
        post(header);
        (,, uint256 deadline) = rollup.oldestPendingDeposit();
        vm.assertEq(deadline, block.timestamp + type(uint64).max);
    }

    function test_refuses_while_paused() public {
        BatchHeader memory header = nextHeader();
        vm.prank(ADMIN);
        rollup.pause();
        expectRefusal(header, abi.encodeWithSelector(Pausable.EnforcedPause.selector));
    }

    function testFuzz_refuses_everybody_but_the_batcher(address sender) public {
        if (sender == BATCHER) return;
        BatchHeader memory header = nextHeader();
        bytes32 role = rollup.BATCHER_ROLE();
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, sender, role));
        vm.prank(sender, sender);
        rollup.postBatch(header, DATA);
    }

    function test_refuses_a_batcher_that_is_a_contract() public {
        BatchHeader memory header = nextHeader();
        vm.expectRevert(abi.encodeWithSelector(Batches.NotTopLevelCall.selector, BATCHER));
        vm.prank(BATCHER, STRANGER);
        rollup.postBatch(header, DATA);
    }

    function test_refuses_a_batcher_with_delegated_code() public {
        vm.etch(BATCHER, abi.encodePacked(hex"ef0100", address(0xC0DE)));
        expectRefusal(nextHeader(), abi.encodeWithSelector(Batches.NotTopLevelCall.selector, BATCHER));
    }

    function test_refuses_trailing_calldata() public {
        bytes memory call = abi.encodePacked(abi.encodeCall(rollup.postBatch, (nextHeader(), DATA)), uint8(1));
        _expectRawRefusal(
            call, abi.encodeWithSelector(Batches.CalldataNotCanonical.selector, call.length - 1, call.length)
        );
    }

    function test_refuses_data_at_another_offset() public {
        // The same arguments with one unused word before the length of the data.
        BatchHeader memory header = nextHeader();
        bytes memory call = abi.encodePacked(
            rollup.postBatch.selector, abi.encode(header), uint256(13 * 32), uint256(0), DATA.length, bytes32(DATA)
        );
        _expectRawRefusal(
            call, abi.encodeWithSelector(Batches.CalldataNotCanonical.selector, call.length - 32, call.length)
        );
    }

    function test_refuses_data_at_another_offset_within_the_same_length() public {
        // One byte further on, into what would have been padding.
        bytes memory call = bytes.concat(
            abi.encodePacked(rollup.postBatch.selector, abi.encode(nextHeader()), uint256(12 * 32 + 1), bytes1(0)),
            abi.encodePacked(DATA.length, DATA, new bytes(31 - DATA.length))
        );
        vm.assertEq(call.length, abi.encodeCall(rollup.postBatch, (nextHeader(), DATA)).length);
        _expectRawRefusal(call, abi.encodeWithSelector(Batches.CalldataNotCanonical.selector, call.length, call.length));
    }

    function test_refuses_a_header_with_dirty_bits() public {
        bytes memory call = abi.encodeCall(rollup.postBatch, (nextHeader(), DATA));
        call[4 + 32] = 0x01; // the highest byte of firstBlock's word
        _expectRawRefusal(call, "");
    }

    function _expectRawRefusal(bytes memory call, bytes memory reason) private {
        vm.prank(BATCHER, BATCHER);
        (bool success, bytes memory returned) = address(rollup).call(call);
        vm.assertFalse(success);
        vm.assertEq(returned, reason);
    }
}
