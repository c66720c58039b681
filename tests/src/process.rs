//! A child process with its output in a file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use eyre::{Context, bail};

use crate::wait::until;

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command with both output streams appended to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command, log: &Path) -> eyre::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::options()
            .append(true)
            .create(true)
            .open(log)
            .wrap_err_with(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .wrap_err_with(|| name.clone())?;
        Ok(Self {
            name,
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The end of what it has printed, for error messages.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// `None` while it runs.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn exit_status(&mut self) -> eyre::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// With its exit status and the end of its output.
    pub fn check_running(&mut self) -> eyre::Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.log_tail()),
        }
    }

    /// SIGKILL: it gets no chance to write anything more.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> eyre::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGINT, as Ctrl-C sends it, and the exit status that follows.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub async fn interrupt(&mut self, limit: Duration) -> eyre::Result<ExitStatus> {
        self.signal("INT")?;
        self.wait(limit).await
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) -> eyre::Result<()> {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()?;
        if !status.success() {
            bail!("kill -{name} {}: {status}", self.child.id());
        }
        Ok(())
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub async fn wait(&mut self, limit: Duration) -> eyre::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let result = until(&what, limit, || {
            let status = self.child.try_wait();
            async { Ok(status?) }
        })
        .await;
        result.wrap_err_with(|| self.log_tail())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} printed at the end:\n{}", self.name, self.log_tail());
        }
    }
}
