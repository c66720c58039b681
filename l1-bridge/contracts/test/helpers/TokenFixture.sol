// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {BridgedToken} from "../../src/BridgedToken.sol";
import {L2TokenBridge} from "../../src/L2TokenBridge.sol";
import {TokenBridge} from "../../src/TokenBridge.sol";
import {BatchHeader, Withdrawal} from "../../src/rollup/Types.sol";
import {PayoutFixture} from "./PayoutFixture.sol";
import {PlainToken} from "./Tokens.sol";
import {Vm, vm} from "./Vm.sol";

/// @notice Both token bridges, with L1 and L2 in one state: what L1 deposits, `execute` does on L2.
abstract contract TokenFixture is PayoutFixture {
    L2TokenBridge internal constant L2_BRIDGE = L2TokenBridge(0x4200000000000000000000000000000000000010);
    bytes32 internal constant DEPOSITED = keccak256("TransactionDeposited(address,address,uint256,bytes)");
    TokenBridge internal bridge;
    PlainToken internal token;

    function setUp() public virtual override {
        super.setUp();
        bridge = new TokenBridge(rollup);
        vm.etch(address(L2_BRIDGE), type(L2TokenBridge).runtimeCode);
        vm.store(address(L2_BRIDGE), 0, bytes32(uint256(uint160(address(bridge)))));
        token = new PlainToken("Plain token", "PLN", 6);
        token.mint(USER, 1_000_000);
        vm.prank(USER);
        token.approve(address(bridge), type(uint256).max);
    }

    /// @dev USER deposits on L1. Returns the deposit's opaque data.
    function depositTokens(address l1Token, address to, uint256 amount) internal returns (bytes memory opaqueData) {
        vm.recordLogs();
        vm.prank(USER, USER);
        bridge.depositToken(l1Token, to, amount);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory last = logs[logs.length - 1];
        vm.assertEq(last.topics[0], DEPOSITED);
        vm.assertEq(last.topics[2], bytes32(uint256(uint160(address(L2_BRIDGE)))));
        return abi.decode(last.data, (bytes));
    }

    /// @dev What L2 does with a deposit of the token bridge, with no more gas than the deposit has.
    function execute(bytes memory opaqueData) internal returns (bool success) {
        uint256 gasLimit;
        bytes memory input;
        (gasLimit, input) = this.decodeOpaque(opaqueData);
        vm.prank(aliasOf(address(bridge)), aliasOf(address(bridge)));
        (success,) = address(L2_BRIDGE).call{gas: gasLimit}(input);
    }

    function decodeOpaque(bytes calldata opaqueData) external pure returns (uint256 gasLimit, bytes memory input) {
        input = opaqueData[73:];
        // What L2 takes before the first instruction, at its highest: EIP-7623's floor.
        gasLimit = uint64(bytes8(opaqueData[64:72])) - 21_000 - 40 * input.length;
    }

    function l2Token(address l1Token) internal view returns (BridgedToken) {
        return BridgedToken(L2_BRIDGE.tokenOf(l1Token));
    }

    /// @dev USER withdraws tokens on L2.
    function withdrawTokens(address l1Token, address to, uint256 amount) internal returns (Withdrawal memory w) {
        vm.prank(USER, USER);
        L2_BRIDGE.withdraw(l1Token, to, amount);
        bytes memory data = abi.encodeCall(TokenBridge.finalizeWithdrawal, (l1Token, to, amount));
        w = Withdrawal(leaves.length, address(L2_BRIDGE), address(bridge), 0, L2_BRIDGE.WITHDRAWAL_GAS_LIMIT(), data);
        leaves.push(hashOf(w));
    }

    function aliasOf(address l1Contract) internal pure returns (address) {
        unchecked {
            return address(uint160(l1Contract) + uint160(0x1111000000000000000000000000000000001111));
        }
    }
}
