//! What every kind of chain must do, whatever L1 and ledger it has.

use std::{path::Path, time::Duration};

use alloy_primitives::{Address, B256, TxKind, U64, U256, address};
use alloy_sol_types::{SolCall, sol};
use eyre::{ContextCompat, ensure};
use futures::future::try_join_all;
use serde_json::json;

use crate::{
    load::{self, L2_CHAIN_ID, Sender},
    rollup::{self, L1_CHAIN_ID},
    rpc::Rpc,
    wait::until,
    weft::{Dev, Follower},
};

/// The predeploy that tells L2 contracts about L1.
const L1_ORIGIN: Address = address!("0x4200000000000000000000000000000000000015");

/// What a deposit brings to L2, in wei.
const DEPOSIT: u64 = 1_234_567_890;

/// Calldata of a transaction that is as large as they may be, in bytes.
const INCOMPRESSIBLE_BYTES: usize = 114_800;

/// How long a load may take to be included, and then to be posted, on a busy machine.
const SLOW: Duration = Duration::from_secs(300);

sol! {
    /// Number of the L1 block that L2 has taken in.
    function number() returns (uint64);
    /// Hash of that block.
    function hash() returns (bytes32);
}

/// Transfers from all ten accounts, a deposit, everything posted, verified by `weft watch` and
/// rebuilt by `weft follow`.
///
/// # Errors
/// With the first thing that does not hold.
pub async fn whole_way(dev: &mut Dev, folder: &Path, transfers: usize) -> eyre::Result<()> {
    ensure!(
        dev.info.accounts.len() == 10,
        "expected ten accounts, found {}",
        dev.info.accounts.len()
    );
    let chain_id: U64 = dev.l2.call("eth_chainId", json!([])).await?;
    ensure!(
        chain_id.to::<u64>() == L2_CHAIN_ID,
        "L2 has chain id {chain_id}"
    );
    ten_senders(dev, transfers).await?;
    incompressible_transaction(dev).await?;
    deposit_arrives(dev).await?;
    origin_is_on_l1(dev).await?;

    let head = dev.all_safe(SLOW).await?;
    let posted = rollup::posted_batches(&dev.l1, dev.info.contract).await?;
    rollup::check_tiling(&posted)?;
    let report = dev.watch().await?;
    ensure!(report.success && report.verified, "{}", report.json);
    ensure!(report.batches >= posted.len() as u64, "{}", report.json);
    ensure!(
        report.last_l2_block >= head,
        "{} < {head}",
        report.last_l2_block
    );
    ensure!(report.deposits == 1, "{}", report.json);

    let data_dir = folder.join("follower");
    let mut follower = Follower::start(&dev.info.l1_rpc, dev.info.contract, &data_dir).await?;
    let expected = dev.l2.block_hash(head).await?;
    let found = follower.hash_at(head, SLOW).await?;
    ensure!(
        found == expected,
        "block {head}: expected {expected}, found {found}"
    );
    Ok(())
}

/// Each account sends its share at the same time; every transfer must succeed.
async fn ten_senders(dev: &Dev, transfers: usize) -> eyre::Result<()> {
    let share = transfers / dev.info.accounts.len();
    let rpc = &dev.l2;
    let sends = dev.info.accounts.iter().map(|account| async move {
        let mut sender = Sender::new(account, L2_CHAIN_ID, rpc).await?;
        let before = rpc.balance(load::sink(sender.address())).await?;
        let signed = load::transfers(&mut sender, share)?;
        load::send_all(rpc, &signed).await?;
        let receipts = load::all_included(rpc, &signed, SLOW).await?;
        ensure!(receipts.len() == share);
        let nonce = rpc.nonce(sender.address()).await?;
        ensure!(
            nonce == sender.nonce,
            "expected nonce {}, found {nonce}",
            sender.nonce
        );
        let after = rpc.balance(load::sink(sender.address())).await?;
        ensure!(
            after == before + U256::from(share),
            "{before} + {share} wei gave {after}"
        );
        Ok(())
    });
    try_join_all(sends).await?;
    Ok(())
}

/// As many random bytes as a block may hold: the batch with it is the largest that there can be.
async fn incompressible_transaction(dev: &Dev) -> eyre::Result<()> {
    let account = dev.info.accounts.first().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
    let mut input = vec![0; INCOMPRESSIBLE_BYTES];
    rand::fill(input.as_mut_slice());
    let to = TxKind::Call(load::sink(sender.address()));
    let signed = sender.sign(to, U256::ZERO, input.into(), 6_000_000)?;
    load::send_all(&dev.l2, std::slice::from_ref(&signed)).await?;
    load::all_included(&dev.l2, &[signed], SLOW).await?;
    Ok(())
}

async fn deposit_arrives(dev: &Dev) -> eyre::Result<()> {
    let account = dev.info.accounts.first().wrap_err("no account")?;
    let to = Address::repeat_byte(0xD0);
    let before = dev.l2.balance(to).await?;
    let mut sender = Sender::new(account, L1_CHAIN_ID, &dev.l1).await?;
    let signed = rollup::deposit(&mut sender, dev.info.contract, to, U256::from(DEPOSIT))?;
    load::send_all(&dev.l1, std::slice::from_ref(&signed)).await?;
    load::all_included(&dev.l1, &[signed], SLOW).await?;
    until("the deposit to arrive on L2", SLOW, || async {
        let balance = dev.l2.balance(to).await?;
        Ok((balance == before + U256::from(DEPOSIT)).then_some(()))
    })
    .await
}

/// The predeploy's block is a block of L1, and L2 contracts can read it.
async fn origin_is_on_l1(dev: &Dev) -> eyre::Result<()> {
    let head = dev.l2.block_number("latest").await?;
    let number = U256::from_be_bytes(
        call_origin(&dev.l2, numberCall {}.abi_encode(), head)
            .await?
            .0,
    );
    let hash = call_origin(&dev.l2, hashCall {}.abi_encode(), head).await?;
    ensure!(number > U256::ZERO, "the L1 origin is block 0");
    let on_l1 = dev.l1.block_hash(number.to()).await?;
    ensure!(
        on_l1 == hash.to_string(),
        "L1 block {number}: expected {on_l1}, found {hash}"
    );
    Ok(())
}

async fn call_origin(rpc: &Rpc, input: Vec<u8>, block: u64) -> eyre::Result<B256> {
    let call = json!({"to": L1_ORIGIN, "input": alloy_primitives::Bytes::from(input)});
    rpc.call("eth_call", json!([call, format!("{block:#x}")]))
        .await
}
