use std::{borrow::Cow, sync::OnceLock};

use alloy_primitives::{B256, keccak256};
use wasmtime::{
    Config, Enabled, Engine, Global, InstanceAllocationStrategy, InstancePre, Linker, Memory,
    Module, ModuleExport, OptLevel, PoolingAllocationConfig, Store, Trap, TypedFunc,
};

use crate::{
    MAX_MEMORY_PAGES, ModuleError,
    disk_cache::DiskCache,
    host::{self, Instance},
    idle::{self, Snapshot, Started},
    instrument::instrument,
    memory::PAGE_BYTES,
    meter::operator_costs,
    module::ModuleShape,
    stack::{MAX_STACK_BYTES, link_stack_bound},
};

/// Instances that the pool has room for.
const POOL_INSTANCES: u32 = 256;

/// What the names begin with under which an instrumented module exports its mutable globals.
pub(crate) const MUTABLE_GLOBAL: &str = "weft.global.";

/// Elements of a table in the pool.
const POOL_TABLE_ELEMENTS: usize = 4_096;

/// Bytes of an instance's memory that are cleaned in place for the next one, and not given back to
/// the kernel, where the kernel says which were written.
const KEPT_BYTES: usize = 256 * 1024;

/// The same where it does not say, so that all of them are cleaned each time.
const KEPT_BYTES_UNSEEN: usize = 32 * 1024;

/// Compiles modules, after they were rewritten to bound their stack, and makes instances of them.
///
/// Instances come from a pool, because that takes a few microseconds. The pool can be full, or
/// impossible to have where there is little address space; then an instance gets memory of its own,
/// and code of its own, since loaded code belongs to one way of allocating. Programs see no
/// difference. On disk, both are the same code.
pub(crate) struct Compilers {
    pool: Option<Compiler>,
    on_demand: Compiler,
    disk: Option<DiskCache>,
}

struct Compiler {
    engine: Engine,
    linker: Linker<Instance>,
}

/// A compiled module.
pub(crate) struct Program {
    pub(crate) shape: ModuleShape,
    pooled: Option<Compiled>,
    /// Compiled when it is first needed.
    on_demand: OnceLock<Compiled>,
}

struct Compiled {
    instance: InstancePre<Instance>,
    entrypoint: ModuleExport,
    memory: ModuleExport,
    globals: Vec<ModuleExport>,
    /// Of the first instance, before it ran; `None` inside if instances are not used again.
    snapshot: OnceLock<Option<Snapshot>>,
}

/// What is needed of an instance.
struct Parts {
    entrypoint: TypedFunc<u32, u32>,
    memory: Memory,
    globals: Vec<Global>,
}

impl Compilers {
    pub(crate) fn new(disk: Option<DiskCache>) -> wasmtime::Result<Self> {
        Ok(Self {
            disk,
            pool: Compiler::new(pool()).ok(),
            on_demand: Compiler::new(InstanceAllocationStrategy::OnDemand)?,
        })
    }

    /// Compiles the valid module of the code with this hash.
    pub(crate) fn compile(
        &self,
        code_hash: B256,
        module: &[u8],
        shape: ModuleShape,
    ) -> Result<Program, ModuleError> {
        let instrumented = instrument(module)?;
        let compile = |compiler: &Compiler| {
            let native = self.native(compiler, code_hash, &instrumented)?;
            compiler.link(&native)
        };
        let on_demand = OnceLock::new();
        let pooled = self.pool.as_ref().map(compile);
        let pooled = match pooled {
            Some(Ok(compiled)) => Some(compiled),
            Some(Err(_)) | None => {
                let compiled = compile(&self.on_demand)?;
                on_demand.get_or_init(|| compiled);
                None
            }
        };
        Ok(Program {
            shape,
            pooled,
            on_demand,
        })
    }

    /// The native code of an instrumented module: from disk, or made and kept there.
    fn native(
        &self,
        compiler: &Compiler,
        code_hash: B256,
        instrumented: &[u8],
    ) -> Result<Module, ModuleError> {
        let make =
            || Module::new(&compiler.engine, instrumented).map_err(|_| ModuleError::Compiler);
        let Some(disk) = &self.disk else {
            return make();
        };
        let source = keccak256(instrumented);
        if let Some(native) = disk.load(&compiler.engine, code_hash, source) {
            return Ok(native);
        }
        let native = make()?;
        disk.store(&native, code_hash, source);
        Ok(native)
    }

