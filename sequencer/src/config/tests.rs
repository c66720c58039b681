use std::{io::Write, num::NonZeroU64, path::PathBuf};

use alloy_primitives::address;
use alloy_signer_local::PrivateKeySigner;
use tempfile::NamedTempFile;
use weft_state::History;

use super::*;

const EXAMPLE: &str = include_str!("../../../weft.example.toml");
/// The PBKDF2 test vector of the Web3 Secret Storage definition.
const KEYSTORE: &str = r#"{
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3
}"#;
const KEY: &str = "0x4242424242424242424242424242424242424242424242424242424242424242";

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, env: &[(&str, &str)], overrides: &[&str]) -> Result<Config, ConfigError> {
    let file = file(text);
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(file.path()), env, overrides)
}

fn error(text: &str, env: &[(&str, &str)], overrides: &[&str]) -> String {
    load(text, env, overrides).unwrap_err().to_string()
}

/// The least that a node needs, and what a test adds.
fn minimal(more: &str) -> String {
    format!(
        "[chain]\ngenesis = \"genesis.json\"\n{}{more}",
        if more.contains("[batcher]") {
            ""
        } else {
            "[batcher]\nenabled = false\n"
        }
    )
}

#[test]
fn the_example_has_every_key_with_its_default() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    assert_eq!(example, defaults);
    assert_eq!(
        toml::from_str::<Config>(EXAMPLE).unwrap(),
        Config::default()
    );
}

#[test]
fn every_key_of_the_example_is_documented() {
    let mut documented = false;
    let mut previous_is_key = false;
    for line in EXAMPLE.lines() {
        let is_key = line.contains(" = ") && !line.starts_with('#');
        documented = line.starts_with('#') || (documented && is_key);
        assert!(!is_key || documented || previous_is_key, "{line}");
        previous_is_key = is_key;
    }
}

#[test]
fn later_layers_win() {
    let text = minimal("[rpc]\nport = 1\nmax_batch = 10\ncall_gas = 100\n");
    let config = load(
        &text,
        &[
            ("WEFT_RPC_PORT", "2"),
            ("WEFT_RPC_MAX_BATCH", "20"),
            ("WEFT_RPC_CORS", "https://a.example, https://b.example"),
            ("WEFT_LOG_FORMAT", "json"),
            ("WEFT_MEMPOOL_ALLOW_UNPROTECTED", "true"),
            ("WEFT_BIN", "not a key of ours"),
            ("PATH", "/bin"),
        ],
        &["rpc.port=3"],
    )
    .unwrap();
    assert_eq!(config.rpc.port, 3);
    assert_eq!(config.rpc.max_batch, 20);
    assert_eq!(config.rpc.call_gas, 100);
    assert_eq!(config.rpc.cors, ["https://a.example", "https://b.example"]);
    assert!(config.log.is_json());
    assert!(config.mempool.allow_unprotected);
    assert_eq!(config.block, BlockSection::default());
}

