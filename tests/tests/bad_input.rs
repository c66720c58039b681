//! Bad input over real sockets: a clear error each, no panic, and the node still serves (I7).

use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use eyre::{Context, ContextCompat, bail, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use weft_tests::{
    load::{L2_CHAIN_ID, Sender, all_included, send_all},
    weft::Dev,
};

/// Longest time that any answer may take.
const ANSWER: Duration = Duration::from_secs(30);

async fn dev(folder: &TempDir) -> eyre::Result<Dev> {
    Dev::start(&folder.path().join("dev"), &["--quiet"]).await
}

/// The node must still take a transaction, and must not have panicked anywhere.
async fn still_serves(dev: &mut Dev) -> eyre::Result<()> {
    let account = dev.info.accounts.get(9).wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = [sender.transfer(Address::repeat_byte(1), U256::from(1))?];
    send_all(&dev.l2, &signed).await?;
    all_included(&dev.l2, &signed, ANSWER).await?;
    dev.process.check_running()?;
    let log = dev.process.log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// Code and message of an answer that must be an error.
fn error_of(answer: &Value) -> eyre::Result<(i64, String)> {
    let error = answer
        .get("error")
        .wrap_err_with(|| format!("expected an error, found {answer}"))?;
    let code = error.get("code").and_then(Value::as_i64);
    let message = error.get("message").and_then(Value::as_str);
    let message = message.wrap_err_with(|| format!("no message in {error}"))?;
    Ok((code.wrap_err("no code")?, message.to_owned()))
}

#[tokio::test]
async fn malformed_requests() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = dev(&folder).await?;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_params = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{deep}}}"#);
    let bodies: Vec<(&str, Vec<u8>, Option<i64>)> = vec![
        ("nothing", b"".to_vec(), None),
        (
            "half an object",
            br#"{"jsonrpc":"2.0","id":1,"#.to_vec(),
            Some(-32700),
        ),
        ("no JSON", b"hello".to_vec(), Some(-32700)),
        ("no UTF-8", vec![b'"', 0xff, 0xfe, b'"'], None),
        ("a number", b"17".to_vec(), Some(-32600)),
        ("an empty batch", b"[]".to_vec(), Some(-32600)),
        ("deep nesting", deep.into_bytes(), None),
        ("deep parameters", deep_params.into_bytes(), None),
        (
            "no method",
            br#"{"jsonrpc":"2.0","id":1}"#.to_vec(),
            Some(-32600),
        ),
    ];
    for (name, body, code) in bodies {
        let (status, text) = tokio::time::timeout(ANSWER, dev.l2.post(body))
            .await
            .wrap_err(name)??;
        match serde_json::from_str::<Value>(&text) {
            // What looks like a batch is answered as one.
            Ok(answer) => {
                let answer = answer.get(0).unwrap_or(&answer);
                let (found, message) = error_of(answer).wrap_err(name)?;
                ensure!(
                    code.is_none_or(|code| code == found),
                    "{name}: {found} {message}"
                );
            }
            Err(_) => ensure!(
                status >= 400 && !text.is_empty(),
                "{name}: HTTP {status}: {text}"
            ),
        }
    }
    let calls = [
        ("eth_noSuchMethod", json!([]), -32601),
        ("eth_getBalance", json!([]), -32602),
        ("eth_getBalance", json!(["0x12"]), -32602),
        ("eth_getBalance", json!([{"a": 1}, "latest"]), -32602),
        ("eth_getBalance", json!({"address": 5}), -32602),
        (
            "eth_getBlockByNumber",
            json!(["0xfffffffffffffffffffff", false]),
            -32602,
        ),
        ("eth_getBlockByNumber", json!(["newest", false]), -32602),
        ("eth_sendRawTransaction", json!(["0xzz"]), -32602),
        ("eth_sendRawTransaction", json!([5]), -32602),
    ];
    for (method, params, code) in calls {
        let answer = dev.l2.raw(method, params.clone()).await?;
        let (found, message) = error_of(&answer)?;
        ensure!(
            found == code,
            "{method} {params}: expected {code}, found {found} {message}"
        );
        ensure!(
            message.len() < 1000,
            "{method}: a message of {} bytes",
            message.len()
        );
    }
    still_serves(&mut dev).await
}

