use std::{
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use lsm_tree::{AbstractTree, SeqNo, SequenceNumberCounter};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    StateError,
    data_folder::{DataFolder, KEYSPACES_FOLDER},
    encoding, journal,
    tables::{KEYSPACES, MARKER},
};

/// What fjall writes into its version file: its name and the format of all its files.
const FJALL_VERSION: &[u8] = b"FJL\x03";

/// Bytes at the end of an archive (crate `sfa`), which say where its table of contents is.
const ARCHIVE_TRAILER: usize = 38;

/// What a keyspace's tables on disk hold; the rest of the chain is in the journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flushed {
    /// fjall's number of the keyspace.
    pub(crate) keyspace: u64,
    /// Number of the last block and fjall's sequence number of its batch; `None` while the tables
    /// are empty.
    pub(crate) last: Option<(u64, SeqNo)>,
}

/// Checks the database's files before fjall opens them, and cuts the last journal behind its last
/// whole batch.
///
/// fjall repairs what it finds as if a crash had left it: it cuts a journal at the first bytes that
/// it cannot read and deletes a keyspace that lacks a file. Other damage it does not notice, or
/// notices by an assertion that may end the process. Here nothing is changed before all is found
/// whole.
pub(crate) fn check(folder: &DataFolder, acknowledged: u64) -> Result<(), StateError> {
    let database = folder.database();
    let version = read(folder, &database.join("version"))?;
    if version != FJALL_VERSION {
        return Err(folder.damaged("expected fjall's format 3 in db/version, found other bytes"));
    }
    let keyspaces = database.join(KEYSPACES_FOLDER);
    check_names(folder, &keyspaces)?;
    let mut flushed = Vec::new();
    // fjall's list of the keyspaces is itself a tree, number 0.
    for keyspace in 0..=KEYSPACES {
        let tree = keyspaces.join(keyspace.to_string());
        check_tree(folder, &tree)?;
        let last = open_tree(&tree).map_err(|error| match error {
            lsm_tree::Error::Io(source) => folder.unreadable(&tree, source),
            error => folder.damaged(format!("{}: {error}", tree.display())),
        })?;
        if keyspace > 0 {
            let last = last
                .decode()
                .map_err(|reason| folder.damaged(format!("{}: {reason}", tree.display())))?;
            flushed.push(Flushed { keyspace, last });
        }
    }
    journal::check(folder, &flushed, acknowledged)
}

/// The keyspaces' folders have the numbers that they were made with. fjall deletes a folder that it
/// does not know and makes one that it misses.
fn check_names(folder: &DataFolder, keyspaces: &Path) -> Result<(), StateError> {
    let unreadable = |source| folder.unreadable(keyspaces, source);
    for entry in fs::read_dir(keyspaces).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let known = (0..=KEYSPACES).any(|number| entry.file_name() == *number.to_string());
        if !known && entry.file_type().map_err(unreadable)?.is_dir() {
            return Err(folder.damaged(format!(
                "expected keyspaces 0 to {KEYSPACES}, found {}",
                entry.path().display()
            )));
        }
    }
    Ok(())
}

