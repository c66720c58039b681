//! All programs of a machine: each compiled once, off the hot path where the node says in time that
//! it will be needed.

use std::{
    borrow::Cow,
    cell::RefCell,
    path::Path,
    rc::Rc,
    sync::{
        Arc, Weak,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use alloy_primitives::{B256, Bytes};

use crate::{
    MachineError, ModuleError,
    cache::{Held, Own, SharedCache},
    code::module_of,
    compiled::{Compilers, Program},
    disk_cache::DiskCache,
    module::{ModuleShape, validate},
};

/// Native code kept for later calls, in bytes.
const CACHE_BYTES: usize = 256 << 20;

/// Programs that may wait for the background thread.
const QUEUE_LENGTH: usize = 256;

thread_local! {
    static OWN: RefCell<Own<Program>> = RefCell::new(Own::default());
}

/// A module that [`validate`] has let through.
pub(crate) type Validated<'a> = (Cow<'a, [u8]>, ModuleShape);

/// The programs, and a thread that compiles some of them ahead.
pub(crate) struct Programs {
    known: Arc<Known>,
    queue: SyncSender<(B256, Bytes)>,
}

struct Known {
    compilers: Compilers,
    programs: SharedCache<Program>,
}

impl Programs {
    /// No programs yet. Native code is kept in `folder` too.
    pub(crate) fn new(folder: Option<&Path>) -> Result<Self, MachineError> {
        let disk = folder.and_then(|folder| match DiskCache::open(folder) {
            Ok(disk) => Some(disk),
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(),
                    %error,
                    "compiled programs cannot be kept; they are compiled again after a restart"
                );
                None
            }
        });
        let compilers = Compilers::new(disk).map_err(|error| MachineError(format!("{error:#}")))?;
        let known = Arc::new(Known {
            compilers,
            programs: SharedCache::new(CACHE_BYTES),
        });
        let (queue, waiting) = sync_channel(QUEUE_LENGTH);
        let weak = Arc::downgrade(&known);
        thread::Builder::new()
            .name("wasm-compiler".to_owned())
            .spawn(move || prepare_all(&waiting, &weak))
            .map_err(|error| MachineError(format!("no thread to compile on: {error}")))?;
        Ok(Self { known, queue })
    }

    pub(crate) fn compilers(&self) -> &Compilers {
        &self.known.compilers
    }

    /// The compiled program with this code hash; `module` is asked for when it was not compiled
    /// before. Threads that ask for the same program at one time wait for the first of them.
    pub(crate) fn get<'a, E: From<ModuleError>>(
        &self,
        code_hash: B256,
        module: impl FnOnce() -> Result<Validated<'a>, E>,
    ) -> Result<Rc<Held<Program>>, E> {
        self.known.get(code_hash, module)
    }

    /// Has the program with this stored code compiled in the background. When too many wait
    /// already, it is compiled when it is called.
    pub(crate) fn prepare(&self, code_hash: B256, code: &Bytes) {
        if !self.known.programs.knows(code_hash) {
            let _ = self.queue.try_send((code_hash, code.clone()));
        }
    }
}

impl Known {
    fn get<'a, E: From<ModuleError>>(
        &self,
        code_hash: B256,
        module: impl FnOnce() -> Result<Validated<'a>, E>,
    ) -> Result<Rc<Held<Program>>, E> {
        OWN.with(|own| {
            self.programs.get_or_make(code_hash, own, || {
                let (module, shape) = module()?;
                let program = self.compilers.compile(code_hash, &module, shape)?;
                let size = program.size() + size_of::<Program>();
                Ok((program, size))
            })
        })
    }
}

/// The module in a program's code, if it may run.
pub(crate) fn validated(code: &[u8]) -> Result<Validated<'_>, ModuleError> {
    let module = module_of(code)?;
    let shape = validate(&module)?;
    Ok((module, shape))
}

/// Compiles what is sent until the [`Programs`] are gone.
fn prepare_all(waiting: &Receiver<(B256, Bytes)>, known: &Weak<Known>) {
    for (code_hash, code) in waiting {
        let Some(known) = known.upgrade() else {
            return;
        };
        // A program that is refused is refused again, with the reason, when it is called.
        let _ = known.get(code_hash, || validated(&code));
    }
}

#[cfg(test)]
mod tests;
