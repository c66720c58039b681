//! `weft deploy`: a new chain on an L1.

use std::time::Duration;

use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use serde::Serialize;
use weft_l1_bridge::{
    DeployParameters, DeploymentPlan, TransactionManager, TxManagerConfig, genesis,
};
use weft_primitives::ChainSpec;

use crate::{error::NodeError, l1::client};

/// What to deploy.
#[derive(Debug)]
pub struct DeployConfig {
    /// RPC URL of L1.
    pub l1_url: String,
    /// How long a request to L1 may take.
    pub timeout: Duration,
    /// The chain; the L1 origin predeploy is added when it is not there.
    pub spec: ChainSpec,
    /// Account that may post batches.
    pub batcher: Address,
    /// Account that may change roles, pause and decide disputes; the deployer when left out.
    pub admin: Option<Address>,
    /// Time after which the contract takes no batch that leaves a deposit out, in seconds.
    pub forced_inclusion_delay: u64,
    /// How long after it was posted a batch can be challenged, in seconds; above zero.
    pub challenge_window: u64,
    /// How long the resolver has for a dispute before anybody may reject the batch, in seconds;
    /// above zero.
    pub resolution_time: u64,
    /// How long no batch may come before anybody can close the chain, in seconds; longer than the
    /// two periods above together.
    pub escape_delay: u64,
    /// What a challenge costs until it is decided, in wei.
    pub challenge_bond: u128,
    /// Environment variable that holds the deployer's private key.
    pub private_key_env: String,
}

/// A deployed chain.
#[derive(Debug)]
pub struct Deployed {
    /// The chain as it was deployed, with its predeploys.
    pub spec: ChainSpec,
    /// What to print.
    pub summary: DeploySummary,
}

/// Where a chain was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploySummary {
    /// The rollup's contract on L1.
    pub contract: Address,
    /// The token bridge on L1.
    pub token_bridge: Address,
    /// L1 block that holds it.
    pub l1_block: u64,
    /// Chain id of L1.
    pub l1_chain_id: u64,
    /// Chain id of the rollup.
    pub l2_chain_id: u64,
    /// Hash of the rollup's block 0.
    pub genesis_block_hash: B256,
}

/// Puts the rollup's contract on L1.
///
/// # Errors
/// When the key is missing, or L1 cannot be reached or refuses the transaction.
pub async fn deploy(config: DeployConfig) -> Result<Deployed, NodeError> {
    let signer = key_from_env(&config.private_key_env)?;
    let client = client(&config.l1_url, config.timeout)?;
    let sender =
        TransactionManager::new(client.clone(), signer.clone(), TxManagerConfig::default());
    let plan = DeploymentPlan::of_account(&client, signer.address()).await?;
    let spec = genesis::with_predeploys(&config.spec, plan.token_bridge)?;
    let genesis_block_hash = weft_state::genesis_header(&spec).hash();
    let deployment = weft_l1_bridge::deploy(
        &sender,
        &plan,
        &DeployParameters {
            admin: config.admin.unwrap_or_else(|| signer.address()),
            batcher: config.batcher,
            genesis_block_hash,
            chain_spec: &spec,
            forced_inclusion_delay: config.forced_inclusion_delay,
            challenge_window: config.challenge_window,
            resolution_time: config.resolution_time,
            escape_delay: config.escape_delay,
            challenge_bond: config.challenge_bond,
        },
    )
    .await?;
    let summary = DeploySummary {
        contract: deployment.contract,
        token_bridge: deployment.token_bridge,
        l1_block: deployment.block_number,
        l1_chain_id: client.chain_id().await?,
        l2_chain_id: spec.chain_id(),
        genesis_block_hash,
    };
    Ok(Deployed { spec, summary })
}

/// Reads a private key from an environment variable. Errors never show the value.
///
/// # Errors
/// When the variable is not set or holds no key.
pub fn key_from_env(variable: &str) -> Result<PrivateKeySigner, NodeError> {
    let value = std::env::var(variable)
        .map_err(|_| NodeError::Setup(format!("expected a private key in ${variable}")))?;
    value.trim().parse().map_err(|_| {
        NodeError::Setup(format!(
            "${variable} does not hold a private key: expected 32 bytes in hex"
        ))
    })
}
