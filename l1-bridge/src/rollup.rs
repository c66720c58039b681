use std::io::Read;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_sol_types::{SolConstructor, SolEvent};
use weft_primitives::{ChainSpec, ChainSpecError};

use crate::{
    L1Client, L1Error, SendError, TransactionManager,
    contract::{Rollup, RollupParameters, TokenBridge},
};

/// Largest chain spec that is read from L1, in bytes of JSON.
const MAX_CHAIN_SPEC_BYTES: u64 = 64 << 20;

/// Largest zstd window of a posted chain spec, as a power of two in bytes.
const WINDOW_LOG: u32 = 23;

/// Longest initcode, with constructor arguments, that an L1 takes (EIP-3860), in bytes.
const MAX_INITCODE_BYTES: usize = 49_152;

/// Why there is no usable rollup contract at an address.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// L1 did not answer properly.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// The deployment did not get into L1.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Nothing is deployed there.
    #[error("no contract at {0} on this L1")]
    NoContract(Address),
    /// The contract is another one than this program was made for.
    #[error(
        "contract {contract} is not a weft rollup of version {expected}: found {}",
        found.map_or_else(
            || "one without a version: it is another contract, or an older one".to_owned(),
            |version| format!("version {version}"),
        )
    )]
    Version {
        /// The contract.
        contract: Address,
        /// The version that this program knows.
        expected: U256,
        /// The contract's; `None` when it names none.
        found: Option<U256>,
    },
    /// The contract does not announce a chain as a rollup does.
    #[error("contract {contract} is not a weft rollup: {reason}")]
    NotARollup {
        /// The contract.
        contract: Address,
        /// What is wrong.
        reason: String,
    },
    /// The posted chain spec cannot be decompressed.
    #[error("posted chain spec: {0}")]
    Decompress(std::io::Error),
    /// A contract does not stand where the genesis says.
    #[error(
        "deployment: expected the contract at {expected}, found {found:?}: {account} has sent another transaction meanwhile; deploy again"
    )]
    Moved {
        /// Where it should be.
        expected: Address,
        /// Where it is.
        found: Option<Address>,
        /// Who deploys.
        account: Address,
    },
    /// The chain spec cannot be compressed.
    #[error("chain spec: zstd: {0}")]
    Compress(std::io::Error),
    /// The posted chain spec is none.
    #[error("posted chain spec: {0}")]
    ChainSpec(#[from] ChainSpecError),
}

/// A chain to be put on an L1.
#[derive(Debug, Clone)]
pub struct DeployParameters<'a> {
    /// Gets the admin, the pauser and the resolver role.
    pub admin: Address,
    /// Gets the batcher role.
    pub batcher: Address,
    /// Hash of the chain's block 0.
    pub genesis_block_hash: B256,
    /// The chain.
    pub chain_spec: &'a ChainSpec,
    /// How long a batch may leave a deposit out, in seconds.
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
}

/// Where the contracts of a new chain will stand. The chain's genesis names the token bridge, and
/// the rollup's contract names the genesis, so that the addresses must be known first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeploymentPlan {
    /// The rollup's contract.
    pub rollup: Address,
    /// The token bridge.
    pub token_bridge: Address,
}

impl DeploymentPlan {
    /// The addresses of the next two contracts that the account creates. They hold as long as it
    /// sends nothing else.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn of_account(client: &L1Client, account: Address) -> Result<Self, L1Error> {
        let nonce = client.nonce(account, BlockNumberOrTag::Latest).await?;
        Ok(Self {
            rollup: account.create(nonce),
            token_bridge: account.create(nonce.saturating_add(1)),
        })
    }
}

/// The contracts of a chain, put on an L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment {
    /// The rollup's contract.
    pub contract: Address,
    /// The token bridge.
    pub token_bridge: Address,
    /// Number of the L1 block that holds it.
    pub block_number: u64,
    /// Hash of the L1 transaction.
    pub tx_hash: B256,
}

