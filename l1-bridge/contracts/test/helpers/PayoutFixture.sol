// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Withdrawals} from "../../src/Withdrawals.sol";
import {BatchHeader, Withdrawal} from "../../src/rollup/Types.sol";
import {RollupFixture} from "./RollupFixture.sol";
import {WithdrawalTreeReference} from "./WithdrawalTreeReference.sol";
import {vm} from "./Vm.sol";

/// @notice A rollup, and the predeploy where its withdrawals start: L1 and L2 in one state.
abstract contract PayoutFixture is RollupFixture {
    Withdrawals internal constant WITHDRAWALS = Withdrawals(payable(0x4200000000000000000000000000000000000016));
    uint256 internal constant GAS_LIMIT = 50_000;
    bytes32[] internal leaves;

    function setUp() public virtual override {
        super.setUp();
        vm.etch(address(WITHDRAWALS), type(Withdrawals).runtimeCode);
    }

    function nextHeader() internal view virtual override returns (BatchHeader memory header) {
        header = super.nextHeader();
        header.withdrawalsRoot = WITHDRAWALS.root();
    }

    /// @dev USER starts a withdrawal on L2.
    function withdraw(address target, uint256 value, bytes memory data) internal returns (Withdrawal memory) {
        return withdrawAs(USER, target, value, GAS_LIMIT, data);
    }

    function withdrawAs(address sender, address target, uint256 value, uint256 gasLimit, bytes memory data)
        internal
        returns (Withdrawal memory withdrawal)
    {
        withdrawal = Withdrawal(leaves.length, sender, target, value, gasLimit, data);
        leaves.push(hashOf(withdrawal));
        uint256 before = sender.balance;
        vm.deal(sender, value);
        vm.prank(sender);
        WITHDRAWALS.initiateWithdrawal{value: value}(target, gasLimit, data);
        vm.deal(sender, before);
    }

    function hashOf(Withdrawal memory w) internal pure returns (bytes32) {
        return keccak256(abi.encode(w.index, w.sender, w.target, w.value, w.gasLimit, w.data));
    }

    /// @dev The proof of a withdrawal against the tree as it is now.
    function proofOf(uint256 index) internal view returns (bytes32[] memory proof) {
        (, proof) = _rootAndProof(index);
    }

    function _rootAndProof(uint256 index) internal view returns (bytes32, bytes32[] memory) {
        return WithdrawalTreeReference.rootAndProof(leaves, index);
    }

    function prove(Withdrawal memory withdrawal, uint256 batchIndex, BatchHeader memory header) internal {
        rollup.proveWithdrawal(withdrawal, batchIndex, header, proofOf(withdrawal.index));
    }
}
