// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {StateProof} from "../src/libraries/StateProof.sol";
import {Trie} from "./helpers/Trie.sol";
import {bound, vm} from "./helpers/Vm.sol";

/// @notice Proofs of state: those that a node gives, and those of made-up tries.
contract StateProofTest {
    // Fields in the order of the alphabet, which is that of the decoded JSON.
    struct ProvenAccount {
        address account;
        bytes32 amount;
        bytes[] proof;
    }

    struct Holder {
        address account;
        bytes[] proof;
        bytes32 root;
    }

    struct ProvenSlot {
        bytes32 amount;
        bytes[] proof;
        bytes32 slot;
    }

    struct Fixture {
        ProvenAccount[] accounts;
        Holder holder;
        ProvenAccount nothing;
        bytes32 stateRoot;
        ProvenSlot[] storageSlots;
    }

    bytes private _encoded;

    function setUp() public {
        _encoded = vm.parseJson(vm.readFile("test/fixtures/state.json"));
    }

    function test_balances_that_a_node_proves() public view {
        Fixture memory fixture = _fixture();
        vm.assertEq(fixture.accounts.length, 6);
        for (uint256 index; index < fixture.accounts.length; ++index) {
            ProvenAccount memory proven = fixture.accounts[index];
            uint256 found = this.balance(fixture.stateRoot, proven.account, proven.proof);
            vm.assertEq(bytes32(found), proven.amount);
        }
    }

    function test_storage_that_a_node_proves() public view {
        Fixture memory fixture = _fixture();
        Holder memory holder = fixture.holder;
        bytes32 root = this.storageRoot(fixture.stateRoot, holder.account, holder.proof);
        vm.assertEq(root, holder.root);
        vm.assertEq(fixture.storageSlots.length, 5);
        for (uint256 index; index < fixture.storageSlots.length; ++index) {
            ProvenSlot memory proven = fixture.storageSlots[index];
            vm.assertEq(bytes32(this.slot(root, proven.slot, proven.proof)), proven.amount);
        }
    }

    function test_what_is_not_there_is_not_proven() public {
        Fixture memory fixture = _fixture();
        ProvenAccount memory nothing = fixture.nothing;
        bytes32 root = fixture.stateRoot;
        vm.expectRevert();
        this.balance(root, nothing.account, nothing.proof);
    }

    function testFuzz_a_proof_is_for_one_account_and_one_root(uint8 one, uint8 other, bytes32 wrongRoot) public {
        Fixture memory fixture = _fixture();
        uint256 left = one % fixture.accounts.length;
        uint256 right = other % fixture.accounts.length;
        if (left == right || wrongRoot == fixture.stateRoot) return;
        bytes32 root = fixture.stateRoot;
        address account = fixture.accounts[left].account;
        bytes[] memory proof = fixture.accounts[right].proof;
        vm.expectRevert();
        this.balance(root, account, proof);
        account = fixture.accounts[right].account;
        vm.expectRevert();
        this.balance(wrongRoot, account, proof);
    }

    function testFuzz_a_changed_proof_proves_nothing(uint8 which, uint8 node, uint16 place, uint8 flip) public {
        Fixture memory fixture = _fixture();
        ProvenAccount memory proven = fixture.accounts[which % fixture.accounts.length];
        bytes memory changed = proven.proof[node % proven.proof.length];
        if (flip == 0) return;
        changed[place % changed.length] ^= bytes1(flip);
        bytes32 root = fixture.stateRoot;
        vm.expectRevert();
        this.balance(root, proven.account, proven.proof);
    }

    function testFuzz_a_proof_of_another_length_proves_nothing(uint8 which, uint8 length) public {
        Fixture memory fixture = _fixture();
        ProvenAccount memory proven = fixture.accounts[which % fixture.accounts.length];
        bytes[] memory proof = new bytes[](length % 8);
        if (proof.length == proven.proof.length) return;
        for (uint256 index; index < proof.length; ++index) {
            proof[index] = proven.proof[index < proven.proof.length ? index : proven.proof.length - 1];
        }
        bytes32 root = fixture.stateRoot;
        vm.expectRevert();
        this.balance(root, proven.account, proof);
    }

    function testFuzz_every_account_of_a_made_up_state(uint8 count, uint256 seed) public view {
        uint256 total = bound(count, 1, 14);
        Trie.Leaf[] memory leaves = new Trie.Leaf[](total);
        for (uint256 index; index < total; ++index) {
            leaves[index] = Trie.account(_who(seed, index), _much(seed, index), keccak256(abi.encode(index)));
        }
        bytes32 root = Trie.root(leaves);
        for (uint256 index; index < total; ++index) {
            bytes[] memory proof = Trie.proof(leaves, leaves[index].path);
            vm.assertEq(this.balance(root, _who(seed, index), proof), _much(seed, index));
            vm.assertEq(this.storageRoot(root, _who(seed, index), proof), keccak256(abi.encode(index)));
        }
    }

    function balance(bytes32 root, address account, bytes[] memory proof) external pure returns (uint256) {
        return StateProof.balance(root, account, proof);
    }

    function storageRoot(bytes32 root, address account, bytes[] memory proof) external pure returns (bytes32) {
        return StateProof.storageRoot(root, account, proof);
    }

    function slot(bytes32 root, bytes32 key, bytes[] memory proof) external pure returns (uint256) {
        return StateProof.slot(root, key, proof);
    }

    function _fixture() private view returns (Fixture memory) {
        return abi.decode(_encoded, (Fixture));
    }

    function _who(uint256 seed, uint256 index) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode(seed, index)))));
    }

    /// @dev Of every length, zero too.
    function _much(uint256 seed, uint256 index) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(index, seed))) >> (seed % 257 + index * 8) % 257;
    }
}
