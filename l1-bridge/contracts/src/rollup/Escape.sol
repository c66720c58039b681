// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {L2Address} from "../libraries/L2Address.sol";
import {StateProof} from "../libraries/StateProof.sol";
import {Payouts} from "./Payouts.sol";

/// @title The way out of a chain that has stopped
/// @notice When no batch has come for the escape delay, anybody can close the chain for ever.
/// Accounts then take their ETH out against a proof of the last settled state, and depositors get
/// back what that state does not know of.
abstract contract Escape is Payouts {
    /// @notice Whether an L2 account's ETH was taken out.
    mapping(address account => bool) public escaped;
    /// @notice Whether a deposit's ETH was given back.
    mapping(uint256 index => bool) public refunded;

    /// @notice The chain has ended.
    /// @param batchCount Number of its batches; all are settled.
    event ChainClosed(uint256 batchCount);
    /// @notice An L2 account's ETH was taken out.
    event EtherEscaped(address indexed account, address indexed recipient, uint256 amount);
    /// @notice A deposit's ETH was given back.
    event DepositRefunded(uint256 indexed index, address indexed sender, uint256 amount);

    /// @notice The chain can be closed from then on, should no further batch come.
    error EscapeDelayNotOver(uint256 deadline);
    /// @notice Not all batches are settled; `settle` does it.
    error BatchesNotSettled(uint256 settledBatches, uint256 batchCount);
    /// @notice The chain ended before its first batch, so that there is no state to take ETH from.
    error NoBatch();
    /// @notice The account's ETH was taken out already.
    error AlreadyEscaped(address account);
    /// @notice The deposit's ETH was given back already.
    error AlreadyRefunded(uint256 index);
    /// @notice There is no such deposit, or a batch has executed it.
    error DepositNotStranded(uint256 index);

    /// @notice Closes the chain for ever. Anybody may call this once no batch has come for the escape
    /// delay and all that stand are settled.
    function closeChain() external whenOpen {
        uint256 deadline = escapeDeadline();
        if (block.timestamp < deadline) revert EscapeDelayNotOver(deadline);
        if (_settledBatches != _batchCount) revert BatchesNotSettled(_settledBatches, _batchCount);
        closed = true;
        emit ChainClosed(_batchCount);
    }

    /// @notice When the chain can be closed should no further batch come, in seconds since the Unix
    /// epoch. It counts from the last batch that stands: batches that are removed put it off for
    /// nobody. It runs on while the contract is paused.
    function escapeDeadline() public view returns (uint256) {
        uint64 since = _batchCount == 0 ? _deployedAt : _postedAt(_batchCount - 1);
        return uint256(since) + escapeDelay;
    }

    /// @notice Takes out, once, what the caller's L2 account held after the last batch. A key
    /// holder's account is its own address, a contract's is its alias.
    /// @param recipient Who gets it on L1.
    /// @param accountProof Proof of the L2 account in the last state root, as `eth_getProof` gives it.
    function escapeEther(address recipient, bytes[] calldata accountProof) external nonReentrant whenClosed {
        if (_batchCount == 0) revert NoBatch();
        address account = L2Address.ofSender(msg.sender);
        if (escaped[account]) revert AlreadyEscaped(account);
        escaped[account] = true;
        uint256 amount = StateProof.balance(lastStateRoot, account, accountProof);
        emit EtherEscaped(account, recipient, amount);
        _pay(recipient, amount);
    }

    /// @notice Gives back the ETH of a deposit that no batch has executed, once. Anybody may call
    /// this; the arguments are those of `isStranded`.
    function refundDeposit(uint256 index, address sender, address from, address to, bytes calldata opaqueData)
        external
        nonReentrant
    {
        if (!isStranded(index, sender, from, to, opaqueData)) revert DepositNotStranded(index);
        if (refunded[index]) revert AlreadyRefunded(index);
        refunded[index] = true;
        uint256 amount = uint256(bytes32(opaqueData[:32]));
        emit DepositRefunded(index, sender, amount);
        _pay(sender, amount);
    }
}
