use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, Bytes, TxKind, U256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use weft_l1_bridge::{
    DeployParameters, DeploymentPlan, TransactionManager, TxManagerConfig, deploy, genesis,
};
use weft_primitives::ChainSpec;

use super::{
    DevInfo, FUNDED_BALANCE, GAS_LIMIT, L1_CHAIN_ID, L1_TIMEOUT, L2_CHAIN_ID, POLL_INTERVAL,
    accounts, info_path,
};
use crate::{error::NodeError, l1};

/// Time after which the contract takes no batch that leaves a deposit out, in seconds.
const FORCED_INCLUSION_DELAY: u64 = 3600;
/// How long a batch can be challenged, in seconds.
const CHALLENGE_WINDOW: u64 = 10;
/// How long the resolver has for a dispute before anybody may reject the batch, in seconds.
const RESOLUTION_TIME: u64 = 3600;
/// How long no batch may come before anybody can close the chain, in seconds.
const ESCAPE_DELAY: u64 = 86_400;
/// What a challenge costs until it is decided, in wei: 0.1 ether.
const CHALLENGE_BOND: u128 = 100_000_000_000_000_000;
/// What the operator gets on an L1 that is not the embedded one, in wei: 100 ether.
const OPERATOR_BALANCE: U256 = alloy_primitives::uint!(100_000_000_000_000_000_000_U256);

/// The rollup that a data folder belongs to.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) spec: ChainSpec,
    pub(super) contract: Address,
    pub(super) token_bridge: Address,
    pub(super) l1_chain_id: u64,
}

/// What the data folder remembers of a deployment, beside `genesis.json`.
#[derive(Debug, Serialize, Deserialize)]
struct DeploymentFile {
    contract: Address,
    token_bridge: Address,
    l1_chain_id: u64,
}

/// The rollup of the data folder: as it was deployed by an earlier run, or deployed now. On an L1
/// that does not fund the operator from its genesis, the last of the test accounts does.
pub(super) async fn deployment(
    data_dir: &Path,
    l1_rpc: &str,
    operator_is_funded: bool,
) -> Result<Deployment, NodeError> {
    let client = l1::client(l1_rpc, L1_TIMEOUT)?;
    let l1_chain_id = client.chain_id().await?;
    let path = data_dir.join("deployment.json");
    let genesis_path = data_dir.join("genesis.json");
    if let Some(file) = read_json::<DeploymentFile>(&path)? {
        if file.l1_chain_id != l1_chain_id {
            return Err(NodeError::Setup(format!(
                "{} was made with an L1 of chain id {}, found {} at {l1_rpc}: use that L1, or another --data-dir",
                data_dir.display(),
                file.l1_chain_id,
                l1_chain_id,
            )));
        }
        return Ok(Deployment {
            spec: existing_spec(&genesis_path)?,
            contract: file.contract,
            token_bridge: file.token_bridge,
            l1_chain_id: file.l1_chain_id,
        });
    }
    let operator = accounts::operator()?;
    let sender = |signer| {
        let config = TxManagerConfig {
            poll_interval: POLL_INTERVAL,
            ..TxManagerConfig::default()
        };
        TransactionManager::new(client.clone(), signer, config)
    };
    if !operator_is_funded {
        sender(accounts::signer(accounts::FUNDED_ACCOUNTS - 1)?)
            .send(
                TxKind::Call(operator.address()),
                OPERATOR_BALANCE,
                Bytes::new(),
            )
            .await?;
    }
    let plan = DeploymentPlan::of_account(&client, operator.address()).await?;
    let spec = l2_genesis(now(), plan.token_bridge)?;
    write_json(&genesis_path, &spec)?;
    let deployed = deploy(
        &sender(operator.clone()),
        &plan,
        &DeployParameters {
            admin: operator.address(),
            batcher: operator.address(),
            genesis_block_hash: weft_state::genesis_header(&spec).hash(),
            chain_spec: &spec,
            forced_inclusion_delay: FORCED_INCLUSION_DELAY,
            challenge_window: CHALLENGE_WINDOW,
            resolution_time: RESOLUTION_TIME,
            escape_delay: ESCAPE_DELAY,
            challenge_bond: CHALLENGE_BOND,
        },
    )
    .await?;
    let file = DeploymentFile {
        contract: deployed.contract,
        token_bridge: deployed.token_bridge,
        l1_chain_id,
    };
    write_json(&path, &file)?;
    Ok(Deployment {
        spec,
        contract: file.contract,
        token_bridge: file.token_bridge,
        l1_chain_id: file.l1_chain_id,
    })
}

/// The embedded L1's spec: of the data folder, or made at the present time and kept there.
pub(super) fn l1_spec(data_dir: &Path) -> Result<ChainSpec, NodeError> {
    let path = data_dir.join("l1-genesis.json");
    if let Some(spec) = read_json::<ChainSpec>(&path)? {
        return Ok(spec);
    }
    let mut funded = funded_balances()?;
    funded.push((accounts::operator()?.address(), FUNDED_BALANCE));
    let spec = genesis::dev_l1_genesis(L1_CHAIN_ID, &funded, GAS_LIMIT, now())?;
    write_json(&path, &spec)?;
    Ok(spec)
}

fn l2_genesis(timestamp: u64, token_bridge: Address) -> Result<ChainSpec, NodeError> {
    Ok(genesis::l2_genesis(
        L2_CHAIN_ID,
        &funded_balances()?,
        GAS_LIMIT,
        timestamp,
        token_bridge,
    )?)
}

fn funded_balances() -> Result<Vec<(Address, U256)>, NodeError> {
    Ok(accounts::funded()?
        .into_iter()
        .map(|account| (account.address, FUNDED_BALANCE))
        .collect())
}

/// The spec of a deployment that was made.
fn existing_spec(path: &Path) -> Result<ChainSpec, NodeError> {
    read_json(path)?.ok_or_else(|| NodeError::Setup(format!("{} is missing", path.display())))
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

pub(super) fn write_info(data_dir: &Path, info: &DevInfo) -> Result<(), NodeError> {
    write_json(&info_path(data_dir), info)
}

/// Removes what an earlier run told scripts: until it is written again there is nothing to reach.
pub(super) fn remove_info(data_dir: &Path) -> Result<(), NodeError> {
    let path = info_path(data_dir);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(NodeError::file(path)(error))
        }
        _ => Ok(()),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, NodeError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NodeError::file(path)(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| NodeError::file(path)(error.into()))
}

/// Writes a file so that a reader sees all of it or none.
fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), NodeError> {
    let text =
        serde_json::to_vec_pretty(value).map_err(|error| NodeError::file(path)(error.into()))?;
    let partial = path.with_extension("json.partial");
    let write = || {
        fs::write(&partial, text)?;
        fs::File::open(&partial)?.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(NodeError::file(path))
}
