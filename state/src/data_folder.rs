//! The files around the database: who the folder belongs to, who has it open, and how far the
//! chain was acknowledged.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};
use weft_primitives::ChainSpec;

use crate::StateError;

/// Version of everything under the data folder. Any change of a key, a value or a file raises it.
pub(crate) const FORMAT_VERSION: u32 = 3;

const IDENTITY: &str = "weft.json";
const NEW_IDENTITY: &str = "weft.json.new";
const LOCK: &str = "lock";
const DATABASE: &str = "db";
/// In the database.
pub(crate) const KEYSPACES_FOLDER: &str = "keyspaces";
const ACKNOWLEDGED: &str = "acknowledged";

/// Content of `weft.json`. A damaged name of a field must not pass for an absent genesis.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    format_version: u32,
    chain_id: u64,
    /// keccak-256 of the chain spec's JSON.
    spec_hash: B256,
    /// Absent until the genesis block is durable. Until then nothing was answered to anybody, and
    /// an unfinished folder is made anew.
    genesis_hash: Option<B256>,
}

impl Identity {
    fn new(spec: &ChainSpec, genesis_hash: Option<B256>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            chain_id: spec.chain_id(),
            spec_hash: keccak256(spec.to_json()),
            genesis_hash,
        }
    }
}

/// A data folder that this process alone has open.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Locks the folder, which is made when absent. A folder that belongs to somebody else is left
    /// as it is.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(path).map_err(|source| failed("create", path, source))?;
        sync_name(path).map_err(|source| failed("sync the folder of", path, source))?;
        let entries = fs::read_dir(path).map_err(|source| failed("list", path, source))?;
        let (mut ours, mut foreign) = (false, false);
        for entry in entries {
            let name = entry
                .map_err(|source| failed("list", path, source))?
                .file_name();
            ours |= name == IDENTITY;
            foreign |= name != NEW_IDENTITY && name != LOCK;
        }
        if foreign && !ours {
            return Err(StateError::ForeignFolder(path.to_owned()));
        }
        let lock_path = path.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| failed("open", &lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed("lock", &lock_path, source)),
        }
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(crate) fn locked(&self) -> StateError {
        StateError::Locked(self.path.clone())
    }

    pub(crate) fn damaged(&self, reason: impl ToString) -> StateError {
        StateError::Damaged {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    /// A file of the database could not be read: the system refuses it, or it is damaged.
    pub(crate) fn unreadable(&self, path: &Path, source: io::Error) -> StateError {
        match source.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::StorageFull
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::QuotaExceeded => failed("open", path, source),
            _ => self.damaged(format!("{} cannot be read: {source}", path.display())),
        }
    }

    /// Genesis hash of the chain in the folder, after checking that it is the one that `spec`
    /// describes; `None` when there is no whole chain yet.
    pub(crate) fn genesis_hash(&self, spec: &ChainSpec) -> Result<Option<B256>, StateError> {
        let path = self.path.join(IDENTITY);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("read", &path, source)),
        };
        let unreadable = |error: serde_json::Error| StateError::Identity {
            path: self.path.clone(),
            reason: error.to_string(),
        };
        // The version first: another format may have other fields.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let found = serde_json::from_slice::<Version>(&text)
            .map_err(unreadable)?
            .format_version;
        if found != FORMAT_VERSION {
            return Err(StateError::FormatVersion {
                path: self.path.clone(),
                expected: FORMAT_VERSION,
                found,
            });
        }
        let identity: Identity = serde_json::from_slice(&text).map_err(unreadable)?;
        let spec_hash = keccak256(spec.to_json());
        if (identity.chain_id, identity.spec_hash) != (spec.chain_id(), spec_hash) {
            return Err(StateError::OtherChain {
                path: self.path.clone(),
                expected_chain_id: spec.chain_id(),
                expected_spec: spec_hash,
                found_chain_id: identity.chain_id,
                found_spec: identity.spec_hash,
            });
        }
        Ok(identity.genesis_hash)
    }

    /// Says that the folder is going to hold this chain, and removes what an unfinished creation
    /// has left.
    pub(crate) fn begin(&self, spec: &ChainSpec) -> Result<(), StateError> {
        self.write_identity(&Identity::new(spec, None))?;
        let database = self.database();
        match fs::remove_dir_all(&database) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("remove", &database, source)),
        }
    }

    /// Makes the names of the keyspaces' folders durable: fjall syncs what is in them, and the folder
    /// around them only before it makes them.
    pub(crate) fn sync_keyspaces(&self) -> Result<(), StateError> {
        let path = self.database().join(KEYSPACES_FOLDER);
        File::open(&path)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| failed("sync", &path, source))
    }

    /// Says that the genesis block is durable.
    pub(crate) fn finish(&self, spec: &ChainSpec, genesis_hash: B256) -> Result<(), StateError> {
        self.write_identity(&Identity::new(spec, Some(genesis_hash)))
    }

    fn write_identity(&self, identity: &Identity) -> Result<(), StateError> {
        let (new, path) = (self.path.join(NEW_IDENTITY), self.path.join(IDENTITY));
        let write = || {
            let mut file = File::create(&new)?;
            serde_json::to_writer_pretty(&mut file, identity)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| failed("write", &path, source))
    }

    /// Opens the record of the last acknowledged block, or makes one that says block 0.
    pub(crate) fn acknowledged(&self, create: bool) -> Result<Acknowledged, StateError> {
        let path = self.path.join(ACKNOWLEDGED);
        let file = File::options()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(&path)
            .map_err(|source| failed("open", &path, source))?;
        let record = Acknowledged { file, path };
        if create {
            record.write(0)?;
            record
                .file
                .sync_all()
                .map_err(|source| failed("write", &record.path, source))?;
        }
        Ok(record)
    }
}

