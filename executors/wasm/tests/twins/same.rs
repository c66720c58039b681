//! One call after the other: a contract's two forms answer the same.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolError, SolValue};
use weft_executor_core::{Execution, HaltReason, Outcome};

use crate::chain::{Chain, Contract, ETHER, FORMS, Form, abi, output, user};

const OWNER: u8 = 0;

/// A chain with the contract in one form, and one with it in the other.
fn pair(contract: Contract) -> [(Chain, Address); 2] {
    FORMS.map(|form| {
        let mut chain = Chain::new(4);
        let address = chain.deploy(user(OWNER), contract.init_code(form));
        (chain, address)
    })
}

/// Sends the same call to both forms; they must end the same, with the same logs.
fn both<C: SolCall>(
    chains: &mut [(Chain, Address); 2],
    from: Address,
    value: u128,
    call: &C,
) -> Outcome {
    let [evm, wasm] = chains
        .each_mut()
        .map(|(chain, address)| chain.send(from, *address, value, call));
    assert_same(&evm, &wasm);
    evm.outcome
}

fn assert_same(evm: &Execution, wasm: &Execution) {
    assert_eq!(evm.outcome, wasm.outcome);
    assert_eq!(evm.logs, wasm.logs);
}

#[test]
fn erc20() {
    let mut chains = pair(Contract::Erc20);
    let (alice, bob) = (user(1), user(2));
    let value = U256::from(1_000);
    both(
        &mut chains,
        alice,
        0,
        &abi::Erc20::mintCall { to: alice, value },
    );
    for value in [U256::ZERO, U256::from(400), U256::from(700), U256::MAX] {
        both(
            &mut chains,
            alice,
            0,
            &abi::Erc20::transferCall { to: bob, value },
        );
        both(
            &mut chains,
            alice,
            0,
            &abi::Erc20::approveCall {
                spender: bob,
                value,
            },
        );
        let from = alice;
        both(
            &mut chains,
            bob,
            0,
            &abi::Erc20::transferFromCall {
                from,
                to: bob,
                value: value / U256::from(2),
            },
        );
        both(
            &mut chains,
            bob,
            0,
            &abi::Erc20::allowanceCall {
                owner: alice,
                spender: bob,
            },
        );
    }
    for owner in [alice, bob, Address::ZERO] {
        both(&mut chains, bob, 0, &abi::Erc20::balanceOfCall { owner });
    }
    both(&mut chains, bob, 0, &abi::Erc20::totalSupplyCall {});
    both(&mut chains, bob, 0, &abi::Erc20::nameCall {});
    both(&mut chains, bob, 0, &abi::Erc20::symbolCall {});
    both(&mut chains, bob, 0, &abi::Erc20::decimalsCall {});
    // Value to a function that takes none.
    let outcome = both(&mut chains, bob, 1, &abi::Erc20::totalSupplyCall {});
    assert!(!outcome.is_success());
    let [evm, wasm] = chains.map(|(chain, address)| chain.state.storage.get(&address).cloned());
    assert_eq!(evm, wasm, "the layout of storage is the same");
}

#[test]
fn hashing() {
    let mut chains = pair(Contract::Hashing);
    for rounds in [0_u8, 1, 7] {
        let seed = keccak256([rounds]);
        let rounds = U256::from(rounds);
        let outcome = both(
            &mut chains,
            user(1),
            0,
            &abi::Hashing::sha256ChainCall { seed, rounds },
        );
        assert!(outcome.is_success());
    }
}

#[test]
fn calls_of_the_host() {
    let mut chains = pair(Contract::Relay);
    let caller = user(1);
    let outcome = both(&mut chains, caller, 5, &abi::Relay::contextCall {});
    assert!(outcome.is_success());
    for account in [user(2), user(9)] {
        both(
            &mut chains,
            caller,
            0,
            &abi::Relay::balanceOfCall { account },
        );
        both(&mut chains, caller, 0, &abi::Relay::codeOfCall { account });
        both(
            &mut chains,
            caller,
            0,
            &abi::Relay::codeHashOfCall { account },
        );
        both(
            &mut chains,
            caller,
            0,
            &abi::Relay::codeSizeOfCall { account },
        );
    }
    let (key, value) = (B256::repeat_byte(1), B256::repeat_byte(2));
    both(
        &mut chains,
        caller,
        0,
        &abi::Relay::transientRoundTripCall { key, value },
    );
    both(&mut chains, caller, 0, &abi::Relay::incrementCall {});
    both(&mut chains, caller, 0, &abi::Relay::counterCall {});
    both(
        &mut chains,
        caller,
        0,
        &abi::Relay::failCall {
            reason: "no".into(),
        },
    );
    let numbers = [U256::ZERO, U256::from(3), U256::from(1_000_003), U256::MAX];
    for a in numbers {
        for b in numbers {
            let c = a ^ (b >> 3);
            both(
                &mut chains,
                caller,
                0,
                &abi::Relay::mathCheckCall { a, b, c },
            );
        }
    }
    for depth in [1_u64, 100] {
        let depth = U256::from(depth);
        let outcome = both(
            &mut chains,
            caller,
            0,
            &abi::Relay::burnRecursionCall { depth },
        );
        assert!(outcome.is_success());
    }
    // Deeper than the EVM's stack allows.
    let depth = U256::from(2_000);
    let [_, (chain, relay)] = &mut chains;
    let execution = chain.send(caller, *relay, 0, &abi::Relay::burnRecursionCall { depth });
    assert!(execution.outcome.is_success());
}

