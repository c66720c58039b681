use alloy_primitives::Bytes;

/// Why a question to L1 got no usable answer. Apart from [`L1Error::Url`] another try, or another L1
/// node, may do better.
#[derive(Debug, Clone, thiserror::Error)]
pub enum L1Error {
    /// The URL cannot be used.
    #[error("L1: not an HTTP URL: {0}")]
    Url(String),
    /// Nothing came back, or not in time.
    #[error("L1: {asked}: no answer: {reason}")]
    NoAnswer {
        /// The question.
        asked: String,
        /// What the transport says.
        reason: String,
    },
    /// More came back than a client should hold.
    #[error("L1: {asked}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// The question.
        asked: String,
        /// Most bytes of an answer.
        limit: usize,
    },
    /// L1 answered with a JSON-RPC error.
    #[error("L1: {asked}: error {code}: {message}")]
    Refused {
        /// The question.
        asked: String,
        /// JSON-RPC error code.
        code: i64,
        /// JSON-RPC error message.
        message: String,
        /// What the contract reverted with, when the error carries it.
        revert: Option<Bytes>,
    },
    /// What came back cannot be true or is not of the expected form.
    #[error("L1: {asked}: expected {expected}, found {found}")]
    Answer {
        /// The question.
        asked: String,
        /// What an answer looks like.
        expected: String,
        /// What came back, shortened.
        found: String,
    },
}

impl L1Error {
    pub(crate) fn answer(
        asked: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Answer {
            asked: asked.into(),
            expected: expected.into(),
            found: shorten(&found.into()),
        }
    }

    /// Whether another try may succeed.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Url(_))
    }
}

/// Text from L1, short enough for a log line.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    let mut short: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        short.push_str(" ...");
    }
    short
}

/// An error with what lies under it: reqwest alone only says that it could not send.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    shorten(&text)
}
