// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Payouts} from "../src/rollup/Payouts.sol";
import {RollupState} from "../src/rollup/RollupState.sol";
import {BatchHeader, Withdrawal} from "../src/rollup/Types.sol";
import {PayoutFixture} from "./helpers/PayoutFixture.sol";
import {vm} from "./helpers/Vm.sol";

/// @notice Withdrawals: what is paid, when, and what is refused.
contract RollupPayoutTest is PayoutFixture {
    function test_pays_a_withdrawal() public {
        depositAs(USER, 10 ether);
        Withdrawal memory withdrawal = withdraw(STRANGER, 3 ether, "");
        BatchHeader memory header = nextHeader();
        post(header);
        bytes32 hash = keccak256(
            abi.encode(withdrawal.index, USER, STRANGER, 3 ether, withdrawal.gasLimit, withdrawal.data)
        );
        vm.expectEmit(address(rollup));
        emit Payouts.WithdrawalProven(hash, 0);
        prove(withdrawal, 0, header);
        (uint64 index, bytes32 batchHash) = rollup.provenWithdrawals(hash);
        vm.assertEq(index, 0);
        vm.assertEq(batchHash, rollup.batchHashes(0));

        vm.expectRevert(abi.encodeWithSelector(Payouts.BatchNotSettled.selector, 0));
        rollup.finalizeWithdrawal(withdrawal);
        vm.warp(block.timestamp + WINDOW);
        vm.assertEq(rollup.settle(5), 1);
        vm.expectEmit(address(rollup));
        emit Payouts.WithdrawalFinalized(hash);
        rollup.finalizeWithdrawal(withdrawal);
        vm.assertEq(STRANGER.balance, 3 ether);
        vm.assertEq(address(rollup).balance, 7 ether);
        vm.assertTrue(rollup.finalizedWithdrawals(hash));

        vm.expectRevert(abi.encodeWithSelector(Payouts.AlreadyFinalized.selector, hash));
        rollup.finalizeWithdrawal(withdrawal);
    }
}
