// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Creates contracts at addresses known beforehand (EIP-1014)
contract Create2Factory {
    /// @notice A contract was created.
    /// @param created Its address.
    /// @param salt The salt it was created with.
    event Created(address indexed created, bytes32 indexed salt);

    /// @notice The creation failed: the constructor reverted, or the address is taken.
    error CreationFailed(bytes32 salt);

    /// @notice Creates a contract and gives it the ETH sent.
    /// @param salt Any value; the same salt and initcode work once.
    /// @param initcode Creation code with its constructor arguments.
    /// @return created The contract's address.
    function create(bytes32 salt, bytes memory initcode) external payable returns (address created) {
        assembly ("memory-safe") {
            created := create2(callvalue(), add(initcode, 0x20), mload(initcode), salt)
        }
        if (created == address(0)) revert CreationFailed(salt);
        emit Created(created, salt);
    }

    /// @notice Where `create` puts a contract.
    /// @param salt The salt.
    /// @param initcodeHash keccak256 of the initcode.
    function addressOf(bytes32 salt, bytes32 initcodeHash) external view returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, initcodeHash)))));
    }
}
