//! Loss of power: the folder on a [`FaultyDisk`] as the disk would hold it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use eyre::{ContextCompat, bail, ensure};
use rand::{Rng, rngs::StdRng};

use crate::faults::FaultyDisk;

/// Bytes that a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// What becomes of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// All of it is lost.
    Lost,
    /// Of each file's writes the first ones are kept, the next one in part; of the names any.
    Torn,
    /// Any of the writes and names are kept.
    Any,
}

impl Unsynced {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Lost, Self::Torn, Self::Any];
}

/// Keeps, from now on, what is needed to know the folder's state after a loss of power. All that is
/// in the folder counts as synced. The program on it must not run.
///
/// # Errors
/// When files cannot be read or written.
pub fn begin(disk: &FaultyDisk) -> eyre::Result<()> {
    let keep = disk.control().join("keep");
    for path in [&keep, &disk.control().join("log")] {
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else if path.exists() {
            fs::remove_file(path)?;
        }
    }
    fs::create_dir(&keep)?;
    let mut names = String::new();
    if disk.below().is_dir() {
        for (folder, entries) in current_folders(disk.below())? {
            names.push_str(&format!("D {folder}\n"));
            for (name, entry) in entries {
                names.push_str(&entry.line(&name));
                if !entry.is_folder {
                    fs::hard_link(&entry.path, keep.join(entry.inode.to_string()))?;
                }
            }
        }
    }
    fs::write(disk.control().join("base"), names)?;
    Ok(())
}

/// Puts the folder into the state after a loss of power, and begins again from there. The program
/// must have been killed. Returns how many writes and names were not synced.
///
/// # Errors
/// When the record is not what the library writes, or files cannot be read or written.
pub fn cut(disk: &FaultyDisk, unsynced: Unsynced, random: &mut StdRng) -> eyre::Result<usize> {
    let mut after = AfterCut {
        disk,
        unsynced,
        random,
        folders: base_folders(disk)?,
        files: BTreeMap::new(),
        current: match disk.below().is_dir() {
            true => current_folders(disk.below())?,
            false => BTreeMap::new(),
        },
        pending: 0,
    };
    after.read_log()?;
    after.restore_files()?;
    let rebuilt = disk.control().join("rebuilt");
    let parent = disk.below().parent().wrap_err("no parent")?;
    // The folder's own name counts as synced once anything in it could be: it belongs to the
    // operator.
    fs::create_dir(&rebuilt)?;
    if disk.below().is_dir() {
        let root = fs::metadata(disk.below())?.ino();
        after.rebuild(root, &rebuilt)?;
        fs::remove_dir_all(disk.below())?;
    }
    ensure!(parent.is_dir(), "{} is gone", parent.display());
    fs::rename(&rebuilt, disk.below())?;
    let pending = after.pending;
    begin(disk)?;
    Ok(pending)
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    is_folder: bool,
    inode: u64,
    path: PathBuf,
}

impl Entry {
    /// As the library writes it.
    fn line(&self, name: &str) -> String {
        let kind = if self.is_folder { 'd' } else { 'f' };
        format!("{kind} {} {name}\n", self.inode)
    }
}

type Names = BTreeMap<String, Entry>;

fn parse_names(text: &str) -> eyre::Result<Names> {
    text.lines()
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let (Some(kind), Some(inode), Some(name)) = (words.next(), words.next(), words.next())
            else {
                bail!("expected kind, inode and name, found {line:?}");
            };
            let entry = Entry {
                is_folder: kind == "d",
                inode: inode.parse()?,
                path: PathBuf::new(),
            };
            Ok((name.to_owned(), entry))
        })
        .collect()
}

/// Names of every folder below `root` as they are now, by the folder's inode.
fn current_folders(root: &Path) -> eyre::Result<BTreeMap<u64, Names>> {
    let mut folders = BTreeMap::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let mut names = Names::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let is_folder = metadata.is_dir();
            if is_folder {
                waiting.push(entry.path());
            }
            let found = Entry {
                is_folder,
                inode: metadata.ino(),
                path: entry.path(),
            };
            names.insert(entry.file_name().to_string_lossy().into_owned(), found);
        }
        folders.insert(fs::metadata(&folder)?.ino(), names);
    }
    Ok(folders)
}

