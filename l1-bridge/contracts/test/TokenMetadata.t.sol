// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BridgedToken} from "../src/BridgedToken.sol";
import {TokenMetadata} from "../src/libraries/TokenMetadata.sol";
import {TokenFixture} from "./helpers/TokenFixture.sol";
import {OddMetadata} from "./helpers/Tokens.sol";
import {Vm, vm} from "./helpers/Vm.sol";

/// @notice What tokens say about themselves, rightly and wrongly.
contract TokenMetadataTest is TokenFixture {
    OddMetadata private odd;

    function setUp() public override {
        super.setUp();
        odd = new OddMetadata();
    }

    function testFuzz_any_text(string calldata text) public {
        odd.set(abi.encode(text), abi.encode(7), false);
        bytes memory found = bytes(TokenMetadata.name(address(odd)));
        bytes memory given = bytes(text);
        vm.assertEq(found, bytes(TokenMetadata.symbol(address(odd))));
        vm.assertLe(found.length, 64);
        if (given.length <= 64) {
            vm.assertEq(found, given);
        } else {
            vm.assertLe(60, found.length);
            vm.assertEq(found, _start(given, found.length));
        }
    }

    function testFuzz_any_answer(bytes calldata answer) public {
        odd.set(answer, answer, false);
        vm.assertLe(bytes(TokenMetadata.name(address(odd))).length, 64);
        uint8 decimals = TokenMetadata.decimals(address(odd));
        bool isNumber = answer.length >= 32 && uint256(bytes32(answer)) <= 255;
        vm.assertEq(decimals, isNumber ? uint8(uint256(bytes32(answer))) : 18);
    }

    function test_text_of_32_bytes() public {
        odd.set(abi.encode(bytes32("MKR")), "", false);
        vm.assertEq(bytes(TokenMetadata.symbol(address(odd))), "MKR");
        odd.set(abi.encode(keccak256("no zero")), "", false);
        vm.assertEq(bytes(TokenMetadata.symbol(address(odd))), abi.encode(keccak256("no zero")));
    }

    function test_text_is_cut_between_characters() public {
        // 63 bytes, then one character of two, three and four bytes.
        string memory start = "123456789012345678901234567890123456789012345678901234567890123";
        string[3] memory ends = [unicode"é", unicode"€", unicode"𝄞"];
        for (uint256 index; index < 3; ++index) {
            odd.set(abi.encode(string.concat(start, ends[index], "more")), "", false);
            vm.assertEq(bytes(TokenMetadata.name(address(odd))), bytes(start));
        }
        odd.set(abi.encode(string.concat(start, "x", ends[0])), "", false);
        vm.assertEq(bytes(TokenMetadata.name(address(odd))), bytes(string.concat(start, "x")));
    }

    function test_malformed_text_is_none() public {
        bytes[5] memory answers = [
            abi.encode(uint256(64), uint256(0), uint256(1)), // another place
            abi.encode(uint256(32), uint256(33), bytes32("x")), // longer than the answer
            abi.encode(uint256(32), uint256(65), bytes32("x"), bytes32("y")), // and to be cut
            abi.encode(uint256(32), type(uint256).max), // no text at all
            bytes(hex"00112233") // no word
        ];
        for (uint256 index; index < answers.length; ++index) {
            odd.set(answers[index], "", false);
            vm.assertEq(bytes(TokenMetadata.name(address(odd))), "");
        }
    }

    function test_huge_answers_cost_no_more() public {
        odd.set(abi.encode(string(new bytes(4_000))), "", false);
        uint256 before = gasleft();
        vm.assertEq(bytes(TokenMetadata.name(address(odd))).length, 64);
        vm.assertLt(before - gasleft(), 60_000);
    }

    function test_a_token_that_burns_gas_says_nothing() public {
        odd.set(abi.encode("name"), abi.encode(7), true);
        uint256 before = gasleft();
        vm.assertEq(bytes(TokenMetadata.name(address(odd))), "");
        vm.assertEq(TokenMetadata.decimals(address(odd)), 18);
        vm.assertLt(before - gasleft(), 110_000);
    }

    function test_an_account_without_code_says_nothing() public view {
        vm.assertEq(bytes(TokenMetadata.name(STRANGER)), "");
        vm.assertEq(TokenMetadata.decimals(STRANGER), 18);
    }

    /// @dev A first deposit with little gas must not leave the token without name, or with wrong
    /// decimals, for ever. This one is as easily misled as can be: it fails before it has used gas
    /// that the deposit needs.
    function testFuzz_little_gas_does_not_change_what_a_token_says(uint256 gasGiven) public {
        odd.set(abi.encode("Odd"), abi.encode(6), false);
        odd.need(48_000);
        depositAs(USER, 1);
        odd.mint(USER, 10);
        vm.prank(USER);
        odd.approve(address(bridge), 10);
        gasGiven = 50_000 + gasGiven % 200_000;
        vm.recordLogs();
        vm.prank(USER, USER);
        (bool success,) =
            address(bridge).call{gas: gasGiven}(abi.encodeCall(bridge.depositToken, (address(odd), USER, 10)));
        if (!success) return;
        bytes memory opaque = abi.decode(_lastData(), (bytes));
        vm.assertTrue(execute(opaque));
        BridgedToken there = l2Token(address(odd));
        vm.assertEq(bytes(there.name()), "Odd");
        vm.assertEq(there.decimals(), 6);
    }

    function _lastData() private returns (bytes memory) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        return logs[logs.length - 1].data;
    }

    function _start(bytes memory text, uint256 length) private pure returns (bytes memory start) {
        start = new bytes(length);
        for (uint256 index; index < length; ++index) {
            start[index] = text[index];
        }
    }
}
