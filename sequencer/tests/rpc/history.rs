//! Old blocks: their state as far back as it is kept, with proofs, and everything else for ever.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::EIP1186AccountProofResponse;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, proof::verify_proof};
use serde_json::{Value, json};
use weft_sequencer::rpc::RpcConfig;
use weft_state::History;

use crate::{
    harness::{CLEARER, COUNTER, EMITTER, LOOP, Node, config, key, words},
    transactions::{message, sign},
};

const BLOCKS: u64 = 12;

/// Block `n` sets slot 0 of the counter to `n` and emits a log; block 5 clears a slot of genesis too.
async fn chain(history: &str, config: RpcConfig) -> Node {
    let history: History = history.parse().unwrap();
    let node = Node::start_keeping(history, config, true).await;
    let mut nonces = 0..;
    let mut next = || nonces.next().unwrap();
    for number in 1..=BLOCKS {
        node.send(&sign(0, message(next(), COUNTER, Bytes::new())))
            .await;
        let log = words(&[number, 0, 0]);
        node.send(&sign(0, message(next(), EMITTER, log))).await;
        if number == 5 {
            node.send(&sign(0, message(next(), CLEARER, Bytes::new())))
                .await;
        }
        node.mine();
    }
    node
}

/// Checks a proof as a light client does: against the state root of the block's header.
fn verify(proof: &EIP1186AccountProofResponse, state_root: B256) {
    let exists = proof.code_hash != B256::ZERO && proof.storage_hash != B256::ZERO;
    let account = TrieAccount::new(
        proof.nonce,
        proof.balance,
        proof.storage_hash,
        proof.code_hash,
    );
    let is_empty = account == TrieAccount::default();
    let leaf = (exists && !is_empty).then(|| alloy_rlp::encode(account));
    let key = Nibbles::unpack(keccak256(proof.address));
    verify_proof(state_root, key, leaf, &proof.account_proof).unwrap();
    for slot in &proof.storage_proof {
        let key = Nibbles::unpack(keccak256(slot.key.as_b256()));
        let value = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
        verify_proof(proof.storage_hash, key, value, &slot.proof).unwrap();
    }
}

#[tokio::test]
async fn every_old_block_has_its_state_and_proofs() {
    let node = chain("all", config()).await;
    let sender = key(0).address();
    let fresh = Address::repeat_byte(0x55);
    let mut balances = Vec::new();
    for number in 0..=BLOCKS {
        let header = node.chain.store().header(number).unwrap().unwrap();
        let by_number = json!(format!("{number:#x}"));
        let by_hash = json!({"blockHash": header.hash()});
        for id in [&by_number, &by_hash] {
            let slot = node
                .call("eth_getStorageAt", json!([COUNTER, "0x0", id]))
                .await;
            assert_eq!(slot, json!(B256::from(U256::from(number))));
            let returned = node.call("eth_call", json!([{"to": COUNTER}, id])).await;
            assert_eq!(returned, json!(B256::from(U256::from(number + 1))));
            let nonce = node
                .call("eth_getTransactionCount", json!([sender, id]))
                .await;
            let sent = 2 * number + u64::from(number >= 5);
            assert_eq!(nonce, json!(U256::from(sent)));
            let cleared = node
                .call("eth_getStorageAt", json!([CLEARER, "0x0", id]))
                .await;
            let genesis = B256::from(U256::from(u64::from(number < 5)));
            assert_eq!(cleared, json!(genesis));

            for (address, slots) in [
                (COUNTER, json!(["0x0", "0x1"])),
                (CLEARER, json!(["0x0", "0x7"])),
                (sender, json!(["0x0"])),
                (fresh, json!(["0x0"])),
            ] {
                let proof = node.call("eth_getProof", json!([address, slots, id])).await;
                let proof: EIP1186AccountProofResponse = serde_json::from_value(proof).unwrap();
                verify(&proof, header.state_root);
                let balance = node.call("eth_getBalance", json!([address, id])).await;
                assert_eq!(json!(proof.balance), balance);
                if address == COUNTER {
                    assert_eq!(proof.storage_proof[0].value, U256::from(number));
                }
                if address == CLEARER && number >= 5 {
                    assert_eq!(proof.storage_hash, EMPTY_ROOT_HASH);
                }
            }
        }
        let balance = node
            .call("eth_getBalance", json!([sender, by_number]))
            .await;
        balances.push(serde_json::from_value::<U256>(balance).unwrap());
    }
    assert!(balances.is_sorted_by(|older, newer| older > newer));
}

