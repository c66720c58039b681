//! From a module's bytes to native code: once for each program, off the hot path where the node
//! says in time that a program will be needed.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, Weak,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use alloy_primitives::{B256, Bytes, keccak256};
use parking_lot::Mutex;
use wasmtime::{Config, Engine, Linker, Module, OptLevel};

use crate::{
    DiskCache, MachineError, ModuleError,
    cache::BoundedCache,
    code::module_of,
    instrument::{EXHAUSTED_MODULE, EXHAUSTED_NAME, instrument},
    meter::operator_costs,
    module::{ModuleShape, validate},
};

/// Native stack that a program may use, in bytes. Threads that execute transactions have more
/// than twice that. Programs bound themselves well below it ([`crate::frame::BUDGET`]).
pub(crate) const MAX_STACK_BYTES: usize = 512 * 1024;

/// Native code kept here, in bytes, until whoever runs it has asked for it.
const READY_BYTES: usize = 64 << 20;

/// Programs that may wait for the background thread.
const QUEUE_LENGTH: usize = 256;

/// A program used up the stack that it may have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the program's calls are nested too deep")]
pub(crate) struct StackExhausted;

/// Defines what every compiled module imports to end itself when its stack is used up.
pub(crate) fn link_stack_bound<T: 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.func_wrap(
        EXHAUSTED_MODULE,
        EXHAUSTED_NAME,
        || -> wasmtime::Result<()> { Err(StackExhausted.into()) },
    )?;
    Ok(())
}

/// A module in native code.
pub(crate) struct Compiled {
    pub(crate) module: Module,
    pub(crate) shape: ModuleShape,
}

impl Compiled {
    /// Memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.module.text().len() + size_of::<Self>()
    }
}

/// Compiles the modules of programs, and keeps the results on disk where it is given a folder.
pub struct Compiler {
    shared: Arc<Shared>,
    queue: SyncSender<(B256, Bytes)>,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler")
            .field("disk", &self.shared.disk)
            .finish_non_exhaustive()
    }
}

impl Compiler {
    /// A compiler with its background thread.
    ///
    /// # Errors
    /// When wasmtime does not know this machine, or the thread cannot be started.
    pub fn new(disk: Option<DiskCache>) -> Result<Self, MachineError> {
        let engine = engine().map_err(|error| MachineError(format!("{error:#}")))?;
        let shared = Arc::new(Shared {
            engine,
            disk,
            ready: BoundedCache::new(READY_BYTES),
            in_progress: Mutex::default(),
        });
        let (queue, waiting) = sync_channel(QUEUE_LENGTH);
        let weak = Arc::downgrade(&shared);
        thread::Builder::new()
            .name("wasm-compiler".to_owned())
            .spawn(move || prepare_all(&waiting, &weak))
            .map_err(|error| MachineError(format!("no thread to compile on: {error}")))?;
        Ok(Self { shared, queue })
    }

    /// Has the program with this stored code compiled in the background, so that a later call
    /// finds it. One thread does this, one program after the other. False when too many wait
    /// already: the program is then compiled when it is called.
    pub fn prepare(&self, code_hash: B256, code: Bytes) -> bool {
        self.shared.ready.get(code_hash).is_some() || self.queue.try_send((code_hash, code)).is_ok()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// The module of the program with this code hash in native code. Threads that ask for the same
    /// program at one time wait for the first of them.
    pub(crate) fn module(
        &self,
        code_hash: B256,
        module: &[u8],
    ) -> Result<Arc<Compiled>, ModuleError> {
        self.shared.module(code_hash, module)
    }
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(operator_costs())
        .max_wasm_stack(MAX_STACK_BYTES)
        .wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

/// Compiles what is sent until the [`Compiler`] is gone.
fn prepare_all(waiting: &Receiver<(B256, Bytes)>, shared: &Weak<Shared>) {
    for (code_hash, code) in waiting {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        // A program that is refused is refused again, with the reason, when it is called.
        if let Ok(module) = module_of(&code) {
            let _ = shared.module(code_hash, &module);
        }
    }
}

/// Filled by the first thread that asks.
type InProgress = Arc<OnceLock<Result<Arc<Compiled>, ModuleError>>>;

struct Shared {
    engine: Engine,
    disk: Option<DiskCache>,
    /// Modules compiled last, whoever asked. Holding one here until after it has left
    /// `in_progress` is what keeps a late thread from compiling it again.
    ready: BoundedCache<B256, Compiled>,
    in_progress: Mutex<HashMap<B256, InProgress>>,
}

impl Shared {
    fn module(&self, code_hash: B256, module: &[u8]) -> Result<Arc<Compiled>, ModuleError> {
        if let Some(compiled) = self.ready.get(code_hash) {
            return Ok(compiled);
        }
        let cell = Arc::clone(self.in_progress.lock().entry(code_hash).or_default());
        let result = cell.get_or_init(|| {
            if let Some(compiled) = self.ready.get(code_hash) {
                return Ok(compiled);
            }
            let compiled = Arc::new(self.compile(code_hash, module)?);
            self.ready
                .insert(code_hash, Arc::clone(&compiled), compiled.size());
            Ok(compiled)
        });
        self.in_progress.lock().remove(&code_hash);
        result.clone()
    }

    fn compile(&self, code_hash: B256, module: &[u8]) -> Result<Compiled, ModuleError> {
        let shape = validate(module)?;
        let instrumented = instrument(module)?;
        let native = match &self.disk {
            None => self.native(&instrumented)?,
            Some(disk) => {
                let source = keccak256(&instrumented);
                match disk.load(&self.engine, code_hash, source) {
                    Some(native) => native,
                    None => {
                        let native = self.native(&instrumented)?;
                        disk.store(&native, code_hash, source);
                        native
                    }
                }
            }
        };
        Ok(Compiled {
            module: native,
            shape,
        })
    }

    fn native(&self, instrumented: &[u8]) -> Result<Module, ModuleError> {
        Module::new(&self.engine, instrumented).map_err(|_| ModuleError::Compiler)
    }
}

#[cfg(test)]
pub(crate) mod tests;
