//! Instances that have run and are as new, for the next frame of the same program on this thread.

use std::cell::RefCell;

use alloy_primitives::B256;
use wasmtime::{Global, Memory, Store, TypedFunc, Val};

use crate::{host::Instance, memory::PAGE_BYTES};

/// Instances that a thread keeps, of all programs.
const MAX_IDLE: usize = 8;

/// Pages of memory up to which cleaning an instance takes less than making one.
const MAX_PAGES: usize = 2;

thread_local! {
    static IDLE: RefCell<Vec<Idle>> = const { RefCell::new(Vec::new()) };
}

struct Idle {
    code_hash: B256,
    started: Started,
}

/// An instance of a program, ready to run.
pub(crate) struct Started {
    pub(crate) store: Store<Instance>,
    pub(crate) entrypoint: TypedFunc<u32, u32>,
    pub(crate) memory: Memory,
    /// Every global that can change.
    pub(crate) globals: Vec<Global>,
}

/// What a program can change in an instance, as it is before the program runs.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Where the first byte of the memory is that is not zero.
    start: usize,
    /// The memory from there to the last such byte.
    memory: Box<[u8]>,
    /// Size of all of it, in bytes.
    size: usize,
    globals: Vec<Val>,
}

impl Snapshot {
    /// Of an instance that has not run; `None` if it is not worth keeping one.
    pub(crate) fn of(started: &mut Started) -> Option<Self> {
        let Started {
            store,
            memory,
            globals,
            ..
        } = started;
        let data = memory.data(&*store);
        if data.len() > MAX_PAGES * PAGE_BYTES {
            return None;
        }
        let start = data.iter().position(|byte| *byte != 0).unwrap_or(0);
        let end = data
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        Some(Self {
            start,
            memory: data.get(start..end)?.into(),
            size: data.len(),
            globals: globals
                .iter()
                .map(|global| global.get(&mut *store))
                .collect(),
        })
    }

    /// Makes an instance that has run as it was before. Fails if it cannot be, as after its memory
    /// has grown.
    fn restore(&self, started: &mut Started) -> bool {
        let Started {
            store,
            memory,
            globals,
            ..
        } = started;
        let data = memory.data_mut(&mut *store);
        if data.len() != self.size {
            return false;
        }
        let Some((before, rest)) = data.split_at_mut_checked(self.start) else {
            return false;
        };
        let Some((used, after)) = rest.split_at_mut_checked(self.memory.len()) else {
            return false;
        };
        before.fill(0);
        used.copy_from_slice(&self.memory);
        after.fill(0);
        globals
            .iter()
            .zip(&self.globals)
            .all(|(global, value)| global.set(&mut *store, *value).is_ok())
    }
}

/// An instance of the program with this code hash that is as new.
pub(crate) fn take(code_hash: B256) -> Option<Started> {
    IDLE.with_borrow_mut(|idle| {
        let place = idle.iter().rposition(|idle| idle.code_hash == code_hash)?;
        Some(idle.remove(place).started)
    })
}

/// Keeps an instance that has run for the next frame of its program.
pub(crate) fn keep(code_hash: B256, mut started: Started, snapshot: &Snapshot) {
    if !snapshot.restore(&mut started) {
        return;
    }
    // What it was given and what it has made is not held on to.
    started.store.data_mut().clear();
    let oldest = IDLE.with_borrow_mut(|idle| {
        idle.push(Idle { code_hash, started });
        (idle.len() > MAX_IDLE).then(|| idle.remove(0))
    });
    drop(oldest);
}
