//! Bounds the native stack in the module itself, so that how many nested calls fit is the same on
//! every processor and with every version of the compiler.
//!
//! A function that calls others, or whose frame may be large, takes the estimated size of its
//! frame off a global when it is entered and gives it back when it is left. Estimates are upper
//! bounds in practice, not in theory: the compiler's own stack check stays behind them, as a net.
//!
//! All mutable globals are exported under names of their own ([`MUTABLE_GLOBAL`]), so that an
//! instance that has run can be made as new.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, EntityType,
    ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    Instruction, MemorySection, Module, TableSection, TypeSection, ValType,
    reencode::{Error, Reencode, RoundtripReencoder},
};
use wasmparser::{FunctionBody, Operator, Parser, Payload, TypeRef};

use crate::{
    ModuleError,
    compiled::MUTABLE_GLOBAL,
    frame::{self, Frame, Frames},
    stack::BUDGET_BYTES,
};

/// Module of the import that an instrumented module has on top of its own.
pub(crate) const EXHAUSTED_MODULE: &str = "weft";

/// Name of that import: a function without parameters and results that must not return.
pub(crate) const EXHAUSTED_NAME: &str = "stack_exhausted";

/// What [`instrument`] makes of a module.
pub(crate) fn instrument(module: &[u8]) -> Result<Vec<u8>, ModuleError> {
    let frames = frame::measure(module)?;
    rewrite(module, &frames).map_err(|_| ModuleError::Invalid)
}

type Rewritten<T> = Result<T, Error<<Renumbering as Reencode>::Error>>;

/// Gives functions that the module defines the index after the added import.
struct Renumbering {
    imported: u32,
}

impl Reencode for Renumbering {
    type Error = <RoundtripReencoder as Reencode>::Error;

    fn function_index(&mut self, function: u32) -> Rewritten<u32> {
        Ok(function + u32::from(function >= self.imported))
    }
}

/// What the rewritten module has beyond the original one.
struct Added {
    /// The function that is called when the stack is used up.
    exhausted: u32,
    /// The global that counts what is left.
    left: u32,
}

fn rewrite(module: &[u8], frames: &Frames) -> Rewritten<Vec<u8>> {
    let mut parts = Parts::default();
    for payload in Parser::new(0).parse_all(module) {
        parts.take(payload?)?;
    }
    parts.finish(frames)
}

/// The rewritten sections, custom ones left out.
#[derive(Default)]
struct Parts<'a> {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    exports: ExportSection,
    elements: ElementSection,
    data_count: Option<u32>,
    bodies: Vec<FunctionBody<'a>>,
    data: DataSection,
    imported: u32,
    mutable_globals: Vec<u32>,
}