#[test]
fn no_file_is_needed() {
    let env = [
        ("WEFT_CHAIN_GENESIS", "chain.json"),
        ("WEFT_L1_RPC_URL", "http://l1.example:8545"),
        (
            "WEFT_L1_CONTRACT",
            "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        ),
        ("WEFT_BATCHER_KEY", KEY),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(None, env, &[] as &[&str]).unwrap();
    assert_eq!(config.chain.genesis, Some(PathBuf::from("chain.json")));
    assert_eq!(
        config.l1.rpc_url.unwrap().expose(),
        "http://l1.example:8545"
    );
}

#[test]
fn mistakes_name_their_key() {
    let cases = [
        ("[rcp]\nport = 1\n", "rcp"),
        ("[rpc]\nprot = 1\n", "prot"),
        ("[rpc]\nport = 70000\n", "u16"),
        ("[rpc]\nport = \"1\"\n", "u16"),
        ("[block]\nbeneficiary = \"0x12\"\n", "line"),
        (
            "[chain]\nexecution = \"jvm\"\n",
            "expected evm or wasm, or several joined by +",
        ),
        ("[rpc\n", "line 1"),
    ];
    for (text, expected) in cases {
        let message = error(text, &[], &[]);
        assert!(message.contains(expected), "{message}");
    }
    let text = minimal("");
    assert_eq!(
        error(&text, &[("WEFT_RPC_PROT", "1")], &[]),
        "configuration: no key is called WEFT_RPC_PROT; weft.example.toml has every key"
    );
    assert_eq!(
        error(&text, &[("WEFT_RPC_PORT", "eighty")], &[]),
        "configuration: WEFT_RPC_PORT: expected a whole number"
    );
    let message = error(&text, &[("WEFT_RPC_PORT", "70000")], &[]);
    assert!(message.contains("rpc.port"), "{message}");
    assert_eq!(
        error(&text, &[], &["rpc.prot=1"]),
        "configuration: no key is called rpc.prot; weft.example.toml has every key"
    );
    for text_override in ["rpc.port", "port=1"] {
        assert_eq!(
            error(&text, &[], &[text_override]),
            "configuration: expected SECTION.KEY=VALUE on the command line"
        );
    }
    let missing = Config::load(Some(Path::new("/nowhere/weft.toml")), [], &[] as &[&str]);
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .starts_with("configuration /nowhere/weft.toml: ")
    );
}

#[test]
fn history_is_all_or_a_number_of_blocks() {
    let history =
        |text: &str, overrides: &[&str]| load(text, &[], overrides).unwrap().chain.history;
    let file =
        |value: &str| minimal("").replace("[chain]\n", &format!("[chain]\nhistory = {value}\n"));
    let blocks = |number| History::Blocks(NonZeroU64::new(number).unwrap());
    assert_eq!(history(&minimal(""), &[]), History::All);
    assert_eq!(history(&file("\"all\""), &[]), History::All);
    assert_eq!(history(&file("128"), &[]), blocks(128));
    assert_eq!(history(&file("\"128\""), &[]), blocks(128));
    assert_eq!(history(&file("128"), &["chain.history=7"]), blocks(7));
    assert_eq!(history(&file("128"), &["chain.history=all"]), History::All);
    for value in ["0", "-1", "\"some\"", "true"] {
        let message = error(&file(value), &[], &[]);
        assert!(message.contains("a number of blocks from 1"), "{message}");
    }
}

#[test]
fn values_must_make_a_node() {
    let l1 = "[l1]\nrpc_url = \"http://127.0.0.1:8546\"\ncontract = \"0x5FbDB2315678afecb367f032d93F642f64180aa3\"\n";
    let cases = [
        (String::new(), "chain.genesis must be set: the path of the chain's genesis.json".to_owned()),
        (minimal("[rpc]\nmax_batch = 0\n"), "rpc.max_batch must be at least 1, found 0".to_owned()),
        (minimal("[block]\ngas_limit = 1\n"), "block.gas_limit must be between 5000 and 2^62, found 1".to_owned()),
        (
            minimal("[block]\nmin_gas_limit = 60000001\n"),
            "block.min_gas_limit must be 0, or between 3750000 and 60000000 (block.gas_limit, and up to 16 times less or more), found 60000001".to_owned(),
        ),
        (
            minimal("[block]\nmax_gas_limit = 59999999\n"),
            "block.max_gas_limit must be 0, or between 60000000 and 960000000 (block.gas_limit, and up to 16 times less or more), found 59999999".to_owned(),
        ),
        (
            minimal("[block]\nmin_interval_ms = 100\nmax_interval_ms = 99\n"),
            "block.max_interval_ms must be at least 100 (block.min_interval_ms), found 99".to_owned(),
        ),
        (
            minimal("[rpc]\nmax_bytes_in_work = 5242879\n"),
            "rpc.max_bytes_in_work must be at least 5242880 (rpc.max_body_bytes), found 5242879".to_owned(),
        ),
        (
            minimal(&format!("[rpc]\nrate_limit_keys_env = \"{KEY}\"\n")),
            "rpc.rate_limit_keys_env must be the name of an environment variable (letters, digits and _), not its value".to_owned(),
        ),
        (
            minimal(&format!("{l1}stop_at_backlog_s = 10\nslow_at_backlog_s = 10\n")),
            "l1.stop_at_backlog_s must be at least 11 (where the chain begins to slow down, and one more), found 10".to_owned(),
        ),
        (
            minimal("[mempool]\nmin_tip_wei = 2000000\n"),
            "rpc.min_suggested_tip_wei must be at least 2000000 (mempool.min_tip_wei, or nobody could follow the suggestion), found 1000000".to_owned(),
        ),
        (
            minimal("[mempool]\nmax_transaction_bytes = 115001\n"),
            "mempool.max_transaction_bytes must be at most 115000 (what a block can hold), found 115001".to_owned(),
        ),
        (
            minimal("[batcher]\n"),
            "l1.rpc_url must be set: the batcher is on (batcher.enabled) and posts to L1".to_owned(),
        ),
        (
            minimal("[l1]\nrpc_url = \"http://127.0.0.1:8546\"\n"),
            "l1.contract must be set: the address that weft deploy printed".to_owned(),
        ),
        (
            minimal(&format!("{l1}[block]\ngas_limit = 10999999\n")),
            "block.gas_limit must be at least 11000000 (what the deposits of a block may need), found 10999999".to_owned(),
        ),
        (
            minimal("[l1]\nrpc_url = \"ftp://l1.example\"\n"),
            "l1.rpc_url: expected an http:// or https:// URL".to_owned(),
        ),
        (
            minimal("[l1]\nrpc_url = \"http://localhost:8545/\"\n"),
            "l1.rpc_url is the address that rpc.host and rpc.port serve".to_owned(),
        ),
        (
            minimal(&format!("{l1}[batcher]\nprivate_key_env = \"\"\n")),
            "batcher.private_key_env must be set: the batcher needs this, batcher.keystore_path or batcher.remote_signer_url".to_owned(),
        ),
        (
            minimal(&format!("{l1}[batcher]\nkeystore_path = \"key.json\"\n")),
            "batcher.keystore_password_env must be set: batcher.keystore_path is set, and its password must come from a variable".to_owned(),
        ),
        (
            minimal(&format!("{l1}[batcher]\nprivate_key_env = \"{KEY}\"\n")),
            "batcher.private_key_env must be the name of an environment variable (letters, digits and _), not its value".to_owned(),
        ),
        (
            minimal(&format!("{l1}[batcher]\nmax_bytes = 126001\n")),
            "batcher.max_bytes must be at most 126000 (what L1 takes in one transaction), found 126001".to_owned(),
        ),
        (
            minimal(&format!("{l1}[batcher]\ncompression_level = 20\n")),
            "batcher.compression_level must be between 1 and 19, found 20".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(&text, &[], &[]), format!("configuration: {expected}"));
    }
    load(&minimal(&format!("{l1}[batcher]\n")), &[], &[]).unwrap();
}

#[test]
fn secrets_are_refused_in_the_file_and_not_repeated() {
    for text in [
        format!("[batcher]\nprivate_key = \"{KEY}\"\n"),
        format!("private_key = \"{KEY}\"\n"),
        format!("[batcher]\nkeystore_password = \"{KEY}\"\n"),
    ] {
        let message = error(&text, &[], &[]);
        assert!(message.contains("must not be in the file"), "{message}");
        assert!(!message.contains(KEY), "{message}");
    }
    // Nor does a mistake elsewhere show the line.
    for text in [
        format!("[ledger]\nurl = \"postgres://u:{KEY}@db\n"),
        format!("[ledger]\nlru = \"postgres://u:{KEY}@db\"\n"),
        format!("[ledger]\nurl = [\"postgres://u:{KEY}@db\"]\n"),
    ] {
        let message = error(&text, &[], &[]);
        assert!(!message.contains(KEY), "{message}");
    }
}

#[test]
fn credentials_do_not_show() {
    let config = load(
        &minimal(""),
        &[
            (
                "WEFT_LEDGER_URL",
                "postgres://weft:p@ss/w0rd@db.example:5432/weft?password=w0rd",
            ),
            (
                "WEFT_L1_RPC_URL",
                "https://user:w0rd@l1.example/v3/w0rd?key=w0rd",
            ),
            (
                "WEFT_L1_CONTRACT",
                "0x5FbDB2315678afecb367f032d93F642f64180aa3",
            ),
        ],
        &[],
    )
    .unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("w0rd"), "{shown}");
    assert!(
        shown.contains("\"postgres://db.example:5432/[redacted]\""),
        "{shown}"
    );
    assert!(
        shown.contains("\"https://l1.example/[redacted]\""),
        "{shown}"
    );
    assert_eq!(
        config.l1.rpc_url.unwrap().expose(),
        "https://user:w0rd@l1.example/v3/w0rd?key=w0rd"
    );
    let secret = Secret::from("w0rd".to_owned());
    assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
    assert_eq!(secret.expose(), "w0rd");
}

