// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title An ordinary OpenZeppelin ERC-20
contract TestToken is ERC20 {
    /// @notice Creates the token and gives all of it to the deployer.
    /// @param name_ The token's name.
    /// @param symbol_ The token's symbol.
    /// @param supply How much there is, in the smallest unit (18 decimals).
    constructor(string memory name_, string memory symbol_, uint256 supply) ERC20(name_, symbol_) {
        _mint(msg.sender, supply);
    }
}
