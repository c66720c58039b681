//! What the system knows about a process (proc(5)).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Ticks of a second in `/proc/PID/stat`: `USER_HZ`, which is 100 on every architecture that Linux
/// runs on today.
const TICKS: f64 = 100.0;

/// A process on this machine.
#[derive(Debug, Clone)]
pub(super) struct ProcessWatch {
    folder: PathBuf,
}

/// CPU time used so far, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CpuTime {
    pub(super) total: f64,
    /// By the threads' names without their numbers.
    pub(super) threads: BTreeMap<String, f64>,
}

impl ProcessWatch {
    pub(super) fn of(pid: u32) -> Self {
        Self {
            folder: Path::new("/proc").join(pid.to_string()),
        }
    }

    pub(super) fn own() -> Self {
        Self {
            folder: PathBuf::from("/proc/self"),
        }
    }

    /// What was used so far; nothing where the system does not say.
    pub(super) fn cpu(&self) -> CpuTime {
        let mut threads: BTreeMap<String, f64> = BTreeMap::new();
        for entry in fs::read_dir(self.folder.join("task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some((name, seconds)) = parse_stat(&stat) {
                *threads.entry(name).or_default() += seconds;
            }
        }
        let stat = fs::read_to_string(self.folder.join("stat")).unwrap_or_default();
        CpuTime {
            total: parse_stat(&stat).map_or(0.0, |(_, seconds)| seconds),
            threads,
        }
    }

    /// Memory in use now and at most so far, in bytes.
    pub(super) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(self.folder.join("status")).unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .trim()
                        .strip_suffix(" kB")?
                        .parse()
                        .ok()
                })
                .map_or(0, |kib: u64| kib * 1024)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl CpuTime {
    /// What was used since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let threads = self
            .threads
            .iter()
            .map(|(name, seconds)| {
                let before = before.threads.get(name).copied().unwrap_or_default();
                (name.clone(), seconds - before)
            })
            .filter(|(_, seconds)| *seconds > 0.0)
            .collect();
        Self {
            total: self.total - before.total,
            threads,
        }
    }
}

/// Name without numbers, and user and system time in seconds, of a line of `stat`. The name is in
/// parentheses and may hold any characters.
fn parse_stat(stat: &str) -> Option<(String, f64)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '#');
    Some((name.to_owned(), (user + system) as f64 / TICKS))
}

/// Bytes that a folder takes on disk.
pub(super) fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // A file may go away meanwhile.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += if metadata.is_dir() {
            disk_bytes(&entry.path())
        } else {
            metadata.blocks() * 512
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat() {
        let line = "17 (rpc-1) x) 3) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1 1 1";
        let (name, seconds) = parse_stat(line).unwrap();
        assert_eq!((&*name, seconds), ("rpc-1) x) ", 3.0));
        let line = "17 (tokio-rt-worker-12) S 1 17 17 0 -1 4194560 100 0 0 0 1 0 0 0 20 0 9 0 1";
        assert_eq!(parse_stat(line).unwrap().0, "tokio-rt-worker");
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let watch = ProcessWatch::own();
        let before = watch.cpu();
        let mut spent = 0_u64;
        while watch.cpu().since(&before).total < 0.05 {
            spent = std::hint::black_box(spent + 1);
        }
        let (now, most) = watch.memory();
        assert!(now > 0 && most >= now);
    }
}