#[test]
fn the_key_comes_from_a_variable_or_a_keystore() {
    let mut batcher = BatcherSection::default();
    let variable = |name: &str| match name {
        "WEFT_BATCHER_KEY" => Some(format!("{KEY}\n")),
        "PASSWORD" => Some("testpassword".to_owned()),
        "WRONG" => Some("sesame".to_owned()),
        _ => None,
    };
    let expected: PrivateKeySigner = KEY.parse().unwrap();
    let signer = batcher.signer(variable).unwrap();
    assert_eq!(signer.address(), expected.address());
    let shown = format!("{signer:?}");
    assert!(!shown.contains("42424242424242424242"), "{shown}");

    batcher.private_key_env = Some("ELSEWHERE".to_owned());
    assert_eq!(
        batcher.signer(variable).unwrap_err().to_string(),
        "expected the batcher's private key in the environment variable ELSEWHERE, which is not set"
    );
    batcher.private_key_env = Some("WRONG".to_owned());
    assert_eq!(
        batcher.signer(variable).unwrap_err().to_string(),
        "the environment variable WRONG does not hold a private key: expected 32 bytes in hex"
    );

    let keystore = file(KEYSTORE);
    batcher.keystore_path = Some(keystore.path().to_owned());
    batcher.keystore_password_env = Some("PASSWORD".to_owned());
    assert_eq!(
        batcher.signer(variable).unwrap().address(),
        address!("0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b")
    );
    batcher.keystore_password_env = Some("WRONG".to_owned());
    assert!(matches!(
        batcher.signer(variable),
        Err(ConfigError::Keystore { .. })
    ));
}

