//! A real Postgres for one test: Debian's binaries on a temporary folder, or the server that
//! `WEFT_TEST_POSTGRES` names.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use eyre::{Context, ContextCompat, bail};
use tempfile::TempDir;

use crate::{ports::free_port, skip::skip, tools::run, wait::until};

/// URL of a Postgres database that tests may fill and empty.
pub const URL_VARIABLE: &str = "WEFT_TEST_POSTGRES";

/// User and password of a server that was started here.
const USER: &str = "weft";
const PASSWORD: &str = "weft-test-secret";

/// How often to try another port when a server does not come up.
const TRIES: usize = 3;

/// A running server. Dropping it stops one that was started here.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    server: Option<(Child, TempDir)>,
}

impl Postgres {
    /// A server, or `Ok(None)` with a line on stderr when this machine has none.
    ///
    /// # Errors
    /// When the machine has Postgres but it does not start.
    pub async fn start() -> eyre::Result<Option<Self>> {
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            return Ok(Some(Self { url, server: None }));
        }
        let Some(binaries) = debian_binaries() else {
            skip(&format!(
                "no Postgres in /usr/lib/postgresql, and {URL_VARIABLE} is not set"
            ));
            return Ok(None);
        };
        let mut last = None;
        for _ in 0..TRIES {
            match Self::start_from(&binaries).await {
                Ok(server) => return Ok(Some(server)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no try was made")?)
    }

    /// URL of an empty or reusable database, with user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server is this test's own, so that it holds nothing from before.
    pub fn is_fresh(&self) -> bool {
        self.server.is_some()
    }

    /// The password in [`Self::url`] of a server that was started here.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Host and port of the server, from its URL.
    ///
    /// # Errors
    /// When the URL names none.
    pub fn host_and_port(&self) -> eyre::Result<(String, u16)> {
        let (_, address) = self.url.rsplit_once('@').wrap_err("no @ in the URL")?;
        let (address, _) = address.split_once('/').wrap_err("no database in the URL")?;
        let (host, port) = address.split_once(':').wrap_err("no port in the URL")?;
        Ok((host.to_owned(), port.parse()?))
    }

    /// Number of rows of a table, as Postgres's own client reads it.
    ///
    /// # Errors
    /// When the client is missing or there is no such table.
    pub async fn count(&self, table: &str) -> eyre::Result<u64> {
        let mut psql = tokio::process::Command::new("psql");
        psql.args(["--no-psqlrc", "-t", "-A", "-d", &self.url, "-c"])
            .arg(format!("SELECT COUNT(*) FROM {table}"));
        Ok(run(&mut psql).await?.trim().parse()?)
    }

    async fn start_from(binaries: &Path) -> eyre::Result<Self> {
        let user = server_user()?;
        let folder = TempDir::with_prefix("weft-postgres-")?;
        let data = folder.path().join("data");
        let password_file = folder.path().join("password");
        fs::write(&password_file, PASSWORD)?;
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid))?;
            chown(&password_file, Some(uid), Some(gid))?;
        }
        let output = as_user(binaries.join("initdb"), user, folder.path())
            .args(["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"])
            .arg(format!("--username={USER}"))
            .arg(format!("--pwfile={}", password_file.display()))
            .arg(format!("--pgdata={}", data.display()))
            .output()
            .context("initdb")?;
        if !output.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&output.stderr));
        }
        let port = free_port()?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut server = as_user(binaries.join("postgres"), user, folder.path())
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-F", "-p", &port.to_string(), "-k"])
            .arg(folder.path())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("postgres")?;
        let pg_isready = binaries.join("pg_isready");
        let ready = until(
            "Postgres to accept connections",
            Duration::from_secs(30),
            || {
                let look = look_at(&pg_isready, port, &mut server);
                async { look }
            },
        )
        .await;
        if let Err(error) = ready {
            stop(&mut server);
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            bail!("{error:#}; its log:\n{log}");
        }
        Ok(Self {
            url: format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"),
            server: Some((server, folder)),
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((server, _)) = &mut self.server {
            stop(server);
        }
    }
}

fn look_at(pg_isready: &Path, port: u16, server: &mut Child) -> eyre::Result<Option<()>> {
    if let Some(status) = server.try_wait()? {
        bail!("the server stopped with {status}");
    }
    let status = Command::new(pg_isready)
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
        .status()?;
    Ok(status.success().then_some(()))
}

/// SIGQUIT is Postgres's immediate shutdown, which takes its child processes along.
fn stop(server: &mut Child) {
    let _ = Command::new("kill")
        .args(["-QUIT", &server.id().to_string()])
        .status();
    let _ = server.wait();
}

/// The newest version's folder of Debian's Postgres programs.
fn debian_binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .collect();
    versions.sort();
    versions.pop()
}

/// Postgres refuses to run as root: then the user and group `postgres` of Debian's package.
fn server_user() -> eyre::Result<Option<(u32, u32)>> {
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))
}

fn id(arguments: &[&str]) -> eyre::Result<u32> {
    let output = Command::new("id").args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn as_user(program: PathBuf, user: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("LC_ALL", "C.UTF-8");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
