use std::{os::unix::fs::symlink, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{
    compiled::{Compilers, engine},
    instrument::instrument,
    validate,
};

const HASH: B256 = B256::repeat_byte(5);
const NUMBER: u32 = 41;

/// A program that returns this number.
fn program(number: u32) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module (memory (export "memory") 1)
            (func (export "user_entrypoint") (param i32) (result i32) (i32.const {number})))"#
    ))
    .unwrap()
}

/// Compiles a program as a new process with its cache in this folder does.
fn compile(folder: &Path, code_hash: B256, number: u32) {
    let disk = DiskCache::open(folder).unwrap();
    let compilers = Compilers::new(Some(disk)).unwrap();
    let module = program(number);
    let shape = validate(&module).unwrap();
    compilers.compile(code_hash, &module, shape).unwrap();
}

fn source(number: u32) -> B256 {
    alloy_primitives::keccak256(instrument(&program(number)).unwrap())
}

/// What the entry point of a compiled module returns.
fn result(native: &Module) -> u32 {
    let mut linker = wasmtime::Linker::new(native.engine());
    crate::stack::link_stack_bound(&mut linker).unwrap();
    let mut store = wasmtime::Store::new(native.engine(), ());
    store.set_fuel(1_000).unwrap();
    linker
        .instantiate(&mut store, native)
        .unwrap()
        .get_typed_func::<u32, u32>(&mut store, "user_entrypoint")
        .unwrap()
        .call(&mut store, 0)
        .unwrap()
}

/// What the program returns that is taken from the folder, if it is.
fn loaded(folder: &Path) -> Option<u32> {
    let native = DiskCache::open(folder)
        .unwrap()
        .load(&engine(), HASH, source(NUMBER))?;
    Some(result(&native))
}

/// A folder with one compiled program in it, and that file.
fn filled() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path(), HASH, NUMBER);
    let file = folder.path().join(format!("{HASH:x}.{EXTENSION}"));
    assert!(file.is_file());
    (folder, file)
}

/// Whether the program is taken from the folder. It is compiled in any case.
fn is_loaded(folder: &Path) -> bool {
    let found = loaded(folder);
    assert!(found.is_none_or(|found| found == NUMBER));
    compile(folder, HASH, NUMBER);
    found.is_some()
}

#[test]
fn a_program_is_loaded_after_a_restart() {
    let (folder, file) = filled();
    assert!(is_loaded(folder.path()));
    for path in [&file, &folder.path().join(KEY_FILE)] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_changed_file_is_ignored_and_replaced() {
    let (folder, file) = filled();
    let good = fs::read(&file).unwrap();
    let cache = DiskCache::open(folder.path()).unwrap();
    let (engine, source) = (engine(), source(NUMBER));
    // Each byte of the checksum and the header, and some of the code.
    let header_end = 32 + header(&engine, HASH, source).len();
    for at in (0..header_end + 64).chain((header_end..good.len()).step_by(97)) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).unwrap();
        assert!(cache.load(&engine, HASH, source).is_none(), "{at}");
    }
    let longer = [good.as_slice(), b"!"].concat();
    for bad in [&good[..good.len() - 1], &good[..31], &[], &longer] {
        fs::write(&file, bad).unwrap();
        assert!(!is_loaded(folder.path()));
        assert_eq!(fs::read(&file).unwrap(), good);
        assert!(is_loaded(folder.path()));
    }
}

#[test]
fn what_was_made_otherwise_is_ignored() {
    let (folder, _) = filled();
    let cache = DiskCache::open(folder.path()).unwrap();
    let (engine, source) = (engine(), source(NUMBER));
    assert!(cache.load(&engine, HASH, source).is_some());
    assert!(cache.load(&engine, HASH, B256::ZERO).is_none());
    let mut config = wasmtime::Config::new();
    config.consume_fuel(true);
    let other = Engine::new(&config).unwrap();
    assert!(cache.load(&other, HASH, source).is_none());
}

#[test]
fn the_file_of_another_program_is_ignored() {
    let (folder, file) = filled();
    let other = B256::repeat_byte(6);
    fs::copy(&file, folder.path().join(format!("{other:x}.{EXTENSION}"))).unwrap();
    let cache = DiskCache::open(folder.path()).unwrap();
    assert!(cache.load(&engine(), other, source(NUMBER)).is_none());
    compile(folder.path(), other, NUMBER + 1);
    let native = cache.load(&engine(), other, source(NUMBER + 1)).unwrap();
    assert_eq!(result(&native), NUMBER + 1);
}

#[test]
fn a_link_is_not_followed() {
    let (folder, file) = filled();
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert!(!is_loaded(folder.path()));
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
}

#[test]
fn another_key_makes_all_files_worthless() {
    let (folder, _) = filled();
    let key = folder.path().join(KEY_FILE);
    fs::write(&key, [9; KEY_BYTES]).unwrap();
    assert!(!is_loaded(folder.path()));
    assert!(is_loaded(folder.path()));

    // A key that others may have read, or that is none, is replaced.
    let before = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!is_loaded(folder.path()));
    assert_ne!(fs::read(&key).unwrap(), before);
    fs::write(&key, b"short").unwrap();
    assert!(!is_loaded(folder.path()));
}

#[test]
fn a_folder_that_cannot_be_written_or_is_gone_does_no_harm() {
    let (folder, file) = filled();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    assert!(is_loaded(folder.path()));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();

    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(!is_loaded(folder.path()));

    let gone = tempfile::tempdir().unwrap();
    let compilers = Compilers::new(Some(DiskCache::open(gone.path()).unwrap())).unwrap();
    fs::remove_dir_all(gone.path()).unwrap();
    let module = program(NUMBER);
    let shape = validate(&module).unwrap();
    assert!(compilers.compile(HASH, &module, shape).is_ok());
}

#[test]
fn the_folder_stays_within_its_limit() {
    let (folder, file) = filled();
    let size = fs::metadata(&file).unwrap().len();
    let cache = DiskCache::with_limit(folder.path(), 3 * size + size / 2).unwrap();
    let module = cache.load(&engine(), HASH, source(NUMBER)).unwrap();
    let hash = |n: u8| B256::repeat_byte(n);
    let age = |path: &Path, seconds: u64| {
        File::open(path)
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    };
    age(&file, 1);
    for n in 1..=4 {
        cache.store(&module, hash(n), B256::ZERO);
        age(&cache.path(hash(n)), 100 - u64::from(n));
    }
    let kept: Vec<bool> = (1..=4).map(|n| cache.path(hash(n)).exists()).collect();
    assert_eq!(kept, [false, false, true, true]);
    assert!(file.exists(), "it was used last");

    let small = DiskCache::with_limit(folder.path(), size / 2).unwrap();
    small.store(&module, hash(9), B256::ZERO);
    assert!(!small.path(hash(9)).exists());
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let (folder, _) = filled();
    let left = folder.path().join(format!("a.1.2.{UNFINISHED_EXTENSION}"));
    fs::write(&left, b"half").unwrap();
    DiskCache::open(folder.path()).unwrap();
    assert!(!left.exists());
}
