// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {L1BlockHashes} from "../src/libraries/L1BlockHashes.sol";
import {Batches} from "../src/rollup/Batches.sol";
import {BatchHeader} from "../src/rollup/Types.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {bound, vm} from "./helpers/Vm.sol";

/// @notice On which L1 a batch counts.
contract RollupOriginTest is RollupFixture {
    // Runtime code of the history contract, from EIP-2935.
    bytes private constant HISTORY_CODE =
        hex"3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500";
    uint256 private constant NOW = 100_000;

    function setUp() public override {
        super.setUp();
        vm.roll(NOW);
        vm.etch(L1BlockHashes.HISTORY, "");
    }

    function testFuzz_takes_an_origin_of_the_last_256_blocks(uint256 age, bytes32 hash) public {
        uint64 number = uint64(NOW - bound(age, 1, 256));
        if (hash == 0) return;
        vm.setBlockhash(number, hash);
        post(_on(number, hash));
    }

    function testFuzz_refuses_an_origin_that_l1_has_dropped(uint256 age, bytes32 dropped) public {
        uint64 number = uint64(NOW - bound(age, 1, 256));
        bytes32 hash = blockhash(number);
        if (dropped == hash) return;
        expectRefusal(_on(number, dropped), _mismatch(number, hash, dropped));
    }

    function testFuzz_refuses_an_origin_that_is_not_over(uint64 number, bytes32 hash) public {
        number = uint64(bound(number, NOW, type(uint64).max));
        expectRefusal(_on(number, hash), _mismatch(number, 0, hash));
        _keepHistory();
        expectRefusal(_on(number, hash), _mismatch(number, 0, hash));
    }

    function testFuzz_looks_into_the_history(uint256 age, bytes32 hash, bytes32 dropped) public {
        _keepHistory();
        uint64 number = uint64(NOW - bound(age, 257, 8191));
        if (hash == 0 || hash == dropped) return;
        vm.store(L1BlockHashes.HISTORY, bytes32(uint256(number) % 8191), hash);
        expectRefusal(_on(number, dropped), _mismatch(number, hash, dropped));
        post(_on(number, hash));
    }

    /// @dev The chain must be able to go on after a long outage. What is that old is final.
    function testFuzz_takes_an_origin_that_is_too_old_to_be_seen(uint256 age, bytes32 hash, bool kept) public {
        if (kept) _keepHistory();
        post(_on(uint64(NOW - bound(age, kept ? 8192 : 257, NOW - 1)), hash));
    }

    /// @dev As right after a fork that brings the history contract.
    function test_takes_an_origin_that_the_history_does_not_have_yet() public {
        _keepHistory();
        post(_on(uint64(NOW - 300), keccak256("any")));
    }

    /// @dev Something else at the history's address must not stop the chain.
    function testFuzz_takes_an_old_origin_whatever_the_history_answers(bool reverts) public {
        vm.etch(L1BlockHashes.HISTORY, reverts ? bytes(hex"5f5ffd") : bytes(hex"60015ff3"));
        post(_on(uint64(NOW - 300), keccak256("any")));
    }

    function test_takes_a_batch_before_the_first_origin() public {
        post(_on(0, 0));
        // Block 0 of L1 has a hash that can be seen.
        vm.roll(5);
        post(_on(0, 0));
    }

    function test_refuses_an_origin_without_hash() public {
        uint64 number = uint64(NOW - 1);
        expectRefusal(_on(number, 0), _mismatch(number, blockhash(number), 0));
    }

    function test_blobs_are_held_to_it_too() public {
        bytes32[] memory hashes = new bytes32[](1);
        hashes[0] = keccak256("blob");
        vm.blobhashes(hashes);
        BatchHeader memory header = _on(uint64(NOW - 1), keccak256("dropped"));
        header.blobCount = 1;
        header.dataHash = keccak256(abi.encodePacked(hashes));
        vm.expectRevert(_mismatch(header.l1OriginNumber, blockhash(NOW - 1), header.l1OriginHash));
        vm.prank(BATCHER, BATCHER);
        rollup.postBatchBlobs(header);
    }

    function _on(uint64 number, bytes32 hash) private view returns (BatchHeader memory header) {
        header = nextHeader();
        (header.l1OriginNumber, header.l1OriginHash) = (number, hash);
    }

    function _mismatch(uint64 number, bytes32 expected, bytes32 found) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Batches.L1OriginMismatch.selector, number, expected, found);
    }

    function _keepHistory() private {
        vm.etch(L1BlockHashes.HISTORY, HISTORY_CODE);
    }
}
