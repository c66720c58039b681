use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::stored_code;

/// A program; `functions` make it slow to compile.
fn code(functions: u32) -> Bytes {
    let functions: String = (0..functions)
        .map(|n| format!("(func (param i64) (result i64) (i64.mul (local.get 0) (i64.const {n})))"))
        .collect();
    let module = wat::parse_str(format!(
        r#"(module (memory (export "memory") 1)
            (func (export "user_entrypoint") (param i32) (result i32) (i32.const 0))
            {functions})"#
    ));
    stored_code(&module.unwrap())
}

#[test]
fn threads_that_want_one_program_get_one_compilation() {
    const THREADS: usize = 8;
    let programs = Programs::new(None).unwrap();
    let (code, hash) = (code(300), B256::repeat_byte(3));
    let together = Barrier::new(THREADS);
    let found: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    let program = programs.get(hash, || validated(&code)).unwrap();
                    std::ptr::from_ref(program.value()).addr()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(found.iter().all(|program| *program == found[0]));
}

#[test]
fn a_prepared_program_is_there_when_it_is_called() {
    let programs = Programs::new(None).unwrap();
    let refused = B256::repeat_byte(1);
    programs.prepare(refused, &Bytes::from_static(b"no program"));
    let hash = B256::repeat_byte(2);
    programs.prepare(hash, &code(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !programs.known.programs.knows(hash) {
        assert!(Instant::now() < deadline, "nothing was prepared");
        thread::sleep(Duration::from_millis(5));
    }
    // The code is not looked at again.
    assert!(programs.get(hash, || validated(b"")).is_ok());
    assert!(programs.get(refused, || validated(b"")).is_err());
}

#[test]
fn preparing_many_programs_waits_for_none() {
    let programs = Programs::new(None).unwrap();
    let slow = code(500);
    let start = Instant::now();
    for n in 0..10 * QUEUE_LENGTH as u64 {
        programs.prepare(B256::left_padding_from(&n.to_be_bytes()), &slow);
    }
    assert!(start.elapsed() < Duration::from_secs(30), "it waited");
}

#[test]
fn a_refused_program_is_refused_again() {
    let programs = Programs::new(None).unwrap();
    for _ in 0..2 {
        let code = stored_code(b"\0asm");
        let refused = programs.get(B256::ZERO, || validated(&code));
        assert_eq!(refused.err(), Some(ModuleError::Invalid));
    }
}
