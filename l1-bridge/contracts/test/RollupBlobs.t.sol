// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Batches} from "../src/rollup/Batches.sol";
import {Deposits} from "../src/rollup/Deposits.sol";
import {BatchHeader} from "../src/rollup/Types.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {bound, vm} from "./helpers/Vm.sol";

/// @notice Batches whose data is in blobs.
contract RollupBlobsTest is RollupFixture {
    function testFuzz_takes_a_batch_in_blobs(uint8 count, bytes32 seed) public {
        BatchHeader memory header = _withBlobs(bound(count, 1, 21), seed);
        bytes32 batchHash = keccak256(abi.encode(header));
        vm.expectEmit(address(rollup));
        emit Batches.BatchPosted(0, batchHash, header);
        _post(header);
        vm.assertEq(rollup.batchHashes(0), batchHash);
        vm.assertEq(rollup.lastBlock(), header.lastBlock);
    }

    function test_both_kinds_take_turns() public {
        post(nextHeader());
        _post(_withBlobs(6, "a"));
        post(nextHeader());
        vm.assertEq(rollup.batchCount(), 3);
        vm.assertEq(rollup.lastBlock(), 3);
    }

    function test_takes_small_batches_in_blobs() public {
        for (uint256 index; index < 10; ++index) {
            _post(_withBlobs(6, bytes32(index)));
        }
    }

    function test_refuses_a_transaction_without_blobs() public {
        BatchHeader memory header = nextHeader();
        vm.expectRevert(Batches.BatchDataEmpty.selector);
        _post(header);
    }

    function testFuzz_refuses_another_number_of_blobs(uint8 count, uint8 stated) public {
        uint256 blobs = bound(count, 1, 9);
        BatchHeader memory header = _withBlobs(blobs, "a");
        if (stated == blobs) return;
        header.blobCount = stated;
        vm.expectRevert(abi.encodeWithSelector(Batches.BlobCountMismatch.selector, blobs, stated));
        _post(header);
    }

    function testFuzz_refuses_other_blobs(uint8 count, uint8 which, bytes32 other) public {
        uint256 blobs = bound(count, 1, 9);
        BatchHeader memory header = _withBlobs(blobs, "a");
        bytes32[] memory hashes = _hashes(blobs, "a");
        if (other == 0 || other == hashes[which % blobs]) return;
        hashes[which % blobs] = other;
        vm.blobhashes(hashes);
        vm.expectRevert(
            abi.encodeWithSelector(
                Batches.DataHashMismatch.selector, header.dataHash, keccak256(abi.encodePacked(hashes))
            )
        );
        _post(header);
    }

    function test_calldata_has_no_blobs() public {
        BatchHeader memory header = nextHeader();
        header.blobCount = 1;
        expectRefusal(header, abi.encodeWithSelector(Batches.BlobCountMismatch.selector, 0, 1));
    }

    function test_refuses_a_batcher_that_is_a_contract() public {
        BatchHeader memory header = _withBlobs(1, "a");
        vm.expectRevert(abi.encodeWithSelector(Batches.NotTopLevelCall.selector, BATCHER));
        vm.prank(BATCHER, STRANGER);
        rollup.postBatchBlobs(header);
    }

    function test_refuses_a_batcher_with_delegated_code() public {
        BatchHeader memory header = _withBlobs(1, "a");
        vm.etch(BATCHER, abi.encodePacked(hex"ef0100", address(0xC0DE)));
        vm.expectRevert(abi.encodeWithSelector(Batches.NotTopLevelCall.selector, BATCHER));
        _post(header);
    }

    function testFuzz_refuses_everybody_but_the_batcher(address sender) public {
        if (sender == BATCHER) return;
        BatchHeader memory header = _withBlobs(1, "a");
        bytes32 role = rollup.BATCHER_ROLE();
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, sender, role));
        vm.prank(sender, sender);
        rollup.postBatchBlobs(header);
    }

    function test_refuses_while_paused() public {
        BatchHeader memory header = _withBlobs(1, "a");
        vm.prank(ADMIN);
        rollup.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        _post(header);
    }

    function test_refuses_to_skip_an_overdue_deposit() public {
        depositAs(USER, 1);
        uint256 deadline = block.timestamp + DELAY;
        BatchHeader memory header = _withBlobs(1, "a");
        header.depositsConsumed = 0;
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(Deposits.DepositOverdue.selector, 0, deadline));
        _post(header);
    }

    function _post(BatchHeader memory header) private {
        vm.prank(BATCHER, BATCHER);
        rollup.postBatchBlobs(header);
    }

    /// @dev The next batch, with the blobs of the current transaction.
    function _withBlobs(uint256 count, bytes32 seed) private returns (BatchHeader memory header) {
        bytes32[] memory hashes = _hashes(count, seed);
        vm.blobhashes(hashes);
        header = nextHeader();
        header.blobCount = uint8(count);
        header.dataHash = keccak256(abi.encodePacked(hashes));
    }

    function _hashes(uint256 count, bytes32 seed) private pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](count);
        for (uint256 index; index < count; ++index) {
            hashes[index] = keccak256(abi.encode(seed, index));
        }
    }
}