/// Every combination of forms for caller and callee.
fn crosses() -> impl Iterator<Item = (Form, Form)> {
    FORMS
        .into_iter()
        .flat_map(|outer| FORMS.map(|inner| (outer, inner)))
}

#[test]
fn calls_go_both_ways() {
    let mut ends = Vec::new();
    for (outer, inner) in crosses() {
        let mut chain = Chain::new(4);
        let outer = chain.deploy(user(0), Contract::Relay.init_code(outer));
        let inner = chain.deploy(user(0), Contract::Relay.init_code(inner));
        let caller = user(1);
        let increment = Bytes::from(abi::Relay::incrementCall {}.abi_encode());
        let mut end = Vec::new();
        let mut note = |chain: &Chain, execution: Execution| {
            let relays = [outer, inner];
            let slots = relays.map(|relay| chain.state.storage.get(&relay).cloned());
            let balances = relays.map(|relay| chain.state.accounts[&relay].balance);
            end.push((execution.outcome, execution.logs, slots, balances));
        };
        let value = U256::from(7);
        let calls = [
            abi::Relay::callCall {
                to: inner,
                value: U256::ZERO,
                data: increment.clone(),
            }
            .abi_encode(),
            abi::Relay::callCall {
                to: inner,
                value,
                data: Bytes::new(),
            }
            .abi_encode(),
            abi::Relay::callCall {
                to: inner,
                value: U256::from(ETHER),
                data: Bytes::new(),
            }
            .abi_encode(),
            // Value to a function that takes none.
            abi::Relay::callCall {
                to: inner,
                value,
                data: increment.clone(),
            }
            .abi_encode(),
            abi::Relay::delegateCall {
                to: inner,
                data: increment.clone(),
            }
            .abi_encode(),
            abi::Relay::staticCallCall {
                to: inner,
                data: increment.clone(),
            }
            .abi_encode(),
            abi::Relay::staticCallCall {
                to: inner,
                data: abi::Relay::counterCall {}.abi_encode().into(),
            }
            .abi_encode(),
            abi::Relay::tryCallCall {
                to: inner,
                data: abi::Relay::failCall {
                    reason: "inner".into(),
                }
                .abi_encode()
                .into(),
            }
            .abi_encode(),
            abi::Relay::callCall {
                to: inner,
                value: U256::ZERO,
                data: abi::Relay::failCall {
                    reason: "inner".into(),
                }
                .abi_encode()
                .into(),
            }
            .abi_encode(),
            abi::Relay::tryCallCall {
                to: inner,
                data: increment.clone(),
            }
            .abi_encode(),
            // Through the other and back into the first.
            abi::Relay::reenterCall {
                via: inner,
                data: abi::Relay::callCall {
                    to: outer,
                    value: U256::ZERO,
                    data: increment,
                }
                .abi_encode()
                .into(),
            }
            .abi_encode(),
            // The delegate sees the first one's caller and value.
            abi::Relay::delegateCall {
                to: inner,
                data: abi::Relay::contextCall {}.abi_encode().into(),
            }
            .abi_encode(),
        ];
        for input in calls {
            let nonce = chain.nonce(caller);
            let transaction = Chain::transaction(
                caller,
                nonce,
                alloy_primitives::TxKind::Call(outer),
                if nonce == 1 { 20 } else { 0 },
                12_000_000,
                input.into(),
            );
            let execution = chain.execute(&transaction);
            note(&chain, execution);
        }
        ends.push(end);
    }
    let (first, rest) = ends.split_first().unwrap();
    assert!(first[0].0.is_success() && first[10].0.is_success());
    assert!(!first[5].0.is_success(), "writing in a static call");
    for (number, end) in rest.iter().enumerate() {
        for (step, (found, expected)) in end.iter().zip(first).enumerate() {
            assert_eq!(found, expected, "combination {number}, step {step}");
        }
    }
}

