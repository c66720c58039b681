// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Rollup} from "../../src/Rollup.sol";
import {BatchHeader, RollupParameters} from "../../src/rollup/Types.sol";
import {vm} from "./Vm.sol";

/// @notice A fresh rollup and the people around it.
abstract contract RollupFixture {
    address internal constant ADMIN = address(0xAD);
    address internal constant BATCHER = address(0xBA);
    address internal constant USER = address(0x05E2);
    address internal constant STRANGER = address(0x57);
    bytes32 internal constant GENESIS = keccak256("block 0");
    bytes internal constant SPEC = '{"config":{"chainId":31338}}';
    uint64 internal constant DELAY = 1 hours;
    uint64 internal constant WINDOW = 2 hours;
    uint64 internal constant RESOLUTION = 3 hours;
    uint64 internal constant ESCAPE = 24 hours;
    uint128 internal constant BOND = 1 ether;
    bytes internal constant DATA = "blocks";

    Rollup internal rollup;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        vm.roll(1000);
        rollup = new Rollup(parameters(), SPEC);
        vm.deal(USER, 1000 ether);
    }

    function parameters() internal pure returns (RollupParameters memory) {
        return RollupParameters({
            admin: ADMIN,
            batcher: BATCHER,
            genesisBlockHash: GENESIS,
            chainSpecHash: keccak256(SPEC),
            forcedInclusionDelay: DELAY,
            challengeWindow: WINDOW,
            resolutionTime: RESOLUTION,
            escapeDelay: ESCAPE,
            challengeBond: BOND
        });
    }

    /// @dev The batch of one block that comes next and takes every deposit.
    function nextHeader() internal view virtual returns (BatchHeader memory) {
        uint64 next = rollup.lastBlock() + 1;
        return BatchHeader({
            previousBatchHash: rollup.lastBatchHash(),
            firstBlock: next,
            lastBlock: next,
            lastBlockHash: keccak256(abi.encode("block", next)),
            stateRoot: keccak256(abi.encode("state", next)),
            withdrawalsRoot: 0,
            l1OriginNumber: uint64(block.number - 1),
            l1OriginHash: blockhash(block.number - 1),
            depositsConsumed: rollup.depositCount(),
            blobCount: 0,
            dataHash: keccak256(DATA)
        });
    }

    function post(BatchHeader memory header) internal {
        vm.prank(BATCHER, BATCHER);
        rollup.postBatch(header, DATA);
    }

    function expectRefusal(BatchHeader memory header, bytes memory reason) internal {
        vm.expectRevert(reason);
        post(header);
    }

    function depositAs(address sender, uint256 mint) internal {
        vm.prank(sender, sender);
        rollup.depositTransaction{value: mint}(sender, mint, 100_000, false, "");
    }
}
