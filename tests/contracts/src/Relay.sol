// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Calls, creations and everything else that a contract asks its host for: the twin of the program in
/// tests/stylus/relay.
contract Relay {
    event Incremented(uint256 counter);

    uint256 public counter;

    receive() external payable {}

    function call(address to, uint256 value, bytes calldata data) external payable returns (bytes memory) {
        (bool success, bytes memory output) = to.call{value: value}(data);
        return _returned(success, output);
    }

    function delegate(address to, bytes calldata data) external returns (bytes memory) {
        (bool success, bytes memory output) = to.delegatecall(data);
        return _returned(success, output);
    }

    function staticCall(address to, bytes calldata data) external view returns (bytes memory) {
        (bool success, bytes memory output) = to.staticcall(data);
        return _returned(success, output);
    }

    function tryCall(address to, bytes calldata data) external returns (bool, bytes memory) {
        return to.call(data);
    }

    function create(bytes memory initCode, uint256 value) external payable returns (address created) {
        assembly ("memory-safe") {
            created := create(value, add(initCode, 32), mload(initCode))
        }
        _created(created);
    }

    function create2(bytes memory initCode, uint256 value, bytes32 salt)
        external
        payable
        returns (address created)
    {
        assembly ("memory-safe") {
            created := create2(value, add(initCode, 32), mload(initCode), salt)
        }
        _created(created);
    }

    function increment() public returns (uint256) {
        counter += 1;
        emit Incremented(counter);
        return counter;
    }

    /// Increments, then calls `via`, which may call back. Returns the counter before and after that
    /// call.
    function reenter(address via, bytes calldata data) external returns (uint256 before, uint256 afterwards) {
        before = increment();
        (bool success, bytes memory output) = via.call(data);
        _returned(success, output);
        afterwards = counter;
    }

    function codeOf(address account) external view returns (bytes memory) {
        return account.code;
    }

    function codeHashOf(address account) external view returns (bytes32) {
        return account.codehash;
    }

    function codeSizeOf(address account) external view returns (uint256) {
        return account.code.length;
    }

    function balanceOf(address account) external view returns (uint256) {
        return account.balance;
    }

    /// The last one, whether the contract was entered again, no EVM contract can know.
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
        reentrant = false;
    }

    /// What transient storage held at `key`, and what it holds once `value` is stored there.
    function transientRoundTrip(bytes32 key, bytes32 value) external returns (bytes32 before, bytes32 afterwards) {
        assembly ("memory-safe") {
            before := tload(key)
            tstore(key, value)
            afterwards := tload(key)
        }
    }

    function spin() external pure {
        while (true) {}
    }

    function grow(uint256 count) external pure returns (uint256) {
        return new bytes(count).length;
    }

    function fail(string calldata reason) external pure {
        revert(reason);
    }

    function panic() external pure {
        revert();
    }

    function burnRecursion(uint256 depth) external pure returns (uint256) {
        return _descend(uint64(depth));
    }

    /// `a / b`, `a % b`, `a ** b`, `(a + b) % c`, `(a * b) % c`, by the EVM's instructions.
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

    function _descend(uint64 depth) private pure returns (uint64) {
        if (depth == 0) return 1;
        uint64 rest = _descend(depth - 1);
        return ((rest << 1) | (rest >> 63)) ^ depth;
    }

    function _returned(bool success, bytes memory output) private pure returns (bytes memory) {
        if (!success) _revertWith(output);
        return output;
    }

    function _created(address created) private pure {
        if (created != address(0)) return;
        bytes memory output;
        assembly ("memory-safe") {
            output := mload(0x40)
            mstore(output, returndatasize())
            returndatacopy(add(output, 32), 0, returndatasize())
            mstore(0x40, add(add(output, 32), returndatasize()))
        }
        _revertWith(output);
    }

    function _revertWith(bytes memory output) private pure {
        assembly ("memory-safe") {
            revert(add(output, 32), mload(output))
        }
    }
}
