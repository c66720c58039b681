// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Bytes} from "@openzeppelin/contracts/utils/Bytes.sol";

/// @title What a token says about itself
/// @notice Reads name, symbol and decimals of any address in bounded gas and memory, whatever it
/// answers.
library TokenMetadata {
    /// @notice Longest name or symbol, in bytes; what is longer is cut.
    uint256 internal constant MAX_LENGTH = 64;
    /// @notice Decimals of a token that does not say.
    uint8 internal constant DEFAULT_DECIMALS = 18;
    /// @dev Gas for each question.
    uint256 private constant QUESTION_GAS = 50_000;
    /// @dev Most bytes of an answer that are looked at: the offset and the length of a string, as
    /// much of it as is kept, and what comes next.
    uint256 private constant MAX_ANSWER = 160;
    uint256 private constant STRING_START = 64;

    /// @notice The token would not get the gas to answer with, and be taken for one that does not say.
    error InsufficientGasForMetadata(uint256 needed, uint256 found);

    /// @notice The token's name; empty when it does not say.
    function name(address token) internal view returns (string memory) {
        return _text(_ask(token, IERC20Metadata.name.selector));
    }

    /// @notice The token's symbol; empty when it does not say.
    function symbol(address token) internal view returns (string memory) {
        return _text(_ask(token, IERC20Metadata.symbol.selector));
    }

    /// @notice The token's decimals.
    function decimals(address token) internal view returns (uint8) {
        bytes memory answer = _ask(token, IERC20Metadata.decimals.selector);
        uint256 found = answer.length < 32 ? DEFAULT_DECIMALS : _word(answer, 0);
        return found > type(uint8).max ? DEFAULT_DECIMALS : uint8(found);
    }

    /// @dev A string, or 32 bytes ended by zeros, as the first tokens had it.
    function _text(bytes memory answer) private pure returns (string memory) {
        uint256 length;
        if (answer.length == 32) {
            while (length < 32 && answer[length] != 0) ++length;
            return string(Bytes.slice(answer, 0, length));
        }
        if (answer.length < STRING_START || _word(answer, 0) != 32) return "";
        length = _word(answer, 32);
        if (length > MAX_LENGTH) {
            if (answer.length < MAX_ANSWER) return "";
            length = MAX_LENGTH;
            // Not within a character: bytes after its first begin with the bits 10 (UTF-8).
            while (length > MAX_LENGTH - 4 && answer[STRING_START + length] & 0xc0 == 0x80) --length;
        }
        if (length > answer.length - STRING_START) return "";
        return string(Bytes.slice(answer, STRING_START, STRING_START + length));
    }

    /// @dev The first bytes of what the token answers; none when it fails.
    function _ask(address token, bytes4 selector) private view returns (bytes memory answer) {
        // Else whoever calls with little gas decides what the token says.
        uint256 forwarded = gasleft() / 64 * 63;
        if (forwarded < QUESTION_GAS + 5_000) revert InsufficientGasForMetadata(QUESTION_GAS + 5_000, forwarded);
        answer = new bytes(MAX_ANSWER);
        assembly ("memory-safe") {
            mstore(0, selector)
            let success := staticcall(QUESTION_GAS, token, 0, 4, add(answer, 32), MAX_ANSWER)
            let size := returndatasize()
            if gt(size, MAX_ANSWER) { size := MAX_ANSWER }
            mstore(answer, mul(success, size))
        }
    }

    function _word(bytes memory answer, uint256 start) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(answer, 32), start))
        }
    }
}
