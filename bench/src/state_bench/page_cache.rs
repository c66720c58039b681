use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rustix::fs::{Advice, fadvise};

/// Asks the system to forget what it has in memory of the files below `path`. `false` when it cannot.
pub(super) fn drop_files(path: &Path) -> io::Result<bool> {
    let mut dropped = true;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            dropped &= drop_files(&entry.path())?;
        } else {
            let file = File::open(entry.path())?;
            // What is not on disk yet stays in memory.
            file.sync_all()?;
            dropped &= fadvise(&file, 0, None, Advice::DontNeed).is_ok();
        }
    }
    Ok(dropped)
}
