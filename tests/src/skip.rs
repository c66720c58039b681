//! Saying aloud what could not be tested.

use std::io::Write;

/// File that `./test` reads to report what was skipped.
const SKIPS_VARIABLE: &str = "WEFT_TEST_SKIPS";

/// Tells the person and the gate that a test did not run, and why.
pub fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
    let Ok(path) = std::env::var(SKIPS_VARIABLE) else {
        return;
    };
    let appended = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{reason}"));
    if let Err(error) = appended {
        eprintln!("{path}: {error}");
    }
}
