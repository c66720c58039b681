use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use alloy_primitives::{Address, B256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieAccount, TrieMask,
    nodes::{BranchNode, ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use rayon::prelude::*;
use weft_executor_core::{Account, ChangeSet};
use weft_primitives::ChainSpec;

use crate::{
    StateError, Store, StoreOptions, TrieUpdates,
    commit::{Writer, write_genesis_block},
    data_folder::DataFolder,
    encoding,
    genesis::genesis_changes,
    open::open_tables,
    tables::{Table, Tables},
    trie::{AccountNodes, UnwrittenTrie, storage_root},
};

/// Accounts of a state that is too large for a genesis file, each by its index. They have neither
/// code nor storage, and no two have the same address.
pub trait ImportedAccounts: Sync {
    /// How many there are.
    fn count(&self) -> u32;

    /// The account at an index below [`ImportedAccounts::count`]; it is asked for several times.
    fn account(&self, index: u32) -> (Address, Account);
}

/// An account by the first bytes of its address, or of the hash of it.
type Entry = (u64, u32);

/// Parts of the trie that are built at the same time: what they have built is in memory until it is
/// written.
const PARTS: usize = 64;

impl Store {
    /// Creates a store in `path`, which must be absent or empty, whose genesis has the accounts of
    /// `spec` and these besides. It is sorted and written in one go, with 16 bytes of memory for each
    /// account. From then on the folder is opened with the same `spec`.
    ///
    /// # Errors
    /// As [`Store::open`], and when the folder holds a chain.
    pub fn import(
        path: &Path,
        spec: &ChainSpec,
        options: &StoreOptions,
        accounts: &impl ImportedAccounts,
    ) -> Result<Self, StateError> {
        let folder = DataFolder::open(path)?;
        if folder.genesis_hash(spec)?.is_some() {
            return Err(StateError::NotEmpty(path.to_owned()));
        }
        folder.begin(spec)?;
        let tables = open_tables(&folder, options, || Ok(()))?;
        let writer = Writer::new(folder.acknowledged(true)?);
        write_flat(&tables, accounts)?;
        let changes = genesis_changes(spec);
        let trie = write_trie(&tables, &changes, accounts)?;
        let header = write_genesis_block(&tables, spec, changes, trie)?;
        // What the tables hold is from before block 0 was written. They must name it, too.
        tables.flush().map_err(failed)?;
        folder.finish(spec, header.hash())?;
        let trie = UnwrittenTrie::none(header.number);
        Ok(Self::assemble(
            folder, tables, writer, header, trie, options,
        ))
    }
}

fn sorted(count: u32, start: impl Fn(u32) -> u64 + Sync) -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..count)
        .into_par_iter()
        .map(|index| (start(index), index))
        .collect();
    entries.par_sort_unstable();
    entries
}

fn start_of(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn failed(source: fjall::Error) -> StateError {
    StateError::Write { number: 0, source }
}

fn io_failed(error: io::Error) -> StateError {
    failed(fjall::Error::Io(error))
}

fn write_flat(tables: &Tables, accounts: &impl ImportedAccounts) -> Result<(), StateError> {
    let entries = sorted(accounts.count(), |index| {
        start_of(accounts.account(index).0.as_slice())
    });
    let in_order = entries
        .chunk_by(|left, right| left.0 == right.0)
        .flat_map(|equal| {
            let mut equal: Vec<_> = equal
                .iter()
                .map(|(_, index)| accounts.account(*index))
                .collect();
            equal.sort_unstable_by_key(|(address, _)| *address);
            equal
        })
        .map(|(address, account)| Ok((address, encoding::encode_account(&account))));
    tables.accounts.ingest(in_order).map_err(failed)
}

/// Builds the account trie and writes its nodes. What comes back has its root, and the storage tries
/// of the genesis file's accounts.
fn write_trie(
    tables: &Tables,
    changes: &ChangeSet,
    accounts: &impl ImportedAccounts,
) -> Result<TrieUpdates, StateError> {
    let snapshot = tables.database.snapshot();
    let nodes = AccountNodes {
        tables,
        snapshot: &snapshot,
        layers: &[],
    };
    // Those of the genesis file come behind the imported ones.
    let mut genesis = Vec::new();
    let mut trie = TrieUpdates::default();
    for (address, change) in &changes.accounts {
        let Some(account) = change.after else {
            continue;
        };
        let address_hash = keccak256(address);
        let mut root = EMPTY_ROOT_HASH;
        if let Some(outcome) = storage_root(&nodes, address_hash, change)? {
            root = outcome.root;
            trie.storage.push((address_hash, outcome.updates));
        }
        genesis.push((*address, account, root));
    }
    let imported = accounts.count();
    let leaf = |index: u32| match index.checked_sub(imported) {
        None => {
            let (address, account) = accounts.account(index);
            (address, account, EMPTY_ROOT_HASH)
        }
        Some(index) => genesis.get(index as usize).copied().unwrap_or_default(),
    };
    let count = imported.saturating_add(u32::try_from(genesis.len()).unwrap_or(u32::MAX));
    let entries = sorted(count, |index| start_of(keccak256(leaf(index).0).as_slice()));
    let builder = Builder { leaf: &leaf };

    let mut levels = Levels::default();
    let mut children = Vec::new();
    let groups: Vec<&[Entry]> = entries.chunk_by(|l, r| l.0 >> 56 == r.0 >> 56).collect();
    // Where the two uppermost levels are not full, the trie is small.
    let (root, rest) = if groups.len() < 256 {
        builder.build(&entries, 0)
    } else {
        for groups in groups.chunks(PARTS) {
            let parts: Vec<_> = groups
                .par_iter()
                .map(|part| builder.build(part, 2))
                .collect();
            for (reference, nodes) in parts {
                children.push(reference);
                levels.write(nodes).map_err(io_failed)?;
            }
        }
        uppermost(&children)
    };
    levels.write(rest).map_err(io_failed)?;
    let table = &tables.account_trie;
    levels.ingest(table)?;
    trie.root = root.as_hash().unwrap_or(EMPTY_ROOT_HASH);
    Ok(trie)
}

/// Nodes with their paths; of those at one depth, in the order of their paths.
type Nodes = Vec<(Nibbles, Vec<u8>)>;

struct Builder<'a, F> {
    /// Address, account and storage root at an index.
    leaf: &'a F,
}

