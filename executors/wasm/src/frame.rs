//! How much native stack one call of a function may use.

use wasmparser::{
    CompositeInnerType, FuncValidatorAllocations, Operator, Parser, Payload, TypeRef, ValType,
    ValidPayload, Validator,
};

use crate::{ModuleError, module::FEATURES};

/// Native stack, in bytes, that the frames of a program may have together.
pub(crate) const BUDGET: u32 = 384 * 1024;

/// Frames up to this size are not counted in functions that call no other: there is only ever one
/// such frame, the last, and the stack has room for it beyond [`BUDGET`].
const UNCOUNTED_LEAF: u32 = 8 * 1024;

/// Bytes of any frame: return address, frame pointer, alignment, the few values of wasmtime's own
/// (context, fuel) across calls. Its calls save no registers for the caller beyond those.
const FRAME_BYTES: u32 = 128;

/// Bytes of a local, a parameter or a place on the operand stack: a spilled register has 8, a value
/// handed to a call or back from one may lie in memory once more.
const PLACE_BYTES: u32 = 16;

/// Bytes of an integer that an instruction computes. The compiler keeps it where the same is
/// computed again, or computes it ahead of a loop, so all of a function's values may live at one
/// time.
const VALUE_BYTES: u32 = 8;

/// The same for a float, constants too: its register is spilled whole.
const FLOAT_BYTES: u32 = 16;

/// Bytes of a call: where an imported function is found.
const CALL_BYTES: u32 = 16;

/// Bytes of an access to memory or a table: its address, the check of its bounds, what was loaded.
const ACCESS_BYTES: u32 = 24;

/// The largest frame a function may have.
const MAX_FRAME_BYTES: u32 = BUDGET / 2;

/// The functions of a module, without imported ones, in their order.
pub(crate) struct Frames(pub(crate) Vec<Frame>);

/// What a function needs while it runs.
pub(crate) struct Frame {
    /// What the function returns.
    pub(crate) results: Vec<ValType>,
    calls: bool,
    places: u32,
    value_bytes: u32,
}

impl Frame {
    /// Upper bound of the native frame's size.
    pub(crate) fn bytes(&self) -> u32 {
        self.places
            .saturating_mul(PLACE_BYTES)
            .saturating_add(self.value_bytes)
            .saturating_add(FRAME_BYTES)
    }

    /// Whether the function takes its frame off the budget.
    pub(crate) fn is_counted(&self) -> bool {
        self.calls || self.bytes() > UNCOUNTED_LEAF
    }
}

/// Measures the functions of a module that [`crate::validate`] has let through.
pub(crate) fn measure(module: &[u8]) -> Result<Frames, ModuleError> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    let mut types = Vec::new();
    let mut function_types = Vec::new();
    let mut imported = 0;
    let mut frames: Vec<Frame> = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    types.extend(group?.into_types().map(|ty| ty.composite_type.inner));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    imported += usize::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(section) => {
                for function in section.clone() {
                    function_types.push(function?);
                }
            }
            _ => {}
        }
        let ValidPayload::Func(function, body) = validator.payload(&payload)? else {
            continue;
        };
        let Some(CompositeInnerType::Func(ty)) = function_types
            .get((function.index as usize).saturating_sub(imported))
            .and_then(|ty| types.get(*ty as usize))
        else {
            return Err(ModuleError::Invalid);
        };

        let mut function = function.into_validator(allocations);
        let mut reader = body.get_binary_reader();
        function.read_locals(&mut reader)?;
        let mut frame = Frame {
            results: ty.results().to_vec(),
            calls: false,
            places: 0,
            value_bytes: 0,
        };
        let mut height = 0;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            // What cannot be reached is not compiled, and the heights there say nothing.
            let reachable = function
                .get_control_frame(0)
                .is_some_and(|frame| !frame.unreachable);
            function.op(offset, &operator)?;
            if reachable {
                height = height.max(function.operand_stack_height());
                frame.calls |= matches!(
                    operator,
                    Operator::Call { .. } | Operator::CallIndirect { .. }
                );
                let float = matches!(
                    function.get_operand_type(0),
                    Some(Some(ValType::F32 | ValType::F64))
                );
                frame.value_bytes = frame
                    .value_bytes
                    .saturating_add(value_bytes(&operator, float));
            }
        }
        operators.finish()?;
        // Locals here include the parameters.
        frame.places = function.len_locals().saturating_add(height);
        if frame.bytes() > MAX_FRAME_BYTES {
            return Err(ModuleError::TooMuch);
        }
        allocations = function.into_allocations();
        frames.push(frame);
    }
    Ok(Frames(frames))
}

/// Bytes that the values of an instruction may take beyond the operand stack; `float` says whether
/// it leaves a float there.
fn value_bytes(operator: &Operator<'_>, float: bool) -> u32 {
    match operator {
        // Control makes no value that could be computed elsewhere. Locals are counted as places,
        // and integer constants are made where they are used.
        Operator::Unreachable
        | Operator::Nop
        | Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::Else
        | Operator::End
        | Operator::Br { .. }
        | Operator::BrIf { .. }
        | Operator::BrTable { .. }
        | Operator::Return
        | Operator::Drop
        | Operator::LocalGet { .. }
        | Operator::LocalSet { .. }
        | Operator::LocalTee { .. }
        | Operator::I32Const { .. }
        | Operator::I64Const { .. } => 0,
        Operator::Call { .. } => CALL_BYTES,
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => 2 * ACCESS_BYTES,
        Operator::CallIndirect { .. }
        | Operator::I32Load { .. }
        | Operator::I64Load { .. }
        | Operator::F32Load { .. }
        | Operator::F64Load { .. }
        | Operator::I32Load8S { .. }
        | Operator::I32Load8U { .. }
        | Operator::I32Load16S { .. }
        | Operator::I32Load16U { .. }
        | Operator::I64Load8S { .. }
        | Operator::I64Load8U { .. }
        | Operator::I64Load16S { .. }
        | Operator::I64Load16U { .. }
        | Operator::I64Load32S { .. }
        | Operator::I64Load32U { .. }
        | Operator::I32Store { .. }
        | Operator::I64Store { .. }
        | Operator::F32Store { .. }
        | Operator::F64Store { .. }
        | Operator::I32Store8 { .. }
        | Operator::I32Store16 { .. }
        | Operator::I64Store8 { .. }
        | Operator::I64Store16 { .. }
        | Operator::I64Store32 { .. } => ACCESS_BYTES,
        _ if float => FLOAT_BYTES,
        _ => VALUE_BYTES,
    }
}