impl<'a> Parts<'a> {
    /// Sections come in the order of the format, so imports are counted before any function index
    /// is met.
    fn take(&mut self, payload: Payload<'a>) -> Rewritten<()> {
        let mut renumbering = Renumbering {
            imported: self.imported,
        };
        let encode = &mut renumbering;
        match payload {
            Payload::TypeSection(section) => encode.parse_type_section(&mut self.types, section)?,
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
                encode.parse_import_section(&mut self.imports, section)?;
            }
            Payload::FunctionSection(section) => {
                encode.parse_function_section(&mut self.functions, section)?;
            }
            Payload::TableSection(section) => {
                encode.parse_table_section(&mut self.tables, section)?;
            }
            Payload::MemorySection(section) => {
                encode.parse_memory_section(&mut self.memories, section)?;
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (0..).zip(section.clone()) {
                    if global?.ty.mutable {
                        self.mutable_globals.push(index);
                    }
                }
                encode.parse_global_section(&mut self.globals, section)?;
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if !export.name.starts_with(MUTABLE_GLOBAL) {
                        encode.parse_export(&mut self.exports, export)?;
                    }
                }
            }
            Payload::ElementSection(section) => {
                encode.parse_element_section(&mut self.elements, section)?;
            }
            Payload::DataCountSection { count, .. } => self.data_count = Some(count),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::DataSection(section) => encode.parse_data_section(&mut self.data, section)?,
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self, frames: &Frames) -> Rewritten<Vec<u8>> {
        let added = Added {
            exhausted: self.imported,
            left: self.globals.len(),
        };
        let nothing_type = self.types.len();
        self.types.ty().function([], []);
        self.imports.import(
            EXHAUSTED_MODULE,
            EXHAUSTED_NAME,
            EntityType::Function(nothing_type),
        );
        self.globals.global(
            GlobalType {
                val_type: ValType::I32,
                mutable: true,
                shared: false,
            },
            &ConstExpr::i32_const(BUDGET_BYTES.cast_signed()),
        );

        // Globals are the module's own: none may be imported.
        for global in self.mutable_globals.iter().chain([&added.left]) {
            let name = format!("{MUTABLE_GLOBAL}{global}");
            self.exports.export(&name, ExportKind::Global, *global);
        }

        let mut encode = Renumbering {
            imported: self.imported,
        };
        let mut code = CodeSection::new();
        for (body, frame) in self.bodies.iter().zip(&frames.0) {
            let function = if frame.is_counted() {
                let result = block_type(&mut self.types, &mut encode, frame)?;
                counted(&mut encode, &added, body, frame, result)?
            } else {
                plain(&mut encode, body)?
            };
            code.function(&function);
        }

        let mut module = Module::new();
        module
            .section(&self.types)
            .section(&self.imports)
            .section(&self.functions)
            .section(&self.tables)
            .section(&self.memories)
            .section(&self.globals)
            .section(&self.exports)
            .section(&self.elements);
        if let Some(count) = self.data_count {
            module.section(&DataCountSection { count });
        }
        module.section(&code).section(&self.data);
        Ok(module.finish())
    }
}

/// Type of the block that a function's body is put into.
fn block_type(
    types: &mut TypeSection,
    encode: &mut Renumbering,
    frame: &Frame,
) -> Rewritten<BlockType> {
    Ok(match frame.results.as_slice() {
        [] => BlockType::Empty,
        [result] => BlockType::Result(encode.val_type(*result)?),
        results => {
            let results = results
                .iter()
                .map(|result| encode.val_type(*result))
                .collect::<Rewritten<Vec<ValType>>>()?;
            let index = types.len();
            types.ty().function([], results);
            BlockType::FunctionType(index)
        }
    })
}

fn plain(encode: &mut Renumbering, body: &FunctionBody<'_>) -> Rewritten<Function> {
    let mut function = encode.new_function_with_parsed_locals(body)?;
    for operator in body.get_operators_reader()? {
        function.instruction(&encode.instruction(operator?)?);
    }
    Ok(function)
}

/// A body between taking and giving back. It stands in a block of its own: branches that left the
/// function now leave that block, and go on with what follows it.
fn counted(
    encode: &mut Renumbering,
    added: &Added,
    body: &FunctionBody<'_>,
    frame: &Frame,
    result: BlockType,
) -> Rewritten<Function> {
    let cost = Instruction::I32Const(frame.bytes().cast_signed());
    let mut function = encode.new_function_with_parsed_locals(body)?;
    for instruction in [
        Instruction::GlobalGet(added.left),
        cost.clone(),
        Instruction::I32Sub,
        Instruction::GlobalSet(added.left),
        Instruction::GlobalGet(added.left),
        Instruction::I32Const(0),
        Instruction::I32LtS,
        Instruction::If(BlockType::Empty),
        Instruction::Call(added.exhausted),
        Instruction::Unreachable,
        Instruction::End,
        Instruction::Block(result),
    ] {
        function.instruction(&instruction);
    }
    // The body's own last `end` closes the added block.
    let mut blocks: u32 = 0;
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        match &operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => blocks += 1,
            Operator::End => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        match operator {
            Operator::Return => function.instruction(&Instruction::Br(blocks)),
            other => function.instruction(&encode.instruction(other)?),
        };
    }
    for instruction in [
        Instruction::GlobalGet(added.left),
        cost,
        Instruction::I32Add,
        Instruction::GlobalSet(added.left),
        Instruction::End,
    ] {
        function.instruction(&instruction);
    }
    Ok(function)
}

#[cfg(test)]
mod tests;
