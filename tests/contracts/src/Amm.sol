// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title What the pool asks of its tokens
interface IErc20 {
    /// @notice Moves the caller's tokens.
    function transfer(address to, uint256 value) external returns (bool);
    /// @notice Moves tokens of `from`.
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// @title A constant product pool of two ERC-20 tokens
/// @notice The twin of `tests/stylus/amm`, storage layout included. Products that do not fit 256 bits
/// fail.
contract Amm {
    uint256 private constant FEE_PARTS = 3;
    uint256 private constant ALL_PARTS = 1000;

    address private token0;
    address private token1;
    uint256 private reserve0;
    uint256 private reserve1;
    /// @notice All shares.
    uint256 public totalLiquidity;
    /// @notice Shares of each provider.
    mapping(address provider => uint256) public liquidityOf;

    /// @notice The pool has its tokens.
    event Initialized(address indexed token0, address indexed token1);
    /// @notice Tokens were added for shares.
    event LiquidityAdded(address indexed provider, uint256 amount0, uint256 amount1, uint256 liquidity);
    /// @notice One token was given for the other.
    event Swapped(address indexed trader, bool zeroForOne, uint256 amountIn, uint256 amountOut);

    /// @notice The pool has its tokens already.
    error AlreadyInitialized();
    /// @notice The pool has no tokens yet.
    error NotInitialized();
    /// @notice The two tokens are one, or none.
    error InvalidTokens(address token0, address token1);
    /// @notice Nothing is in the pool, or too little was added for a share.
    error InsufficientLiquidity();
    /// @notice The swap gives less than was asked for.
    error InsufficientOutput(uint256 amountOut, uint256 minOut);
    /// @notice The token says that it moved nothing.
    error TransferFailed(address token);

    /// @notice Sets the tokens, once.
    function initialize(address token0_, address token1_) external {
        if (token0 != address(0)) revert AlreadyInitialized();
        if (token0_ == address(0) || token1_ == address(0) || token0_ == token1_) {
            revert InvalidTokens(token0_, token1_);
        }
        token0 = token0_;
        token1 = token1_;
        emit Initialized(token0_, token1_);
    }

    /// @notice Takes both amounts as they are. The first provider's shares are the amount of token 0;
    /// later ones get the lesser part of what they add.
    /// @return liquidity The shares given.
    function addLiquidity(uint256 amount0, uint256 amount1) external returns (uint256 liquidity) {
        (address first, address second) = _tokens();
        uint256 total = totalLiquidity;
        if (total == 0) {
            liquidity = amount0;
        } else {
            liquidity = (amount0 * total) / reserve0;
            uint256 of1 = (amount1 * total) / reserve1;
            if (of1 < liquidity) liquidity = of1;
        }
        if (liquidity == 0 || amount1 == 0) revert InsufficientLiquidity();
        reserve0 += amount0;
        reserve1 += amount1;
        totalLiquidity = total + liquidity;
        liquidityOf[msg.sender] += liquidity;

        _take(first, amount0);
        _take(second, amount1);
        emit LiquidityAdded(msg.sender, amount0, amount1, liquidity);
    }

    /// @notice Swaps token 0 for token 1, or the other way round.
    /// @return amountOut What the caller gets: `minOut` or more.
    function swap(bool zeroForOne, uint256 amountIn, uint256 minOut) external returns (uint256 amountOut) {
        (address tokenIn, address tokenOut) = _tokens();
        (uint256 reserveIn, uint256 reserveOut) = (reserve0, reserve1);
        if (!zeroForOne) {
            (tokenIn, tokenOut) = (tokenOut, tokenIn);
            (reserveIn, reserveOut) = (reserveOut, reserveIn);
        }
        if (reserveIn == 0) revert InsufficientLiquidity();
        uint256 inAfterFee = amountIn * (ALL_PARTS - FEE_PARTS);
        amountOut = (inAfterFee * reserveOut) / (reserveIn * ALL_PARTS + inAfterFee);
        if (amountOut < minOut) revert InsufficientOutput(amountOut, minOut);
        reserveIn += amountIn;
        reserveOut -= amountOut;
        (reserve0, reserve1) = zeroForOne ? (reserveIn, reserveOut) : (reserveOut, reserveIn);

        _take(tokenIn, amountIn);
        if (!IErc20(tokenOut).transfer(msg.sender, amountOut)) revert TransferFailed(tokenOut);
        emit Swapped(msg.sender, zeroForOne, amountIn, amountOut);
    }

    /// @notice How much of each token the pool counts as its own.
    function reserves() external view returns (uint256, uint256) {
        return (reserve0, reserve1);
    }

    function _tokens() private view returns (address first, address second) {
        first = token0;
        if (first == address(0)) revert NotInitialized();
        second = token1;
    }

    function _take(address token, uint256 value) private {
        if (!IErc20(token).transferFrom(msg.sender, address(this), value)) revert TransferFailed(token);
    }
}
