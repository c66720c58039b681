use std::{borrow::Cow, sync::OnceLock};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, ModuleExport,
    OptLevel, PoolingAllocationConfig, Store, Trap, TypedFunc,
};

use crate::{
    MAX_MEMORY_PAGES, ModuleError,
    host::{self, Instance},
    memory::PAGE_BYTES,
    meter::operator_costs,
    module::ModuleShape,
};

/// Native stack that a program may use, in bytes.
pub(crate) const MAX_STACK_BYTES: usize = 512 * 1024;

/// Instances that the pool has room for.
const POOL_INSTANCES: u32 = 512;

/// Elements of a table in the pool.
const POOL_TABLE_ELEMENTS: usize = 4_096;

/// Bytes of an instance's memory that are cleaned in place for the next one, and not given back to
/// the kernel, where the kernel says which were written.
const KEPT_BYTES: usize = 256 * 1024;

/// The same where it does not say, so that all of them are cleaned each time.
const KEPT_BYTES_UNSEEN: usize = 32 * 1024;

/// Compiles modules and makes instances of them.
///
/// Instances come from a pool, because that takes a few microseconds. The pool can be full, or
/// impossible to have where there is little address space; then an instance gets memory of its own,
/// and code of its own, since code belongs to one way of allocating. Programs see no difference.
pub(crate) struct Compilers {
    pool: Option<Compiler>,
    on_demand: Compiler,
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
}

/// An instance of a program, ready to run.
pub(crate) struct Started {
    pub(crate) store: Store<Instance>,
    pub(crate) entrypoint: TypedFunc<u32, u32>,
}

impl Compilers {
    pub(crate) fn new() -> wasmtime::Result<Self> {
        Ok(Self {
            pool: Compiler::new(pool()).ok(),
            on_demand: Compiler::new(InstanceAllocationStrategy::OnDemand)?,
        })
    }

    /// Compiles a valid module.
    pub(crate) fn compile(
        &self,
        module: &[u8],
        shape: ModuleShape,
    ) -> Result<Program, ModuleError> {
        let on_demand = OnceLock::new();
        let pooled = self.pool.as_ref().map(|pool| pool.compile(module));
        let pooled = match pooled {
            Some(Ok(compiled)) => Some(compiled),
            Some(Err(_)) | None => {
                let compiled = self.on_demand.compile(module)?;
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

    /// Makes an instance with this much fuel. `module` is asked for when the program has to be
    /// compiled once more. To be called where the instance's host is entered.
    pub(crate) fn start<'a>(
        &self,
        program: &Program,
        mut instance: Instance,
        fuel: u64,
        module: impl FnOnce() -> Result<Cow<'a, [u8]>, ModuleError>,
    ) -> wasmtime::Result<Started> {
        if let (Some(pool), Some(compiled)) = (&self.pool, &program.pooled) {
            let mut store = pool.store(instance, fuel)?;
            match compiled.instantiate(&mut store) {
                Ok(entrypoint) => return Ok(Started { store, entrypoint }),
                Err(error) if error.is::<Trap>() => return Err(error),
                Err(_) => instance = store.into_data(),
            }
        }
        let compiled = match program.on_demand.get() {
            Some(compiled) => compiled,
            None => {
                let compiled = self.on_demand.compile(&module()?)?;
                program.on_demand.get_or_init(|| compiled)
            }
        };
        let mut store = self.on_demand.store(instance, fuel)?;
        let entrypoint = compiled.instantiate(&mut store)?;
        Ok(Started { store, entrypoint })
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

impl Compiler {
    fn new(allocation: InstanceAllocationStrategy) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            .cranelift_nan_canonicalization(true)
            .consume_fuel(true)
            .operator_cost(operator_costs())
            .max_wasm_stack(MAX_STACK_BYTES)
            .wasm_backtrace_max_frames(None)
            .allocation_strategy(allocation);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker)?;
        Ok(Self { engine, linker })
    }

    fn compile(&self, module: &[u8]) -> Result<Compiled, ModuleError> {
        let module = Module::new(&self.engine, module).map_err(|_| ModuleError::Compiler)?;
        Ok(Compiled {
            instance: self
                .linker
                .instantiate_pre(&module)
                .map_err(|_| ModuleError::Compiler)?,
            entrypoint: module
                .get_export_index("user_entrypoint")
                .ok_or(ModuleError::Entrypoint)?,
            memory: module
                .get_export_index("memory")
                .ok_or(ModuleError::Memory)?,
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
    fn instantiate(&self, store: &mut Store<Instance>) -> wasmtime::Result<TypedFunc<u32, u32>> {
        let instance = self.instance.instantiate(&mut *store)?;
        let memory = instance
            .get_module_export(&mut *store, &self.memory)
            .and_then(wasmtime::Extern::into_memory)
            .ok_or(ModuleError::Memory)?;
        store.data_mut().memory = Some(memory);
        instance
            .get_module_export(&mut *store, &self.entrypoint)
            .and_then(wasmtime::Extern::into_func)
            .ok_or(ModuleError::Entrypoint)?
            .typed(&*store)
    }
}

impl Program {
    /// Bytes of native code, twice if it is compiled for both ways to make instances.
    pub(crate) fn size(&self) -> usize {
        let code = |compiled: &Compiled| compiled.instance.module().text().len();
        self.pooled.as_ref().map_or(0, code) + self.on_demand.get().map_or(0, code)
    }
}