    /// Makes an instance with this much fuel. `module` is asked for when the program has to be
    /// compiled once more. To be called where the instance's host is entered.
    pub(crate) fn start<'a>(
        &self,
        program: &Program,
        code_hash: B256,
        mut instance: Instance,
        fuel: u64,
        module: impl FnOnce() -> Result<Cow<'a, [u8]>, ModuleError>,
    ) -> wasmtime::Result<Started> {
        if let Some(mut started) = idle::take(code_hash) {
            started.store.data_mut().renew(instance);
            started.store.set_fuel(fuel)?;
            return Ok(started);
        }
        if let (Some(pool), Some(compiled)) = (&self.pool, &program.pooled) {
            let mut store = pool.store(instance, fuel)?;
            match compiled.instantiate(&mut store) {
                Ok(parts) => return Ok(compiled.started(store, parts)),
                Err(error) if error.is::<Trap>() => return Err(error),
                Err(_) => instance = store.into_data(),
            }
        }
        let compiled = match program.on_demand.get() {
            Some(compiled) => compiled,
            None => {
                let instrumented = instrument(&module()?)?;
                let native = self.native(&self.on_demand, code_hash, &instrumented)?;
                let compiled = self.on_demand.link(&native)?;
                program.on_demand.get_or_init(|| compiled)
            }
        };
        let mut store = self.on_demand.store(instance, fuel)?;
        let parts = compiled.instantiate(&mut store)?;
        Ok(compiled.started(store, parts))
    }

    /// Keeps an instance that has run, if it can be used again.
    pub(crate) fn finish(&self, program: &Program, code_hash: B256, started: Started) {
        let of_pool = self
            .pool
            .as_ref()
            .is_some_and(|pool| Engine::same(&pool.engine, started.store.engine()));
        let compiled = if of_pool {
            program.pooled.as_ref()
        } else {
            program.on_demand.get()
        };
        if let Some(Some(snapshot)) = compiled.and_then(|compiled| compiled.snapshot.get()) {
            idle::keep(code_hash, started, snapshot);
        }
    }
}

fn pool() -> InstanceAllocationStrategy {
    let kept = if PoolingAllocationConfig::is_pagemap_scan_available() {
        KEPT_BYTES
    } else {
        KEPT_BYTES_UNSEEN
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(POOL_INSTANCES)
        .total_memories(POOL_INSTANCES)
        .total_tables(POOL_INSTANCES)
        .max_memory_size(MAX_MEMORY_PAGES as usize * PAGE_BYTES)
        .table_elements(POOL_TABLE_ELEMENTS)
        .max_unused_warm_slots(POOL_INSTANCES)
        .linear_memory_keep_resident(kept)
        .table_keep_resident(kept)
        .pagemap_scan(Enabled::Auto);
    pool.into()
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(operator_costs())
        .max_wasm_stack(MAX_STACK_BYTES)
        .wasm_backtrace_max_frames(None);
    config
}

/// An engine that compiles as all do.
#[cfg(test)]
pub(crate) fn engine() -> Engine {
    Engine::new(&config()).unwrap()
}

impl Compiler {
    fn new(allocation: InstanceAllocationStrategy) -> wasmtime::Result<Self> {
        let engine = Engine::new(config().allocation_strategy(allocation))?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker)?;
        link_stack_bound(&mut linker)?;
        Ok(Self { engine, linker })
    }

    fn link(&self, module: &Module) -> Result<Compiled, ModuleError> {
        Ok(Compiled {
            instance: self
                .linker
                .instantiate_pre(module)
                .map_err(|_| ModuleError::Compiler)?,
            entrypoint: module
                .get_export_index("user_entrypoint")
                .ok_or(ModuleError::Entrypoint)?,
            memory: module
                .get_export_index("memory")
                .ok_or(ModuleError::Memory)?,
            globals: module
                .exports()
                .filter(|export| export.name().starts_with(MUTABLE_GLOBAL))
                .filter_map(|export| module.get_export_index(export.name()))
                .collect(),
            snapshot: OnceLock::new(),
        })
    }

    fn store(&self, instance: Instance, fuel: u64) -> wasmtime::Result<Store<Instance>> {
        let mut store = Store::new(&self.engine, instance);
        store.limiter(|instance| &mut instance.growth);
        store.set_fuel(fuel)?;
        Ok(store)
    }
}

impl Compiled {
    fn instantiate(&self, store: &mut Store<Instance>) -> wasmtime::Result<Parts> {
        let instance = self.instance.instantiate(&mut *store)?;
        let memory = instance
            .get_module_export(&mut *store, &self.memory)
            .and_then(wasmtime::Extern::into_memory)
            .ok_or(ModuleError::Memory)?;
        store.data_mut().memory = Some(memory);
        let entrypoint = instance
            .get_module_export(&mut *store, &self.entrypoint)
            .and_then(wasmtime::Extern::into_func)
            .ok_or(ModuleError::Entrypoint)?
            .typed(&*store)?;
        let globals = self
            .globals
            .iter()
            .filter_map(|global| {
                instance
                    .get_module_export(&mut *store, global)?
                    .into_global()
            })
            .collect();
        Ok(Parts {
            entrypoint,
            memory,
            globals,
        })
    }

    fn started(&self, store: Store<Instance>, parts: Parts) -> Started {
        let Parts {
            entrypoint,
            memory,
            globals,
        } = parts;
        let mut started = Started {
            store,
            entrypoint,
            memory,
            globals,
        };
        self.snapshot.get_or_init(|| Snapshot::of(&mut started));
        started
    }
}

impl Program {
    /// Bytes of native code, twice if it is compiled for both ways to make instances.
    pub(crate) fn size(&self) -> usize {
        let code = |compiled: &Compiled| compiled.instance.module().text().len();
        self.pooled.as_ref().map_or(0, code) + self.on_demand.get().map_or(0, code)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{Hash, Hasher};

    use super::*;

    #[test]
    fn both_ways_to_make_instances_take_the_same_native_code() {
        let compilers = Compilers::new(None).unwrap();
        let hash = |compiler: &Compiler| {
            let mut hasher = std::hash::DefaultHasher::new();
            let hash = compiler.engine.precompile_compatibility_hash();
            hash.hash(&mut hasher);
            hasher.finish()
        };
        let pool = compilers.pool.as_ref().unwrap();
        assert_eq!(hash(pool), hash(&compilers.on_demand));
    }
}
