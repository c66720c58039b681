use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions, Connection, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
    postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

use super::LedgerError;

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The default file in the data folder.
const DEFAULT_FILE: &str = "ledger.sqlite";

/// SQLite has one writer, and the ledger's readers are few: one connection keeps them in turn.
const SQLITE_CONNECTIONS: u32 = 1;

const POSTGRES_CONNECTIONS: u32 = 4;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// WAL lets other programs read the file while weft writes. `synchronous = NORMAL` may lose the
/// last transactions on power loss, never the file: they are recorded again from L1.
const SQLITE_SETTINGS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;";

/// A statement that hangs on a lock or a dead network path must not hang weft (I7).
const POSTGRES_SETTINGS: &str = "SET statement_timeout = '30s'; SET application_name = 'weft';";

/// An open ledger. Clones share one connection pool.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) pool: AnyPool,
    database: String,
}

impl Ledger {
    /// Opens the database at `url`, or `ledger.sqlite` in `data_dir` when there is none, and brings
    /// its tables to this version.
    ///
    /// # Errors
    /// When the URL is neither `sqlite:` nor `postgres:`, the database cannot be reached within
    /// 10 s, is no database, or was migrated by a newer or different weft.
    pub async fn open(url: Option<&str>, data_dir: &Path) -> Result<Self, LedgerError> {
        sqlx::any::install_default_drivers();
        let target = Target::parse(url, data_dir)?;
        // One connection first: a pool retries in silence and then reports a timeout, not a cause.
        tokio::time::timeout(CONNECT_TIMEOUT, target.probe())
            .await
            .map_err(|_| LedgerError::OpenTimeout {
                database: target.name.clone(),
                seconds: CONNECT_TIMEOUT.as_secs(),
            })?
            .map_err(|source| target.open_error(source))?;
        let settings = target.settings;
        let pool = AnyPoolOptions::new()
            .max_connections(target.connections)
            .acquire_timeout(CONNECT_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(settings).await?;
                    Ok(())
                })
            })
            .connect_with(target.options.clone())
            .await
            .map_err(|source| target.open_error(source))?;
        MIGRATOR
            .run(&pool)
            .await
            .map_err(|source| LedgerError::Migrate {
                database: target.name.clone(),
                source,
            })?;
        Ok(Self {
            pool,
            database: target.name,
        })
    }

    /// The database for logs and banners: without user and password.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Waits for running statements and closes every connection. Later calls fail.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

struct Target {
    options: AnyConnectOptions,
    name: String,
    connections: u32,
    /// Statements that each new connection starts with.
    settings: &'static str,
}

impl Target {
    fn parse(url: Option<&str>, data_dir: &Path) -> Result<Self, LedgerError> {
        let Some(url) = url else {
            return Self::sqlite(data_dir.join(DEFAULT_FILE));
        };
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let malformed = |source| LedgerError::MalformedUrl {
            scheme: scheme.to_owned(),
            source,
        };
        match scheme {
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(url).map_err(malformed)?;
                Self::sqlite(options.get_filename().to_owned())
            }
            "postgres" | "postgresql" => {
                let parsed = PgConnectOptions::from_str(url).map_err(malformed)?;
                Ok(Self {
                    options: AnyConnectOptions::from_str(url).map_err(malformed)?,
                    name: format!(
                        "postgres://{}:{}/{}",
                        parsed.get_host(),
                        parsed.get_port(),
                        parsed.get_database().unwrap_or_default()
                    ),
                    connections: POSTGRES_CONNECTIONS,
                    settings: POSTGRES_SETTINGS,
                })
            }
            // Only the scheme is repeated: the rest may hold a password.
            _ => Err(LedgerError::UnsupportedUrl(scheme.to_owned())),
        }
    }

    /// sqlx reads the path back from a URL: it escapes everything there but `%` itself, and would
    /// take the first folder of a relative path for a host.
    fn sqlite(file: PathBuf) -> Result<Self, LedgerError> {
        let name = format!("sqlite://{}", file.display());
        let opened = |source: std::io::Error| LedgerError::Open {
            database: name.clone(),
            source: sqlx::Error::Io(source),
        };
        let absolute = std::path::absolute(&file).map_err(opened)?;
        let escaped = absolute
            .to_str()
            .ok_or_else(|| opened(std::io::Error::other("the path is not UTF-8")))?
            .replace('%', "%25");
        let url = SqliteConnectOptions::new()
            .filename(escaped)
            .create_if_missing(true)
            .to_url_lossy();
        Ok(Self {
            options: AnyConnectOptions::from_url(&url).map_err(|source| LedgerError::Open {
                database: name.clone(),
                source,
            })?,
            name,
            connections: SQLITE_CONNECTIONS,
            settings: SQLITE_SETTINGS,
        })
    }

    async fn probe(&self) -> Result<(), sqlx::Error> {
        let mut connection = AnyConnection::connect_with(&self.options).await?;
        connection.execute(self.settings).await?;
        connection.close().await
    }

    fn open_error(&self, source: sqlx::Error) -> LedgerError {
        LedgerError::Open {
            database: self.name.clone(),
            source,
        }
    }
}
