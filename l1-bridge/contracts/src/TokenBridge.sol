// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {BridgedToken} from "./BridgedToken.sol";
import {L2TokenBridge} from "./L2TokenBridge.sol";
import {Rollup} from "./Rollup.sol";
import {L2Address} from "./libraries/L2Address.sol";
import {Predeploys} from "./libraries/Predeploys.sol";
import {StateProof} from "./libraries/StateProof.sol";
import {TokenMetadata} from "./libraries/TokenMetadata.sol";

/// @title The token bridge on L1
/// @notice Holds the ERC-20 tokens that are on L2, and pays them when they come back.
/// @dev Whoever holds tokens whose balances change by themselves shares gains and losses in no way:
/// withdrawals are paid in full while there is anything to pay with. There is no proxy, no owner and
/// no way to change the code.
contract TokenBridge is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice L2 gas limit of a token's first deposit, which creates its contract on L2.
    uint64 public constant CREATION_GAS_LIMIT = 1_500_000;
    /// @notice L2 gas limit of every later deposit.
    uint64 public constant DEPOSIT_GAS_LIMIT = 200_000;
    /// @dev Where the input begins in a deposit's opaque data: mint, value, gas limit, creation.
    uint256 private constant OPAQUE_INPUT = 32 + 32 + 8 + 1;
    /// @dev Slot of `_balances` in a token on L2.
    uint256 private constant BALANCES_SLOT = 0;

    /// @notice The rollup whose token bridge this is.
    Rollup public immutable rollup;
    bytes32 private immutable _tokenCodeHash;

    /// @notice Whether a first deposit of the token was made.
    mapping(address token => bool) public isKnown;
    /// @notice Whether the tokens of an L2 account were taken out of a chain that has stopped.
    mapping(address token => mapping(address account => bool)) public escaped;
    /// @notice Whether the tokens of a deposit were given back.
    mapping(uint256 depositIndex => bool) public refunded;

    /// @notice Tokens go to L2.
    /// @param depositIndex Number of the deposit in the rollup.
    event TokenDeposited(
        address indexed token, address indexed from, address indexed to, uint256 amount, uint256 depositIndex
    );
    /// @notice Tokens came back from L2.
    event TokenWithdrawn(address indexed token, address indexed to, uint256 amount);
    /// @notice Tokens of an L2 account were taken out of a chain that has stopped.
    event TokenEscaped(address indexed token, address indexed account, address indexed recipient, uint256 amount);
    /// @notice Tokens of a deposit that L2 never took were given back.
    event TokenRefunded(address indexed token, address indexed from, uint256 amount, uint256 indexed depositIndex);

    /// @notice There is no rollup at this address.
    error NotARollup(address found);
    /// @notice Tokens do not go to the zero address.
    error ZeroAddress();
    /// @notice The transfer has brought nothing.
    error NothingReceived();
    /// @notice Only the rollup may do this.
    error NotRollup(address expected, address found);
    /// @notice The withdrawal was not started by the token bridge on L2.
    error NotL2TokenBridge(address expected, address found);
    /// @notice The chain has not ended.
    error ChainNotClosed();
    /// @notice The tokens were taken out already.
    error AlreadyEscaped(address token, address account);
    /// @notice The deposit's tokens were given back already.
    error AlreadyRefunded(uint256 depositIndex);
    /// @notice There is no such token deposit, or a batch has executed it.
    error DepositNotStranded(uint256 depositIndex);

    /// @notice Creates the token bridge of a rollup.
    constructor(Rollup rollup_) {
        if (address(rollup_).code.length == 0) revert NotARollup(address(rollup_));
        rollup = rollup_;
        _tokenCodeHash = keccak256(type(BridgedToken).creationCode);
    }

    /// @notice Takes tokens from the caller, which must have approved this contract, and mints as
    /// many as have arrived on L2.
    /// @param token The token.
    /// @param to Who gets the tokens on L2.
    /// @param amount How many to take, in the token's smallest unit.
    function depositToken(address token, address to, uint256 amount) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received == 0) revert NothingReceived();

        // A first deposit creates the token on L2, where it comes before every later one.
        uint64 gasLimit = isKnown[token] ? DEPOSIT_GAS_LIMIT : CREATION_GAS_LIMIT;
        isKnown[token] = true;
        bytes memory call = abi.encodeCall(
            L2TokenBridge.finalizeDeposit,
            (
                token,
                msg.sender,
                to,
                received,
                TokenMetadata.name(token),
                TokenMetadata.symbol(token),
                TokenMetadata.decimals(token)
            )
        );
        emit TokenDeposited(token, msg.sender, to, received, rollup.depositCount());
        rollup.depositTransaction(Predeploys.L2_TOKEN_BRIDGE, 0, gasLimit, false, call);
    }

    /// @notice Pays a withdrawal. Only the rollup, for the token bridge on L2, may call this.
    /// @param token The token.
    /// @param to Who gets the tokens.
    /// @param amount How many, in the token's smallest unit.
    function finalizeWithdrawal(address token, address to, uint256 amount) external nonReentrant {
        if (msg.sender != address(rollup)) revert NotRollup(address(rollup), msg.sender);
        address l2Sender = rollup.l2Sender();
        if (l2Sender != Predeploys.L2_TOKEN_BRIDGE) revert NotL2TokenBridge(Predeploys.L2_TOKEN_BRIDGE, l2Sender);
        emit TokenWithdrawn(token, to, amount);
        IERC20(token).safeTransfer(to, amount);
    }

    /// @notice Takes out, once for each token, what the caller's L2 account held when the chain ended.
    /// A key holder's account is its own address, a contract's is its alias.
    /// @param token The token.
    /// @param recipient Who gets the tokens.
    /// @param tokenProof Proof of the token's contract on L2 in the rollup's last state root.
    /// @param balanceProof Proof of the account's balance in that contract's storage.
    function escapeToken(address token, address recipient, bytes[] calldata tokenProof, bytes[] calldata balanceProof)
        external
        nonReentrant
    {
        if (!rollup.closed()) revert ChainNotClosed();
        address account = L2Address.ofSender(msg.sender);
        if (escaped[token][account]) revert AlreadyEscaped(token, account);
        escaped[token][account] = true;
        bytes32 root = StateProof.storageRoot(rollup.lastStateRoot(), l2TokenOf(token), tokenProof);
        uint256 amount = StateProof.slot(root, keccak256(abi.encode(account, BALANCES_SLOT)), balanceProof);
        emit TokenEscaped(token, account, recipient, amount);
        IERC20(token).safeTransfer(recipient, amount);
    }

    /// @notice Gives the tokens of a deposit that no batch has executed before the chain ended back to
    /// whoever deposited them, once. Anybody may call this.
    /// @param depositIndex Number of the deposit in the rollup.
    /// @param opaqueData As in the deposit's `TransactionDeposited`.
    function refundToken(uint256 depositIndex, bytes calldata opaqueData) external nonReentrant {
        address self = address(this);
        address from = L2Address.aliasOf(self);
        if (!rollup.isStranded(depositIndex, self, from, Predeploys.L2_TOKEN_BRIDGE, opaqueData)) {
            revert DepositNotStranded(depositIndex);
        }
        if (refunded[depositIndex]) revert AlreadyRefunded(depositIndex);
        refunded[depositIndex] = true;
        // This contract's deposits are all made by `depositToken`.
        (address token, address depositor,, uint256 amount) =
            abi.decode(opaqueData[OPAQUE_INPUT + 4:], (address, address, address, uint256));
        emit TokenRefunded(token, depositor, amount, depositIndex);
        IERC20(token).safeTransfer(depositor, amount);
    }

    /// @notice Address of a token's contract on L2, whether it was created or not.
    /// @param token The token on L1.
    function l2TokenOf(address token) public view returns (address) {
        bytes32 salt = bytes32(uint256(uint160(token)));
        return Create2.computeAddress(salt, _tokenCodeHash, Predeploys.L2_TOKEN_BRIDGE);
    }
}