/// Number of the last block that was durable when somebody was told so.
///
/// It is written after the block, without waiting for the disk, so it may lag behind but never runs
/// ahead: a database that ends before it has lost an acknowledged block (invariant I2), which its
/// own journal cannot tell from a write that was cut off.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    file: File,
    path: PathBuf,
}

impl Acknowledged {
    /// The number; `None` when the record is damaged.
    pub(crate) fn read(&self) -> Result<Option<u64>, StateError> {
        let mut record = [0; 16];
        match self.file.read_exact_at(&mut record, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(source) => return Err(failed("read", &self.path, source)),
        }
        let number = u64::from_be_bytes(*record.first_chunk().unwrap_or(&[0; 8]));
        Ok((record == encode(number)).then_some(number))
    }

    /// Writes the number. Fails when somebody has removed the folder: what is written into removed
    /// files is gone when this process ends, and must not be acknowledged.
    pub(crate) fn write(&self, number: u64) -> Result<(), StateError> {
        self.check_present()
            .and_then(|()| self.file.write_all_at(&encode(number), 0))
            .map_err(|source| failed("write", &self.path, source))
    }
}

impl Acknowledged {
    /// Writes a number that is below the last one, and waits until it is on disk: a chain that is
    /// about to get shorter must not be taken for one that has lost blocks.
    pub(crate) fn lower(&self, number: u64) -> Result<(), StateError> {
        self.write(number)?;
        self.file
            .sync_all()
            .map_err(|source| failed("sync", &self.path, source))
    }

    fn check_present(&self) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it was removed while in use",
            ));
        }
        Ok(())
    }
}

/// The number and its complement, which tells a record from anything else.
fn encode(number: u64) -> [u8; 16] {
    ((u128::from(number) << 64) | u128::from(!number)).to_be_bytes()
}

/// Makes the folder's name durable, and that of the folder around it: without it a loss of power takes
/// all that is inside, and the next start finds no chain. Some systems do not let every folder be
/// opened; its owner has made its name durable then.
fn sync_name(path: &Path) -> io::Result<()> {
    for folder in path.ancestors().skip(1).take(2) {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        match File::open(folder) {
            Ok(folder) => folder.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StateError {
    StateError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
