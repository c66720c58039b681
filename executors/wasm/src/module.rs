use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExternalKind, FuncType, FuncValidatorAllocations,
    FunctionBody, Operator, Parser, Payload, TypeRef, ValType, ValidPayload, Validator,
    WasmFeatures,
};

use weft_executor_core::HaltReason;

use crate::host;

/// Longest module, in bytes, decompressed (Stylus' limit).
pub const MAX_MODULE_SIZE: usize = 128 * 1024;

/// Most pages of memory, of 64 KiB each (Stylus' limit).
pub const MAX_MEMORY_PAGES: u64 = 128;

/// Bounds on what one module may declare, so that compiling and instantiating it stays cheap.
mod limits {
    pub(super) const FUNCTIONS: u32 = 4_096;
    pub(super) const TYPES: u32 = 4_096;
    pub(super) const GLOBALS: u32 = 1_024;
    pub(super) const TABLE_ELEMENTS: u64 = 4_096;
    pub(super) const SEGMENTS: u32 = 1_024;
    pub(super) const BODY_BYTES: usize = 64 * 1024;
    pub(super) const LOCALS: u32 = 2_048;
    pub(super) const PARAMETERS: usize = 64;
    pub(super) const RESULTS: usize = 16;
    /// Locals (with parameters) times branches and blocks of one function. The compiler's time
    /// grows with the square of it: each local may need a value of its own wherever branches meet.
    pub(super) const FUNCTION_JOINS: u64 = 1 << 17;
    /// The same over all functions of a module.
    pub(super) const MODULE_JOINS: u64 = 1 << 19;
    /// Sum over all functions of the square of their branches and blocks, which the compiler's time
    /// grows with even where there are no locals: a function may have 1,414 when no other has many.
    pub(super) const BRANCH_SQUARES: u64 = 2_000_000;
    /// Sum over all functions of the square of their instructions in loops: what is computed ahead
    /// of a loop lives as long as the loop, and giving out registers takes the square of that. A
    /// function may have 11,585 when no other has many.
    pub(super) const LOOP_SQUARES: u64 = 1 << 27;
    pub(super) const MODULE_LOCALS: u32 = 1 << 17;
    pub(super) const EXPORTS: u32 = 1_024;
}

/// What a module may use: WebAssembly 1.0 and the later instructions that LLVM emits by default
/// (the tool conventions' "Lime1"). No SIMD, threads, reference types, tail calls, exceptions,
/// garbage collection, several memories or 64-bit memory.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::LIME1;

/// Why a module is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum ModuleError {
    /// The byte after the code's prefix names no known form.
    UnknownForm,
    /// The compressed module cannot be decompressed.
    Compression,
    /// Longer than [`MAX_MODULE_SIZE`].
    TooLong,
    /// Not a valid module, or one that uses features beyond WebAssembly 1.0 and "Lime1".
    Invalid,
    /// Imports something that is not a function.
    ImportKind,
    /// Imports from a module other than `vm_hooks`.
    ImportModule,
    /// Imports a function that `vm_hooks` does not have.
    ImportName,
    /// Imports a function with a wrong type: the reason names it.
    ImportType(&'static str),
    /// Does not export `user_entrypoint` as a function from i32 to i32.
    Entrypoint,
    /// Does not export its memory as `memory`.
    Memory,
    /// Declares more memory than [`MAX_MEMORY_PAGES`] pages.
    MemoryTooLarge,
    /// Has a start function.
    Start,
    /// Declares more functions, types, globals, exports, segments, table elements, parameters,
    /// results or locals than is allowed, or a function that is too long, branches too much or
    /// needs too much stack.
    TooMuch,
    /// The compiler does not take it.
    Compiler,
}