#[tokio::test]
async fn enormous_requests() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = dev(&folder).await?;
    let before = resident_bytes(&dev)?;

    let (status, text) = dev.l2.post(vec![b' '; 100 << 20]).await?;
    ensure!(status == 413, "a body of 100 MiB: HTTP {status}: {text}");

    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []});
    let many = Value::Array(vec![request; 20_000]);
    let (status, text) = dev.l2.post(many.to_string()).await?;
    let answer: Value = serde_json::from_str(&text).wrap_err_with(|| format!("HTTP {status}"))?;
    error_of(&answer)?;

    // A range far beyond the chain costs no more than the chain.
    let filter = json!([{"fromBlock": "0x0", "toBlock": "0xffffffff"}]);
    let logs = tokio::time::timeout(ANSWER, dev.l2.raw("eth_getLogs", filter)).await??;
    ensure!(
        logs.to_string().len() < 1 << 20,
        "{} bytes",
        logs.to_string().len()
    );

    // EVM code that never ends: PUSH0 JUMPDEST DUP1 JUMP is bounded by gas, and by time.
    let endless = json!([{"data": "0x5b5f56", "gas": "0xffffffffffffffff"}, "latest"]);
    let answer = tokio::time::timeout(ANSWER * 2, dev.l2.raw("eth_call", endless)).await??;
    error_of(&answer).wrap_err("an endless call")?;

    still_serves(&mut dev).await?;
    let after = resident_bytes(&dev)?;
    ensure!(
        after < before + (300 << 20),
        "memory grew from {before} to {after} bytes"
    );
    Ok(())
}

/// Resident memory of the node, from the kernel.
fn resident_bytes(dev: &Dev) -> eyre::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", dev.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.wrap_err("no VmRSS")?.parse::<u64>()? << 10)
}

#[tokio::test]
async fn slow_and_broken_connections() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = dev(&folder).await?;
    let address = dev.l2.url().strip_prefix("http://").wrap_err("not http")?;
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut connection = TcpStream::connect(address).await?;
        connection
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
            .await?;
        open.push(connection);
    }
    let mut garbage = TcpStream::connect(address).await?;
    garbage
        .write_all(&[0x16, 0x03, 0x01, 0x00, 0xff, 0x00])
        .await?;
    still_serves(&mut dev).await?;
    drop(open);
    still_serves(&mut dev).await
}

fn signed_raw(
    account: &weft_tests::weft::Account,
    change: impl FnOnce(&mut TxEip1559),
) -> eyre::Result<Bytes> {
    let signer = PrivateKeySigner::from_bytes(&account.private_key)?;
    let mut transaction = TxEip1559 {
        chain_id: L2_CHAIN_ID,
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: 20_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(2)),
        value: U256::from(1),
        access_list: Default::default(),
        input: Bytes::new(),
    };
    change(&mut transaction);
    let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Ok(envelope.encoded_2718().into())
}

