// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Rollup} from "../src/Rollup.sol";
import {Deposits} from "../src/rollup/Deposits.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {Vm, bound, vm} from "./helpers/Vm.sol";

/// @notice Deposits while its code is not yet in place.
contract DepositingConstructor {
    constructor(Rollup rollup) payable {
        rollup.depositTransaction{value: msg.value}(address(1), 0, 21_000, false, "");
    }
}

/// @notice What a deposit looks like, who it is from, and what is refused.
contract RollupDepositTest is RollupFixture {
    uint160 private constant OFFSET = uint160(0x1111000000000000000000000000000000001111);

    function testFuzz_event_has_the_layout_of_the_op_stack(
        address to,
        uint96 mint,
        uint256 value,
        uint64 gasLimit,
        bytes calldata data
    ) public {
        gasLimit = uint64(bound(gasLimit, 21_000 + 40 * data.length, 8_000_000));
        vm.deal(USER, mint);
        vm.recordLogs();
        vm.prank(USER, USER);
        rollup.depositTransaction{value: mint}(to, value, gasLimit, false, data);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1);
        vm.assertEq(logs[0].topics.length, 4);
        vm.assertEq(logs[0].topics[0], keccak256("TransactionDeposited(address,address,uint256,bytes)"));
        vm.assertEq(logs[0].topics[1], bytes32(uint256(uint160(USER))));
        vm.assertEq(logs[0].topics[2], bytes32(uint256(uint160(to))));
        vm.assertEq(logs[0].topics[3], bytes32(0));
        bytes memory expected = bytes.concat(bytes32(uint256(mint)), bytes32(value), bytes8(gasLimit), bytes1(0), data);
        vm.assertEq(logs[0].data, abi.encode(expected));
        vm.assertEq(address(rollup).balance, mint);
        vm.assertEq(rollup.depositCount(), 1);
    }

    function test_creation() public {
        bytes memory initcode = hex"600160015500";
        vm.expectEmit(address(rollup));
        emit Deposits.TransactionDeposited(
            USER, address(0), 0, bytes.concat(bytes32(0), bytes32(0), bytes8(uint64(60_000)), bytes1(0x01), initcode)
        );
        vm.prank(USER, USER);
        rollup.depositTransaction(address(0), 0, 60_000, true, initcode);
    }

    function testFuzz_a_contracts_address_is_aliased(address sender) public {
        if (sender == STRANGER || sender.code.length == 23) return;
        address aliased;
        unchecked {
            aliased = address(uint160(sender) + OFFSET);
        }
        vm.expectEmit(address(rollup));
        emit Deposits.TransactionDeposited(aliased, USER, 0, _opaque(0, 5, 30_000));
        vm.prank(sender, STRANGER);
        rollup.depositTransaction(USER, 5, 30_000, false, "");
    }

    function test_the_alias_wraps() public {
        vm.expectEmit(address(rollup));
        emit Deposits.TransactionDeposited(address(OFFSET - 1), USER, 0, _opaque(0, 0, 21_000));
        vm.prank(address(type(uint160).max), STRANGER);
        rollup.depositTransaction(USER, 0, 21_000, false, "");
    }

    function test_a_contract_without_code_yet_is_aliased() public {
        vm.deal(address(this), 3);
        vm.recordLogs();
        DepositingConstructor depositor = new DepositingConstructor{value: 3}(rollup);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs[0].topics[1], bytes32(uint256(uint160(address(depositor)) + OFFSET)));
    }

    function test_a_delegating_account_is_not_aliased() public {
        vm.etch(USER, abi.encodePacked(hex"ef0100", address(0xC0DE)));
        address[2] memory origins = [USER, STRANGER];
        for (uint256 index; index < 2; ++index) {
            vm.expectEmit(address(rollup));
            emit Deposits.TransactionDeposited(USER, USER, 0, _opaque(0, 0, 21_000));
            vm.prank(USER, origins[index]);
            rollup.depositTransaction(USER, 0, 21_000, false, "");
        }
    }

    function test_code_of_the_length_of_a_delegation_is_aliased() public {
        vm.etch(USER, new bytes(23));
        vm.expectEmit(address(rollup));
        emit Deposits.TransactionDeposited(address(uint160(USER) + OFFSET), USER, 0, _opaque(0, 0, 21_000));
        vm.prank(USER, STRANGER);
        rollup.depositTransaction(USER, 0, 21_000, false, "");
    }

    function testFuzz_plain_eth_goes_to_the_senders_own_address(uint96 amount) public {
        vm.deal(USER, amount);
        vm.expectEmit(address(rollup));
        emit Deposits.TransactionDeposited(USER, USER, 0, _opaque(amount, amount, 100_000));
        vm.prank(USER, USER);
        (bool success,) = address(rollup).call{value: amount}("");
        vm.assertTrue(success);
        vm.assertEq(address(rollup).balance, amount);
    }

    function test_plain_eth_from_a_contract_is_refused() public {
        vm.prank(USER, STRANGER);
        (bool success, bytes memory reason) = address(rollup).call{value: 1}("");
        vm.assertFalse(success);
        vm.assertEq(reason, abi.encodeWithSelector(Deposits.ContractMustNameRecipient.selector, USER));
    }

    function test_an_unknown_function_is_refused() public {
        vm.prank(USER, USER);
        (bool success,) = address(rollup).call{value: 1}(hex"12345678");
        vm.assertFalse(success);
    }

    function test_a_creation_with_a_recipient_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(Deposits.CreationWithRecipient.selector, STRANGER));
        vm.prank(USER, USER);
        rollup.depositTransaction(STRANGER, 0, 100_000, true, "");
    }

    function testFuzz_gas_must_cover_the_input(uint16 length, bool isCreation) public {
        uint256 minimum = 21_000 + 40 * uint256(length) + (isCreation ? 32_000 : 0);
        vm.assertEq(rollup.minimumDepositGas(length, isCreation), minimum);
        bytes memory data = new bytes(length);
        vm.expectRevert(abi.encodeWithSelector(Deposits.DepositGasTooLow.selector, minimum, minimum - 1));
        vm.prank(USER, USER);
        rollup.depositTransaction(address(0), 0, uint64(minimum - 1), isCreation, data);
        vm.prank(USER, USER);
        rollup.depositTransaction(address(0), 0, uint64(minimum), isCreation, data);
    }

    function test_data_is_bounded() public {
        vm.expectRevert(abi.encodeWithSelector(Deposits.DepositDataTooLong.selector, 120_000, 120_001));
        vm.prank(USER, USER);
        rollup.depositTransaction(USER, 0, 8_000_000, false, new bytes(120_001));
        vm.prank(USER, USER);
        rollup.depositTransaction(USER, 0, 8_000_000, false, new bytes(120_000));
    }

    function test_gas_is_bounded_within_one_l1_block() public {
        vm.expectRevert(abi.encodeWithSelector(Deposits.DepositGasExceeded.selector, 8_000_000, type(uint64).max));
        vm.prank(USER, USER);
        rollup.depositTransaction(USER, 0, type(uint64).max, false, "");

        vm.prank(USER, USER);
        rollup.depositTransaction(USER, 0, 7_900_000, false, "");
        vm.expectRevert(abi.encodeWithSelector(Deposits.DepositGasExceeded.selector, 8_000_000, 8_000_001));
        vm.prank(USER, USER);
        rollup.depositTransaction(USER, 0, 100_001, false, "");
        // Sending ETH counts too, and just fits.
        vm.prank(USER, USER);
        (bool success,) = address(rollup).call{value: 1}("");
        vm.assertTrue(success);
        vm.prank(USER, USER);
        (success,) = address(rollup).call{value: 1}("");
        vm.assertFalse(success);

        vm.roll(block.number + 1);
        vm.prank(USER, USER);
        rollup.depositTransaction(USER, 0, 8_000_000, false, "");
        vm.assertEq(rollup.depositCount(), 3);
    }

    function testFuzz_the_mint_fits_128_bits(uint256 amount) public {
        amount = bound(amount, uint256(type(uint128).max) + 1, type(uint256).max);
        vm.deal(USER, amount);
        vm.expectRevert(abi.encodeWithSelector(Deposits.MintTooLarge.selector, type(uint128).max, amount));
        vm.prank(USER, USER);
        rollup.depositTransaction{value: amount}(USER, 0, 21_000, false, "");
        vm.prank(USER, USER);
        rollup.depositTransaction{value: type(uint128).max}(USER, 0, 21_000, false, "");
    }

    function test_deposits_stop_while_paused() public {
        vm.prank(ADMIN);
        rollup.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vm.prank(USER, USER);
        rollup.depositTransaction{value: 1}(USER, 0, 21_000, false, "");
        vm.prank(USER, USER);
        (bool success, bytes memory reason) = address(rollup).call{value: 1}("");
        vm.assertFalse(success);
        vm.assertEq(reason, abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        vm.assertEq(address(rollup).balance, 0);
    }

    function test_every_deposit_keeps_its_timestamp() public {
        uint256 start = block.timestamp;
        for (uint256 index; index < 10; ++index) {
            vm.warp(start + index * index);
            depositAs(USER, index);
        }
        for (uint256 index; index < 10; ++index) {
            vm.assertEq(rollup.depositTimestamps(index), start + index * index);
        }
        vm.expectRevert(abi.encodeWithSelector(Deposits.UnknownDeposit.selector, 10, 10));
        rollup.depositTimestamps(10);
    }

    function _opaque(uint256 mint, uint256 value, uint64 gasLimit) private pure returns (bytes memory) {
        return bytes.concat(bytes32(mint), bytes32(value), bytes8(gasLimit), bytes1(0));
    }
}