/// Requests about the state of a block.
fn state_requests(id: &Value) -> Vec<(&'static str, Value)> {
    vec![
        ("eth_getBalance", json!([COUNTER, id])),
        ("eth_getCode", json!([COUNTER, id])),
        ("eth_getTransactionCount", json!([COUNTER, id])),
        ("eth_getStorageAt", json!([COUNTER, "0x0", id])),
        ("eth_getProof", json!([COUNTER, ["0x0"], id])),
        ("eth_call", json!([{"to": COUNTER}, id])),
        ("eth_estimateGas", json!([{"to": COUNTER}, id])),
        ("eth_createAccessList", json!([{"to": COUNTER}, id])),
    ]
}

#[tokio::test]
async fn states_end_where_they_are_configured_to() {
    let node = chain("4", config()).await;
    let oldest = BLOCKS - 3;
    for number in 0..=BLOCKS + 1 {
        let hash = node.chain.store().header(number).unwrap();
        let by_hash = hash.map(|header| json!(header.hash()));
        for id in [Some(json!(format!("{number:#x}"))), by_hash]
            .into_iter()
            .flatten()
        {
            for (method, params) in state_requests(&id) {
                if (oldest..=BLOCKS).contains(&number) {
                    node.call(method, params).await;
                    continue;
                }
                let expected = if number > BLOCKS {
                    "header not found".to_owned()
                } else {
                    format!("state of block {number} is not kept: ask for a later block")
                };
                let (code, message, _) = node.error(method, params).await;
                assert_eq!((code, message), (-32000, expected), "{method}");
            }
        }
    }
    for (tag, kept) in [
        ("earliest", false),
        ("safe", false),
        ("finalized", false),
        ("latest", true),
        ("pending", true),
    ] {
        for (method, params) in state_requests(&json!(tag)) {
            let answer = node.request(method, params).await;
            assert_eq!(answer.get("result").is_some(), kept, "{method} {answer}");
        }
    }
    // Blocks, receipts and logs stay.
    for number in 0..=BLOCKS {
        let id = format!("{number:#x}");
        let block = node.call("eth_getBlockByNumber", json!([id, true])).await;
        assert_eq!(block["number"], json!(id));
        let receipts = node.call("eth_getBlockReceipts", json!([id])).await;
        let transactions = block["transactions"].as_array().unwrap();
        assert_eq!(receipts.as_array().unwrap().len(), transactions.len());
    }
    let logs = node
        .call(
            "eth_getLogs",
            json!([{"fromBlock": "0x0", "address": EMITTER}]),
        )
        .await;
    assert_eq!(logs.as_array().unwrap().len() as u64, BLOCKS);
    let second = B256::from(U256::from(2));
    let logs = node
        .call(
            "eth_getLogs",
            json!([{"fromBlock": "earliest", "topics": [second]}]),
        )
        .await;
    assert_eq!(logs[0]["blockNumber"], "0x2");
    assert_eq!(logs.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proof_takes_bounded_work() {
    let node = chain(
        "all",
        RpcConfig {
            max_proof_changes: 3,
            ..config()
        },
    )
    .await;
    let ask = |number: u64| json!([LOOP, [], format!("{number:#x}")]);
    // Later blocks changed the sender, the account that earns fees and the counter's slot.
    node.call("eth_getProof", ask(BLOCKS)).await;
    node.call("eth_getProof", ask(6)).await;
    let (code, message, _) = node.error("eth_getProof", ask(0)).await;
    assert_eq!(code, -32005);
    assert_eq!(
        message,
        "limit exceeded: blocks after 0 changed more than 3 accounts and slots: ask for a later block"
    );
}