/// Names of every folder as they were when the record began.
fn base_folders(disk: &FaultyDisk) -> eyre::Result<BTreeMap<u64, Names>> {
    let text = fs::read_to_string(disk.control().join("base"))?;
    text.split("D ")
        .skip(1)
        .map(|part| {
            let (inode, names) = part.split_once('\n').wrap_err("no names")?;
            Ok((inode.parse()?, parse_names(names)?))
        })
        .collect()
}

/// A change of a file.
#[derive(Debug)]
struct Change {
    is_write: bool,
    offset: u64,
    /// Bytes written.
    length: u64,
    size_before: u64,
    /// What it replaced or cut off, without zeros at the end.
    old: Vec<u8>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending,
    Synced,
    /// A failed sync has given it up.
    Lost,
}

struct AfterCut<'a> {
    disk: &'a FaultyDisk,
    unsynced: Unsynced,
    random: &'a mut StdRng,
    /// Synced names, by the folder's inode.
    folders: BTreeMap<u64, Names>,
    /// Changes that may be missing on disk, by the file's inode.
    files: BTreeMap<u64, Vec<Change>>,
    current: BTreeMap<u64, Names>,
    pending: usize,
}

impl AfterCut<'_> {
    fn read_log(&mut self) -> eyre::Result<()> {
        let path = self.disk.control().join("log");
        let log = match path.exists() {
            true => fs::read(path)?,
            false => Vec::new(),
        };
        let mut rest = log.as_slice();
        // A record that the kill has cut off says nothing: its change had not begun.
        while let Some((head, after)) = rest.split_first_chunk::<48>() {
            let word = |index: usize| {
                let bytes = head.get(index * 8..)?.first_chunk()?;
                Some(u64::from_le_bytes(*bytes))
            };
            let words: Vec<u64> = (0..6).filter_map(word).collect();
            let &[kind, inode, offset, length, size_before, bytes] = words.as_slice() else {
                bail!("a record has six words");
            };
            let Some((bytes, after)) = after.split_at_checked(usize::try_from(bytes)?) else {
                break;
            };
            rest = after;
            let changes = self.files.entry(inode).or_default();
            match u8::try_from(kind)? {
                kind @ (b'W' | b'T') => changes.push(Change {
                    is_write: kind == b'W',
                    offset,
                    length,
                    size_before,
                    old: bytes.to_vec(),
                    fate: Fate::Pending,
                }),
                b'S' => settle(changes, Fate::Synced),
                b'F' => settle(changes, Fate::Lost),
                b'D' => {
                    let names = parse_names(std::str::from_utf8(bytes)?)?;
                    self.folders.insert(inode, names);
                }
                other => bail!("expected a record, found kind {other}"),
            }
        }
        Ok(())
    }

    /// Takes back in every file what did not reach the disk.
    fn restore_files(&mut self) -> eyre::Result<()> {
        for (inode, changes) in std::mem::take(&mut self.files) {
            if changes.is_empty() {
                continue;
            }
            let pending = changes.iter().filter(|change| change.fate == Fate::Pending);
            let pending = pending.count();
            self.pending += pending;
            let first_lost = match self.unsynced {
                Unsynced::Torn => self.random.random_range(0..=pending),
                Unsynced::Lost | Unsynced::Any => 0,
            };
            let path = self.kept(inode);
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            let news = take_back(&file, &changes)?;
            let mut index = 0;
            for (change, new) in changes.iter().zip(news) {
                let mut kept = change.length;
                match change.fate {
                    Fate::Synced => {}
                    Fate::Lost => continue,
                    Fate::Pending => {
                        index += 1;
                        let keep = match self.unsynced {
                            Unsynced::Lost => false,
                            Unsynced::Torn => index <= first_lost + 1,
                            Unsynced::Any => self.random.random(),
                        };
                        if !keep {
                            continue;
                        }
                        if self.unsynced == Unsynced::Torn && index == first_lost + 1 {
                            let torn_at = self.random.random_range(0..=change.length);
                            let end = change.offset + torn_at;
                            kept = (end - end % SECTOR).saturating_sub(change.offset);
                        }
                    }
                }
                apply(&file, change, &new, kept)?;
            }
        }
        Ok(())
    }

    fn kept(&self, inode: u64) -> PathBuf {
        self.disk.control().join("keep").join(inode.to_string())
    }

    /// Makes the folder with this inode at `target`.
    fn rebuild(&mut self, inode: u64, target: &Path) -> eyre::Result<()> {
        let synced = self.folders.get(&inode).cloned().unwrap_or_default();
        let current = self.current.get(&inode).cloned().unwrap_or_default();
        let names: BTreeSet<&String> = synced.keys().chain(current.keys()).collect();
        for name in names {
            let (old, new) = (synced.get(name), current.get(name));
            let differ = old.map(|entry| entry.inode) != new.map(|entry| entry.inode);
            self.pending += usize::from(differ);
            let take_new = match self.unsynced {
                Unsynced::Lost => false,
                Unsynced::Torn | Unsynced::Any => self.random.random(),
            };
            let Some(entry) = (if take_new { new } else { old }) else {
                continue;
            };
            let target = target.join(name);
            if entry.is_folder {
                fs::create_dir(&target)?;
                self.rebuild(entry.inode, &target)?;
            } else {
                copy_sparse(&self.kept(entry.inode), &target)?;
            }
        }
        Ok(())
    }
}

