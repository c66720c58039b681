// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Pair} from "./Pair.sol";
import {Token} from "./Token.sol";

/// The way for users to trade on a pair.
contract Router {
    error Expired(uint256 deadline);
    error TooLittle(uint256 found, uint256 wanted);
    error TransferFailed();

    /// Sells `amount` of the pair's first token for the second and all proceeds back for the first,
    /// `rounds` times, as one who makes a market there and back does. The sender has approved the
    /// router for both tokens. Reverts when less than `least` of the first token comes out.
    function trade(Pair pair, uint256 amount, uint256 rounds, uint256 least, uint256 deadline)
        external
        returns (uint256)
    {
        if (block.timestamp > deadline) revert Expired(deadline);
        for (uint256 i = 0; i < rounds; ++i) {
            amount = swap(pair, true, amount);
            amount = swap(pair, false, amount);
        }
        if (amount < least) revert TooLittle(amount, least);
        return amount;
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