#[tokio::test]
async fn bad_transactions() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = dev(&folder).await?;
    let account = dev.info.accounts.first().wrap_err("no account")?.clone();
    let refused = [
        (
            "another chain's id",
            signed_raw(&account, |tx| tx.chain_id = 1)?,
            "chain",
        ),
        (
            "a nonce gap of a million",
            signed_raw(&account, |tx| tx.nonce = 1_000_000)?,
            "nonce",
        ),
        (
            "more than the balance",
            signed_raw(&account, |tx| tx.value = U256::MAX >> 8)?,
            "insufficient funds",
        ),
        (
            "more gas than a block",
            signed_raw(&account, |tx| tx.gas_limit = 1 << 40)?,
            "gas",
        ),
        (
            "less gas than it costs",
            signed_raw(&account, |tx| tx.gas_limit = 20_999)?,
            "gas",
        ),
        (
            "a tip above the fee",
            signed_raw(&account, |tx| tx.max_priority_fee_per_gas = 30_000_000_000)?,
            "fee",
        ),
        (
            "initcode over the limit",
            signed_raw(&account, |tx| {
                tx.to = TxKind::Create;
                tx.gas_limit = 30_000_000;
                tx.input = vec![0; 49_153].into();
            })?,
            "initcode",
        ),
        ("an empty transaction", Bytes::new(), ""),
        (
            "a deposit from outside",
            Bytes::from_static(&[0x7e, 0xc0]),
            "",
        ),
        ("an unknown type", Bytes::from_static(&[0x55, 0xc0]), ""),
        (
            "a blob transaction's first byte",
            Bytes::from_static(&[0x03, 0xc0]),
            "",
        ),
    ];
    for (name, raw, expected) in refused {
        let answer = dev.l2.raw("eth_sendRawTransaction", json!([raw])).await?;
        let (_, message) = error_of(&answer).wrap_err(name)?;
        ensure!(
            message.to_lowercase().contains(expected) && message.len() > 5,
            "{name}: expected {expected:?} in the message, found {message:?}"
        );
    }

    let first = signed_raw(&account, |_| {})?;
    send_sync(&dev, &first).await?;
    let again = dev.l2.raw("eth_sendRawTransaction", json!([first])).await?;
    let (_, message) = error_of(&again)?;
    ensure!(!message.is_empty());
    let low = signed_raw(&account, |tx| tx.value = U256::from(2))?;
    let answer = dev.l2.raw("eth_sendRawTransaction", json!([low])).await?;
    let (_, message) = error_of(&answer)?;
    ensure!(message.contains("nonce"), "a used nonce: {message}");

    // A queued transaction (nonce gap of one) may be replaced, at ten percent more.
    let queued = signed_raw(&account, |tx| tx.nonce = 2)?;
    let hash: String = dev
        .l2
        .call("eth_sendRawTransaction", json!([queued]))
        .await?;
    ensure!(hash.len() == 66);
    let cheap = signed_raw(&account, |tx| {
        tx.nonce = 2;
        tx.value = U256::from(9);
        tx.max_fee_per_gas += 1;
    })?;
    let answer = dev.l2.raw("eth_sendRawTransaction", json!([cheap])).await?;
    let (_, message) = error_of(&answer).wrap_err("an underpriced replacement")?;
    ensure!(message.contains("underpriced"), "{message}");
    still_serves(&mut dev).await
}

async fn send_sync(dev: &Dev, raw: &Bytes) -> eyre::Result<()> {
    let receipt: Value = dev
        .l2
        .call("eth_sendRawTransactionSync", json!([raw]))
        .await?;
    match receipt.get("status").and_then(Value::as_str) {
        Some("0x1") => Ok(()),
        _ => bail!("expected success, found {receipt}"),
    }
}

/// Every change of one bit of a good transaction is refused or has another sender; never a panic.
#[tokio::test]
async fn bit_flipped_transactions() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = dev(&folder).await?;
    let account = dev.info.accounts.first().wrap_err("no account")?.clone();
    let good = signed_raw(&account, |_| {})?;
    let seed: u64 = rand::rng().random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let broken: Vec<Value> = (0..500)
        .map(|_| {
            let mut bytes = good.to_vec();
            let bit = random.random_range(0..bytes.len() * 8);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            if random.random_bool(0.3) {
                bytes.truncate(random.random_range(0..bytes.len()));
            }
            json!({
                "jsonrpc": "2.0", "id": bit,
                "method": "eth_sendRawTransaction", "params": [Bytes::from(bytes)],
            })
        })
        .collect();
    let (status, text) = dev.l2.post(Value::Array(broken).to_string()).await?;
    let answers: Vec<Value> =
        serde_json::from_str(&text).wrap_err_with(|| format!("HTTP {status}: {text}"))?;
    ensure!(answers.len() == 500, "{} answers", answers.len());
    for answer in &answers {
        error_of(answer)?;
    }
    let nonce = dev.l2.nonce(account.address).await?;
    ensure!(
        nonce == 0,
        "a broken transaction was included: nonce {nonce}"
    );
    still_serves(&mut dev).await
}
