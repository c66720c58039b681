//! The rollup contract on L1, spoken to without weft's own code.

use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use alloy_signer_local::{MnemonicBuilder, coins_bip39::English};
use alloy_sol_types::{SolCall, SolEvent, sol};
use eyre::{ContextCompat, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    load::{Sender, Signed},
    rpc::Rpc,
    weft::Account,
};

/// Chain id of every L1 in the tests.
pub const L1_CHAIN_ID: u64 = 31337;

/// The mnemonic of `weft dev` and anvil.
const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Index of the key that deploys and posts batches in `weft dev`: after the funded ones.
const OPERATOR: u32 = 10;

/// L2 gas of a plain deposit.
const DEPOSIT_GAS: u64 = 100_000;

sol! {
    /// What a batch claims.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct BatchHeader {
        bytes32 previousBatchHash;
        uint64 firstBlock;
        uint64 lastBlock;
        bytes32 lastBlockHash;
        bytes32 stateRoot;
        bytes32 withdrawalsRoot;
        uint64 l1OriginNumber;
        bytes32 l1OriginHash;
        uint64 depositsConsumed;
        uint8 blobCount;
        bytes32 dataHash;
    }

    /// A batch was taken.
    event BatchPosted(uint256 indexed index, bytes32 indexed batchHash, BatchHeader header);

    /// A deposit was made.
    event TransactionDeposited(address indexed from, address indexed to, uint256 indexed version, bytes opaqueData);

    /// Posts a batch.
    function postBatch(BatchHeader header, bytes data);

    /// A dispute was opened.
    event BatchChallenged(uint256 indexed disputeId, uint256 indexed index, bytes32 indexed batchHash, address challenger);

    /// Batches were removed.
    event BatchesRejected(uint256 indexed disputeId, uint256 indexed fromIndex, uint256 batchCountBefore);

    /// Removes a disputed batch and all later ones.
    function rejectBatch(uint256 disputeId, BatchHeader previous);

    /// Settles batches.
    function settle(uint256 maxBatches) returns (uint256 settled);

    /// How many batches cannot be removed any more.
    function settledBatches() view returns (uint256);

    /// How many batches there are.
    function batchCount() view returns (uint256);

    /// How many disputes there have been.
    function disputeCount() view returns (uint256);

    /// What a challenge costs.
    function challengeBond() view returns (uint128);

    /// Makes a deposit.
    function depositTransaction(address to, uint256 value, uint64 gasLimit, bool isCreation, bytes data);
}

/// A batch as L1 holds it.
#[derive(Debug, Clone)]
pub struct PostedBatch {
    /// Its index.
    pub index: u64,
    /// Its hash.
    pub hash: B256,
    /// Its header.
    pub header: BatchHeader,
    /// The L1 transaction that posted it.
    pub l1_transaction: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RpcLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    transaction_hash: B256,
}

/// Every batch that the contract has accepted and not removed since, in order.
///
/// # Errors
/// When L1 does not answer, or a log is not what the contract emits.
pub async fn posted_batches(l1: &Rpc, contract: Address) -> eyre::Result<Vec<PostedBatch>> {
    let filter = json!([{
        "address": contract,
        "topics": [[BatchPosted::SIGNATURE_HASH, BatchesRejected::SIGNATURE_HASH]],
        "fromBlock": "0x0",
        "toBlock": "latest",
    }]);
    let logs: Vec<RpcLog> = l1.call("eth_getLogs", filter).await?;
    let mut batches: Vec<PostedBatch> = Vec::new();
    for log in logs {
        let inner = Log::new(log.address, log.topics, log.data).wrap_err("log topics")?;
        if let Ok(rejected) = BatchesRejected::decode_log(&inner) {
            let from: u64 = rejected.data.fromIndex.try_into()?;
            batches.retain(|batch| batch.index < from);
            continue;
        }
        let event = BatchPosted::decode_log(&inner)?.data;
        batches.push(PostedBatch {
            index: event.index.try_into()?,
            hash: event.batchHash,
            header: event.header,
            l1_transaction: log.transaction_hash,
        });
    }
    Ok(batches)
}

/// Receiver on L2 and minted wei of every deposit that L1 holds, in order.
///
/// # Errors
/// When L1 does not answer, or a log is not what the contract emits.
pub async fn deposited(l1: &Rpc, contract: Address) -> eyre::Result<Vec<(Address, U256)>> {
    let filter = json!([{
        "address": contract,
        "topics": [TransactionDeposited::SIGNATURE_HASH],
        "fromBlock": "0x0",
        "toBlock": "latest",
    }]);
    let logs: Vec<RpcLog> = l1.call("eth_getLogs", filter).await?;
    logs.into_iter()
        .map(|log| {
            let inner = Log::new(log.address, log.topics, log.data).wrap_err("log topics")?;
            let event = TransactionDeposited::decode_log(&inner)?.data;
            let mint = event.opaqueData.get(..32).wrap_err("opaque data")?;
            Ok((event.to, U256::from_be_slice(mint)))
        })
        .collect()
}