impl ModuleError {
    /// The reason in words.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownForm => "wasm: unknown form of program code",
            Self::Compression => "wasm: the module cannot be decompressed",
            Self::TooLong => "wasm: the module is longer than 131072 bytes",
            Self::Invalid => {
                "wasm: not a valid module of WebAssembly 1.0 with Lime1 (no SIMD, threads, \
                 reference types, tail calls, exceptions, 64-bit or second memory)"
            }
            Self::ImportKind => "wasm: only functions may be imported",
            Self::ImportModule => "wasm: imports from modules other than vm_hooks are not allowed",
            Self::ImportName => "wasm: the module imports a function that vm_hooks does not have",
            Self::ImportType(reason) => reason,
            Self::Entrypoint => {
                "wasm: the module must export user_entrypoint, a function from i32 to i32"
            }
            Self::Memory => "wasm: the module must define one memory and export it as memory",
            Self::MemoryTooLarge => "wasm: the module declares more than 128 pages of memory",
            Self::Start => "wasm: start functions are not allowed",
            Self::TooMuch => {
                "wasm: the module declares more, longer or more branching functions, or more types, \
                 globals, exports, table elements, segments, locals or stack than is allowed"
            }
            Self::Compiler => "wasm: the module could not be compiled",
        }
    }
}

impl From<ModuleError> for HaltReason {
    fn from(refused: ModuleError) -> Self {
        Self::Other(refused.reason())
    }
}

/// What a valid module declares that matters for running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleShape {
    /// Pages of memory that an instance begins with.
    pub initial_pages: u64,
    /// What compiling it takes.
    pub work: CompileWork,
}

/// What the time to compile a module grows with, besides its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompileWork {
    /// Functions that it defines.
    pub functions: u64,
    /// Sum over all functions of the product of locals (with parameters) and of branches and
    /// blocks.
    pub joins: u64,
    /// Sum over all functions of the square of their branches and blocks.
    pub branch_squares: u64,
    /// Sum over all functions of the square of their instructions in loops.
    pub loop_squares: u64,
    /// Sum over all loops of how many loops they are in, themselves included.
    pub loop_depths: u64,
}

/// Checks that a module may be deployed: valid, within the limits, imports only what the host
/// offers, exports what the host needs.
///
/// # Errors
/// The first reason to refuse it.
pub fn validate(module: &[u8]) -> Result<ModuleShape, ModuleError> {
    if module.len() > MAX_MODULE_SIZE {
        return Err(ModuleError::TooLong);
    }
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    let mut checks = Checks::default();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        // The declared numbers are bounded before the validator makes room for them.
        checks.bound(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            checks.bound_body(&body)?;
            let mut function = function.into_validator(allocations);
            function.validate(&body)?;
            allocations = function.into_allocations();
        }
        checks.inspect(payload)?;
    }
    checks.finish()
}

impl From<BinaryReaderError> for ModuleError {
    fn from(_: BinaryReaderError) -> Self {
        Self::Invalid
    }
}

fn within(count: u32, limit: u32) -> Result<(), ModuleError> {
    if count > limit {
        return Err(ModuleError::TooMuch);
    }
    Ok(())
}

/// What has been seen of a module.
#[derive(Default)]
struct Checks {
    types: Vec<FuncType>,
    /// Type of each function, imported ones first.
    functions: Vec<u32>,
    imported: usize,
    bodies: usize,
    work: CompileWork,
    /// Sum of all functions' locals.
    locals: u32,
    initial_pages: Option<u64>,
    exports_memory: bool,
    entrypoint: Option<u32>,
}

