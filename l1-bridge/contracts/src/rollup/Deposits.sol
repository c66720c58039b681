// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {L2Address} from "../libraries/L2Address.sol";
import {RollupState} from "./RollupState.sol";

/// @title Deposits from L1 to L2
/// @notice Transactions that L2 executes in the order in which they were made here, and the time by
/// which a batch must take them.
abstract contract Deposits is RollupState {
    /// @notice Most L2 gas that the deposits of one L1 block may ask for together. Nobody pays for
    /// this gas on L2, so it is bounded here.
    uint64 public constant MAX_DEPOSIT_GAS_PER_BLOCK = 8_000_000;
    /// @notice Longest input of one deposit, in bytes.
    uint256 public constant MAX_DEPOSIT_DATA = 120_000;
    /// @notice L2 gas limit of a deposit made by sending ETH to this contract.
    uint64 public constant RECEIVE_GAS_LIMIT = 100_000;

    /// @dev Version of the layout of `TransactionDeposited`'s opaque data.
    uint256 private constant DEPOSIT_VERSION = 0;
    /// @dev Low bits of a deposit's record that hold its timestamp. The rest are the first bits of
    /// its hash: a collision costs 2^108 hashes.
    uint256 private constant TIMESTAMP_BITS = 40;

    // One slot for each deposit: its hash without the last 40 bits, and the timestamp of its L1
    // block in their place.
    mapping(uint256 index => uint256) private _depositRecords;

    /// @notice A deposit: a transaction that L2 executes after all earlier ones, whatever the
    /// sequencer wants. Signature and layout are those of the OP Stack's portal.
    /// @param from L2 sender: the L1 sender, aliased when that is a contract.
    /// @param to L2 recipient; zero, and without meaning, for a contract creation.
    /// @param version Version of the layout of `opaqueData`; always 0.
    /// @param opaqueData Packed: wei to mint (32 bytes), wei to send (32), gas limit (8), whether
    /// this creates a contract (1), input (the rest).
    event TransactionDeposited(address indexed from, address indexed to, uint256 indexed version, bytes opaqueData);

    /// @notice The batch gives deposits back, or claims some that nobody made.
    error DepositsConsumedOutOfRange(uint64 minimum, uint64 maximum, uint64 found);
    /// @notice The batch leaves out a deposit that it should have taken until `deadline`.
    error DepositOverdue(uint64 index, uint256 deadline);
    /// @notice The deposit's gas limit would not pay for its own input.
    error DepositGasTooLow(uint256 minimum, uint64 found);
    /// @notice The deposit's input is too long.
    error DepositDataTooLong(uint256 maximum, uint256 found);
    /// @notice The deposits of this L1 block would ask for too much gas; a later block may do.
    error DepositGasExceeded(uint256 maximum, uint256 found);
    /// @notice A contract creation has no recipient.
    error CreationWithRecipient(address to);
    /// @notice The ETH sent does not fit the mint of a deposit.
    error MintTooLarge(uint256 maximum, uint256 found);
    /// @notice A contract's ETH would go to its alias on L2, which it may not expect: it must call
    /// `depositTransaction` and say where to.
    error ContractMustNameRecipient(address sender);
    /// @notice There is no deposit of this number yet.
    error UnknownDeposit(uint256 index, uint64 depositCount);

    /// @notice Deposits the ETH sent to the sender's own address on L2. For EOAs only.
    receive() external payable {
        if (!L2Address.isKeyHolder(msg.sender)) revert ContractMustNameRecipient(msg.sender);
        _deposit(msg.sender, msg.sender, msg.value, RECEIVE_GAS_LIMIT, false, "");
    }

    /// @notice Queues a transaction for L2. The ETH sent is minted to its L2 sender first, and stays
    /// there when the transaction fails.
    /// @param to L2 recipient; must be zero for a creation.
    /// @param value Wei that the L2 sender sends along, of what it holds after the mint.
    /// @param gasLimit L2 gas limit. It is not paid for on L2.
    /// @param isCreation Whether to create a contract with `data` as its initcode.
    /// @param data L2 input.
    function depositTransaction(address to, uint256 value, uint64 gasLimit, bool isCreation, bytes calldata data)
        external
        payable
    {
        if (isCreation && to != address(0)) revert CreationWithRecipient(to);
        if (data.length > MAX_DEPOSIT_DATA) revert DepositDataTooLong(MAX_DEPOSIT_DATA, data.length);
        uint256 minimumGas = minimumDepositGas(data.length, isCreation);
        if (gasLimit < minimumGas) revert DepositGasTooLow(minimumGas, gasLimit);
        _deposit(L2Address.ofSender(msg.sender), to, value, gasLimit, isCreation, data);
    }

    /// @notice Number of deposits that the batches posted so far have executed.
    function depositsConsumed() external view returns (uint64) {
        return _depositsConsumed;
    }

    /// @notice Number of deposits made.
    function depositCount() external view returns (uint64) {
        return _depositCount;
    }

    /// @notice When a deposit was made.
    /// @param index Number of the deposit, from zero.
    /// @return The timestamp of its L1 block, in seconds since the Unix epoch.
    function depositTimestamps(uint256 index) external view returns (uint64) {
        if (index >= _depositCount) revert UnknownDeposit(index, _depositCount);
        return _depositTimestamp(index);
    }

    /// @notice The first deposit that no batch has executed.
    /// @return exists Whether there is one; the rest is zero otherwise.
    /// @return index Its number.
    /// @return deadline Last L1 timestamp at which a batch may still leave it out, in seconds since
    /// the Unix epoch.
    function oldestPendingDeposit() external view returns (bool exists, uint64 index, uint256 deadline) {
        if (_depositsConsumed < _depositCount) {
            (exists, index, deadline) = (true, _depositsConsumed, _inclusionDeadline(_depositsConsumed));
        }
    }

    /// @notice Whether the chain was closed before it executed this deposit.
    /// @param index Number of the deposit, from zero.
    /// @param sender Who made it on L1.
    /// @param from Its L2 sender, as in `TransactionDeposited`.
    /// @param to Its L2 recipient, as in `TransactionDeposited`.
    /// @param opaqueData The rest of it, as in `TransactionDeposited`.
    function isStranded(uint256 index, address sender, address from, address to, bytes memory opaqueData)
        public
        view
        returns (bool)
    {
        if (!closed || index < _depositsConsumed || index >= _depositCount) return false;
        uint256 hash = _depositHash(index, sender, from, to, opaqueData);
        return hash >> TIMESTAMP_BITS == _depositRecords[index] >> TIMESTAMP_BITS;
    }

    /// @notice Least L2 gas limit of a deposit: it covers what L2 charges before the first
    /// instruction (EIP-7623's floor for input of non-zero bytes; 32000 for a creation, as
    /// EIP-2 has it).
    /// @param dataLength Length of the deposit's input, in bytes.
    /// @param isCreation Whether the deposit creates a contract.
    function minimumDepositGas(uint256 dataLength, bool isCreation) public pure returns (uint256) {
        return (isCreation ? 53_000 : 21_000) + 40 * dataLength;
    }

    function _deposit(address from, address to, uint256 value, uint64 gasLimit, bool isCreation, bytes memory data)
        private
        whenNotPaused
        whenOpen
    {
        if (msg.value > type(uint128).max) revert MintTooLarge(type(uint128).max, msg.value);
        uint256 gasOfBlock = uint256(_depositGasBlock == block.number ? _depositGas : 0) + gasLimit;
        if (gasOfBlock > MAX_DEPOSIT_GAS_PER_BLOCK) revert DepositGasExceeded(MAX_DEPOSIT_GAS_PER_BLOCK, gasOfBlock);

        uint64 index = _depositCount;
        _depositCount = index + 1;
        _depositGasBlock = uint64(block.number);
        _depositGas = uint32(gasOfBlock);
        bytes memory opaqueData = abi.encodePacked(msg.value, value, gasLimit, isCreation, data);
        uint256 hash = _depositHash(index, msg.sender, from, to, opaqueData);
        _depositRecords[index] = hash >> TIMESTAMP_BITS << TIMESTAMP_BITS | uint40(block.timestamp);
        emit TransactionDeposited(from, to, DEPOSIT_VERSION, opaqueData);
    }

    function _restartDepositDelays() internal {
        _delayRestartedAt = uint64(block.timestamp);
    }

    function _requireDepositsInTime(uint64 consumed) internal view {
        (uint64 minimum, uint64 maximum) = (_depositsConsumed, _depositCount);
        if (consumed < minimum || consumed > maximum) {
            revert DepositsConsumedOutOfRange(minimum, maximum, consumed);
        }
        if (consumed < maximum) {
            // Timestamps never decrease, so that the first deposit left out is the most urgent one.
            uint256 deadline = _inclusionDeadline(consumed);
            if (block.timestamp > deadline) revert DepositOverdue(consumed, deadline);
        }
    }

    function _inclusionDeadline(uint64 index) private view returns (uint256) {
        uint64 depositedAt = _depositTimestamp(index);
        uint64 since = depositedAt > _delayRestartedAt ? depositedAt : _delayRestartedAt;
        return uint256(since) + forcedInclusionDelay;
    }

    function _depositTimestamp(uint256 index) private view returns (uint64) {
        return uint40(_depositRecords[index]);
    }

    function _depositHash(uint256 index, address sender, address from, address to, bytes memory opaqueData)
        private
        pure
        returns (uint256)
    {
        return uint256(keccak256(abi.encode(index, sender, from, to, opaqueData)));
    }
}