/// Batches tile the chain from block 1 on: no gap, no overlap, no batch twice (I4).
///
/// # Errors
/// With the first batch that does not continue the one before it.
pub fn check_tiling(batches: &[PostedBatch]) -> eyre::Result<()> {
    let mut next_block = 1;
    let mut previous_hash = B256::ZERO;
    for (index, batch) in (0..).zip(batches) {
        let header = &batch.header;
        if batch.index != index
            || header.firstBlock != next_block
            || header.lastBlock < header.firstBlock
            || header.previousBatchHash != previous_hash
        {
            bail!(
                "expected batch {index} to follow {previous_hash} with block {next_block}, found {batch:?}"
            );
        }
        next_block = header.lastBlock + 1;
        previous_hash = batch.hash;
    }
    Ok(())
}

/// Header and data of a posted batch, from its transaction's calldata.
///
/// # Errors
/// When L1 does not have the transaction, or it is no call of `postBatch`.
pub async fn batch_calldata(l1: &Rpc, batch: &PostedBatch) -> eyre::Result<postBatchCall> {
    let transaction: Value = l1
        .call("eth_getTransactionByHash", json!([batch.l1_transaction]))
        .await?;
    let input = transaction
        .get("input")
        .wrap_err("transaction without input")?;
    let input: Bytes = serde_json::from_value(input.clone())?;
    Ok(postBatchCall::abi_decode(&input)?)
}

/// The account that may post batches in `weft dev`.
///
/// # Errors
/// Never, for a mnemonic that is valid.
pub fn operator() -> eyre::Result<Account> {
    test_account(OPERATOR)
}

/// An account of the mnemonic of `weft dev` and anvil.
///
/// # Errors
/// Never, for a mnemonic that is valid.
pub fn test_account(index: u32) -> eyre::Result<Account> {
    let signer = MnemonicBuilder::<English>::default()
        .phrase(MNEMONIC)
        .index(index)?
        .build()?;
    Ok(Account {
        address: signer.address(),
        private_key: signer.to_bytes(),
    })
}

/// Posts a batch with the batcher's key and waits for its receipt.
///
/// # Errors
/// When the contract refuses it.
pub async fn post_batch(
    l1: &Rpc,
    contract: Address,
    header: BatchHeader,
    data: Bytes,
) -> eyre::Result<()> {
    let mut sender = Sender::new(&operator()?, L1_CHAIN_ID, l1).await?;
    let header = BatchHeader {
        dataHash: keccak256(&data),
        ..header
    };
    let input = postBatchCall { header, data }.abi_encode();
    let signed = sender.sign(contract.into(), U256::ZERO, input.into(), 10_000_000)?;
    crate::load::send_all(l1, std::slice::from_ref(&signed)).await?;
    crate::load::all_included(l1, &[signed], std::time::Duration::from_secs(30)).await?;
    Ok(())
}

/// Calls a view of the contract in L1's newest block.
///
/// # Errors
/// When L1 does not answer, or the call reverts.
pub async fn view<C: SolCall>(l1: &Rpc, contract: Address, call: &C) -> eyre::Result<C::Return> {
    let request = json!({"to": contract, "data": Bytes::from(call.abi_encode())});
    let answer: Bytes = l1.call("eth_call", json!([request, "latest"])).await?;
    Ok(C::abi_decode_returns(&answer)?)
}

/// Calls the contract in an L1 transaction of `account` and waits for its receipt.
///
/// # Errors
/// When the contract refuses it.
pub async fn transact<C: SolCall>(
    l1: &Rpc,
    account: &Account,
    contract: Address,
    call: &C,
) -> eyre::Result<()> {
    let mut sender = Sender::new(account, L1_CHAIN_ID, l1).await?;
    let input = call.abi_encode().into();
    let signed = sender.sign(contract.into(), U256::ZERO, input, 5_000_000)?;
    crate::load::send_all(l1, std::slice::from_ref(&signed)).await?;
    crate::load::all_included(l1, &[signed], std::time::Duration::from_secs(30)).await?;
    Ok(())
}

/// Signs a deposit of `value` wei from L1 to `to` on L2.
///
/// # Errors
/// When the key cannot sign.
pub fn deposit(
    sender: &mut Sender,
    contract: Address,
    to: Address,
    value: U256,
) -> eyre::Result<Signed> {
    let call = depositTransactionCall {
        to,
        value,
        gasLimit: DEPOSIT_GAS,
        isCreation: false,
        data: Bytes::new(),
    };
    sender.sign(contract.into(), value, call.abi_encode().into(), 500_000)
}