/// Puts the contracts of a new chain on L1. A chain spec that does not fit into one transaction is
/// left out; a follower then needs the chain's `genesis.json`.
///
/// # Errors
/// When a transaction does not get into L1, or the plan does not hold any more.
pub async fn deploy(
    sender: &TransactionManager,
    plan: &DeploymentPlan,
    parameters: &DeployParameters<'_>,
) -> Result<Deployment, RollupError> {
    let compressed = zstd::bulk::compress(&parameters.chain_spec.to_json(), 19)
        .map_err(RollupError::Compress)?;
    let mut initcode = initcode(parameters, compressed);
    if initcode.len() > MAX_INITCODE_BYTES {
        initcode = self::initcode(parameters, Vec::new());
    }
    let receipt = create(sender, plan.rollup, initcode).await?;
    let mut token_bridge = TokenBridge::BYTECODE.to_vec();
    token_bridge.extend(
        TokenBridge::constructorCall {
            rollup_: plan.rollup,
        }
        .abi_encode(),
    );
    create(sender, plan.token_bridge, token_bridge).await?;
    Ok(Deployment {
        contract: plan.rollup,
        token_bridge: plan.token_bridge,
        block_number: receipt.block_number.ok_or_else(|| {
            L1Error::answer("receipt of the deployment", "a block number", "none")
        })?,
        tx_hash: receipt.transaction_hash,
    })
}

async fn create(
    sender: &TransactionManager,
    expected: Address,
    initcode: Vec<u8>,
) -> Result<TransactionReceipt, RollupError> {
    let receipt = sender
        .send(TxKind::Create, U256::ZERO, initcode.into())
        .await?;
    if receipt.contract_address == Some(expected) {
        return Ok(receipt);
    }
    Err(RollupError::Moved {
        expected,
        found: receipt.contract_address,
        account: sender.address(),
    })
}

fn initcode(parameters: &DeployParameters<'_>, chain_spec: Vec<u8>) -> Vec<u8> {
    let arguments = Rollup::constructorCall {
        parameters: RollupParameters {
            admin: parameters.admin,
            batcher: parameters.batcher,
            genesisBlockHash: parameters.genesis_block_hash,
            chainSpecHash: keccak256(&chain_spec),
            forcedInclusionDelay: parameters.forced_inclusion_delay,
            challengeWindow: parameters.challenge_window,
            resolutionTime: parameters.resolution_time,
            escapeDelay: parameters.escape_delay,
            challengeBond: parameters.challenge_bond,
        },
        chainSpec: Bytes::from(chain_spec),
    };
    let mut initcode = Rollup::BYTECODE.to_vec();
    initcode.extend(arguments.abi_encode());
    initcode
}

/// The end of what a contract has taken in of its chain; block 0 while it has no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostedBlock {
    /// Number of the block.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// What a contract says about its chain once and for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupInfo {
    /// The contract.
    pub contract: Address,
    /// Number of the L1 block that holds the deployment.
    pub deployment_block: u64,
    /// Hash of the chain's block 0.
    pub genesis_block_hash: B256,
    /// `keccak256` of the chain spec as posted (compressed).
    pub chain_spec_hash: B256,
    /// The chain spec, when it was posted. Whoever rebuilds the chain checks it, or a file in its
    /// place, against [`Self::genesis_block_hash`].
    pub chain_spec: Option<ChainSpec>,
    /// How long a batch may leave a deposit out, in seconds.
    pub forced_inclusion_delay: u64,
}

