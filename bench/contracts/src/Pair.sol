// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Token} from "./Token.sol";

/// A pool of two tokens with the price rule x * y = k, after Uniswap v2: a fee of 0.3 %, a lock
/// against reentrancy, reserves in one slot with the time of the last change, and sums of the price
/// over time for oracles.
contract Pair {
    Token public immutable token0;
    Token public immutable token1;

    uint112 private reserve0;
    uint112 private reserve1;
    uint32 private updatedAt;
    uint256 public price0Cumulative;
    uint256 public price1Cumulative;
    bool private locked;

    event Sync(uint112 reserve0, uint112 reserve1);
    event Swap(
        address indexed sender,
        uint256 amount0In,
        uint256 amount1In,
        uint256 amount0Out,
        uint256 amount1Out,
        address indexed to
    );

    error Locked();
    error InsufficientOutput();
    error InsufficientLiquidity();
    error InsufficientInput();
    error ProductFell();
    error ReserveOverflow();
    error TransferFailed();

    modifier lock() {
        if (locked) revert Locked();
        locked = true;
        _;
        locked = false;
    }

    constructor(Token first, Token second) {
        (token0, token1) = (first, second);
    }

    function reserves() external view returns (uint112, uint112, uint32) {
        return (reserve0, reserve1, updatedAt);
    }

    /// Takes the balances as they are for the reserves: how the first liquidity comes in.
    function sync() external lock {
        update(token0.balanceOf(address(this)), token1.balanceOf(address(this)));
    }

    /// Pays out; what was paid in before must keep x * y from falling, after the fee.
    function swap(uint256 amount0Out, uint256 amount1Out, address to) external lock {
        if (amount0Out == 0 && amount1Out == 0) revert InsufficientOutput();
        (uint256 before0, uint256 before1) = (reserve0, reserve1);
        if (amount0Out >= before0 || amount1Out >= before1) revert InsufficientLiquidity();
        if (amount0Out > 0 && !token0.transfer(to, amount0Out)) revert TransferFailed();
        if (amount1Out > 0 && !token1.transfer(to, amount1Out)) revert TransferFailed();

        uint256 balance0 = token0.balanceOf(address(this));
        uint256 balance1 = token1.balanceOf(address(this));
        uint256 amount0In = balance0 + amount0Out > before0 ? balance0 + amount0Out - before0 : 0;
        uint256 amount1In = balance1 + amount1Out > before1 ? balance1 + amount1Out - before1 : 0;
        if (amount0In == 0 && amount1In == 0) revert InsufficientInput();
        uint256 charged0 = balance0 * 1000 - amount0In * 3;
        uint256 charged1 = balance1 * 1000 - amount1In * 3;
        if (charged0 * charged1 < before0 * before1 * 1_000_000) revert ProductFell();

        update(balance0, balance1);
        emit Swap(msg.sender, amount0In, amount1In, amount0Out, amount1Out, to);
    }

    function update(uint256 balance0, uint256 balance1) private {
        if (balance0 > type(uint112).max || balance1 > type(uint112).max) revert ReserveOverflow();
        (uint256 before0, uint256 before1) = (reserve0, reserve1);
        uint32 time = uint32(block.timestamp);
        unchecked {
            // Time and sums may run over: readers take differences.
            uint32 elapsed = time - updatedAt;
            if (elapsed > 0 && before0 != 0 && before1 != 0) {
                price0Cumulative += ((before1 << 112) / before0) * elapsed;
                price1Cumulative += ((before0 << 112) / before1) * elapsed;
            }
        }
        (reserve0, reserve1, updatedAt) = (uint112(balance0), uint112(balance1), time);
        emit Sync(uint112(balance0), uint112(balance1));
    }
}
