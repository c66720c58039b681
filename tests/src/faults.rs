//! A faulty disk under the real binary: `tests/faults/inject.c` between it and the system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use alloy_primitives::keccak256;
use eyre::{ContextCompat, ensure};

use crate::{skip::skip, tools::repository};

/// The disk below one folder. What it does to the program on it is said by a plan, which may change
/// while the program runs.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    library: PathBuf,
    below: PathBuf,
    control: PathBuf,
}

impl FaultyDisk {
    /// A disk without faults below the folder `below`, which may not exist yet. `control` is a folder
    /// outside of it on the same file system, and is made. `Ok(None)` after saying that a test is
    /// skipped.
    ///
    /// # Errors
    /// When there is a C compiler and it fails.
    pub fn new(below: &Path, control: &Path) -> eyre::Result<Option<Self>> {
        let Some(library) = library()? else {
            return Ok(None);
        };
        fs::create_dir_all(control)?;
        // The library compares with what the kernel calls an open file.
        let parent = below.parent().wrap_err("the folder has a parent")?;
        let name = below.file_name().wrap_err("the folder has a name")?;
        Ok(Some(Self {
            library,
            below: parent.canonicalize()?.join(name),
            control: control.canonicalize()?,
        }))
    }

    /// The folder whose files are on the disk.
    pub fn below(&self) -> &Path {
        &self.below
    }

    /// Where the library's own files are.
    pub(crate) fn control(&self) -> &Path {
        &self.control
    }

    /// Lets the command run on this disk.
    pub fn put_under(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("WEFT_FAULTS_BELOW", &self.below)
            .env("WEFT_FAULTS_CONTROL", &self.control);
    }

    /// Replaces the plan; `tests/faults/inject.c` describes its lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn plan(&self, lines: &[&str]) -> eyre::Result<()> {
        let new = self.control.join("plan.new");
        fs::write(&new, lines.join("\n"))?;
        // Renamed, so that it is never read half.
        fs::rename(&new, self.control.join("plan"))?;
        Ok(())
    }

    /// The disk has no faults from now on.
    ///
    /// # Errors
    /// When the plan cannot be removed.
    pub fn heal(&self) -> eyre::Result<()> {
        let plan = self.control.join("plan");
        if plan.exists() {
            fs::remove_file(plan)?;
        }
        Ok(())
    }

    /// What the disk has done so far, one line each: call, fault, path.
    ///
    /// # Errors
    /// When the record is there and cannot be read.
    pub fn hits(&self) -> eyre::Result<Vec<String>> {
        let path = self.control.join("hits");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(path)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// The compiled library, made once for each version of its source.
fn library() -> eyre::Result<Option<PathBuf>> {
    let source = repository().join("tests/faults/inject.c");
    // target/PROFILE/deps/TEST.
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).wrap_err("no target folder")?;
    let folder = target.join("tmp");
    fs::create_dir_all(&folder)?;
    let version = keccak256(fs::read(&source)?);
    let library = folder.join(format!("faults-{version}.so"));
    if library.is_file() {
        return Ok(Some(library));
    }
    let new = folder.join(format!("faults-{}.new", std::process::id()));
    let compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&new)
        .arg(&source)
        .args(["-ldl", "-lpthread"])
        .output();
    let output = match compiler {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip("no C compiler (cc): the faulty disk cannot be made");
            return Ok(None);
        }
        output => output?,
    };
    ensure!(
        output.status.success(),
        "cc {}: {}\n{}",
        source.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&new, &library)?;
    Ok(Some(library))
}
