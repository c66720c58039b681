// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Calls, creations and everything else that a contract asks its host for
/// @notice The twin of `tests/stylus/relay`, storage layout included.
contract Relay {
    /// @notice How often `increment` has run.
    uint256 public counter;
    /// @dev Where transient storage counts the calls to others that have not returned yet. None is
    /// counted by `staticCall`, where nothing may be written.
    bytes32 private constant OPEN_CALLS = keccak256("Relay.openCalls");

    /// @notice The counter changed.
    event Incremented(uint256 counter);

    modifier callsOut() {
        _setOpenCalls(_openCalls() + 1);
        _;
        _setOpenCalls(_openCalls() - 1);
    }

    /// @notice Takes ETH.
    receive() external payable {}

    /// @notice Calls `to`, and fails as it fails.
    function call(address to, uint256 value, bytes calldata data) external payable callsOut returns (bytes memory) {
        (bool success, bytes memory output) = to.call{value: value}(data);
        return _outputOf(success, output);
    }

    /// @notice Runs `to`'s code on this contract's state, and fails as it fails.
    function delegate(address to, bytes calldata data) external callsOut returns (bytes memory) {
        (bool success, bytes memory output) = to.delegatecall(data);
        return _outputOf(success, output);
    }

    /// @notice Calls `to`, which may change nothing, and fails as it fails.
    function staticCall(address to, bytes calldata data) external view returns (bytes memory) {
        (bool success, bytes memory output) = to.staticcall(data);
        return _outputOf(success, output);
    }

    /// @notice Calls `to` and says whether it succeeded.
    function tryCall(address to, bytes calldata data) external callsOut returns (bool, bytes memory) {
        return to.call(data);
    }

    /// @notice Creates a contract, and fails as its creation fails.
    function create(bytes memory initCode, uint256 value) external payable callsOut returns (address created) {
        assembly ("memory-safe") {
            created := create(value, add(initCode, 0x20), mload(initCode))
        }
        _requireCreated(created);
    }

    /// @notice Creates a contract at an address known beforehand, and fails as its creation fails.
    function create2(bytes memory initCode, uint256 value, bytes32 salt)
        external
        payable
        callsOut
        returns (address created)
    {
        assembly ("memory-safe") {
            created := create2(value, add(initCode, 0x20), mload(initCode), salt)
        }
        _requireCreated(created);
    }

    /// @notice Counts one up.
    function increment() public returns (uint256) {
        emit Incremented(++counter);
        return counter;
    }

    /// @notice Increments, then calls `via`, which may call back. Returns the counter before and after
    /// that call.
    function reenter(address via, bytes calldata data) external callsOut returns (uint256 before, uint256 afterwards) {
        before = increment();
        (bool success, bytes memory output) = via.call(data);
        _outputOf(success, output);
        afterwards = counter;
    }

    /// @notice An account's code.
    function codeOf(address account) external view returns (bytes memory) {
        return account.code;
    }

    /// @notice The hash of an account's code.
    function codeHashOf(address account) external view returns (bytes32) {
        return account.codehash;
    }

    /// @notice The length of an account's code.
    function codeSizeOf(address account) external view returns (uint256) {
        return account.code.length;
    }

    /// @notice An account's balance in wei.
    function balanceOf(address account) external view returns (uint256) {
        return account.balance;
    }

    /// @notice What the call and its block are.
    function context()
        external
        payable
        returns (
            address sender,
            uint256 value,
            address self,
            address origin,
            uint256 gasPrice,
            uint256 number,
            uint256 timestamp,
            uint256 baseFee,
            uint256 gasLimit,
            address coinbase,
            uint256 chainId,
            bool reentrant
        )
    {
        sender = msg.sender;
        value = msg.value;
        self = address(this);
        origin = tx.origin;
        gasPrice = tx.gasprice;
        number = block.number;
        timestamp = block.timestamp;
        baseFee = block.basefee;
        gasLimit = block.gaslimit;
        coinbase = block.coinbase;
        chainId = block.chainid;
        reentrant = _openCalls() != 0;
    }

    /// @notice What transient storage held at `key`, and what it holds once `value` is stored there.
    function transientRoundTrip(bytes32 key, bytes32 value) external returns (bytes32 before, bytes32 afterwards) {
        assembly ("memory-safe") {
            before := tload(key)
            tstore(key, value)
            afterwards := tload(key)
        }
    }

    /// @notice Never ends by itself.
    function spin() external pure {
        while (true) {}
    }

    /// @notice Allocates memory.
    function grow(uint256 size) external pure returns (uint256) {
        return new bytes(size).length;
    }

    /// @notice Fails with `Error(string)`.
    function fail(string calldata reason) external pure {
        revert(reason);
    }

    /// @notice Stops as a program that breaks does.
    function panic() external pure {
        assembly ("memory-safe") {
            invalid()
        }
    }

    /// @notice Recurses; the result depends on every step.
    function burnRecursion(uint256 depth) external pure returns (uint256) {
        return _descend(uint64(depth < type(uint64).max ? depth : type(uint64).max));
    }

    /// @notice `a / b`, `a % b`, `a ** b`, `(a + b) % c`, `(a * b) % c`, each zero where it is
    /// undefined.
    function mathCheck(uint256 a, uint256 b, uint256 c)
        external
        pure
        returns (uint256 quotient, uint256 remainder, uint256 power, uint256 sum, uint256 product)
    {
        assembly ("memory-safe") {
            quotient := div(a, b)
            remainder := mod(a, b)
            power := exp(a, b)
            sum := addmod(a, b, c)
            product := mulmod(a, b, c)
        }
    }

    function _openCalls() private view returns (uint256 openCalls) {
        bytes32 slot = OPEN_CALLS;
        assembly ("memory-safe") {
            openCalls := tload(slot)
        }
    }

    function _setOpenCalls(uint256 openCalls) private {
        bytes32 slot = OPEN_CALLS;
        assembly ("memory-safe") {
            tstore(slot, openCalls)
        }
    }

    function _outputOf(bool success, bytes memory output) private pure returns (bytes memory) {
        if (!success) {
            assembly ("memory-safe") {
                revert(add(output, 0x20), mload(output))
            }
        }
        return output;
    }

    function _requireCreated(address created) private pure {
        if (created == address(0)) {
            assembly ("memory-safe") {
                let output := mload(0x40)
                returndatacopy(output, 0, returndatasize())
                revert(output, returndatasize())
            }
        }
    }

    function _descend(uint64 depth) private pure returns (uint64) {
        if (depth == 0) return 1;
        uint64 inner = _descend(depth - 1);
        return ((inner << 1) | (inner >> 63)) ^ depth;
    }
}