#[test]
fn contracts_create_each_other() {
    for (outer, inner) in crosses() {
        let mut chain = Chain::new(2);
        let relay = chain.deploy(user(0), Contract::Relay.init_code(outer));
        let init_code = Contract::Erc20.init_code(inner);
        let salt = B256::repeat_byte(3);
        let first = chain.send(
            user(1),
            relay,
            0,
            &abi::Relay::createCall {
                initCode: init_code.clone(),
                value: U256::ZERO,
            },
        );
        assert_eq!(
            output(&first.outcome),
            relay.create(1).abi_encode(),
            "{outer:?} {inner:?}"
        );
        let second = chain.send(
            user(1),
            relay,
            0,
            &abi::Relay::create2Call {
                initCode: init_code.clone(),
                value: U256::ZERO,
                salt,
            },
        );
        let expected = relay.create2(salt, keccak256(&init_code));
        assert_eq!(
            output(&second.outcome),
            expected.abi_encode(),
            "{outer:?} {inner:?}"
        );
        for token in [relay.create(1), expected] {
            let supply = chain.ask(user(1), token, &abi::Erc20::totalSupplyCall {});
            assert_eq!(output(&supply), U256::ZERO.abi_encode());
        }
    }
}

#[test]
fn what_never_ends_stops_at_its_gas() {
    for form in FORMS {
        let mut chain = Chain::new(2);
        let relay = chain.deploy(user(0), Contract::Relay.init_code(form));
        let execution = chain.send(user(1), relay, 0, &abi::Relay::spinCall {});
        assert_eq!(
            execution.outcome,
            Outcome::Halt {
                reason: HaltReason::OutOfGas
            }
        );
        assert_eq!(execution.gas_used, crate::chain::GAS_CAP);
    }
}

#[test]
fn an_amm_trades_tokens_of_either_form() {
    let mut results = Vec::new();
    for (amm, token) in crosses() {
        let mut chain = Chain::new(3);
        let owner = user(0);
        let amm = chain.deploy(owner, Contract::Amm.init_code(amm));
        let tokens = [(); 2].map(|()| chain.deploy(owner, Contract::Erc20.init_code(token)));
        let value = U256::from(1_000_000);
        for token in tokens {
            chain.send(owner, token, 0, &abi::Erc20::mintCall { to: owner, value });
            chain.send(
                owner,
                token,
                0,
                &abi::Erc20::approveCall {
                    spender: amm,
                    value,
                },
            );
        }
        let [token0, token1] = tokens;
        let mut outcomes = vec![
            chain
                .send(owner, amm, 0, &abi::Amm::initializeCall { token0, token1 })
                .outcome,
            chain
                .send(
                    owner,
                    amm,
                    0,
                    &abi::Amm::addLiquidityCall {
                        amount0: U256::from(500_000),
                        amount1: U256::from(300_000),
                    },
                )
                .outcome,
        ];
        for (zero_for_one, amount) in [
            (true, 1_000_u64),
            (false, 5_000),
            (true, 400_000),
            (true, 600_000),
        ] {
            let swap = abi::Amm::swapCall {
                zeroForOne: zero_for_one,
                amountIn: U256::from(amount),
                minOut: U256::ONE,
            };
            outcomes.push(chain.send(owner, amm, 0, &swap).outcome);
        }
        outcomes.push(chain.ask(owner, amm, &abi::Amm::reservesCall {}));
        assert!(
            outcomes[..4].iter().all(Outcome::is_success),
            "{outcomes:?}"
        );
        results.push(outcomes);
    }
    assert!(
        results.windows(2).all(|pair| pair[0] == pair[1]),
        "{results:?}"
    );
}

#[test]
fn errors_of_a_callee_arrive_unchanged() {
    let mut chain = Chain::new(2);
    for (outer, inner) in crosses() {
        let relay = chain.deploy(user(0), Contract::Relay.init_code(outer));
        let token = chain.deploy(user(0), Contract::Erc20.init_code(inner));
        let transfer = abi::Erc20::transferCall {
            to: user(1),
            value: U256::from(5),
        };
        let call = abi::Relay::callCall {
            to: token,
            value: U256::ZERO,
            data: transfer.abi_encode().into(),
        };
        let outcome = chain.ask(user(1), relay, &call);
        let error = abi::Erc20::InsufficientBalance {
            from: relay,
            balance: U256::ZERO,
            needed: U256::from(5),
        };
        assert_eq!(
            outcome,
            Outcome::Revert {
                output: error.abi_encode().into()
            }
        );
    }
}
