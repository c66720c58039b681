// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @notice What a batch claims, posted to L1 next to the batch's data.
/// @param previousBatchHash Hash of the batch before this one; zero for the first.
/// @param firstBlock Number of the batch's first L2 block.
/// @param lastBlock Number of the batch's last L2 block, inclusive.
/// @param lastBlockHash Hash of L2 block `lastBlock`.
/// @param stateRoot State root of L2 block `lastBlock`.
/// @param depositsConsumed Deposits that the chain has executed up to `lastBlock`, from genesis on.
/// @param dataHash keccak256 of the batch's data.
struct BatchHeader {
    bytes32 previousBatchHash;
    uint64 firstBlock;
    uint64 lastBlock;
    bytes32 lastBlockHash;
    bytes32 stateRoot;
    uint64 depositsConsumed;
    bytes32 dataHash;
}

/// @title A weft chain on its L1
/// @notice Takes the chain's batches in order, and deposits from L1 to L2. Whoever reads this
/// contract's events and the calldata of the transactions that emitted `BatchPosted` can rebuild
/// the whole chain.
/// @dev The contract does not execute L2 blocks: it keeps batches in one line and makes them take
/// deposits in time. That the blocks of a batch are right is for those who rebuild it to check. ETH
/// that was deposited stays here: this version has no withdrawals. There is no proxy and no way to
/// change the code.
contract Rollup is AccessControl, Pausable {
    /// @notice May post batches.
    bytes32 public constant BATCHER_ROLE = keccak256("BATCHER_ROLE");
    /// @notice May stop and resume batches and deposits.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @notice Most L2 gas that the deposits of one L1 block may ask for together. Nobody pays for
    /// this gas on L2, so it is bounded here.
    uint64 public constant MAX_DEPOSIT_GAS_PER_BLOCK = 8_000_000;
    /// @notice Longest input of one deposit, in bytes.
    uint256 public constant MAX_DEPOSIT_DATA = 120_000;
    /// @notice L2 gas limit of a deposit made by sending ETH to this contract.
    uint64 public constant RECEIVE_GAS_LIMIT = 100_000;

    /// @notice Hash of the chain's block 0.
    bytes32 public immutable genesisBlockHash;
    /// @notice keccak256 of the chain spec in `ChainCreated`.
    bytes32 public immutable chainSpecHash;
    /// @notice L1 block of this contract's creation: where to start reading its events.
    uint256 public immutable deploymentBlock;
    /// @notice How long a batch may leave a deposit out, in seconds of L1 time.
    uint64 public immutable forcedInclusionDelay;

    /// @dev Version of the layout of `TransactionDeposited`'s opaque data.
    uint256 private constant DEPOSIT_VERSION = 0;
    /// @dev What the L2 sender of a contract's deposit is offset by, so that a contract on L1 does
    /// not speak for whoever controls the same address on L2. The OP Stack's constant.
    uint160 private constant ALIAS_OFFSET = uint160(0x1111000000000000000000000000000000001111);
    /// @dev First bytes of an account's code that delegates by EIP-7702; 20 more bytes follow. No
    /// contract can have such code (EIP-3541).
    bytes3 private constant DELEGATION_PREFIX = 0xef0100;
    /// @dev Where `data` begins in the calldata of `postBatch`: a selector, seven words of header,
    /// an offset and a length.
    uint256 private constant BATCH_DATA_OFFSET = 4 + 9 * 32;

    // Written by every deposit; one slot, together with Pausable's flag, which a deposit reads.
    uint64 private _depositCount;
    // L1 block that `_depositGas` counts for.
    uint64 private _depositGasBlock;
    // Sum of the gas limits of the deposits of `_depositGasBlock`.
    uint64 private _depositGas;

    // One slot, which every batch reads and writes.
    // When the contract was last unpaused, in seconds; zero when it never was.
    uint64 private _unpausedAt;
    uint64 private _batchCount;
    uint64 private _lastBlock;
    uint64 private _depositsConsumed;

    /// @notice Hash of the last L2 block that was posted; of block 0 before the first batch.
    bytes32 public lastBlockHash;
    /// @notice State root of the last L2 block that was posted; zero before the first batch.
    bytes32 public lastStateRoot;
    /// @notice keccak256 of the ABI-encoded header of each batch; zero for one not yet posted.
    mapping(uint256 index => bytes32) public batchHashes;
    // L1 timestamp of each deposit, four to a slot.
    mapping(uint256 group => uint64[4]) private _depositTimestamps;

    /// @notice A chain begins.
    /// @param genesisBlockHash Hash of its block 0.
    /// @param chainSpecHash keccak256 of `chainSpec`.
    /// @param chainSpec The chain's genesis and limits: with it, a follower needs L1 alone.
    event ChainCreated(bytes32 indexed genesisBlockHash, bytes32 indexed chainSpecHash, bytes chainSpec);

    /// @notice A batch was taken. Its data is in the calldata of the transaction that emitted this.
    /// @param index Number of the batch, from zero, without gaps.
    /// @param batchHash keccak256 of the ABI-encoded header.
    /// @param header What the batch claims.
    event BatchPosted(uint256 indexed index, bytes32 indexed batchHash, BatchHeader header);

    /// @notice A deposit: a transaction that L2 executes after all earlier ones, whatever the
    /// sequencer wants. Signature and layout are those of the OP Stack's portal.
    /// @param from L2 sender: the L1 sender, aliased when that is a contract.
    /// @param to L2 recipient; zero, and without meaning, for a contract creation.
    /// @param version Version of the layout of `opaqueData`; always 0.
    /// @param opaqueData Packed: wei to mint (32 bytes), wei to send (32), gas limit (8), whether
    /// this creates a contract (1), input (the rest).
    event TransactionDeposited(address indexed from, address indexed to, uint256 indexed version, bytes opaqueData);

    /// @notice The admin or the batcher is the zero address.
    error ZeroAddress();
    /// @notice The chain spec does not have the stated hash.
    error ChainSpecHashMismatch(bytes32 expected, bytes32 found);
    /// @notice `postBatch` must be called by a transaction itself, from an account without code,
    /// for the batch's data to be that transaction's calldata.
    error NotTopLevelCall(address sender);
    /// @notice The calldata is not laid out as every ABI encoder does, with the data last.
    error CalldataNotCanonical(uint256 expectedLength, uint256 foundLength);
    /// @notice The batch does not follow the last one.
    error PreviousBatchMismatch(bytes32 expected, bytes32 found);
    /// @notice The batch does not begin right after the last block posted.
    error FirstBlockMismatch(uint256 expected, uint64 found);
    /// @notice The batch ends before it begins.
    error BlockRangeEmpty(uint64 firstBlock, uint64 lastBlock);
    /// @notice The batch has no data.
    error BatchDataEmpty();
    /// @notice The data does not have the stated hash.
    error DataHashMismatch(bytes32 expected, bytes32 found);
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

    /// @notice Creates the chain's contract.
    /// @param admin Gets the admin role, which grants and revokes all roles, and the pauser role.
    /// @param batcher Gets the batcher role.
    /// @param genesisBlockHash_ Hash of L2 block 0.
    /// @param chainSpecHash_ keccak256 of `chainSpec`.
    /// @param chainSpec The chain's genesis and limits, kept in an event only.
    /// @param forcedInclusionDelay_ How long a batch may leave a deposit out, in seconds.
    constructor(
        address admin,
        address batcher,
        bytes32 genesisBlockHash_,
        bytes32 chainSpecHash_,
        bytes memory chainSpec,
        uint64 forcedInclusionDelay_
    ) {
        if (admin == address(0) || batcher == address(0)) revert ZeroAddress();
        bytes32 found = keccak256(chainSpec);
        if (found != chainSpecHash_) revert ChainSpecHashMismatch(chainSpecHash_, found);

        genesisBlockHash = genesisBlockHash_;
        chainSpecHash = chainSpecHash_;
        deploymentBlock = block.number;
        forcedInclusionDelay = forcedInclusionDelay_;
        lastBlockHash = genesisBlockHash_;
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(PAUSER_ROLE, admin);
        _grantRole(BATCHER_ROLE, batcher);
        emit ChainCreated(genesisBlockHash_, chainSpecHash_, chainSpec);
    }

    /// @notice Deposits the ETH sent to the sender's own address on L2. For EOAs only.
    receive() external payable {
        if (!_isEoa(msg.sender)) revert ContractMustNameRecipient(msg.sender);
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

        address from = _isEoa(msg.sender) ? msg.sender : _alias(msg.sender);
        _deposit(from, to, value, gasLimit, isCreation, data);
    }

    /// @notice Posts the next batch. The transaction must call this function directly, so that
    /// `data` can be read from its calldata.
    /// @param header What the batch claims.
    /// @param data The encoded blocks.
    function postBatch(BatchHeader calldata header, bytes calldata data) external whenNotPaused onlyRole(BATCHER_ROLE) {
        // An account with EIP-7702 code can be the origin and still call from within its own code.
        // forge-lint: disable-next-line(tx-origin)
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert NotTopLevelCall(msg.sender);
        _requireCanonicalCalldata(data);

        uint256 index = _batchCount;
        bytes32 previous = index == 0 ? bytes32(0) : batchHashes[index - 1];
        if (header.previousBatchHash != previous) revert PreviousBatchMismatch(previous, header.previousBatchHash);
        uint256 nextBlock = uint256(_lastBlock) + 1;
        if (header.firstBlock != nextBlock) revert FirstBlockMismatch(nextBlock, header.firstBlock);
        if (header.lastBlock < header.firstBlock) revert BlockRangeEmpty(header.firstBlock, header.lastBlock);
        if (data.length == 0) revert BatchDataEmpty();
        bytes32 dataHash = keccak256(data);
        if (header.dataHash != dataHash) revert DataHashMismatch(header.dataHash, dataHash);
        _requireDepositsInTime(header.depositsConsumed);

        bytes32 batchHash = keccak256(abi.encode(header));
        batchHashes[index] = batchHash;
        _batchCount = uint64(index + 1);
        _lastBlock = header.lastBlock;
        _depositsConsumed = header.depositsConsumed;
        lastBlockHash = header.lastBlockHash;
        lastStateRoot = header.stateRoot;
        emit BatchPosted(index, batchHash, header);
    }

    /// @notice Stops batches and deposits.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Resumes batches and deposits. Every deposit that waits may wait the full delay again
    /// from now on: the batcher could not take it while it was stopped, and must catch up first.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
        _unpausedAt = uint64(block.timestamp);
    }

    /// @notice Number of batches posted.
    function batchCount() external view returns (uint256) {
        return _batchCount;
    }

    /// @notice Hash of the last batch; zero before the first.
    function lastBatchHash() external view returns (bytes32) {
        return _batchCount == 0 ? bytes32(0) : batchHashes[_batchCount - 1];
    }

    /// @notice Number of the last L2 block that was posted; 0 before the first batch.
    function lastBlock() external view returns (uint64) {
        return _lastBlock;
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
        return _depositTimestamps[index / 4][index % 4];
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
    {
        if (msg.value > type(uint128).max) revert MintTooLarge(type(uint128).max, msg.value);
        uint256 gasOfBlock = uint256(_depositGasBlock == block.number ? _depositGas : 0) + gasLimit;
        if (gasOfBlock > MAX_DEPOSIT_GAS_PER_BLOCK) revert DepositGasExceeded(MAX_DEPOSIT_GAS_PER_BLOCK, gasOfBlock);

        uint64 index = _depositCount;
        _depositCount = index + 1;
        _depositGasBlock = uint64(block.number);
        _depositGas = uint64(gasOfBlock);
        _depositTimestamps[index / 4][index % 4] = uint64(block.timestamp);
        bytes memory opaqueData = abi.encodePacked(msg.value, value, gasLimit, isCreation, data);
        emit TransactionDeposited(from, to, DEPOSIT_VERSION, opaqueData);
    }

    /// @dev A reader can cut the data out of the calldata at a fixed place; no two ways of decoding
    /// the call can differ.
    function _requireCanonicalCalldata(bytes calldata data) private pure {
        uint256 offset;
        assembly ("memory-safe") {
            offset := data.offset
        }
        uint256 expectedLength = BATCH_DATA_OFFSET + (data.length + 31) / 32 * 32;
        if (offset != BATCH_DATA_OFFSET || msg.data.length != expectedLength) {
            revert CalldataNotCanonical(expectedLength, msg.data.length);
        }
    }

    function _requireDepositsInTime(uint64 consumed) private view {
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
        uint64 depositedAt = _depositTimestamps[index / 4][index % 4];
        uint64 since = depositedAt > _unpausedAt ? depositedAt : _unpausedAt;
        return uint256(since) + forcedInclusionDelay;
    }

    /// @dev Whether a key holder speaks: the transaction's own sender, or an account that delegates
    /// to code by EIP-7702. The OP Stack's rule.
    function _isEoa(address sender) private view returns (bool) {
        // forge-lint: disable-next-line(tx-origin)
        if (sender == tx.origin) return true;
        return sender.code.length == 23 && bytes3(sender.code) == DELEGATION_PREFIX;
    }

    function _alias(address sender) private pure returns (address) {
        unchecked {
            return address(uint160(sender) + ALIAS_OFFSET);
        }
    }
}
