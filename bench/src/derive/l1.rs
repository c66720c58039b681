//! An L1 that holds the chain: the one that `weft dev` has.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use alloy_eips::BlockNumHash;
use alloy_primitives::{Address, B256};
use tokio_util::sync::CancellationToken;
use weft_batcher::{
    BatchBlock, BatchBuilder, BatchHeader, BatchPolicy, BatchPoster, EventSink, Offer, Placement,
};
use weft_l1_bridge::{
    BlobReader, ContractPoster, DeployParameters, DeploymentPlan, L1Client, L1ClientConfig,
    TransactionManager, TxManagerConfig, deploy,
};
use weft_primitives::ChainSpec;
use weft_sequencer::{chain::ChainHandle, dev, l1::L1Config, node::Node};

use super::DeriveBenchError;

/// How often L1 is asked for news.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Far longer than a run takes, in seconds.
const DAY: u64 = 86_400;
/// How long a request to L1 may take.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct BenchL1 {
    url: String,
    contract: Address,
    poster: ContractPoster,
    _node: Node,
}

/// What was posted.
pub(super) struct PostedChain {
    pub(super) batches: u64,
    /// Bytes of all batches, as posted.
    pub(super) bytes: u64,
}

impl BenchL1 {
    pub(super) async fn start(
        data_dir: &Path,
        spec: &ChainSpec,
        stop: &CancellationToken,
    ) -> Result<Self, DeriveBenchError> {
        std::fs::create_dir_all(data_dir)?;
        let host = Ipv4Addr::LOCALHOST.into();
        let node = dev::start_l1(data_dir, host, 0, None, stop.child_token()).await?;
        let url = format!("http://{}", node.address());
        let config = L1ClientConfig {
            timeout: TIMEOUT,
            ..L1ClientConfig::default()
        };
        let client = L1Client::new(&url, config)?;
        let operator = dev::operator()?;
        let config = TxManagerConfig {
            poll_interval: POLL_INTERVAL,
            ..TxManagerConfig::default()
        };
        let sender = TransactionManager::new(client.clone(), operator.clone(), config);
        let plan = DeploymentPlan::of_account(&client, operator.address()).await?;
        let deployment = deploy(
            &sender,
            &plan,
            &DeployParameters {
                admin: operator.address(),
                batcher: operator.address(),
                genesis_block_hash: weft_state::genesis_header(spec).hash(),
                chain_spec: spec,
                forced_inclusion_delay: DAY,
                challenge_window: DAY,
                resolution_time: DAY,
                escape_delay: 3 * DAY,
                challenge_bond: 1,
            },
        )
        .await?;
        Ok(Self {
            url,
            contract: deployment.contract,
            poster: ContractPoster::new(client, sender, deployment.contract, 0),
            _node: node,
        })
    }

    /// How a follower reads it.
    pub(super) fn config(&self) -> L1Config {
        L1Config {
            url: self.url.clone(),
            contract: self.contract,
            timeout: TIMEOUT,
            poll_interval: Duration::from_millis(100),
            deposit_confirmations: 0,
            safe_confirmations: 1,
            blobs: BlobReader::default(),
            ledger: None,
            batcher: None,
        }
    }

    /// Posts the chain in batches as the batcher makes them.
    pub(super) async fn post(&self, chain: &ChainHandle) -> Result<PostedChain, DeriveBenchError> {
        let (store, head) = (chain.store(), chain.head().number);
        let mut posted = PostedChain {
            batches: 0,
            bytes: 0,
        };
        let mut previous = B256::ZERO;
        let mut next = 1;
        while next <= head {
            let mut builder = BatchBuilder::new(BatchPolicy::default(), next);
            while let Some(block) = store.block(builder.next_block())? {
                if builder.offer(BatchBlock::from(&block))? != Offer::Taken {
                    break;
                }
            }
            let closed = builder.close(0)?;
            let Some(last) = store.header(closed.last_block)? else {
                break;
            };
            posted.bytes += closed.data.len() as u64;
            let prepared = self
                .poster
                .prepare(Placement::Calldata, closed.data)
                .await?;
            let header = BatchHeader {
                previous_batch_hash: previous,
                first_block: closed.first_block,
                last_block: closed.last_block,
                last_block_hash: last.hash(),
                state_root: last.state_root,
                withdrawals_root: B256::ZERO,
                l1_origin: BlockNumHash::default(),
                deposits_consumed: 0,
                blob_count: prepared.blob_count,
                data_hash: prepared.data_hash,
            };
            self.poster
                .post(posted.batches, &header, &prepared, &EventSink::default())
                .await?;
            previous = header.hash();
            posted.batches += 1;
            next = closed.last_block + 1;
        }
        Ok(posted)
    }
}
