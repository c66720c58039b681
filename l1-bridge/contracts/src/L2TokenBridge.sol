// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {BridgedToken} from "./BridgedToken.sol";
import {TokenBridge} from "./TokenBridge.sol";
import {Withdrawals} from "./Withdrawals.sol";
import {L2Address} from "./libraries/L2Address.sol";
import {Predeploys} from "./libraries/Predeploys.sol";

/// @title The token bridge on L2
/// @notice A predeploy on L2, at 0x4200000000000000000000000000000000000010. Mints what was deposited
/// in the token bridge on L1, and burns what goes back there.
/// @dev The code stands in the genesis state, where no constructor runs: the address of the bridge
/// on L1 is put into slot 0 there.
contract L2TokenBridge {
    /// @notice Least L1 gas that the bridge on L1 gets to pay a withdrawal with.
    uint256 public constant WITHDRAWAL_GAS_LIMIT = 200_000;

    /// @notice The token bridge on L1.
    address public l1Bridge;
    /// @notice The L1 token of a token that this bridge has created; zero for any other address.
    mapping(address token => address) public l1TokenOf;

    /// @notice A token has its contract on L2.
    event TokenCreated(address indexed l1Token, address indexed token);
    /// @notice Tokens came from L1.
    event DepositFinalized(address indexed l1Token, address indexed from, address indexed to, uint256 amount);
    /// @notice Tokens go to L1.
    event WithdrawalInitiated(address indexed l1Token, address indexed from, address indexed to, uint256 amount);

    /// @notice Only the bridge on L1, by its alias, may do this.
    error NotL1Bridge(address expected, address found);
    /// @notice No deposit has brought the token to L2.
    error UnknownToken(address l1Token);
    /// @notice Tokens do not go to the zero address.
    error ZeroAddress();

    /// @notice Mints what was deposited on L1, and creates the token when this is its first deposit.
    /// @param l1Token The token on L1.
    /// @param from Who deposited on L1.
    /// @param to Who gets the tokens here.
    /// @param amount How many, in the token's smallest unit.
    /// @param name Its name, for the creation.
    /// @param symbol Its symbol, for the creation.
    /// @param decimals Its decimals, for the creation.
    function finalizeDeposit(
        address l1Token,
        address from,
        address to,
        uint256 amount,
        string calldata name,
        string calldata symbol,
        uint8 decimals
    ) external {
        address expected = L2Address.aliasOf(l1Bridge);
        if (msg.sender != expected) revert NotL1Bridge(expected, msg.sender);
        BridgedToken token = BridgedToken(tokenOf(l1Token));
        if (l1TokenOf[address(token)] == address(0)) {
            l1TokenOf[address(token)] = l1Token;
            new BridgedToken{salt: _salt(l1Token)}();
            token.initialize(l1Token, name, symbol, decimals);
            emit TokenCreated(l1Token, address(token));
        }
        token.mint(to, amount);
        emit DepositFinalized(l1Token, from, to, amount);
    }

    /// @notice Burns the caller's tokens and starts the withdrawal that pays them on L1.
    /// @param l1Token The token on L1.
    /// @param to Who gets the tokens on L1.
    /// @param amount How many, in the token's smallest unit.
    function withdraw(address l1Token, address to, uint256 amount) external {
        if (to == address(0)) revert ZeroAddress();
        BridgedToken token = BridgedToken(tokenOf(l1Token));
        if (l1TokenOf[address(token)] == address(0)) revert UnknownToken(l1Token);
        token.burn(msg.sender, amount);
        emit WithdrawalInitiated(l1Token, msg.sender, to, amount);
        bytes memory call = abi.encodeCall(TokenBridge.finalizeWithdrawal, (l1Token, to, amount));
        Withdrawals(payable(Predeploys.WITHDRAWALS)).initiateWithdrawal(l1Bridge, WITHDRAWAL_GAS_LIMIT, call);
    }

    /// @notice Address of a token's contract on L2, whether it was created or not.
    /// @param l1Token The token on L1.
    function tokenOf(address l1Token) public view returns (address) {
        return Create2.computeAddress(_salt(l1Token), keccak256(type(BridgedToken).creationCode));
    }

    function _salt(address l1Token) private pure returns (bytes32) {
        return bytes32(uint256(uint160(l1Token)));
    }
}
