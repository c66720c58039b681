//! What contracts and hooks see of each other, in Solidity's words.
#![allow(missing_docs, reason = "the documentation is docs/hooks.md")]

alloy_sol_types::sol! {
    interface Registry {
        struct Bound {
            address hook;
            uint8 phases;
            uint64 gasLimit;
        }

        event HookBound(address indexed target, address indexed hook, uint8 phases, uint64 gasLimit);
        event HookUnbound(address indexed target, address indexed hook);

        error AlreadyBound(address target, address hook);
        error BadPhases(uint8 phases);
        error GasLimitTooHigh(uint64 gasLimit, uint64 most);
        error HookFailed(address hook);
        error NotAContract(address target);
        error NotAProgram(address hook);
        error NotBound(address target, address hook);
        error NotOwner(address caller, address target);
        error TooManyHooks(address target, uint256 most);
        error ValueNotAccepted();

        function bind(address target, address hook, uint8 phases, uint64 gasLimit)
            external
            returns (uint256 position);
        function unbind(address target, address hook) external returns (uint256 remaining);
        function hooksOf(address target) external view returns (Bound[] memory hooks);
    }

    interface Hook {
        function beforeCall(address target, address caller, uint256 value, bytes calldata data) external;
        function afterCall(
            address target,
            address caller,
            uint256 value,
            bytes calldata data,
            bytes calldata result
        ) external;
    }

    interface Owned {
        function owner() external view returns (address);
    }
}