impl Checks {
    fn bound(&self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::TypeSection(section) => within(section.count(), limits::TYPES),
            Payload::ImportSection(section) => within(section.count(), limits::FUNCTIONS),
            Payload::FunctionSection(section) => within(section.count(), limits::FUNCTIONS),
            Payload::GlobalSection(section) => within(section.count(), limits::GLOBALS),
            Payload::ExportSection(section) => within(section.count(), limits::EXPORTS),
            Payload::ElementSection(section) => within(section.count(), limits::SEGMENTS),
            Payload::DataSection(section) => within(section.count(), limits::SEGMENTS),
            Payload::StartSection { .. } => Err(ModuleError::Start),
            _ => Ok(()),
        }
    }

    /// Bounds the next function's body before it is looked at further.
    fn bound_body(&mut self, body: &FunctionBody<'_>) -> Result<(), ModuleError> {
        if body.range().len() > limits::BODY_BYTES {
            return Err(ModuleError::TooMuch);
        }
        let mut locals: u32 = 0;
        for group in body.get_locals_reader()? {
            let (count, _) = group?;
            locals = locals.saturating_add(count);
        }
        within(locals, limits::LOCALS)?;
        self.locals += locals;
        within(self.locals, limits::MODULE_LOCALS)?;

        let type_index = self.functions.get(self.imported + self.bodies);
        let parameters = self
            .function_type(*type_index.ok_or(ModuleError::Invalid)?)?
            .params()
            .len();
        self.bodies += 1;
        let mut branches: u64 = 0;
        let mut in_loops: u64 = 0;
        // For each open block, how many loops it is in, itself included.
        let mut blocks: Vec<u64> = Vec::new();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let loops = blocks.last().copied().unwrap_or(0);
            in_loops += u64::from(loops > 0);
            match operator {
                Operator::Loop { .. } => {
                    blocks.push(loops + 1);
                    self.work.loop_depths += loops + 1;
                }
                Operator::Block { .. } | Operator::If { .. } => blocks.push(loops),
                Operator::End => {
                    blocks.pop();
                }
                _ => {}
            }
            branches += match operator {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::Br { .. }
                | Operator::BrIf { .. } => 1,
                Operator::BrTable { targets } => u64::from(targets.len()),
                _ => 0,
            };
        }
        let joins = branches * (u64::from(locals) + parameters as u64);
        self.work.functions += 1;
        self.work.joins += joins;
        self.work.branch_squares += branches * branches;
        self.work.loop_squares += in_loops * in_loops;
        if joins > limits::FUNCTION_JOINS
            || self.work.joins > limits::MODULE_JOINS
            || self.work.branch_squares > limits::BRANCH_SQUARES
            || self.work.loop_squares > limits::LOOP_SQUARES
        {
            return Err(ModuleError::TooMuch);
        }
        Ok(())
    }

    /// Looks at a part that the validator has accepted.
    fn inspect(&mut self, payload: Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for sub_type in group?.into_types() {
                        let CompositeInnerType::Func(function) = sub_type.composite_type.inner
                        else {
                            return Err(ModuleError::Invalid);
                        };
                        if function.params().len() > limits::PARAMETERS
                            || function.results().len() > limits::RESULTS
                        {
                            return Err(ModuleError::TooMuch);
                        }
                        self.types.push(function);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let TypeRef::Func(type_index) = import.ty else {
                        return Err(ModuleError::ImportKind);
                    };
                    if import.module != host::MODULE {
                        return Err(ModuleError::ImportModule);
                    }
                    let found = self.function_type(type_index)?;
                    host::check_import(import.name, found)?;
                    self.functions.push(type_index);
                    self.imported += 1;
                }
            }
            Payload::FunctionSection(section) => {
                for function in section {
                    self.functions.push(function?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    if table?.ty.initial > limits::TABLE_ELEMENTS {
                        return Err(ModuleError::TooMuch);
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let pages = memory?.initial;
                    if pages > MAX_MEMORY_PAGES {
                        return Err(ModuleError::MemoryTooLarge);
                    }
                    self.initial_pages = Some(pages);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    match (export.name, export.kind) {
                        ("memory", ExternalKind::Memory) => self.exports_memory = true,
                        ("user_entrypoint", ExternalKind::Func) => {
                            self.entrypoint = Some(export.index);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn function_type(&self, type_index: u32) -> Result<&FuncType, ModuleError> {
        usize::try_from(type_index)
            .ok()
            .and_then(|index| self.types.get(index))
            .ok_or(ModuleError::Invalid)
    }

    fn finish(self) -> Result<ModuleShape, ModuleError> {
        let entrypoint = self
            .entrypoint
            .and_then(|index| self.functions.get(usize::try_from(index).ok()?))
            .ok_or(ModuleError::Entrypoint)?;
        let found = self.function_type(*entrypoint)?;
        if found.params() != [ValType::I32] || found.results() != [ValType::I32] {
            return Err(ModuleError::Entrypoint);
        }
        match self.initial_pages {
            Some(initial_pages) if self.exports_memory => Ok(ModuleShape {
                initial_pages,
                work: self.work,
            }),
            _ => Err(ModuleError::Memory),
        }
    }
}

#[cfg(test)]
mod tests;
