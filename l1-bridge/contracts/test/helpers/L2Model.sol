// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Withdrawal} from "../../src/rollup/Types.sol";
import {Trie} from "./Trie.sol";
import {WithdrawalTreeReference} from "./WithdrawalTreeReference.sol";

/// @notice A chain on L2 that does nothing but take deposits in and let ETH out, and can go back to
/// where it was after any batch, as a chain must when batches are removed.
contract L2Model {
    uint256 public constant PEOPLE = 4;
    uint256 public constant ACCOUNTS = 8;

    /// @dev The chain after a batch.
    struct State {
        uint256[8] balances;
        uint256 withdrawals;
    }

    address[8] public accounts;
    uint256[8] private _balances;
    Withdrawal[] private _withdrawals;
    // L2 account and mint of every deposit, in order.
    uint256[] private _depositAccounts;
    uint256[] public mints;
    // States after each batch that stands; the first is that of the genesis.
    State[] private _states;

    constructor(address[4] memory people) {
        for (uint256 index; index < PEOPLE; ++index) {
            accounts[index] = people[index];
            accounts[PEOPLE + index] =
                address(uint160(people[index]) + uint160(0x1111000000000000000000000000000000001111));
        }
        _states.push();
    }

    function addDeposit(uint256 account, uint256 mint) external {
        _depositAccounts.push(account);
        mints.push(mint);
    }

    /// @dev Goes on from the last batch: deposits, then a withdrawal of a part of an account's balance;
    /// of the first account above it that has any.
    function advance(uint64 from, uint64 to, uint256 account, uint256 value, address target)
        external
        returns (bytes32 stateRoot, bytes32 withdrawalsRoot)
    {
        _restore(_states[_states.length - 1]);
        for (uint256 index = from; index < to; ++index) {
            _balances[_depositAccounts[index]] += mints[index];
        }
        for (uint256 step; _balances[account] == 0 && step < ACCOUNTS; ++step) {
            account = (account + 1) % ACCOUNTS;
        }
        value %= _balances[account] + 1;
        if (value != 0) {
            _balances[account] -= value;
            _withdrawals.push(Withdrawal(_withdrawals.length, accounts[account], target, value, 0, ""));
        }
        bytes32[] memory leaves = _leaves(_withdrawals.length);
        if (leaves.length != 0) (withdrawalsRoot,) = WithdrawalTreeReference.rootAndProof(leaves, 0);
        stateRoot = Trie.root(_stateLeaves());
    }

    /// @dev The batch that `advance` made was taken.
    function keep() external {
        _states.push(State(_balances, _withdrawals.length));
    }

    /// @dev Only so many batches stand.
    function goBack(uint256 batches) external {
        while (_states.length > batches + 1) _states.pop();
        _restore(_states[batches]);
    }

    function withdrawalsAfter(uint256 batches) external view returns (uint256) {
        return _states[batches].withdrawals;
    }

    function balanceAfter(uint256 batches, uint256 account) external view returns (uint256) {
        return _states[batches].balances[account];
    }

    function withdrawal(uint256 index) external view returns (Withdrawal memory) {
        return _withdrawals[index];
    }

    /// @dev Proof of a withdrawal against the tree after so many batches.
    function withdrawalProof(uint256 batches, uint256 index) external view returns (bytes32[] memory proof) {
        (, proof) = WithdrawalTreeReference.rootAndProof(_leaves(_states[batches].withdrawals), index);
    }

    /// @dev Proof of an account in the last state.
    function accountProof(uint256 account) external view returns (bytes[] memory) {
        return Trie.proof(_stateLeaves(), keccak256(abi.encodePacked(accounts[account])));
    }

    function hashOf(Withdrawal memory w) public pure returns (bytes32) {
        return keccak256(abi.encode(w.index, w.sender, w.target, w.value, w.gasLimit, w.data));
    }

    function _restore(State storage state) private {
        _balances = state.balances;
        while (_withdrawals.length > state.withdrawals) _withdrawals.pop();
    }

    function _leaves(uint256 count) private view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 index; index < count; ++index) {
            leaves[index] = hashOf(_withdrawals[index]);
        }
    }

    function _stateLeaves() private view returns (Trie.Leaf[] memory leaves) {
        leaves = new Trie.Leaf[](ACCOUNTS);
        for (uint256 index; index < ACCOUNTS; ++index) {
            leaves[index] = Trie.account(accounts[index], _balances[index], keccak256(hex"80"));
        }
    }
}
