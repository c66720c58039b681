use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use lsm_tree::SeqNo;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    StateError,
    data_folder::DataFolder,
    encoding,
    files::Flushed,
    tables::{KEYSPACES, MARKER},
};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const END_MAGIC: &[u8] = b"FJL\x03";

/// Sequence numbers count up from 0; fjall keeps the highest bit for itself.
const MAX_SEQNO: SeqNo = 1 << 62;

/// A block's batch in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    seqno: SeqNo,
    /// Number of the block.
    number: u64,
}

/// Checks that tables and journals together hold every block up to `acknowledged` at least, cuts
/// the last journal behind its last whole batch, and makes it durable.
///
/// A batch that a crash has cut off ends a journal. fjall cannot tell it from damage, and where more
/// journals follow it goes on behind the gap. Its checksum leaves out the sequence number, by which
/// it orders batches and skips those that are in tables already.
///
/// A batch adds the next block, or unwinds the chain to a block below.
pub(crate) fn check(
    folder: &DataFolder,
    flushed: &[Flushed],
    acknowledged: u64,
) -> Result<(), StateError> {
    let mut previous: Option<Batch> = None;
    let mut last_journal = None;
    for (_, path) in journals(folder)? {
        let unreadable = |source| folder.unreadable(&path, source);
        let mut journal = Journal::open(&path).map_err(unreadable)?;
        // Where batches begin that nobody has seen on disk.
        let mut unsynced = 0;
        while let Some(batch) = journal.next().map_err(unreadable)? {
            let unwinds = previous.is_some_and(|previous| batch.number < previous.number);
            // The number is lowered before the chain is: it says nothing of these batches.
            if batch.number <= acknowledged && !unwinds {
                unsynced = journal.end;
            }
            check_order(previous, batch, flushed)
                .map_err(|reason| folder.damaged(format!("{}: {reason}", path.display())))?;
            previous = Some(batch);
        }
        last_journal = Some((path, unsynced..journal.end));
    }
    if let Some(last) = previous {
        let lost = flushed
            .iter()
            .filter_map(|keyspace| keyspace.last)
            .find(|(number, seqno)| last.seqno <= *seqno && last.number != *number)
            .map(|(number, _)| number)
            .or_else(|| (last.number < acknowledged).then_some(acknowledged));
        if let Some(expected) = lost {
            return Err(folder.damaged(format!(
                "expected block {expected} in the journal, found it ending at block {}",
                last.number
            )));
        }
    }
    let (path, unsynced) =
        last_journal.ok_or_else(|| folder.damaged("expected a journal in db, found none"))?;
    settle(&path, unsynced).map_err(|source| folder.unreadable(&path, source))
}

/// The journals in the order in which they were written.
fn journals(folder: &DataFolder) -> Result<Vec<(u64, PathBuf)>, StateError> {
    let database = folder.database();
    let unreadable = |source| folder.unreadable(&database, source);
    let mut journals = Vec::new();
    for entry in fs::read_dir(&database).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != "jnl") {
            continue;
        }
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok())
            .ok_or_else(|| {
                folder.damaged(format!(
                    "expected journals with numbers as names, found {}",
                    path.display()
                ))
            })?;
        journals.push((number, path));
    }
    journals.sort();
    Ok(journals)
}

fn check_order(previous: Option<Batch>, batch: Batch, flushed: &[Flushed]) -> Result<(), String> {
    let Batch { seqno, number } = batch;
    if let Some(previous) = previous {
        let follows = previous.number.checked_add(1) == Some(number);
        if !follows && number >= previous.number {
            return Err(format!(
                "expected the block after {}, found block {number}",
                previous.number
            ));
        }
        if seqno <= previous.seqno {
            return Err(format!(
                "expected a sequence number above {} for block {number}, found {seqno}",
                previous.seqno
            ));
        }
    }
    if seqno > MAX_SEQNO {
        return Err(format!(
            "expected a sequence number of at most {MAX_SEQNO} for block {number}, found {seqno}"
        ));
    }
    for Flushed { keyspace, last } in flushed {
        let next = last.map_or(0, |(last, _)| last.saturating_add(1));
        let in_tables = |batch: Batch| last.is_some_and(|(_, last)| batch.seqno <= last);
        if in_tables(batch) {
            continue;
        }
        // The first batch that the tables lack must follow on what they end with.
        match previous {
            None if number > next => {
                return Err(format!(
                    "expected block {next}, which the tables of keyspace {keyspace} lack, found the first one to be {number}"
                ));
            }
            None if number.checked_add(1) != Some(next) => {}
            Some(previous)
                if in_tables(previous) && previous.number.checked_add(1) == Some(next) => {}
            Some(previous) if !in_tables(previous) => {}
            _ => {
                return Err(format!(
                    "expected a sequence number that fits the tables of keyspace {keyspace} for block {number}, found {seqno}"
                ));
            }
        }
    }
    Ok(())
}