impl<F: Fn(u32) -> (Address, Account, B256) + Sync> Builder<'_, F> {
    /// The trie of these entries, which are in the order of their keys and share `depth` nibbles.
    fn build(&self, entries: &[Entry], depth: usize) -> (RlpNode, Nodes) {
        let mut nodes = Nodes::new();
        let mut keys: Vec<(B256, u32)> = entries
            .iter()
            .map(|(_, index)| (keccak256((self.leaf)(*index).0), *index))
            .collect();
        keys.sort_unstable();
        let root = self.node(&keys, depth, &mut nodes);
        (root, nodes)
    }

    fn node(&self, keys: &[(B256, u32)], depth: usize, nodes: &mut Nodes) -> RlpNode {
        let (Some((first, index)), Some((last, _))) = (keys.first(), keys.last()) else {
            return RlpNode::default();
        };
        let path = Nibbles::unpack(first);
        if keys.len() == 1 {
            let (_, account, root) = (self.leaf)(*index);
            let value = alloy_rlp::encode(TrieAccount::new(
                account.nonce,
                account.balance,
                root,
                account.code_hash,
            ));
            let key = path.slice(depth..);
            let node = LeafNodeRef {
                key: &key,
                value: &value,
            };
            return emit(path.slice(..depth), &node, nodes);
        }
        let fork = path.common_prefix_length(&Nibbles::unpack(last));
        let mut references = Vec::new();
        let mut mask = TrieMask::default();
        for group in keys.chunk_by(|left, right| {
            Nibbles::unpack(left.0).get(fork) == Nibbles::unpack(right.0).get(fork)
        }) {
            let nibble = group
                .first()
                .and_then(|(key, _)| Nibbles::unpack(key).get(fork));
            mask.set_bit(nibble.unwrap_or_default());
            references.push(self.node(group, fork.saturating_add(1), nodes));
        }
        let branch = emit(
            path.slice(..fork),
            &BranchNode::new(references, mask),
            nodes,
        );
        if fork == depth {
            return branch;
        }
        let key = path.slice(depth..fork);
        let node = ExtensionNodeRef {
            key: &key,
            child: &branch,
        };
        emit(path.slice(..depth), &node, nodes)
    }
}

/// The branches above all 256 nodes at depth 2.
fn uppermost(children: &[RlpNode]) -> (RlpNode, Nodes) {
    let mut nodes = Nodes::new();
    let full = TrieMask::new(u16::MAX);
    let branches = (0u8..)
        .zip(children.chunks(16))
        .map(|(nibble, children)| {
            let node = BranchNode::new(children.to_vec(), full);
            emit(Nibbles::from_nibbles_unchecked([nibble]), &node, &mut nodes)
        })
        .collect();
    let root = emit(Nibbles::new(), &BranchNode::new(branches, full), &mut nodes);
    (root, nodes)
}

fn emit(path: Nibbles, node: &impl Encodable, nodes: &mut Nodes) -> RlpNode {
    let bytes = alloy_rlp::encode(node);
    let reference = if path.is_empty() {
        RlpNode::word_rlp(&keccak256(&bytes))
    } else {
        RlpNode::from_rlp(&bytes)
    };
    if reference.is_hash() {
        nodes.push((path, bytes));
    }
    reference
}

/// Nodes on their way into the database, whose keys sort by depth: a temporary file for each depth.
#[derive(Default)]
struct Levels {
    files: Vec<BufWriter<File>>,
}

