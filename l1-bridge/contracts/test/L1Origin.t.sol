// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {L1Origin} from "../src/L1Origin.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice The predeploy, with its code put in place as a genesis state does.
contract L1OriginTest {
    address private constant DEPOSITOR = 0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001;
    L1Origin private constant ORIGIN = L1Origin(0x4200000000000000000000000000000000000015);

    function setUp() public {
        vm.etch(address(ORIGIN), type(L1Origin).runtimeCode);
    }

    function test_selector_is_the_one_the_chain_calls() public pure {
        vm.assertEq(bytes32(L1Origin.setL1Origin.selector), bytes32(bytes4(0xb60decfe)));
    }

    function test_everything_is_zero_before_the_first_origin() public view {
        vm.assertEq(ORIGIN.number(), 0);
        vm.assertEq(ORIGIN.timestamp(), 0);
        vm.assertEq(ORIGIN.basefee(), 0);
        vm.assertEq(ORIGIN.hash(), bytes32(0));
        vm.assertEq(ORIGIN.DEPOSITOR_ACCOUNT(), DEPOSITOR);
    }

    function testFuzz_getters_return_what_was_set(uint64 number, uint64 timestamp, uint256 baseFee, bytes32 hash)
        public
    {
        if (number == 0) return;
        vm.prank(DEPOSITOR);
        ORIGIN.setL1Origin(number, timestamp, baseFee, hash);
        vm.assertEq(ORIGIN.number(), number);
        vm.assertEq(ORIGIN.timestamp(), timestamp);
        vm.assertEq(ORIGIN.basefee(), baseFee);
        vm.assertEq(ORIGIN.hash(), hash);
        // The storage layout of the OP Stack's L1Block.
        vm.assertEq(vm.load(address(ORIGIN), 0), bytes32(uint256(timestamp) << 64 | number));
        vm.assertEq(vm.load(address(ORIGIN), bytes32(uint256(1))), bytes32(baseFee));
        vm.assertEq(vm.load(address(ORIGIN), bytes32(uint256(2))), hash);
    }

    function testFuzz_the_number_increases(uint64 first, uint64 second) public {
        if (first == 0) return;
        vm.prank(DEPOSITOR);
        ORIGIN.setL1Origin(first, 1, 1, bytes32(uint256(1)));
        if (second <= first) {
            vm.expectRevert(abi.encodeWithSelector(L1Origin.NumberNotIncreasing.selector, first, second));
        }
        vm.prank(DEPOSITOR);
        ORIGIN.setL1Origin(second, 2, 2, bytes32(uint256(2)));
        vm.assertEq(ORIGIN.number(), second > first ? second : first);
    }

    function testFuzz_only_the_depositor_sets(address sender) public {
        if (sender == DEPOSITOR) return;
        vm.expectRevert(abi.encodeWithSelector(L1Origin.NotDepositor.selector, DEPOSITOR, sender));
        vm.prank(sender);
        ORIGIN.setL1Origin(1, 1, 1, bytes32(uint256(1)));
    }
}