impl RollupInfo {
    /// Whether the contract lets this account post batches, as of L1's latest block.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn takes_batches_from(
        &self,
        client: &L1Client,
        account: Address,
    ) -> Result<bool, L1Error> {
        let call = Rollup::hasRoleCall {
            role: keccak256("BATCHER_ROLE"),
            account,
        };
        client.view(self.contract, &call, BlockId::latest()).await
    }

    /// The last block that the contract has taken in, as of L1's latest block.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn last_posted_block(&self, client: &L1Client) -> Result<PostedBlock, L1Error> {
        // Both at one block, so that they fit each other.
        let at = BlockId::number(client.block_number().await?);
        Ok(PostedBlock {
            number: client
                .view(self.contract, &Rollup::lastBlockCall {}, at)
                .await?,
            hash: client
                .view(self.contract, &Rollup::lastBlockHashCall {}, at)
                .await?,
        })
    }

    /// Reads a contract.
    ///
    /// # Errors
    /// When L1 does not answer properly, or the contract is not a rollup's.
    pub async fn load(client: &L1Client, contract: Address) -> Result<Self, RollupError> {
        if client.code(contract).await?.is_empty() {
            return Err(RollupError::NoContract(contract));
        }
        check_version(client, contract).await?;
        let not_a_rollup = |reason: String| RollupError::NotARollup { contract, reason };
        let latest = BlockId::latest();
        let deployment_block: u64 = client
            .view(contract, &Rollup::deploymentBlockCall {}, latest)
            .await?
            .try_into()
            .map_err(|_| not_a_rollup("its deployment block is above 2^64".into()))?;
        let genesis_block_hash = client
            .view(contract, &Rollup::genesisBlockHashCall {}, latest)
            .await?;
        let chain_spec_hash = client
            .view(contract, &Rollup::chainSpecHashCall {}, latest)
            .await?;
        let forced_inclusion_delay = client
            .view(contract, &Rollup::forcedInclusionDelayCall {}, latest)
            .await?;
        let logs = client
            .logs(
                contract,
                &[Rollup::ChainCreated::SIGNATURE_HASH],
                deployment_block,
                deployment_block,
            )
            .await?;
        let [created] = logs.as_slice() else {
            return Err(not_a_rollup(format!(
                "expected one ChainCreated event in L1 block {deployment_block}, found {}",
                logs.len()
            )));
        };
        let created = Rollup::ChainCreated::decode_log(&created.content)
            .map_err(|error| not_a_rollup(format!("ChainCreated: {error}")))?;
        let posted_hash = keccak256(&created.chainSpec);
        if created.genesisBlockHash != genesis_block_hash
            || created.chainSpecHash != chain_spec_hash
            || posted_hash != chain_spec_hash
        {
            return Err(not_a_rollup(format!(
                "expected chain spec {chain_spec_hash} of genesis {genesis_block_hash} in its event, found {posted_hash} of {}",
                created.genesisBlockHash
            )));
        }
        Ok(Self {
            contract,
            deployment_block,
            genesis_block_hash,
            chain_spec_hash,
            chain_spec: decompress_chain_spec(&created.chainSpec)?,
            forced_inclusion_delay,
        })
    }
}

/// `VERSION` of the contract in `l1-bridge/contracts`.
const VERSION: U256 = U256::from_limbs([2, 0, 0, 0]);

async fn check_version(client: &L1Client, contract: Address) -> Result<(), RollupError> {
    let call = Rollup::VERSIONCall {};
    let found = match client.view(contract, &call, BlockId::latest()).await {
        Ok(version) if version == VERSION => return Ok(()),
        Ok(version) => Some(version),
        Err(L1Error::Refused {
            revert: Some(_), ..
        }) => None,
        Err(error) => return Err(error.into()),
    };
    Err(RollupError::Version {
        contract,
        expected: VERSION,
        found,
    })
}

fn decompress_chain_spec(posted: &[u8]) -> Result<Option<ChainSpec>, RollupError> {
    if posted.is_empty() {
        return Ok(None);
    }
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(posted).map_err(RollupError::Decompress)?;
    decoder
        .window_log_max(WINDOW_LOG)
        .map_err(RollupError::Decompress)?;
    let mut json = Vec::new();
    // Text cut off at the limit is not JSON any more.
    decoder
        .take(MAX_CHAIN_SPEC_BYTES)
        .read_to_end(&mut json)
        .map_err(RollupError::Decompress)?;
    Ok(Some(ChainSpec::from_json(&json)?))
}
