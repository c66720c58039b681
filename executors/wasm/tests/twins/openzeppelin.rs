//! OpenZeppelin's token for Stylus, and OpenZeppelin's token in Solidity.

use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use weft_executor_core::Outcome;

use crate::chain::{Chain, GAS_CAP, abi::BurnableToken as Token, stylus_init_code, user};

const MODULE: &[u8] = include_bytes!("../../../../tests/stylus/modules/oz-erc20.wasm");

/// Calldata of the constructor: a function whose selector leaves the parameters out.
fn constructor(holder: Address, supply: U256) -> Bytes {
    let arguments = ("Token".to_owned(), "TKN".to_owned(), holder, supply).abi_encode_params();
    [&keccak256("stylus_constructor()")[..4], &arguments]
        .concat()
        .into()
}

#[test]
fn openzeppelins_token_is_the_same_in_both_forms() {
    let (holder, other) = (user(1), user(2));
    let supply = U256::from(1_000_000);
    let mut evm = Chain::new(3);
    let arguments = ("Token".to_owned(), "TKN".to_owned(), holder, supply).abi_encode_params();
    let init_code = [Token::BYTECODE.as_ref(), &arguments].concat();
    let evm_token = evm.deploy(user(0), init_code.into());

    let mut wasm = Chain::new(3);
    let wasm_token = wasm.deploy(user(0), stylus_init_code(MODULE));
    let construct = |wasm: &mut Chain| {
        let nonce = wasm.nonce(user(0));
        let input = constructor(holder, supply);
        let call = TxKind::Call(wasm_token);
        wasm.execute(&Chain::transaction(user(0), nonce, call, 0, GAS_CAP, input))
    };
    assert!(construct(&mut wasm).outcome.is_success());
    assert!(!construct(&mut wasm).outcome.is_success(), "once only");

    let mut both = |from: Address, input: Vec<u8>| -> Outcome {
        let mut ends = Vec::new();
        for (chain, token) in [(&mut evm, evm_token), (&mut wasm, wasm_token)] {
            let nonce = chain.nonce(from);
            let call = TxKind::Call(token);
            let input = Bytes::from(input.clone());
            let execution =
                chain.execute(&Chain::transaction(from, nonce, call, 0, 5_000_000, input));
            let logs: Vec<_> = execution.logs.into_iter().map(|log| log.data).collect();
            ends.push((execution.outcome, logs));
        }
        let [evm, wasm]: [_; 2] = ends.try_into().unwrap();
        assert_eq!(evm, wasm);
        evm.0
    };
    let value = U256::from(300);
    let spent = |outcome: Outcome| assert!(outcome.is_success(), "{outcome:?}");
    spent(both(
        holder,
        Token::transferCall { to: other, value }.abi_encode(),
    ));
    spent(both(
        other,
        Token::approveCall {
            spender: holder,
            value,
        }
        .abi_encode(),
    ));
    spent(both(
        holder,
        Token::transferFromCall {
            from: other,
            to: holder,
            value: U256::from(100),
        }
        .abi_encode(),
    ));
    spent(both(holder, Token::burnCall { value }.abi_encode()));
    spent(both(
        holder,
        Token::burnFromCall {
            account: other,
            value: U256::from(50),
        }
        .abi_encode(),
    ));
    // Errors have the same names and arguments.
    for refused in [
        Token::transferCall {
            to: other,
            value: supply,
        }
        .abi_encode(),
        Token::transferCall {
            to: Address::ZERO,
            value,
        }
        .abi_encode(),
        Token::transferFromCall {
            from: other,
            to: holder,
            value: supply,
        }
        .abi_encode(),
        Token::burnCall { value: supply }.abi_encode(),
        Token::approveCall {
            spender: Address::ZERO,
            value,
        }
        .abi_encode(),
    ] {
        let outcome = both(holder, refused);
        assert!(
            matches!(&outcome, Outcome::Revert { output } if output.len() > 4),
            "{outcome:?}"
        );
    }
    for question in [
        Token::nameCall {}.abi_encode(),
        Token::symbolCall {}.abi_encode(),
        Token::decimalsCall {}.abi_encode(),
        Token::totalSupplyCall {}.abi_encode(),
        Token::balanceOfCall { account: holder }.abi_encode(),
        Token::balanceOfCall { account: other }.abi_encode(),
        Token::allowanceCall {
            owner: other,
            spender: holder,
        }
        .abi_encode(),
    ] {
        spent(both(holder, question));
    }
}
