// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Rollup} from "../../src/Rollup.sol";
import {BatchHeader} from "../../src/rollup/Types.sol";
import {bound, vm} from "./Vm.sol";

/// @notice Does what depositors, the batcher, the pauser and time can do to a rollup, rightly and
/// wrongly, and keeps its own books of what was taken.
contract RollupHandler {
    /// @dev A batch that the contract took, and what the books said at that moment.
    struct Taken {
        BatchHeader header;
        uint64 depositsMade;
        uint256 timestamp;
        uint256 unpausedAt;
    }

    Rollup public immutable rollup;
    address private immutable admin;
    address private immutable batcher;

    /// @notice Wei that deposits have minted.
    uint256 public minted;
    /// @notice L1 timestamp of each deposit.
    uint256[] public depositTimestamps;
    /// @notice Gas asked for by the deposits of each L1 block.
    mapping(uint256 blockNumber => uint256) public depositGas;
    /// @notice Attempts to post that were refused.
    uint256 public refused;
    /// @notice Something was taken while the contract was paused.
    bool public tookWhilePaused;
    /// @notice When the contract was last unpaused.
    uint256 public unpausedAt;
    // forge may set the clock back between calls; these run on.
    uint256 private _timestamp;
    uint256 private _blockNumber;
    Taken[] private _taken;

    constructor(Rollup rollup_, address admin_, address batcher_) {
        (rollup, admin, batcher) = (rollup_, admin_, batcher_);
        (_timestamp, _blockNumber) = (block.timestamp, block.number);
    }

    modifier onClock() {
        vm.warp(_timestamp);
        vm.roll(_blockNumber);
        _;
    }

    function takenCount() external view returns (uint256) {
        return _taken.length;
    }

    function taken(uint256 index) external view returns (Taken memory) {
        return _taken[index];
    }

    function depositsMade() external view returns (uint256) {
        return depositTimestamps.length;
    }

    function currentBlock() external view returns (uint256) {
        return _blockNumber;
    }

    function pass(uint16 time) external {
        _timestamp += time;
        _blockNumber += 1;
    }

    function deposit(address sender, uint96 mint, uint256 value, uint64 gasLimit, bool asContract) external onClock {
        gasLimit = uint64(bound(gasLimit, 20_000, 4_000_000));
        sender = _funded(sender, mint);
        vm.prank(sender, asContract ? address(1) : sender);
        try rollup.depositTransaction{value: mint}(sender, value, gasLimit, false, "") {
            _book(mint, gasLimit);
        } catch {}
    }

    function send(address sender, uint96 mint, bool asContract) external onClock {
        sender = _funded(sender, mint);
        vm.prank(sender, asContract ? address(1) : sender);
        (bool success,) = address(rollup).call{value: mint}("");
        if (success) _book(mint, 100_000);
    }

    /// @dev The rollup itself is no sender: it never calls itself, and funding it from outside would
    /// break what `invariant_balance_is_the_sum_of_mints` counts.
    function _funded(address sender, uint96 balance) private returns (address) {
        if (sender == address(rollup)) sender = admin;
        vm.deal(sender, balance);
        return sender;
    }

    /// @dev Posts what comes next, taking some of the deposits that wait.
    function post(uint8 length, uint64 consumed, bytes32 seed) external onClock {
        _post(_next(length, consumed, seed), abi.encode(seed));
    }

    /// @dev Posts what comes next with one field replaced.
    function postWrong(uint8 length, uint64 consumed, bytes32 seed, uint8 field, uint64 wrong) external onClock {
        BatchHeader memory header = _next(length, consumed, seed);
        field %= 5;
        if (field == 0) header.previousBatchHash = rollup.batchHashes(wrong % (_taken.length + 1));
        if (field == 1) header.firstBlock = uint64(bound(wrong, 0, uint256(header.lastBlock) + 2));
        if (field == 2) header.lastBlock = uint64(bound(wrong, 0, uint256(header.lastBlock) + 2));
        if (field == 3) header.depositsConsumed = uint64(bound(wrong, 0, depositTimestamps.length + 2));
        if (field == 4) header.dataHash = bytes32(uint256(wrong));
        _post(header, abi.encode(seed));
    }

    function pause(bool resume) external onClock {
        bool paused = rollup.paused();
        if (paused != resume) return;
        vm.prank(admin);
        if (paused) {
            rollup.unpause();
            unpausedAt = block.timestamp;
        } else {
            rollup.pause();
        }
    }

    function _next(uint8 length, uint64 consumed, bytes32 seed) private view returns (BatchHeader memory) {
        uint64 firstBlock = rollup.lastBlock() + 1;
        return BatchHeader({
            previousBatchHash: rollup.lastBatchHash(),
            firstBlock: firstBlock,
            lastBlock: firstBlock + length,
            lastBlockHash: keccak256(abi.encode("block", seed)),
            stateRoot: keccak256(abi.encode("state", seed)),
            withdrawalsRoot: 0,
            depositsConsumed: uint64(bound(consumed, rollup.depositsConsumed(), rollup.depositCount())),
            blobCount: 0,
            dataHash: keccak256(abi.encode(seed))
        });
    }

    function _post(BatchHeader memory header, bytes memory data) private {
        bool paused = rollup.paused();
        vm.prank(batcher, batcher);
        try rollup.postBatch(header, data) {
            if (paused) tookWhilePaused = true;
            _taken.push(Taken(header, uint64(depositTimestamps.length), block.timestamp, unpausedAt));
        } catch {
            ++refused;
        }
    }

    function _book(uint256 mint, uint256 gasLimit) private {
        if (rollup.paused()) tookWhilePaused = true;
        minted += mint;
        depositTimestamps.push(block.timestamp);
        depositGas[block.number] += gasLimit;
    }
}