impl Levels {
    fn write(&mut self, nodes: Nodes) -> io::Result<()> {
        for (path, node) in nodes {
            while self.files.len() <= path.len() {
                self.files.push(BufWriter::new(tempfile::tempfile()?));
            }
            let Some(file) = self.files.get_mut(path.len()) else {
                continue;
            };
            let key = encoding::account_node_key(&path);
            let key = key.as_ref();
            file.write_all(&(key.len() as u32).to_be_bytes())?;
            file.write_all(&(node.len() as u32).to_be_bytes())?;
            file.write_all(key)?;
            file.write_all(&node)?;
        }
        Ok(())
    }

    fn ingest(self, table: &Table) -> Result<(), StateError> {
        let mut files = Vec::with_capacity(self.files.len());
        for file in self.files {
            let file = file.into_inner().map_err(|error| error.into_error());
            let mut file = file.map_err(io_failed)?;
            file.rewind().map_err(io_failed)?;
            files.push(BufReader::new(file));
        }
        let nodes = files
            .iter_mut()
            .flat_map(|file| std::iter::from_fn(|| next_node(file).transpose()));
        table.ingest(nodes).map_err(failed)
    }
}

fn next_node(file: &mut BufReader<File>) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match file.read_exact(&mut lengths) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let lengths = u64::from_be_bytes(lengths);
    let mut key = vec![0; (lengths >> 32) as usize];
    let mut node = vec![0; (lengths & u64::from(u32::MAX)) as usize];
    file.read_exact(&mut key)?;
    file.read_exact(&mut node)?;
    Ok(Some((key, node)))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{KECCAK256_EMPTY, U256};
    use weft_executor_core::StateView;

    use super::*;

    struct Some1000(u32);

    impl ImportedAccounts for Some1000 {
        fn count(&self) -> u32 {
            self.0
        }

        fn account(&self, index: u32) -> (Address, Account) {
            let address = Address::from_word(keccak256(index.to_be_bytes()));
            let account = Account {
                nonce: u64::from(index % 3),
                balance: U256::from(index),
                code_hash: KECCAK256_EMPTY,
            };
            (address, account)
        }
    }

    /// The imported state has the root that a trie has which grew account by account, with the same
    /// nodes in the store.
    #[test]
    fn imported_state_is_as_if_it_had_grown() {
        let spec = ChainSpec::from_json(
            br#"{"config":{"chainId":7},"gasLimit":"0x1c9c380","difficulty":"0x0","alloc":{
            "0x0000000000000000000000000000000000000002":{"balance":"0x0","nonce":"0x9","code":"0x6001","storage":{
            "0x0000000000000000000000000000000000000000000000000000000000000001":"0x0000000000000000000000000000000000000000000000000000000000000005",
            "0x0000000000000000000000000000000000000000000000000000000000000003":"0x0000000000000000000000000000000000000000000000000000000000000008"}}}}"#,
        )
        .unwrap();
        // Few enough for one part, and enough for all of them.
        for count in [0, 1, 100, 6000] {
            let folder = tempfile::tempdir().unwrap();
            let (one, other) = (folder.path().join("one"), folder.path().join("other"));
            let options = StoreOptions::default();
            let imported = Store::import(&one, &spec, &options, &Some1000(count)).unwrap();
            let grown = Store::open_with(&other, &spec, &options).unwrap();
            let changes = ChangeSet {
                accounts: (0..count)
                    .map(|index| {
                        let (address, account) = Some1000(count).account(index);
                        let change = weft_executor_core::AccountChange {
                            after: Some(account),
                            ..Default::default()
                        };
                        (address, change)
                    })
                    .collect(),
                ..ChangeSet::default()
            };
            let (root, updates) = grown.state_root(&changes).unwrap();
            assert_eq!(imported.head().unwrap().state_root, root);
            let tables = &imported.inner.tables;
            let snapshot = tables.database.snapshot();
            for (path, node) in &updates.accounts {
                let stored = tables
                    .account_trie
                    .get(&snapshot, encoding::account_node_key(path))
                    .unwrap();
                assert_eq!(&stored, node);
            }
            drop(imported);
            // It opens as any other.
            let imported = Store::open_with(&one, &spec, &options).unwrap();
            let mut state = imported.latest_state().unwrap();
            for index in 0..count {
                let (address, account) = Some1000(count).account(index);
                assert_eq!(state.account(address).unwrap(), Some(account));
            }
            let contract = Address::with_last_byte(2);
            assert_eq!(
                state.storage(contract, U256::from(3)).unwrap(),
                U256::from(8)
            );
            let (_, proof) = imported.proof(contract, &[U256::from(1)]).unwrap();
            assert_eq!(proof.storage.first().unwrap().value, U256::from(5));
            assert!(matches!(
                Store::import(&other, &spec, &options, &Some1000(1)),
                Err(StateError::Locked(_))
            ));
            drop(grown);
            assert!(matches!(
                Store::import(&other, &spec, &options, &Some1000(1)),
                Err(StateError::NotEmpty(_))
            ));
        }
    }
}
