//! Programs of others that the tests talk to: `./test` installs them into `.tools/`.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::skip::skip;

/// Root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The installed program of Foundry (`anvil`, `cast`), or `None` after saying that a test is
/// skipped. It is the binary itself: npm's launcher would outlive a kill, and it hides the exit
/// status.
pub fn foundry(name: &str) -> Option<PathBuf> {
    let packages = repository().join(".tools/node_modules/@foundry-rs");
    let found = std::fs::read_dir(packages)
        .into_iter()
        .flatten()
        .filter_map(|package| Some(package.ok()?.path().join("bin").join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!(
            "{name} is not in .tools: run ./test once to install it"
        ));
    }
    found
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started, or ends with a failure: then with all that it printed.
pub async fn run(command: &mut Command) -> eyre::Result<String> {
    let output = command.kill_on_drop(true).output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    eyre::bail!(
        "{:.500?}: {}\n{printed}{}",
        format!("{:?}", command.as_std()),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a script of `tests/clients` with Node.js.
///
/// # Errors
/// As [`run`].
pub async fn client_script(name: &str, arguments: &[&str]) -> eyre::Result<String> {
    run(Command::new("node")
        .arg(repository().join("tests/clients").join(name))
        .args(arguments))
    .await
}
