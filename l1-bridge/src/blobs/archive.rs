use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use alloy_eips::eip4844::BYTES_PER_BLOB;
use alloy_primitives::{B256, Bytes};
use reqwest::StatusCode;

use super::{BlobSourceError, http::BlobServer};

/// Keeps blobs for longer than consensus nodes do (18 days on mainnet): a folder, or a server that
/// answers GET and takes PUT at `BASE/0x<versioned hash>`. Either holds the 131,072 bytes of a blob
/// under its versioned hash. What is read is checked by the reader; an archive need not be trusted.
#[derive(Debug, Clone)]
pub struct BlobArchive(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Folder(PathBuf),
    Server(BlobServer),
}

impl BlobArchive {
    /// The archive at `place`: an `http://` or `https://` URL, or else the path of a folder, which is
    /// made when the first blob is put into it.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(place: &str) -> Result<Self, BlobSourceError> {
        Ok(Self(
            if place.starts_with("http://") || place.starts_with("https://") {
                Kind::Server(BlobServer::new(place)?)
            } else {
                Kind::Folder(PathBuf::from(place))
            },
        ))
    }

    /// Whether it is a folder: then a reader adds what it has read elsewhere. A server is filled by
    /// those who post.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self.0, Kind::Folder(_))
    }

    /// What is kept under this versioned hash, unchecked; `None` when nothing is.
    pub(super) async fn get(&self, versioned_hash: B256) -> Result<Option<Bytes>, String> {
        let name = name(versioned_hash);
        match &self.0 {
            Kind::Folder(folder) => {
                let path = folder.join(name);
                let bytes = off_thread(move || read_file(&path)).await?;
                Ok(bytes.map(Bytes::from))
            }
            Kind::Server(server) => {
                let answer = server.get(&name, &[], BYTES_PER_BLOB).await?;
                match answer.status {
                    StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
                    status if status.is_success() => Ok(Some(answer.body.into())),
                    status => Err(format!("GET {name}: HTTP status {status}")),
                }
            }
        }
    }

    /// Keeps the bytes of a blob. When this returns they are there for good, as far as the archive's disk is.
    ///
    /// # Errors
    /// When the folder cannot be written, or the server does not take it.
    pub async fn put(&self, versioned_hash: B256, blob: &[u8]) -> Result<(), BlobSourceError> {
        let put = match &self.0 {
            Kind::Folder(folder) => {
                let (folder, blob) = (folder.clone(), blob.to_vec());
                off_thread(move || write_file(&folder, &name(versioned_hash), &blob)).await
            }
            Kind::Server(server) => {
                let path = name(versioned_hash);
                match server.put(&path, blob.to_vec()).await {
                    Ok(status) if status.is_success() => Ok(()),
                    Ok(status) => Err(format!("PUT {path}: HTTP status {status}")),
                    Err(error) => Err(error),
                }
            }
        };
        put.map_err(|reason| BlobSourceError::Archive {
            versioned_hash,
            reason,
        })
    }
}

impl fmt::Display for BlobArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Folder(folder) => write!(f, "archive {}", folder.display()),
            Kind::Server(_) => f.write_str("archive"),
        }
    }
}

fn name(versioned_hash: B256) -> String {
    versioned_hash.to_string()
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// The content, or `None` without such a file. Of a file that is too long to be a blob no more than
/// shows this is read.
fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::with_capacity(BYTES_PER_BLOB);
    io::Read::read_to_end(
        &mut io::Read::take(file, BYTES_PER_BLOB as u64 + 1),
        &mut bytes,
    )?;
    Ok(Some(bytes))
}

/// A reader sees the whole file or none, also after a power loss; two writers do not meet.
fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let unique = WRITES.fetch_add(1, Ordering::Relaxed);
    let partial = folder.join(format!(".{name}.{}.{unique}.partial", std::process::id()));
    let written = fs::File::create(&partial)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&partial, &path));
    if written.is_err() {
        // What is left of a failed write is of no use to anybody.
        let _ = fs::remove_file(&partial);
    }
    written?;
    fs::File::open(folder)?.sync_all()
}
