// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Rollup} from "../../src/Rollup.sol";
import {BatchHeader, Withdrawal} from "../../src/rollup/Types.sol";
import {L2Model} from "./L2Model.sol";
import {bound, vm} from "./Vm.sol";

/// @notice Does what people, the batcher, the pauser, the resolver and time can do to a rollup, rightly
/// and wrongly, and keeps its own books of what was taken and paid.
contract RollupHandler {
    /// @dev A batch that the contract took, and what the books said at that moment.
    struct Taken {
        BatchHeader header;
        uint64 depositsMade;
        uint256 timestamp;
        uint256 delayRestartedAt;
        uint256 openDispute; // its number plus one; zero when there is none
    }

    struct Challenge {
        uint256 index;
        uint256 openedAt;
        bool isOpen;
        bool isWon;
        bool isClaimed;
    }

    struct Deposit {
        uint256 person;
        bool asContract;
        bytes opaqueData;
    }

    Rollup public immutable rollup;
    L2Model public immutable model;
    address private immutable admin;
    address private immutable batcher;
    address[4] private _people = [address(0xA1), address(0xB2), address(0xC3), address(0xD4)];
    address private constant CONTRACT_CALLER = address(1);

    /// @notice Wei that deposits have brought.
    uint256 public deposited;
    /// @notice Wei that withdrawals, escapes and refunds have paid.
    uint256 public paid;
    /// @notice Wei of bonds that the contract has to keep.
    uint256 public bonds;
    /// @notice L1 timestamp of each deposit.
    uint256[] public depositTimestamps;
    /// @notice Gas asked for by the deposits of each L1 block.
    mapping(uint256 blockNumber => uint256) public depositGas;
    /// @notice Something was taken that may not be while the contract is paused or closed.
    bool public tookWhileStopped;
    /// @notice Something was paid, decided or closed that the books do not allow.
    string public wrong;
    /// @notice When the delay of deposits last began anew.
    uint256 public delayRestartedAt;
    /// @notice How many things of each kind succeeded, so that a run that does nothing is noticed.
    mapping(string kind => uint256) public done;

    // forge may set the clock back between calls; these run on.
    uint256 private _timestamp;
    uint256 private _blockNumber;
    Taken[] private _taken;
    Challenge[] private _challenges;
    Deposit[] private _deposits;
    mapping(bytes32 withdrawalHash => bool) private _paidWithdrawals;
    mapping(uint256 account => bool) private _escaped;
    mapping(uint256 index => bool) private _refunded;
    uint256 private _settledBefore;

    constructor(Rollup rollup_, address admin_, address batcher_) {
        (rollup, admin, batcher) = (rollup_, admin_, batcher_);
        (_timestamp, _blockNumber) = (block.timestamp, block.number);
        model = new L2Model(_people);
    }

    modifier onClock() {
        vm.warp(_timestamp);
        vm.roll(_blockNumber);
        _;
        uint256 settled = rollup.settledBatches();
        if (settled < _settledBefore) wrong = "settled batches went back";
        _settledBefore = settled;
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

    function isPaid(bytes32 withdrawalHash) external view returns (bool) {
        return _paidWithdrawals[withdrawalHash];
    }

    function isEscaped(uint256 account) external view returns (bool) {
        return _escaped[account];
    }

    function isRefunded(uint256 index) external view returns (bool) {
        return _refunded[index];
    }

    /// @dev Mostly minutes and hours; now and then so long that a chain can be closed.
    function pass(uint16 time, uint8 chance) external {
        _timestamp += chance % 32 == 0 ? rollup.escapeDelay() : time % 7200;
        _blockNumber += 1;
    }

    function deposit(uint8 who, uint96 mint, uint256 value, uint64 gasLimit, bool asContract) external onClock {
        gasLimit = uint64(bound(gasLimit, 20_000, 4_000_000));
        address person = _as(who, asContract, mint);
        try rollup.depositTransaction{value: mint}(person, value, gasLimit, false, "") {
            _book(who, asContract, mint, value, gasLimit);
        } catch {}
    }

    function send(uint8 who, uint96 mint, bool asContract) external onClock {
        _as(who, asContract, mint);
        (bool success,) = address(rollup).call{value: mint}("");
        if (success && asContract) wrong = "a contract sent plain ETH";
        if (success) _book(who, false, mint, mint, 100_000);
    }

    /// @dev Posts what comes next, taking some of the deposits that wait and withdrawing on L2.
    function post(uint8 length, uint64 consumed, bytes32 seed, uint8 account, uint96 value) external onClock {
        _post(_next(length, consumed, seed, account, value), abi.encode(seed));
    }

    /// @dev Posts what comes next with one field replaced.
    function postWrong(uint8 length, uint64 consumed, bytes32 seed, uint8 field, uint64 other) external onClock {
        BatchHeader memory header = _next(length, consumed, seed, 0, type(uint256).max);
        field %= 6;
        if (field == 0) header.previousBatchHash = rollup.batchHashes(other % (_taken.length + 1));
        if (field == 1) header.firstBlock = uint64(bound(other, 0, uint256(header.lastBlock) + 2));
        if (field == 2) header.lastBlock = uint64(bound(other, 0, uint256(header.lastBlock) + 2));
        // More deposits than there are, or fewer than were taken: others would change the state.
        if (field == 3) {
            uint256 above = depositTimestamps.length + 1 + other % 3;
            header.depositsConsumed = uint64(other % 2 == 0 && header.depositsConsumed != 0 ? 0 : above);
            if (rollup.depositsConsumed() == 0) header.depositsConsumed = uint64(above);
        }
        if (field == 4) header.dataHash = bytes32(uint256(other));
        if (field == 5) header.l1OriginHash = bytes32(uint256(other));
        _post(header, abi.encode(seed));
    }

    function pause(uint8 chance) external onClock {
        bool paused = rollup.paused();
        if (!paused && chance % 4 != 0) return;
        vm.prank(admin);
        if (paused) {
            rollup.unpause();
            delayRestartedAt = block.timestamp;
        } else {
            rollup.pause();
        }
    }

    function settle(uint8 most) external onClock {
        rollup.settle(most);
        ++done["settle"];
    }

    function challenge(uint8 who, uint256 which) external onClock {
        if (_taken.length == 0) return;
        // Mostly one that can still be challenged.
        uint256 first = which % 8 == 0 ? 0 : rollup.settledBatches() % _taken.length;
        uint256 index = first + which % (_taken.length - first);
        Taken storage batch = _taken[index];
        uint128 bond = rollup.challengeBond();
        bytes32 batchHash = keccak256(abi.encode(batch.header));
        _as(who, false, bond);
        try rollup.challengeBatch{value: bond}(index, batchHash) returns (uint256 disputeId) {
            if (block.timestamp >= batch.timestamp + rollup.challengeWindow()) wrong = "challenged too late";
            if (batch.openDispute != 0) wrong = "challenged twice at once";
            if (disputeId != _challenges.length) wrong = "a dispute's number";
            _challenges.push(Challenge(index, block.timestamp, true, false, false));
            batch.openDispute = disputeId + 1;
            bonds += bond;
            ++done["challenge"];
        } catch {}
    }

    function uphold(uint256 which) external onClock {
        if (_challenges.length == 0) return;
        uint256 disputeId = which % _challenges.length;
        Challenge storage open = _challenges[disputeId];
        if (which % 3 == 0) return;
        vm.prank(admin);
        try rollup.upholdBatch(disputeId) {
            if (!open.isOpen) wrong = "decided twice";
            open.isOpen = false;
            _taken[open.index].openDispute = 0;
            bonds -= rollup.challengeBond();
            ++done["uphold"];
        } catch {
            if (open.isOpen) wrong = "could not be upheld";
        }
    }

    function reject(uint256 which, bool byResolver) external onClock {
        if (_challenges.length == 0) return;
        uint256 disputeId = which % _challenges.length;
        Challenge storage open = _challenges[disputeId];
        if (which % 3 == 0) return;
        BatchHeader memory previous;
        if (open.isOpen && open.index != 0) previous = _taken[open.index - 1].header;
        vm.prank(byResolver ? admin : _people[0]);
        try rollup.rejectBatch(disputeId, previous) {
            if (!open.isOpen) wrong = "decided twice";
            if (!byResolver && block.timestamp < open.openedAt + rollup.resolutionTime()) wrong = "rejected too early";
            if (open.index < rollup.settledBatches()) wrong = "a settled batch was removed";
            while (_taken.length > open.index) {
                uint256 ended = _taken[_taken.length - 1].openDispute;
                if (ended != 0) (_challenges[ended - 1].isOpen, _challenges[ended - 1].isWon) = (false, true);
                _taken.pop();
            }
            model.goBack(open.index);
            delayRestartedAt = block.timestamp;
            ++done["reject"];
        } catch {
            if (open.isOpen && byResolver) wrong = "could not be rejected";
        }
    }

    function claim(uint256 which) external onClock {
        if (_challenges.length == 0) return;
        uint256 disputeId = which % _challenges.length;
        Challenge storage won = _challenges[disputeId];
        try rollup.claimBond(disputeId) {
            if (!won.isWon || won.isClaimed) wrong = "a bond that was not owed";
            won.isClaimed = true;
            bonds -= rollup.challengeBond();
            ++done["claim"];
        } catch {
            if (won.isWon && !won.isClaimed) wrong = "a bond that is owed";
        }
    }

    function prove(uint256 batch, uint256 which) external onClock {
        if (_taken.length == 0) return;
        uint256 index = batch % _taken.length;
        uint256 count = model.withdrawalsAfter(index + 1);
        if (count == 0) return;
        which %= count;
        Withdrawal memory withdrawal = model.withdrawal(which);
        bytes32[] memory proof = model.withdrawalProof(index + 1, which);
        try rollup.proveWithdrawal(withdrawal, index, _taken[index].header, proof) {
            ++done["prove"];
        } catch {}
    }

    /// @dev Delivers a withdrawal, mostly after it was proven against the last settled batch.
    function finalize(uint256 which) external onClock {
        uint256 count = model.withdrawalsAfter(_taken.length);
        if (count == 0) return;
        uint256 settled = rollup.settledBatches();
        if (which % 4 != 0 && model.withdrawalsAfter(settled) != 0) {
            count = model.withdrawalsAfter(settled);
            bytes32[] memory proof = model.withdrawalProof(settled, which % count);
            Withdrawal memory settledOne = model.withdrawal(which % count);
            try rollup.proveWithdrawal(settledOne, settled - 1, _taken[settled - 1].header, proof) {
                ++done["prove"];
            } catch {}
        }
        Withdrawal memory withdrawal = model.withdrawal(which % count);
        bytes32 hash = model.hashOf(withdrawal);
        uint256 before = withdrawal.target.balance;
        try rollup.finalizeWithdrawal(withdrawal) {
            if (_paidWithdrawals[hash]) wrong = "paid twice";
            if (withdrawal.index >= model.withdrawalsAfter(rollup.settledBatches())) {
                wrong = "paid before it was settled";
            }
            if (withdrawal.target.balance - before != withdrawal.value) wrong = "paid another amount";
            _paidWithdrawals[hash] = true;
            paid += withdrawal.value;
            ++done["finalize"];
        } catch {}
    }

    function close(uint8 chance) external onClock {
        if (chance % 4 == 0) rollup.settle(type(uint256).max);
        uint256 since = _taken.length == 0 ? 1_700_000_000 : _taken[_taken.length - 1].timestamp;
        try rollup.closeChain() {
            if (block.timestamp < since + rollup.escapeDelay()) wrong = "closed too early";
            if (rollup.settledBatches() != _taken.length) wrong = "closed with batches that can be removed";
            ++done["close"];
        } catch {}
    }

    function escape(uint8 which) external onClock {
        uint256 account = which % model.ACCOUNTS();
        bytes[] memory proof = model.accountProof(account);
        address person = _as(uint8(account % 4), account >= 4, 0);
        uint256 before = person.balance;
        try rollup.escapeEther(person, proof) {
            uint256 amount = person.balance - before;
            if (!rollup.closed() || _escaped[account]) wrong = "escaped twice, or from an open chain";
            if (amount != model.balanceAfter(_taken.length, account)) wrong = "escaped with another amount";
            _escaped[account] = true;
            paid += amount;
            ++done["escape"];
        } catch {
            if (rollup.closed() && _taken.length != 0 && !_escaped[account]) wrong = "could not escape";
        }
    }

    function refund(uint256 which) external onClock {
        if (_deposits.length == 0) return;
        uint256 index = which % _deposits.length;
        Deposit storage made = _deposits[index];
        address person = _people[made.person];
        address from = model.accounts(made.person + (made.asContract ? 4 : 0));
        bool isOwed = rollup.closed() && index >= _consumed() && !_refunded[index];
        try rollup.refundDeposit(index, person, from, person, made.opaqueData) {
            if (!isOwed) wrong = "a refund that was not owed";
            _refunded[index] = true;
            paid += model.mints(index);
            ++done["refund"];
        } catch {
            if (isOwed) wrong = "a refund that is owed";
        }
    }

    function _consumed() private view returns (uint64) {
        return _taken.length == 0 ? 0 : _taken[_taken.length - 1].header.depositsConsumed;
    }

    /// @dev The next call is that of one of the people, itself or as a contract at its address.
    function _as(uint8 who, bool asContract, uint256 money) private returns (address person) {
        person = _people[who % 4];
        vm.deal(person, person.balance + money);
        vm.prank(person, asContract ? CONTRACT_CALLER : person);
    }

    function _next(uint8 length, uint64 consumed, bytes32 seed, uint8 account, uint256 value)
        private
        returns (BatchHeader memory header)
    {
        uint64 firstBlock = rollup.lastBlock() + 1;
        header = BatchHeader({
            previousBatchHash: rollup.lastBatchHash(),
            firstBlock: firstBlock,
            lastBlock: firstBlock + length,
            lastBlockHash: keccak256(abi.encode("block", seed)),
            stateRoot: 0,
            withdrawalsRoot: 0,
            l1OriginNumber: uint64(block.number - 1),
            l1OriginHash: blockhash(block.number - 1),
            depositsConsumed: uint64(bound(consumed, _consumed(), depositTimestamps.length)),
            blobCount: 0,
            dataHash: keccak256(abi.encode(seed))
        });
        address target = address(uint160(uint256(seed)) | 1 << 100);
        (header.stateRoot, header.withdrawalsRoot) =
            model.advance(_consumed(), header.depositsConsumed, account % 8, value, target);
    }

    function _post(BatchHeader memory header, bytes memory data) private {
        bool stopped = rollup.paused() || rollup.closed();
        vm.prank(batcher, batcher);
        try rollup.postBatch(header, data) {
            if (stopped) tookWhileStopped = true;
            if (header.l1OriginHash != blockhash(header.l1OriginNumber)) wrong = "a batch of another L1";
            _taken.push(Taken(header, uint64(depositTimestamps.length), block.timestamp, delayRestartedAt, 0));
            model.keep();
            ++done["post"];
        } catch {
            model.goBack(_taken.length);
        }
    }

    function _book(uint8 who, bool asContract, uint256 mint, uint256 value, uint64 gasLimit) private {
        if (rollup.paused() || rollup.closed()) tookWhileStopped = true;
        deposited += mint;
        depositTimestamps.push(block.timestamp);
        depositGas[block.number] += gasLimit;
        model.addDeposit(who % 4 + (asContract ? 4 : 0), mint);
        _deposits.push(Deposit(who % 4, asContract, abi.encodePacked(mint, value, gasLimit, false)));
        ++done["deposit"];
    }
}