#[test]
fn a_remote_signer_needs_its_account_and_takes_the_place_of_a_key() {
    let account = address!("0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b");
    let url = "http://user:w0rd@signer.example:9000/w0rd";
    let mut batcher = BatcherSection {
        remote_signer_url: Some(url.parse().unwrap()),
        ..BatcherSection::default()
    };
    let no_variable = |_: &str| -> Option<String> { None };
    assert!(matches!(
        batcher.signer(no_variable),
        Err(ConfigError::Missing {
            key: "batcher.address",
            ..
        })
    ));
    batcher.address = Some(account);
    let signer = batcher.signer(no_variable).unwrap();
    assert_eq!(signer.address(), account);
    for shown in [format!("{signer:?}"), format!("{batcher:?}")] {
        assert!(!shown.contains("w0rd"), "{shown}");
    }

    let chain = "[l1]\nrpc_url = \"http://l1.example\"\ncontract = \"0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b\"\n[batcher]\n";
    let with = |keys: &str| load(&minimal(&format!("{chain}{keys}")), &[], &[]);
    let remote = format!("remote_signer_url = \"{url}\"\n");
    assert!(matches!(
        with(&remote),
        Err(ConfigError::Missing {
            key: "batcher.address",
            ..
        })
    ));
    let remote = format!("{remote}address = \"{account}\"\n");
    let config = with(&remote).unwrap();
    assert_eq!(config.batcher.address, Some(account));
    assert!(matches!(
        with(&format!("{remote}keystore_path = \"key.json\"\n")),
        Err(ConfigError::TwoKeys)
    ));
    let other = remote.replace("http://", "ws://");
    assert!(matches!(with(&other), Err(ConfigError::SignerUrl)));
}

#[test]
fn the_table_in_the_documentation_has_every_key() {
    let document = include_str!("../../../docs/configuration.md");
    let mut table: Vec<String> = document
        .lines()
        .filter(|line| line.contains("| `WEFT_"))
        .map(str::to_owned)
        .collect();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    let mut expected = Vec::new();
    for (section, keys) in &defaults {
        for (key, value) in keys.as_table().unwrap() {
            let variable = format!("WEFT_{section}_{key}").to_uppercase();
            expected.push(format!("| `{section}.{key}` | `{variable}` | `{value}` |"));
        }
    }
    table.sort();
    expected.sort();
    assert_eq!(table, expected);
}
