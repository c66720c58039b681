//! `docker-compose.yml` without Docker: its commands, variables and health checks as they stand,
//! with only hosts, ports and folders changed to this machine's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use eyre::{ContextCompat, bail};
use serde::Deserialize;

use crate::tools::repository;

/// The file, as far as the tests look at it.
#[derive(Debug, Deserialize)]
pub struct Compose {
    /// By name.
    pub services: BTreeMap<String, Service>,
}

/// One container.
#[derive(Debug, Deserialize)]
pub struct Service {
    /// The program and its first arguments; the image's own when empty.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// Its arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What it waits for.
    #[serde(default)]
    pub depends_on: BTreeMap<String, Dependency>,
    /// How Docker finds out whether it is healthy; `None` takes the image's check.
    pub healthcheck: Option<HealthCheck>,
}

/// What a container waits for.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// `service_healthy` or `service_completed_successfully`.
    pub condition: String,
}

/// A health check.
#[derive(Debug, Deserialize)]
pub struct HealthCheck {
    /// `CMD`, a program and its arguments.
    pub test: Vec<String>,
}

impl Compose {
    /// The file at the root of the repository, with `${NAME:-default}` replaced by the default.
    ///
    /// # Errors
    /// When it cannot be read, or is not what Docker Compose takes.
    pub fn load() -> eyre::Result<Self> {
        let text = std::fs::read_to_string(repository().join("docker-compose.yml"))?;
        Ok(serde_yaml_ng::from_str(&with_defaults(&text)?)?)
    }

    /// The service of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn service(&self, name: &str) -> eyre::Result<&Service> {
        self.services
            .get(name)
            .wrap_err_with(|| format!("no service {name} in docker-compose.yml"))
    }
}

fn with_defaults(text: &str) -> eyre::Result<String> {
    let mut parts = text.split("${");
    let mut done = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').wrap_err("${ without }")?;
        let (_, default) = variable
            .split_once(":-")
            .wrap_err_with(|| format!("{variable} has no default"))?;
        done.push_str(default);
        done.push_str(rest);
    }
    Ok(done)
}

/// Where a service of the file runs on this machine.
#[derive(Debug)]
pub struct Placement {
    /// Texts of the file and what stands for them here, in the order in which they are replaced.
    pub replacements: Vec<(String, String)>,
    /// Programs of the images and where they are here.
    pub programs: BTreeMap<String, PathBuf>,
    /// Folder of the services' logs.
    pub logs: PathBuf,
}

impl Placement {
    fn place(&self, text: &str) -> String {
        self.replacements
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// What the container runs, `image_program` being its image's entrypoint.
    ///
    /// # Errors
    /// When the service has nothing to run.
    pub fn command(&self, service: &Service, image_program: &str) -> eyre::Result<Command> {
        let words: Vec<String> = match service.entrypoint.is_empty() {
            true => vec![image_program.to_owned()],
            false => service.entrypoint.clone(),
        };
        let words = words.into_iter().chain(service.command.iter().cloned());
        let mut command = self.run(&words.collect::<Vec<_>>())?;
        for (name, value) in &service.environment {
            command.env(name, self.place(value));
        }
        Ok(command)
    }

    /// What Docker runs in the container to see whether it is healthy.
    ///
    /// # Errors
    /// When it is not of the form `CMD`.
    pub fn health_check(&self, check: &[String]) -> eyre::Result<Command> {
        match check.split_first() {
            Some((kind, words)) if kind == "CMD" => self.run(words),
            _ => bail!("expected [CMD, ...], found {check:?}"),
        }
    }

    fn run(&self, words: &[String]) -> eyre::Result<Command> {
        let (program, arguments) = words.split_first().wrap_err("nothing to run")?;
        let mut command = match self.programs.get(program) {
            Some(path) => Command::new(path),
            None => Command::new(program),
        };
        command.args(arguments.iter().map(|argument| self.place(argument)));
        let folders = self.programs.values().filter_map(|path| path.parent());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let search: Vec<PathBuf> = folders
            .map(Path::to_path_buf)
            .chain(std::env::split_paths(&path))
            .collect();
        command.env("PATH", std::env::join_paths(search)?);
        Ok(command)
    }
}

/// The words of the `CMD` of the image's `HEALTHCHECK`, in the form of the compose file.
///
/// # Errors
/// When the Dockerfile has none.
pub fn image_health_check() -> eyre::Result<Vec<String>> {
    let text = std::fs::read_to_string(repository().join("Dockerfile"))?;
    let (_, check) = text.split_once("HEALTHCHECK").wrap_err("no HEALTHCHECK")?;
    let (_, words) = check
        .split_once("CMD ")
        .wrap_err("HEALTHCHECK without CMD")?;
    let words: Vec<String> = serde_json::from_str(words.lines().next().unwrap_or_default())?;
    Ok(std::iter::once("CMD".to_owned()).chain(words).collect())
}
