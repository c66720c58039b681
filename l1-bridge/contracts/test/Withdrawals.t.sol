// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Withdrawals} from "../src/Withdrawals.sol";
import {WithdrawalTreeReference} from "./helpers/WithdrawalTreeReference.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice The predeploy where withdrawals start, with its code put in place as a genesis state does.
contract WithdrawalsTest {
    address private constant USER = address(0x05E2);
    address private constant STRANGER = address(0x57);
    Withdrawals private constant WITHDRAWALS = Withdrawals(payable(0x4200000000000000000000000000000000000016));

    function setUp() public {
        vm.etch(address(WITHDRAWALS), type(Withdrawals).runtimeCode);
        vm.deal(USER, 1000 ether);
    }

    function test_everything_is_zero_before_the_first() public view {
        vm.assertEq(WITHDRAWALS.count(), 0);
        vm.assertEq(WITHDRAWALS.root(), bytes32(0));
        for (uint256 slot; slot < 34; ++slot) {
            vm.assertEq(vm.load(address(WITHDRAWALS), bytes32(slot)), bytes32(0));
        }
    }

    function test_a_withdrawal() public {
        bytes memory data = hex"c0ffee";
        bytes32 hash = keccak256(abi.encode(0, USER, STRANGER, 3, 50_000, data));
        vm.expectEmit(address(WITHDRAWALS));
        emit Withdrawals.MessagePassed(0, USER, STRANGER, 3, 50_000, data, hash);
        vm.prank(USER, STRANGER);
        WITHDRAWALS.initiateWithdrawal{value: 3}(STRANGER, 50_000, data);
        vm.assertEq(address(WITHDRAWALS).balance, 3);
        vm.assertEq(WITHDRAWALS.count(), 1);
        // Where readers of the state look.
        vm.assertEq(vm.load(address(WITHDRAWALS), 0), bytes32(uint256(1)));
        vm.assertEq(vm.load(address(WITHDRAWALS), bytes32(uint256(1))), WITHDRAWALS.root());
        vm.assertEq(vm.load(address(WITHDRAWALS), bytes32(uint256(2))), hash);
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = hash;
        (bytes32 root,) = WithdrawalTreeReference.rootAndProof(leaves, 0);
        vm.assertEq(WITHDRAWALS.root(), root);
    }

    function testFuzz_the_root_is_that_of_all_leaves(uint8 count, bytes32 seed) public {
        bytes32[] memory all = new bytes32[](count);
        for (uint256 index; index < count; ++index) {
            address target = address(uint160(uint256(seed)));
            bytes memory data = abi.encodePacked(seed, index);
            vm.prank(USER);
            WITHDRAWALS.initiateWithdrawal{value: index}(target, index, data);
            all[index] = keccak256(abi.encode(index, USER, target, index, index, data));
            bytes32[] memory leaves = new bytes32[](index + 1);
            for (uint256 leaf; leaf <= index; ++leaf) {
                leaves[leaf] = all[leaf];
            }
            if (index % 16 == 0 || index + 1 == count) {
                (bytes32 root,) = WithdrawalTreeReference.rootAndProof(leaves, 0);
                vm.assertEq(WITHDRAWALS.root(), root);
            }
        }
        vm.assertEq(WITHDRAWALS.count(), count);
    }

    /// @dev The places where carries run through many levels, which no test can walk up to.
    function testFuzz_the_root_at_any_place(uint32 place) public {
        vm.store(address(WITHDRAWALS), 0, bytes32(uint256(place)));
        bytes32[32] memory branch;
        for (uint256 height; height < 32; ++height) {
            branch[height] = keccak256(abi.encode(place, height));
            vm.store(address(WITHDRAWALS), bytes32(2 + height), branch[height]);
        }
        vm.prank(USER, USER);
        (bool success,) = address(WITHDRAWALS).call{value: 1}("");
        vm.assertTrue(success);

        bytes32 node = keccak256(abi.encode(uint256(place), USER, USER, 1, 100_000, ""));
        bytes32 empty;
        for (uint256 height; height < 32; ++height) {
            bool isRight = uint256(place) >> height & 1 == 1;
            node = isRight ? keccak256(bytes.concat(branch[height], node)) : keccak256(bytes.concat(node, empty));
            empty = keccak256(bytes.concat(empty, empty));
        }
        vm.assertEq(WITHDRAWALS.root(), node);
        vm.assertEq(WITHDRAWALS.count(), uint256(place) + 1);
    }

    function test_the_last_place_and_no_more() public {
        vm.store(address(WITHDRAWALS), 0, bytes32(uint256(type(uint32).max)));
        vm.prank(USER);
        WITHDRAWALS.initiateWithdrawal(STRANGER, 0, "");
        vm.expectRevert(Withdrawals.TreeFull.selector);
        vm.prank(USER);
        WITHDRAWALS.initiateWithdrawal(STRANGER, 0, "");
    }

    function testFuzz_eth_sent_goes_to_the_senders_own_address(uint96 amount) public {
        vm.deal(USER, amount);
        bytes32 hash = keccak256(abi.encode(0, USER, USER, amount, 100_000, ""));
        vm.expectEmit(address(WITHDRAWALS));
        emit Withdrawals.MessagePassed(0, USER, USER, amount, 100_000, "", hash);
        vm.prank(USER, USER);
        (bool success,) = address(WITHDRAWALS).call{value: amount}("");
        vm.assertTrue(success);
    }

    function test_eth_sent_by_a_contract_is_refused() public {
        vm.prank(USER, STRANGER);
        (bool success, bytes memory reason) = address(WITHDRAWALS).call{value: 1}("");
        vm.assertFalse(success);
        vm.assertEq(reason, abi.encodeWithSelector(Withdrawals.ContractMustNameTarget.selector, USER));
    }

    function testFuzz_gas_is_bounded(uint256 gasLimit) public {
        if (gasLimit > 10_000_000) {
            vm.expectRevert(abi.encodeWithSelector(Withdrawals.GasLimitTooHigh.selector, 10_000_000, gasLimit));
        }
        vm.prank(USER);
        WITHDRAWALS.initiateWithdrawal(STRANGER, gasLimit, "");
    }

    function test_data_is_bounded() public {
        vm.prank(USER);
        WITHDRAWALS.initiateWithdrawal(STRANGER, 10_000_000, new bytes(100_000));
        vm.expectRevert(abi.encodeWithSelector(Withdrawals.DataTooLong.selector, 100_000, 100_001));
        vm.prank(USER);
        WITHDRAWALS.initiateWithdrawal(STRANGER, 0, new bytes(100_001));
    }
}
