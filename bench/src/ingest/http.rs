//! The leanest HTTP/1.1 client that does: one connection, one request at a time, no pipelining.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::IngestError;

/// After this time without a request a connection is made anew.
const UNUSED: Duration = Duration::from_secs(20);
/// Most bytes of one answer.
const MAX_ANSWER: usize = 256 << 20;
/// Most bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;

/// Where a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host and port.
    pub(super) address: String,
    /// Path, with its slash.
    pub(super) path: String,
}

impl Endpoint {
    /// Parses `http://HOST:PORT/PATH`, or the same with `ws`.
    pub(super) fn parse(url: &str) -> Result<Self, IngestError> {
        let wrong = || IngestError::Url(url.to_owned());
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("ws://"))
            .ok_or_else(wrong)?;
        let (address, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self {
            address: address.to_owned(),
            path: path.to_owned(),
        })
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, IngestError> {
        let connect = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        connect
            .await
            .map_err(|source: io::Error| IngestError::Connect {
                address: self.address.clone(),
                source,
            })
    }
}

/// A kept-alive connection.
#[derive(Debug)]
pub(super) struct HttpConnection {
    stream: TcpStream,
    endpoint: Endpoint,
    /// When the last request was made.
    used: Instant,
    /// The part of the head that does not change.
    head: Vec<u8>,
    output: Vec<u8>,
    input: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HttpAnswer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

/// Where an answer's parts are.
#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    /// Where the body starts.
    body: usize,
    length: Length,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Bytes(usize),
    Chunked,
}

impl HttpConnection {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, IngestError> {
        let stream = endpoint.connect().await?;
        Ok(Self {
            stream,
            head: format!(
                "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: ",
                endpoint.path, endpoint.address
            )
            .into_bytes(),
            endpoint: endpoint.clone(),
            used: Instant::now(),
            output: Vec::new(),
            input: Vec::new(),
        })
    }

    /// Posts the body and waits for the answer.
    pub(super) async fn post(&mut self, body: &[u8]) -> Result<HttpAnswer<'_>, IngestError> {
        self.output.clear();
        self.output.extend_from_slice(&self.head);
        self.output
            .extend_from_slice(body.len().to_string().as_bytes());
        self.output.extend_from_slice(b"\r\n\r\n");
        self.output.extend_from_slice(body);
        self.exchange().await
    }

    /// Gets the path.
    pub(super) async fn get(&mut self, path: &str) -> Result<HttpAnswer<'_>, IngestError> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.endpoint.address
        );
        self.output.clear();
        self.output.extend_from_slice(request.as_bytes());
        self.exchange().await
    }

    async fn exchange(&mut self) -> Result<HttpAnswer<'_>, IngestError> {
        // Nodes close connections that nobody uses.
        if self.used.elapsed() > UNUSED {
            self.stream = self.endpoint.connect().await?;
        }
        self.used = Instant::now();
        let address = &self.endpoint.address;
        let fail = |error: io::Error| IngestError::connection(address, error);
        self.stream.write_all(&self.output).await.map_err(fail)?;
        self.input.clear();
        let head = loop {
            if let Some(head) = parse_head(&self.input).map_err(fail)? {
                break head;
            }
            if self.input.len() > MAX_HEAD {
                return Err(fail(invalid("the head is too long")));
            }
            fill(&mut self.stream, &mut self.input)
                .await
                .map_err(fail)?;
        };
        match head.length {
            Length::Bytes(length) => {
                if length > MAX_ANSWER {
                    return Err(fail(invalid("the answer is too long")));
                }
                let end = head.body + length;
                while self.input.len() < end {
                    self.input.reserve(end - self.input.len());
                    fill(&mut self.stream, &mut self.input)
                        .await
                        .map_err(fail)?;
                }
                Ok(HttpAnswer {
                    status: head.status,
                    body: self.input.get(head.body..end).unwrap_or_default(),
                })
            }
            Length::Chunked => {
                let length = loop {
                    let chunks = self.input.get_mut(head.body..).unwrap_or_default();
                    if let Some(length) = join_chunks(chunks).map_err(fail)? {
                        break length;
                    }
                    if self.input.len() > MAX_ANSWER {
                        return Err(fail(invalid("the answer is too long")));
                    }
                    fill(&mut self.stream, &mut self.input)
                        .await
                        .map_err(fail)?;
                };
                Ok(HttpAnswer {
                    status: head.status,
                    body: self
                        .input
                        .get(head.body..head.body + length)
                        .unwrap_or_default(),
                })
            }
        }
    }
}

async fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<()> {
    if input.capacity() - input.len() < 4096 {
        input.reserve(input.len().max(8192));
    }
    match stream.read_buf(input).await? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "closed by the node",
        )),
        _ => Ok(()),
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len())
        .position(|window| window == pattern)
}

/// `None` when the head is not complete.
fn parse_head(input: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = find(input, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = input.get(..end).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| invalid("the head is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|rest| rest.get(2..5)?.parse().ok())
        .ok_or_else(|| invalid("no status line of HTTP/1.1"))?;
    let mut length = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            let bytes = value
                .trim()
                .parse()
                .map_err(|_| invalid("content-length"))?;
            length = Some(Length::Bytes(bytes));
        } else if name.eq_ignore_ascii_case("transfer-encoding")
            && value.trim().eq_ignore_ascii_case("chunked")
        {
            length = Some(Length::Chunked);
        }
    }
    Ok(Some(Head {
        status,
        body: end + 4,
        length: length.unwrap_or(Length::Bytes(0)),
    }))
}

/// Joins the chunks of a chunked body in place once all are there, and returns its length.
fn join_chunks(body: &mut [u8]) -> io::Result<Option<usize>> {
    let mut chunks = Vec::new();
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let Some(line) = find(rest, b"\r\n") else {
            return Ok(None);
        };
        let size = rest
            .get(..line)
            .and_then(|line| std::str::from_utf8(line).ok())
            .and_then(|line| usize::from_str_radix(line.split(';').next()?.trim(), 16).ok())
            .ok_or_else(|| invalid("the size of a chunk"))?;
        if size > MAX_ANSWER {
            return Err(invalid("the answer is too long"));
        }
        let start = at + line + 2;
        let end = start + size;
        if body.len() < end + 2 {
            return Ok(None);
        }
        if size == 0 {
            break;
        }
        chunks.push(start..end);
        at = end + 2;
    }
    let mut length = 0;
    for chunk in chunks {
        let size = chunk.len();
        body.copy_within(chunk, length);
        length += size;
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn urls() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8545").unwrap();
        assert_eq!(
            (&*endpoint.address, &*endpoint.path),
            ("127.0.0.1:8545", "/")
        );
        assert_eq!(Endpoint::parse("ws://[::1]:1/a/b").unwrap().path, "/a/b");
        for wrong in [
            "",
            "127.0.0.1:1",
            "http://host",
            "http://:1",
            "https://host:1",
        ] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Answers each request with the text, in pieces of so many bytes.
    async fn answers(text: &'static str, piece: usize) -> (u16, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            address: listener.local_addr().unwrap().to_string(),
            path: "/".into(),
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1 << 16];
            for _ in 0..2 {
                let _ = stream.read(&mut request).await.unwrap();
                for piece in text.as_bytes().chunks(piece) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
            stream
        };
        let ask = async {
            let mut connection = HttpConnection::open(&endpoint).await.unwrap();
            let first = connection.post(b"{}").await.unwrap();
            let first = (first.status, first.body.to_vec());
            let second = connection.get("/x").await.unwrap();
            assert_eq!(first, (second.status, second.body.to_vec()));
            first
        };
        tokio::join!(ask, serve).0
    }

    #[tokio::test]
    async fn answers_are_read_however_they_are_cut() {
        for piece in [1, 7, 1000] {
            let plain = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: y\r\n\r\nhello";
            assert_eq!(answers(plain, piece).await, (200, b"hello".to_vec()));
            let chunked = "HTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n";
            assert_eq!(answers(chunked, piece).await, (429, b"hello".to_vec()));
        }
    }
}