/// The file `current` names the list of tables and has its checksum, which lsm-tree writes and does
/// not read. The tables on the list have a checksum over their tables of contents, by which
/// everything else in them is found and checked.
fn check_tree(folder: &DataFolder, tree: &Path) -> Result<(), StateError> {
    let path = tree.join("current");
    let current = read(folder, &path)?;
    let (id, checksum) = decode_current(&current)
        .ok_or_else(|| folder.damaged(format!("{} is not what fjall writes", path.display())))?;
    let list_path = tree.join(format!("v{id}"));
    let list = read(folder, &list_path)?;
    if xxh3_128(&list) != checksum {
        return Err(folder.damaged(format!(
            "expected {} to have the checksum in {}, found another",
            list_path.display(),
            path.display()
        )));
    }
    let tables = decode_tables(&list).map_err(|source| folder.unreadable(&list_path, source))?;
    for table in tables {
        let path = tree.join("tables").join(table.to_string());
        let whole = check_contents(&path).map_err(|source| folder.unreadable(&path, source))?;
        if !whole {
            return Err(folder.damaged(format!(
                "expected a whole table of contents in {}, found another checksum",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Number of the list of tables and its checksum.
fn decode_current(bytes: &[u8]) -> Option<(u64, u128)> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*id), u128::from_le_bytes(*checksum)))
}

/// Numbers of the tables on a list whose checksum was right: levels of runs of tables.
fn decode_tables(list: &[u8]) -> io::Result<Vec<u64>> {
    let archive =
        sfa::Reader::from_reader(&mut Cursor::new(list)).map_err(|error| match error {
            sfa::Error::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}")),
        })?;
    let section = archive
        .toc()
        .section(b"tables")
        .and_then(|section| {
            let start = usize::try_from(section.pos()).ok()?;
            let length = usize::try_from(section.len()).ok()?;
            list.get(start..)?.get(..length)
        })
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut tables = Vec::new();
    let mut section = section;
    for _level in 0..take::<1>(&mut section)?[0] {
        for _run in 0..take::<1>(&mut section)?[0] {
            for _table in 0..u32::from_le_bytes(take(&mut section)?) {
                tables.push(u64::from_le_bytes(take(&mut section)?));
                // Kind of checksum, checksum, sequence number.
                take::<25>(&mut section)?;
            }
        }
    }
    Ok(tables)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> io::Result<[u8; N]> {
    let mut taken = [0; N];
    bytes.read_exact(&mut taken)?;
    Ok(taken)
}

/// Whether the archive's table of contents has the checksum in the trailer.
fn check_contents(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    let end = length
        .checked_sub(ARCHIVE_TRAILER as u64)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut trailer = [0; ARCHIVE_TRAILER];
    file.read_exact_at(&mut trailer, end)?;
    let mut fields = trailer.as_slice();
    // Magic bytes, version, kind of checksum: lsm-tree checks them.
    take::<6>(&mut fields)?;
    let checksum = u128::from_le_bytes(take(&mut fields)?);
    let start = u64::from_le_bytes(take(&mut fields)?);
    // A few entries of a few bytes each, or else the position is wrong.
    let Some(size @ 1..=0xffff) = end.checked_sub(start) else {
        return Ok(false);
    };
    let mut contents = vec![0; size as usize];
    file.read_exact_at(&mut contents, start)?;
    Ok(xxh3_128(&contents) == checksum)
}

/// The last block's mark in a tree's tables, and the highest sequence number.
struct Last {
    mark: Option<lsm_tree::UserValue>,
    seqno: Option<SeqNo>,
}

impl Last {
    fn decode(self) -> Result<Option<(u64, SeqNo)>, String> {
        match (self.mark, self.seqno) {
            (None, None) => Ok(None),
            (Some(mark), Some(seqno)) => encoding::decode_number(&mark)
                .map(|number| Some((number, seqno)))
                .map_err(|error| error.to_string()),
            _ => Err("expected its tables to name their last block, found no number".to_owned()),
        }
    }
}

/// Opens the tree alone and closes it again: what lsm-tree asserts about its tables fails here, where
/// it is caught, and not inside fjall, which holds locks that its destructors take.
fn open_tree(path: &Path) -> lsm_tree::Result<Last> {
    let counter = SequenceNumberCounter::default;
    let tree = lsm_tree::Config::new(path, counter(), counter()).open()?;
    Ok(Last {
        mark: tree.get(MARKER, SeqNo::MAX)?,
        seqno: tree.get_highest_persisted_seqno(),
    })
}

fn read(folder: &DataFolder, path: &PathBuf) -> Result<Vec<u8>, StateError> {
    fs::read(path).map_err(|source| folder.unreadable(path, source))
}
