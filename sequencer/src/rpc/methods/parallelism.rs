use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use alloy_primitives::{Address, B256, U64, U256};
use serde::Serialize;
use weft_executor_parallel::{BlockAccessList, Conflict, Location, access_list_hash};

use crate::{
    chain::{BlockRecord, RecordError},
    rpc::{
        RpcError,
        api::{Api, Registry},
        json::to_u64,
        params::Arguments,
        workers::Deadline,
    },
};

/// Most blocks that `weft_getConflicts` looks at, and how many without an argument.
const MAX_BLOCKS: u64 = 64;
const DEFAULT_BLOCKS: u64 = 16;
/// Most places that it tells of.
const MAX_PLACES: usize = 100;

/// Methods about how the transactions of blocks get along with each other.
pub(super) fn register(registry: &mut Registry) {
    registry.long("weft_getBlockAccessList", 1, block_access_list);
    registry.long("weft_getBlockParallelism", 1, block_parallelism);
    registry.long("weft_getConflicts", 1, conflicts);
}

impl From<RecordError> for RpcError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::StateNotKept(number) => Self::StateNotKept(number),
            RecordError::State(error) => Self::State(error),
            RecordError::Execution { .. } => {
                tracing::error!(%error, "a durable block cannot be executed again");
                Self::Internal("the block could not be executed again")
            }
        }
    }
}

/// The record of the block that is asked for; `None` when the chain has no such block.
fn record(api: &Api, mut arguments: Arguments) -> Result<Option<Arc<BlockRecord>>, RpcError> {
    let id = super::block_or_latest(&mut arguments)?;
    match api.number_of(id)? {
        None => Ok(None),
        Some(number) => Ok(api.chain.record(number)?),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessListJson {
    #[serde(with = "alloy_serde::quantity")]
    block_number: u64,
    block_hash: B256,
    /// keccak-256 of the list's RLP.
    access_list_hash: B256,
    access_list: BlockAccessList,
}

fn block_access_list(
    api: &Api,
    arguments: Arguments,
    deadline: Deadline,
) -> Result<Option<AccessListJson>, RpcError> {
    let Some(record) = record(api, arguments)? else {
        return Ok(None);
    };
    deadline.check()?;
    let access_list = record.access_list();
    Ok(Some(AccessListJson {
        block_number: record.number(),
        block_hash: record.hash(),
        access_list_hash: access_list_hash(&access_list),
        access_list,
    }))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ParallelismJson {
    #[serde(with = "alloy_serde::quantity")]
    block_number: u64,
    block_hash: B256,
    #[serde(with = "alloy_serde::quantity")]
    transactions: u64,
    #[serde(with = "alloy_serde::quantity")]
    gas_used: u64,
    #[serde(with = "alloy_serde::quantity")]
    lanes: u64,
    #[serde(with = "alloy_serde::quantity")]
    dependencies: u64,
    #[serde(with = "alloy_serde::quantity")]
    critical_path_gas: u64,
    speed_up_bound: f64,
    execution: Option<ExecutionJson>,
}

/// How this process executed a block.
#[derive(Debug, Serialize)]
struct ExecutionJson {
    #[serde(with = "alloy_serde::quantity")]
    threads: u64,
    #[serde(with = "alloy_serde::quantity")]
    speculated: u64,
    #[serde(with = "alloy_serde::quantity")]
    reexecutions: u64,
}

fn block_parallelism(
    api: &Api,
    arguments: Arguments,
    deadline: Deadline,
) -> Result<Option<ParallelismJson>, RpcError> {
    let Some(record) = record(api, arguments)? else {
        return Ok(None);
    };
    deadline.check()?;
    let parallelism = record.parallelism();
    Ok(Some(ParallelismJson {
        block_number: record.number(),
        block_hash: record.hash(),
        transactions: to_u64(parallelism.transactions),
        gas_used: parallelism.gas_used,
        lanes: to_u64(parallelism.lanes),
        dependencies: to_u64(parallelism.dependencies),
        critical_path_gas: parallelism.critical_path_gas,
        speed_up_bound: parallelism.speed_up_bound,
        execution: record.stats().map(|stats| ExecutionJson {
            threads: to_u64(stats.threads),
            speculated: to_u64(stats.speculated),
            reexecutions: to_u64(stats.reexecutions),
        }),
    }))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConflictsJson {
    #[serde(with = "alloy_serde::quantity")]
    first_block: u64,
    #[serde(with = "alloy_serde::quantity")]
    last_block: u64,
    #[serde(with = "alloy_serde::quantity")]
    gas_used: u64,
    conflicts: Vec<ConflictJson>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConflictJson {
    address: Address,
    /// `None` for the account itself.
    slot: Option<U256>,
    #[serde(with = "alloy_serde::quantity")]
    blocks: u64,
    #[serde(with = "alloy_serde::quantity")]
    transactions: u64,
    #[serde(with = "alloy_serde::quantity")]
    gas: u64,
}

fn conflicts(
    api: &Api,
    mut arguments: Arguments,
    deadline: Deadline,
) -> Result<ConflictsJson, RpcError> {
    let blocks = arguments
        .optional::<U64>("a number of blocks")?
        .map_or(DEFAULT_BLOCKS, |blocks| blocks.to());
    if blocks == 0 {
        return Err(RpcError::InvalidParams(
            "invalid argument 0: expected at least one block".into(),
        ));
    }
    if blocks > MAX_BLOCKS {
        return Err(RpcError::LimitExceeded(format!(
            "at most {MAX_BLOCKS} blocks, found {blocks}"
        )));
    }
    let last_block = api.chain.head().number;
    let first_block = last_block.saturating_sub(blocks.saturating_sub(1));
    let mut gas_used = 0_u64;
    let mut places: HashMap<Location, (u64, Conflict)> = HashMap::new();
    for number in first_block..=last_block {
        deadline.check()?;
        let record = api
            .chain
            .record(number)?
            .ok_or(RpcError::UnknownBlock("header not found"))?;
        let parallelism = record.parallelism();
        gas_used = gas_used.saturating_add(parallelism.gas_used);
        for conflict in &parallelism.conflicts {
            match places.entry(conflict.location) {
                Entry::Vacant(entry) => {
                    entry.insert((1, *conflict));
                }
                Entry::Occupied(mut entry) => {
                    let (blocks, sum) = entry.get_mut();
                    *blocks = blocks.saturating_add(1);
                    sum.transactions = sum.transactions.saturating_add(conflict.transactions);
                    sum.gas = sum.gas.saturating_add(conflict.gas);
                }
            }
        }
    }
    let mut places: Vec<_> = places.into_values().collect();
    places.sort_unstable_by_key(|(_, conflict)| (Reverse(conflict.gas), conflict.location));
    Ok(ConflictsJson {
        first_block,
        last_block,
        gas_used,
        conflicts: places
            .into_iter()
            .take(MAX_PLACES)
            .map(|(blocks, conflict)| ConflictJson {
                address: conflict.location.address(),
                slot: conflict.location.slot(),
                blocks,
                transactions: to_u64(conflict.transactions),
                gas: conflict.gas,
            })
            .collect(),
    })
}
