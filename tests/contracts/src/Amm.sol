// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

interface IErc20 {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// A constant product pool of two ERC-20 tokens: the twin of the program in tests/stylus/amm, storage
/// layout included.
contract Amm {
    event Initialized(address indexed token0, address indexed token1);
    event LiquidityAdded(address indexed provider, uint256 amount0, uint256 amount1, uint256 liquidity);
    event Swapped(address indexed trader, bool zeroForOne, uint256 amountIn, uint256 amountOut);

    error AlreadyInitialized();
    error NotInitialized();
    error InvalidTokens(address token0, address token1);
    error InsufficientLiquidity();
    error InsufficientOutput(uint256 amountOut, uint256 minOut);
    error TransferFailed(address token);

    /// The fee is 3 of 1000 parts of what comes in.
    uint256 private constant FEE_PARTS = 3;
    uint256 private constant ALL_PARTS = 1000;

    address private _token0;
    address private _token1;
    uint256 private _reserve0;
    uint256 private _reserve1;
    uint256 public totalLiquidity;
    mapping(address provider => uint256) public liquidityOf;

    function initialize(address token0, address token1) external {
        if (_token0 != address(0)) revert AlreadyInitialized();
        if (token0 == address(0) || token1 == address(0) || token0 == token1) {
            revert InvalidTokens(token0, token1);
        }
        _token0 = token0;
        _token1 = token1;
        emit Initialized(token0, token1);
    }

    /// Takes both amounts as they are and returns the shares that they give. The first provider's
    /// shares are the amount of token 0; later ones get the lesser part of what they add.
    function addLiquidity(uint256 amount0, uint256 amount1) external returns (uint256 liquidity) {
        if (_token0 == address(0)) revert NotInitialized();
        uint256 total = totalLiquidity;
        if (total == 0) {
            liquidity = amount0;
        } else {
            uint256 of0 = (amount0 * total) / _reserve0;
            uint256 of1 = (amount1 * total) / _reserve1;
            liquidity = of0 < of1 ? of0 : of1;
        }
        if (liquidity == 0 || amount1 == 0) revert InsufficientLiquidity();
        _reserve0 += amount0;
        _reserve1 += amount1;
        totalLiquidity = total + liquidity;
        liquidityOf[msg.sender] += liquidity;

        _take(_token0, amount0);
        _take(_token1, amount1);
        emit LiquidityAdded(msg.sender, amount0, amount1, liquidity);
    }

    function swap(bool zeroForOne, uint256 amountIn, uint256 minOut) external returns (uint256 amountOut) {
        if (_token0 == address(0)) revert NotInitialized();
        (uint256 reserveIn, uint256 reserveOut) = zeroForOne ? (_reserve0, _reserve1) : (_reserve1, _reserve0);
        if (reserveIn == 0) revert InsufficientLiquidity();
        uint256 inAfterFee = amountIn * (ALL_PARTS - FEE_PARTS);
        amountOut = (inAfterFee * reserveOut) / (reserveIn * ALL_PARTS + inAfterFee);
        if (amountOut < minOut) revert InsufficientOutput(amountOut, minOut);
        reserveIn += amountIn;
        // What goes out is always less than the reserve.
        unchecked {
            reserveOut -= amountOut;
        }
        (_reserve0, _reserve1) = zeroForOne ? (reserveIn, reserveOut) : (reserveOut, reserveIn);
        (address tokenIn, address tokenOut) = zeroForOne ? (_token0, _token1) : (_token1, _token0);
        _take(tokenIn, amountIn);
        if (!IErc20(tokenOut).transfer(msg.sender, amountOut)) revert TransferFailed(tokenOut);
        emit Swapped(msg.sender, zeroForOne, amountIn, amountOut);
    }

    function reserves() external view returns (uint256, uint256) {
        return (_reserve0, _reserve1);
    }

    function _take(address token, uint256 value) private {
        if (!IErc20(token).transferFrom(msg.sender, address(this), value)) revert TransferFailed(token);
    }
}
