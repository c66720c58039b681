// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title An L1 token on L2
/// @notice Created by the L2 token bridge at the token's first deposit. As many exist as lie in the
/// bridge on L1.
/// @dev The creation code is the same for every token, so that its address says which L1 token it
/// is; what differs is set once, in the same transaction. `_balances` of ERC20 is slot 0, where L1
/// looks for balances when the chain has stopped.
contract BridgedToken is ERC20 {
    /// @notice The L2 token bridge, which alone mints and burns.
    address public immutable bridge;
    /// @notice The token on L1.
    address public l1Token;
    uint8 private _decimals;
    string private _bridgedName;
    string private _bridgedSymbol;

    /// @notice Only the bridge may do this.
    error NotBridge(address expected, address found);

    constructor() ERC20("", "") {
        bridge = msg.sender;
    }

    modifier onlyBridge() {
        if (msg.sender != bridge) revert NotBridge(bridge, msg.sender);
        _;
    }

    /// @notice Says which token this is. The bridge calls it once.
    function initialize(address l1Token_, string calldata name_, string calldata symbol_, uint8 decimals_)
        external
        onlyBridge
    {
        l1Token = l1Token_;
        _decimals = decimals_;
        _bridgedName = name_;
        _bridgedSymbol = symbol_;
    }

    /// @notice Puts what was deposited on L1 into circulation.
    function mint(address to, uint256 amount) external onlyBridge {
        _mint(to, amount);
    }

    /// @notice Takes what is withdrawn to L1 out of circulation.
    function burn(address from, uint256 amount) external onlyBridge {
        _burn(from, amount);
    }

    /// @inheritdoc ERC20
    function name() public view override returns (string memory) {
        return _bridgedName;
    }

    /// @inheritdoc ERC20
    function symbol() public view override returns (string memory) {
        return _bridgedSymbol;
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}
