//! Compiled programs in a folder, so that a node that starts again does not compile them again.
//!
//! Native code that is loaded is executed, so nothing is taken from a file that this node has not
//! written: each carries a checksum under a key that only this node has. The folder belongs to the
//! user that the node runs as, and to nobody else: who can write to it could replace the key.

use std::{
    fs::{self, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::SystemTime,
};

use alloy_primitives::{B256, Keccak256, hex};
use parking_lot::Mutex;
use wasmtime::{Engine, Module};

/// Most that the files of one folder take together, in bytes.
const FOLDER_BYTES: u64 = 1 << 30;

/// Most that one file may be long. Native code of the longest module stays far below it.
const FILE_BYTES: u64 = 64 << 20;

/// What every file begins with, after its checksum. The number changes with the layout.
const MAGIC: [u8; 8] = *b"weftwsm1";

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const EXTENSION: &str = "compiled";
const UNFINISHED_EXTENSION: &str = "unfinished";

/// Compiled programs on disk. What cannot be read or written is done without.
pub(crate) struct DiskCache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    limit: u64,
    writing: Mutex<()>,
    files_written: AtomicU64,
    warned: AtomicBool,
}

impl std::fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskCache")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl DiskCache {
    /// The cache in this folder, which is made when it is not there. At most 1 GiB of files stay
    /// in it, the ones used least recently go first.
    ///
    /// # Errors
    /// When the folder, or the key in it, is not there and cannot be made. A node can run without.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        Self::with_limit(folder, FOLDER_BYTES)
    }

    fn with_limit(folder: &Path, limit: u64) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let key = match read_key(folder) {
            Some(key) => key,
            None => make_key(folder)?,
        };
        let cache = Self {
            folder: folder.to_owned(),
            key,
            limit,
            writing: Mutex::new(()),
            files_written: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        };
        cache.remove_unfinished();
        Ok(cache)
    }

    /// The compiled module, if a file has exactly what would be compiled now.
    pub(crate) fn load(&self, engine: &Engine, code_hash: B256, source: B256) -> Option<Module> {
        let path = self.path(code_hash);
        let bytes = match read_file(&path, FILE_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.warn("read", &error);
                }
                return None;
            }
        };
        let (checksum, content) = bytes.split_at_checked(B256::len_bytes())?;
        if checksum != self.checksum(content) {
            return None;
        }
        let native = content.strip_prefix(header(engine, code_hash, source).as_slice())?;
        let module = deserialize(engine, native)?;
        // Only the order of removal hangs on the time.
        if let Ok(file) = File::open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(module)
    }

    /// Keeps a compiled module for [`Self::load`].
    pub(crate) fn store(&self, module: &Module, code_hash: B256, source: B256) {
        let stored = module
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|native| {
                let mut content = header(module.engine(), code_hash, source);
                content.extend_from_slice(&native);
                self.write(code_hash, &content)
            });
        if let Err(error) = stored {
            self.warn("written", &error);
        }
    }

    fn write(&self, code_hash: B256, content: &[u8]) -> io::Result<()> {
        let length = (B256::len_bytes() + content.len()) as u64;
        if length > FILE_BYTES.min(self.limit) {
            return Ok(());
        }
        let _one_at_a_time = self.writing.lock();
        self.make_room(length)?;
        let number = self.files_written.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(format!(
            "{code_hash:x}.{}.{number}.{UNFINISHED_EXTENSION}",
            process::id()
        ));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| {
                file.write_all(self.checksum(content).as_slice())?;
                file.write_all(content)
            })
            .and_then(|()| fs::rename(&unfinished, self.path(code_hash)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes the files used least recently until one of this length fits in.
    fn make_room(&self, length: u64) -> io::Result<()> {
        let mut files = Vec::new();
        let mut total = length;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (path, metadata) = (entry.path(), entry.metadata()?);
            if path.extension().is_some_and(|found| found == EXTENSION) {
                total = total.saturating_add(metadata.len());
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
        files.sort();
        for (_, length, path) in files {
            if total <= self.limit {
                break;
            }
            fs::remove_file(path)?;
            total = total.saturating_sub(length);
        }
        Ok(())
    }

    /// Removes what a process that was killed has left behind.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let unfinished = |found| found == UNFINISHED_EXTENSION;
            if path.extension().is_some_and(unfinished) {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn path(&self, code_hash: B256) -> PathBuf {
        self.folder.join(format!("{code_hash:x}.{EXTENSION}"))
    }

    /// Keccak is not open to length extension, so the key in front makes it a keyed checksum.
    fn checksum(&self, content: &[u8]) -> B256 {
        let mut hash = Keccak256::new();
        hash.update(self.key);
        hash.update(content);
        hash.finalize()
    }

    /// Says once that the cache does not work: every program would say it again.
    fn warn(&self, what: &str, error: &io::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                folder = %self.folder.display(),
                %error,
                "compiled programs could not be {what}; they are compiled again"
            );
        }
    }
}

/// What a file says about the code in it: what it was made from, and by which compiler with which
/// settings for which processor.
fn header(engine: &Engine, code_hash: B256, source: B256) -> Vec<u8> {
    let mut compiler = StableHasher(Keccak256::new());
    engine.precompile_compatibility_hash().hash(&mut compiler);
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(code_hash.as_slice());
    header.extend_from_slice(source.as_slice());
    header.extend_from_slice(compiler.0.finalize().as_slice());
    header
}

/// The standard library's hashers may differ between its versions.
struct StableHasher(Keccak256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash that counts is the whole one.
    fn finish(&self) -> u64 {
        0
    }
}

/// The only way in for native code that was not made in this process.
#[allow(
    unsafe_code,
    reason = "wasmtime runs what is deserialized as it is. The caller has checked that this node \
              wrote it, with a key of its own, from an instrumented module with this engine's \
              compiler, settings and processor."
)]
fn deserialize(engine: &Engine, native: &[u8]) -> Option<Module> {
    // SAFETY: `native` came from `Module::serialize`, unchanged: the checksum says so.
    unsafe { Module::deserialize(engine, native) }.ok()
}

/// A regular file of at most this length; links are not followed.
fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.len() > limit {
        return Err(io::Error::other("not a regular file, or too long"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The key, if it is one that nobody else can read.
fn read_key(folder: &Path) -> Option<[u8; KEY_BYTES]> {
    const OTHERS: u32 = 0o077;
    let path = folder.join(KEY_FILE);
    let mode = fs::symlink_metadata(&path).ok()?.permissions().mode();
    if mode & OTHERS != 0 {
        return None;
    }
    let key = read_file(&path, KEY_BYTES as u64).ok()?;
    key.try_into().ok()
}

fn make_key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let key: [u8; KEY_BYTES] = rand::random();
    let unfinished = folder.join(format!(
        "{KEY_FILE}.{}.{UNFINISHED_EXTENSION}",
        hex::encode(rand::random::<[u8; 8]>())
    ));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(&key)?;
    fs::rename(&unfinished, folder.join(KEY_FILE))?;
    Ok(key)
}

#[cfg(test)]
mod tests;
