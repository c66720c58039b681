// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Pair} from "./Pair.sol";
import {Token} from "./Token.sol";

/// The way for users to trade on a pair.
contract Router {
    error Expired(uint256 deadline);
    error TooLittle(uint256 found, uint256 wanted);
    error TransferFailed();

    /// Sells `amount` of the pair's first token for the second, then as much of the second for the
    /// first, `rounds` times, as one who makes a market does. The sender has approved the router for
    /// both tokens. Gives what came out, both tokens added; reverts when that is less than `least`.
    function trade(Pair pair, uint256 amount, uint256 rounds, uint256 least, uint256 deadline)
        external
        returns (uint256 out)
    {
        if (block.timestamp > deadline) revert Expired(deadline);
        for (uint256 i = 0; i < rounds; ++i) {
            out += swap(pair, true, amount);
            out += swap(pair, false, amount);
        }
        if (out < least) revert TooLittle(out, least);
    }

    function swap(Pair pair, bool firstForSecond, uint256 amountIn) private returns (uint256 out) {
        (uint256 reserveIn, uint256 reserveOut,) = pair.reserves();
        Token tokenIn = firstForSecond ? pair.token0() : pair.token1();
        if (!firstForSecond) (reserveIn, reserveOut) = (reserveOut, reserveIn);
        if (!tokenIn.transferFrom(msg.sender, address(pair), amountIn)) revert TransferFailed();
        uint256 charged = amountIn * 997;
        out = (charged * reserveOut) / (reserveIn * 1000 + charged);
        if (firstForSecond) pair.swap(0, out, msg.sender);
        else pair.swap(out, 0, msg.sender);
    }
}
