// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token as it should be.
contract PlainToken is ERC20 {
    uint8 private immutable _decimals;

    constructor(string memory name_, string memory symbol_, uint8 decimals_) ERC20(name_, symbol_) {
        _decimals = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice A token that keeps a part of every transfer.
contract FeeToken is PlainToken("Fee", "FEE", 18) {
    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = from == address(0) || to == address(0) ? 0 : amount / 10;
        super._update(from, to, amount - fee);
        if (fee != 0) super._update(from, address(0xFEE), fee);
    }
}

/// @notice A token whose functions return nothing, as some of the oldest do.
contract NoReturnToken {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice A token that calls somebody while it transfers, as ERC-777 does.
contract HookToken is PlainToken("Hook", "HOOK", 18) {
    address private _hooked;
    bytes private _call;
    bool private _entered;
    /// @notice What the call returned.
    bytes public returned;

    function hook(address hooked, bytes calldata call) external {
        (_hooked, _call) = (hooked, call);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (_hooked == address(0) || _entered) return;
        _entered = true;
        (, returned) = _hooked.call(_call);
        _entered = false;
    }
}

/// @notice Answers name and symbol with raw bytes, and can burn gas or fail instead.
contract OddMetadata is NoReturnToken {
    bytes private _text;
    bytes private _number;
    bool private _burnsGas;
    uint256 private _neededGas;

    function set(bytes calldata text, bytes calldata number, bool burnsGas) external {
        (_text, _number, _burnsGas) = (text, number, burnsGas);
    }

    /// @notice Fails at once from now on when it has less gas than this.
    function need(uint256 gas) external {
        _neededGas = gas;
    }

    function name() external view {
        _answer(_text);
    }

    function symbol() external view {
        _answer(_text);
    }

    function decimals() external view {
        _answer(_number);
    }

    function _answer(bytes memory answer) private view {
        require(gasleft() >= _neededGas);
        while (_burnsGas) {}
        assembly ("memory-safe") {
            return(add(answer, 32), mload(answer))
        }
    }
}