/// A sync has ended: with `Synced`, all that came before is on disk, and is forgotten unless something
/// was lost under it.
fn settle(changes: &mut Vec<Change>, fate: Fate) {
    for change in changes.iter_mut() {
        if change.fate == Fate::Pending {
            change.fate = fate;
        }
    }
    if changes.iter().all(|change| change.fate == Fate::Synced) {
        changes.clear();
    }
}

/// Undoes all changes, the last one first, and returns what each of them had written.
fn take_back(file: &File, changes: &[Change]) -> eyre::Result<Vec<Vec<u8>>> {
    let mut news = Vec::new();
    for change in changes.iter().rev() {
        let size = file.metadata()?.len();
        let mut new = Vec::new();
        if change.is_write {
            let end = change.offset.saturating_add(change.length).min(size);
            new = vec![0; usize::try_from(end.saturating_sub(change.offset))?];
            file.read_exact_at(&mut new, change.offset)?;
            // What was there before, zeros at its end included.
            let old_end = change.size_before.min(end);
            let mut old = change.old.clone();
            old.resize(usize::try_from(old_end.saturating_sub(change.offset))?, 0);
            file.write_all_at(&old, change.offset)?;
        } else if change.size_before > change.offset {
            file.write_all_at(&change.old, change.offset)?;
        }
        file.set_len(change.size_before)?;
        news.push(new);
    }
    news.reverse();
    Ok(news)
}

fn apply(file: &File, change: &Change, new: &[u8], kept: u64) -> eyre::Result<()> {
    if change.is_write {
        let kept = usize::try_from(kept)?.min(new.len());
        file.write_all_at(new.get(..kept).unwrap_or_default(), change.offset)?;
    } else {
        file.set_len(change.offset)?;
    }
    Ok(())
}

/// A new file: the kept one may still be written by the next restoration.
fn copy_sparse(from: &Path, to: &Path) -> eyre::Result<()> {
    let source = File::open(from)?;
    let target = File::create_new(to)?;
    target.set_permissions(source.metadata()?.permissions())?;
    let size = source.metadata()?.len();
    let mut chunk = vec![0; 1 << 20];
    let mut at = 0;
    while at < size {
        let length = usize::try_from((size - at).min(chunk.len() as u64))?;
        let part = chunk.get_mut(..length).wrap_err("a chunk")?;
        source.read_exact_at(part, at)?;
        if part.iter().any(|byte| *byte != 0) {
            target.write_all_at(part, at)?;
        }
        at += length as u64;
    }
    target.set_len(size)?;
    Ok(())
}
