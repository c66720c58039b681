//! Contracts that are WASM programs, over RPC.

use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use serde_json::{Value, json};

use crate::{
    harness::{COUNTER, Node, key, number},
    transactions::{delegating, message, sign, transfer},
};

/// A program that returns its input.
const ECHO: &str = r#"
    (module
      (import "vm_hooks" "read_args" (func $read_args (param i32)))
      (import "vm_hooks" "write_result" (func $write_result (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "user_entrypoint") (param $length i32) (result i32)
        i32.const 0
        call $read_args
        i32.const 0
        local.get $length
        call $write_result
        i32.const 0))
"#;

#[tokio::test]
async fn programs_are_created_and_called_like_any_contract() {
    let node = Node::start().await;
    let sender = key(0).address();
    let module = Bytes::from(wat::parse_str(ECHO).unwrap());
    let create = json!({"from": sender, "input": module});
    let gas = number(&node.call("eth_estimateGas", json!([create])).await);
    let mut creation = transfer(0);
    creation.to = TxKind::Create;
    creation.value = U256::ZERO;
    creation.input = module;
    creation.gas_limit = gas;
    let hash = node.send(&sign(0, creation)).await;
    node.mine();
    let receipt = node.call("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let program: Address = serde_json::from_value(receipt["contractAddress"].clone()).unwrap();
    assert_eq!(program, sender.create(0));

    let code: Bytes =
        serde_json::from_value(node.call("eth_getCode", json!([program, "latest"])).await).unwrap();
    assert!(code.starts_with(&[0xef, 0xf0, 0x00]));
    assert_eq!(
        node.call("weft_getContractInfo", json!([program])).await,
        json!({
            "layer": "wasm",
            "codeHash": keccak256(&code),
            "codeSize": format!("{:#x}", code.len()),
            "delegatesTo": null,
            "hooked": false,
        })
    );
    let call = json!({"from": sender, "to": program, "input": "0x0102030405"});
    assert_eq!(
        node.call("eth_call", json!([call])).await,
        json!("0x0102030405")
    );

    let gas = number(&node.call("eth_estimateGas", json!([call])).await);
    let mut echo = message(1, program, vec![1, 2, 3, 4, 5]);
    echo.gas_limit = gas;
    let hash = node.send(&sign(0, echo)).await;
    node.mine();
    let receipt = node.call("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
}

#[tokio::test]
async fn a_module_that_is_refused_says_why() {
    let node = Node::start().await;
    let module = wat::parse_str(r#"(module (import "env" "print" (func)))"#).unwrap();
    let create = json!({"from": key(0).address(), "input": Bytes::from(module)});
    let (_, message, _) = node.error("eth_call", json!([create])).await;
    assert!(message.contains("vm_hooks"), "{message}");
}

#[tokio::test]
async fn contract_info_names_the_layer() {
    let node = Node::start().await;
    let info = async |address: Address| -> Value {
        node.call("weft_getContractInfo", json!([address, "latest"]))
            .await
    };
    assert_eq!(info(COUNTER).await["layer"], "evm");
    assert_eq!(info(key(1).address()).await, Value::Null);
    assert_eq!(info(Address::repeat_byte(0x99)).await, Value::Null);

    let authority = key(2);
    let delegation = delegating(0, &authority);
    node.send(&sign(0, delegation)).await;
    node.mine();
    let delegated = info(authority.address()).await;
    assert_eq!(delegated["layer"], "evm", "{delegated}");
    assert_eq!(delegated["delegatesTo"], json!(COUNTER));
}

/// What tools that were made for Stylus ask before and after a deployment.
#[tokio::test]
async fn arb_wasm_answers() {
    let node = Node::start().await;
    // stylusVersion()
    let call = json!({
        "to": "0x0000000000000000000000000000000000000071",
        "input": Bytes::copy_from_slice(&keccak256("stylusVersion()")[..4]),
    });
    let version = node.call("eth_call", json!([call])).await;
    assert_eq!(number_of_word(&version), U256::from(2));
}

fn number_of_word(word: &Value) -> U256 {
    let bytes: Bytes = serde_json::from_value(word.clone()).unwrap();
    U256::from_be_slice(&bytes)
}
