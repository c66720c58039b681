// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Rollup} from "../src/Rollup.sol";
import {RollupState} from "../src/rollup/RollupState.sol";
import {BatchHeader, RollupParameters} from "../src/rollup/Types.sol";
import {RollupFixture} from "./helpers/RollupFixture.sol";
import {Vm, vm} from "./helpers/Vm.sol";

/// @notice How a chain begins, and what each role may do.
contract RollupRolesTest is RollupFixture {
    function test_creation_tells_the_chain() public {
        vm.recordLogs();
        Rollup created = new Rollup(parameters(), SPEC);
        vm.assertEq(created.genesisBlockHash(), GENESIS);
        vm.assertEq(created.chainSpecHash(), keccak256(SPEC));
        vm.assertEq(created.deploymentBlock(), 1000);
        vm.assertEq(created.forcedInclusionDelay(), DELAY);
        vm.assertEq(created.depositCount(), 0);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory last = logs[logs.length - 1];
        vm.assertEq(last.topics[0], keccak256("ChainCreated(bytes32,bytes32,bytes)"));
        vm.assertEq(last.topics[1], GENESIS);
        vm.assertEq(last.topics[2], keccak256(SPEC));
        vm.assertEq(last.data, abi.encode(SPEC));
    }

    function test_creation_gives_the_roles() public view {
        vm.assertTrue(rollup.hasRole(rollup.DEFAULT_ADMIN_ROLE(), ADMIN));
        vm.assertTrue(rollup.hasRole(rollup.PAUSER_ROLE(), ADMIN));
        vm.assertTrue(rollup.hasRole(rollup.BATCHER_ROLE(), BATCHER));
        vm.assertFalse(rollup.hasRole(rollup.BATCHER_ROLE(), ADMIN));
        vm.assertFalse(rollup.hasRole(rollup.DEFAULT_ADMIN_ROLE(), address(this)));
    }

    function test_creation_refuses_a_missing_admin() public {
        RollupParameters memory wrong = parameters();
        wrong.admin = address(0);
        vm.expectRevert(RollupState.ZeroAddress.selector);
        new Rollup(wrong, SPEC);
    }

    function test_creation_refuses_a_missing_batcher() public {
        RollupParameters memory wrong = parameters();
        wrong.batcher = address(0);
        vm.expectRevert(RollupState.ZeroAddress.selector);
        new Rollup(wrong, SPEC);
    }

    function testFuzz_creation_refuses_another_hash(bytes32 hash) public {
        if (hash == keccak256(SPEC)) return;
        RollupParameters memory wrong = parameters();
        wrong.chainSpecHash = hash;
        vm.expectRevert(abi.encodeWithSelector(Rollup.ChainSpecHashMismatch.selector, hash, keccak256(SPEC)));
        new Rollup(wrong, SPEC);
    }

    function test_the_admin_rotates_the_batcher() public {
        bytes32 role = rollup.BATCHER_ROLE();
        vm.prank(ADMIN);
        rollup.revokeRole(role, BATCHER);
        vm.prank(ADMIN);
        rollup.grantRole(role, STRANGER);

        BatchHeader memory header = nextHeader();
        expectRefusal(
            header, abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, BATCHER, role)
        );
        vm.prank(STRANGER, STRANGER);
        rollup.postBatch(header, DATA);
        vm.assertEq(rollup.batchCount(), 1);
    }

    function testFuzz_only_the_admin_grants_roles(address sender, bytes32 role) public {
        if (sender == ADMIN) return;
        bytes32 adminRole = rollup.DEFAULT_ADMIN_ROLE();
        bytes memory reason =
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, sender, adminRole);
        vm.expectRevert(reason);
        vm.prank(sender);
        rollup.grantRole(role, sender);
    }

    function testFuzz_only_the_pauser_pauses(address sender) public {
        if (sender == ADMIN) return;
        bytes memory reason = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, sender, rollup.PAUSER_ROLE()
        );
        vm.expectRevert(reason);
        vm.prank(sender);
        rollup.pause();

        vm.prank(ADMIN);
        rollup.pause();
        vm.expectRevert(reason);
        vm.prank(sender);
        rollup.unpause();
        vm.assertTrue(rollup.paused());
    }

    function test_a_pauser_needs_no_other_role() public {
        bytes32 role = rollup.PAUSER_ROLE();
        vm.prank(ADMIN);
        rollup.grantRole(role, STRANGER);
        vm.prank(STRANGER);
        rollup.pause();
        vm.assertTrue(rollup.paused());
        vm.prank(STRANGER);
        rollup.unpause();
        vm.assertFalse(rollup.paused());
        depositAs(USER, 1);
        post(nextHeader());
    }
}
