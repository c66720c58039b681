// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title An ERC-20 token that anybody may mint
/// @notice The twin of `tests/stylus/erc20`, storage layout included.
contract Erc20 {
    mapping(address owner => uint256) private balances;
    mapping(address owner => mapping(address spender => uint256)) private allowances;
    uint256 private supply;

    /// @notice Tokens moved, or were made (`from` is zero).
    event Transfer(address indexed from, address indexed to, uint256 value);
    /// @notice An allowance was set by its owner.
    event Approval(address indexed owner, address indexed spender, uint256 value);

    /// @notice `from` has less than is to be moved.
    error InsufficientBalance(address from, uint256 balance, uint256 needed);
    /// @notice `spender` may move less of `owner`'s tokens than is to be moved.
    error InsufficientAllowance(address owner, address spender, uint256 allowance, uint256 needed);

    /// @notice The token's name.
    function name() external pure returns (string memory) {
        return "Woven Token";
    }

    /// @notice The token's symbol.
    function symbol() external pure returns (string memory) {
        return "WOVEN";
    }

    /// @notice Decimal places of a whole token.
    function decimals() external pure returns (uint8) {
        return 18;
    }

    /// @notice How much there is.
    function totalSupply() external view returns (uint256) {
        return supply;
    }

    /// @notice How much `owner` has.
    function balanceOf(address owner) external view returns (uint256) {
        return balances[owner];
    }

    /// @notice How much of `owner`'s tokens `spender` may move.
    function allowance(address owner, address spender) external view returns (uint256) {
        return allowances[owner][spender];
    }

    /// @notice Moves the caller's tokens.
    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    /// @notice Sets how much of the caller's tokens `spender` may move.
    function approve(address spender, uint256 value) external returns (bool) {
        allowances[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    /// @notice Moves tokens of `from`. Every allowance is spent, the largest one too.
    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowances[from][msg.sender];
        if (allowed < value) revert InsufficientAllowance(from, msg.sender, allowed, value);
        unchecked {
            allowances[from][msg.sender] = allowed - value;
        }
        _move(from, to, value);
        return true;
    }

    /// @notice Makes tokens.
    function mint(address to, uint256 value) external {
        supply += value;
        _credit(to, value);
        emit Transfer(address(0), to, value);
    }

    function _move(address from, address to, uint256 value) private {
        uint256 balance = balances[from];
        if (balance < value) revert InsufficientBalance(from, balance, value);
        unchecked {
            balances[from] = balance - value;
        }
        _credit(to, value);
        emit Transfer(from, to, value);
    }

    /// @dev Cannot overflow: all balances add up to the total supply.
    function _credit(address to, uint256 value) private {
        unchecked {
            balances[to] += value;
        }
    }
}
