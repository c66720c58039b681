use std::{io, path::PathBuf};

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("configuration {path}, line {line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser expected.
        message: String,
    },
    /// The file holds a secret that does not belong there.
    #[error(
        "configuration: {0} must not be in the file: put the secret into an environment variable or a keystore and name it with batcher.private_key_env, batcher.keystore_path or batcher.keystore_password_env"
    )]
    SecretInFile(String),
    /// No key has this name.
    #[error("configuration: no key is called {0}; weft.example.toml has every key")]
    UnknownKey(String),
    /// What the command line sets is not of the form that it should be.
    #[error("configuration: expected SECTION.KEY=VALUE on the command line")]
    Override,
    /// A value given as text is of the wrong kind.
    #[error("configuration: {name}: expected {expected}")]
    Kind {
        /// The variable or key.
        name: String,
        /// What it takes.
        expected: &'static str,
    },
    /// The file or a variable has a key that is unknown, or a value that the key cannot hold.
    #[error("configuration: {0}")]
    Value(String),
    /// A number is out of its range.
    #[error("configuration: {key} must be {expected}, found {found}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its range.
        expected: String,
        /// The number.
        found: u64,
    },
    /// A key without a default has no value.
    #[error("configuration: {key} must be set: {why}")]
    Missing {
        /// The key.
        key: &'static str,
        /// Why it is needed.
        why: &'static str,
    },
    /// The L1 URL is the node's own.
    #[error("configuration: l1.rpc_url is the address that rpc.host and rpc.port serve")]
    OwnL1,
    /// The name of an environment variable is none.
    #[error(
        "configuration: {key} must be the name of an environment variable (letters, digits and _), not its value"
    )]
    VariableName {
        /// The key.
        key: &'static str,
    },
    /// An environment variable that the configuration names is not set.
    #[error("expected {holds} in the environment variable {variable}, which is not set")]
    MissingVariable {
        /// The variable.
        variable: String,
        /// What it should hold.
        holds: &'static str,
    },
    /// An environment variable holds a token that could be guessed.
    #[error(
        "the environment variable {variable} holds a token that is too short: expected at least {least} characters"
    )]
    ShortToken {
        /// The variable.
        variable: String,
        /// Fewest characters.
        least: usize,
    },
    /// An environment variable holds no private key.
    #[error("the environment variable {0} does not hold a private key: expected 32 bytes in hex")]
    PrivateKey(String),
    /// Two places for one key.
    #[error(
        "configuration: the batcher's key is either in batcher.keystore_path or with batcher.remote_signer_url, and both are set"
    )]
    TwoKeys,
    /// The remote signer's URL is not one.
    #[error("configuration: batcher.remote_signer_url must be http:// or https:// and a host")]
    SignerUrl,
    /// The remote signer cannot be used.
    #[error(transparent)]
    RemoteSigner(#[from] weft_l1_bridge::SignerError),
    /// The keystore cannot be opened.
    #[error("keystore {path}: {reason}")]
    Keystore {
        /// The keystore file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}