/// Cuts a journal behind its last whole batch, and makes durable what stands before that.
///
/// The process that wrote the bytes in `unsynced` may have ended before their sync, or because the
/// sync failed. Then they may be in the system's memory alone, and after a failed sync no other one
/// writes them either: they are written again before anybody is shown their blocks (invariant I2).
fn settle(path: &Path, unsynced: Range<u64>) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    if file.metadata()?.len() > unsynced.end {
        file.set_len(unsynced.end)?;
    }
    let mut chunk = vec![0; 1 << 16];
    let mut at = unsynced.start;
    while at < unsynced.end {
        let length = (unsynced.end - at).min(chunk.len() as u64) as usize;
        let part = chunk.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, at)?;
        file.write_all_at(part, at)?;
        at = at.saturating_add(length as u64);
    }
    file.sync_all()
}

/// Reads one journal: batches of a start, items and an end.
struct Journal {
    input: BufReader<File>,
    /// Length in bytes up to the last whole batch.
    end: u64,
    /// Length in bytes of what was read.
    read: u64,
    item: Vec<u8>,
}

impl Journal {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            input: BufReader::with_capacity(1 << 16, File::open(path)?),
            end: 0,
            read: 0,
            item: Vec::new(),
        })
    }

    /// The next batch; `None` where no whole batch follows.
    fn next(&mut self) -> io::Result<Option<Batch>> {
        match self.batch() {
            Ok(batch) => {
                if batch.is_some() {
                    self.end = self.read;
                }
                Ok(batch)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn batch(&mut self) -> io::Result<Option<Batch>> {
        if self.take::<1>()? != [START] {
            return Ok(None);
        }
        let items = u32::from_le_bytes(self.take()?);
        let seqno = u64::from_le_bytes(self.take()?);
        let mut checksum = Xxh3::new();
        let mut marks = Vec::new();
        for _ in 0..items {
            if !self.read_item()? {
                return Ok(None);
            }
            checksum.update(&self.item);
            marks.extend(decode_mark(&self.item));
        }
        if self.take::<1>()? != [END] {
            return Ok(None);
        }
        let expected = u64::from_le_bytes(self.take()?);
        if self.take::<4>()? != END_MAGIC || checksum.digest() != expected {
            return Ok(None);
        }
        // Every block marks every keyspace, once.
        marks.sort_unstable();
        let number = marks.first().map(|(_, number)| *number);
        let whole = marks
            .iter()
            .copied()
            .eq((1..=KEYSPACES).zip(number.into_iter().cycle()));
        Ok(number
            .filter(|_| whole)
            .map(|number| Batch { seqno, number }))
    }

    /// Reads an item as it stands into `self.item`: tag, kind, compression, keyspace, length of the
    /// key, of the value, of the value as it is stored, key, value. Takes no more memory than the
    /// file has bytes.
    fn read_item(&mut self) -> io::Result<bool> {
        let head: [u8; ITEM_HEAD] = self.take()?;
        let [
            ITEM,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            k0,
            k1,
            _,
            _,
            _,
            _,
            v0,
            v1,
            v2,
            v3,
        ] = head
        else {
            return Ok(false);
        };
        let key = u64::from(u16::from_le_bytes([k0, k1]));
        let value = u64::from(u32::from_le_bytes([v0, v1, v2, v3]));
        self.item.clear();
        self.item.extend_from_slice(&head);
        let length = key.saturating_add(value);
        let found = (&mut self.input).take(length).read_to_end(&mut self.item)? as u64;
        self.read = self.read.saturating_add(found);
        Ok(found == length)
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut taken = [0; N];
        self.input.read_exact(&mut taken)?;
        self.read = self.read.saturating_add(N as u64);
        Ok(taken)
    }
}

/// Bytes of an item before its key.
const ITEM_HEAD: usize = 21;

/// Keyspace and block number, when the item is a mark.
fn decode_mark(item: &[u8]) -> Option<(u64, u64)> {
    let keyspace = item.get(3..)?.first_chunk()?;
    let number = item.get(ITEM_HEAD..)?.strip_prefix(MARKER)?;
    let number = encoding::decode_number(number).ok()?;
    Some((u64::from_le_bytes(*keyspace), number))
}
