//! How much native stack one call of a function may use.

use wasmparser::{
    CompositeInnerType, FuncValidatorAllocations, Operator, Parser, Payload, TypeRef, ValType,
    ValidPayload, Validator,
};

use crate::{ModuleError, module::FEATURES, stack::MAX_FRAME_BYTES};

/// Frames up to this size are not counted in functions that call no other: there is only ever one
/// such frame, the last, and the stack has room for it beyond [`BUDGET_BYTES`](crate::stack::BUDGET_BYTES).
const UNCOUNTED_LEAF: u32 = 8 * 1024;

/// Bytes of any frame: return address, frame pointer, alignment, the few values of wasmtime's own
/// (context, fuel) across calls. Its calls save no registers for the caller beyond those.
const FRAME_BYTES: u32 = 128;

/// Bytes of a local, a parameter or a place on the operand stack: a spilled register has 8, a value
/// handed to a call or back from one may lie in memory once more.
const PLACE_BYTES: u32 = 16;

/// Bytes of a local or parameter that is a float, beyond those: its register is spilled whole.
const FLOAT_PLACE_BYTES: u32 = 8;

// Bytes of what instructions compute. The compiler keeps a value where the same is computed again,
// so that one of two may live beyond the operand stack; it computes ahead of a loop what is the
// same in each round, so that all of those may. And it computes as late as it can, and keeps what it
// computes from meanwhile. These are for instructions outside of loops; in a loop they count twice.

/// Bytes of an integer.
const VALUE_BYTES: u32 = 6;

/// Bytes of a float, constants too: its register is spilled whole.
const FLOAT_BYTES: u32 = 12;

/// Bytes of a call: where an imported function is found.
const CALL_BYTES: u32 = 16;

/// Bytes of each value that a call returns.
const RESULT_BYTES: u32 = 12;

/// Bytes of an access to memory or a table: its address, the check of its bounds, what was loaded.
const ACCESS_BYTES: u32 = 12;

/// The functions of a module, without imported ones, in their order.
pub(crate) struct Frames(pub(crate) Vec<Frame>);

/// What a function needs while it runs.
pub(crate) struct Frame {
    /// What the function returns.
    pub(crate) results: Vec<ValType>,
    calls: bool,
    places: u32,
    /// Bytes beyond those of the places.
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
    // Type of each function, imported ones first.
    let mut function_types = Vec::new();
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
                    if let TypeRef::Func(ty) = import?.ty {
                        function_types.push(ty);
                    }
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
        let results_of_type = |ty: u32| match types.get(ty as usize) {
            Some(CompositeInnerType::Func(ty)) => Ok(ty.results()),
            _ => Err(ModuleError::Invalid),
        };
        let results_of = |function: u32| {
            let ty = function_types.get(function as usize);
            results_of_type(*ty.ok_or(ModuleError::Invalid)?)
        };

        let results = results_of(function.index)?.to_vec();
        let mut function = function.into_validator(allocations);
        let mut reader = body.get_binary_reader();
        function.read_locals(&mut reader)?;
        let mut frame = Frame {
            results,
            calls: false,
            places: 0,
            value_bytes: 0,
        };
        let mut height = 0;
        // For each open block, whether it or one around it is a loop.
        let mut loops: Vec<bool> = Vec::new();
        let mut operators = wasmparser::OperatorsReader::new(reader);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            // What cannot be reached is not compiled, and the heights there say nothing.
            let reachable = function
                .get_control_frame(0)
                .is_some_and(|frame| !frame.unreachable);
            function.op(offset, &operator)?;
            match operator {
                Operator::Loop { .. } => loops.push(true),
                Operator::Block { .. } | Operator::If { .. } => {
                    loops.push(loops.last().copied().unwrap_or(false));
                }
                Operator::End => {
                    loops.pop();
                }
                _ => {}
            }
            if reachable {
                height = height.max(function.operand_stack_height());
                let returned = match operator {
                    Operator::Call { function_index } => results_of(function_index)?.len(),
                    Operator::CallIndirect { type_index, .. } => results_of_type(type_index)?.len(),
                    _ => 0,
                };
                frame.calls |= matches!(
                    operator,
                    Operator::Call { .. } | Operator::CallIndirect { .. }
                );
                let float = function.get_operand_type(0).flatten().is_some_and(is_float);
                let bytes = value_bytes(&operator, float) + RESULT_BYTES * returned as u32;
                let in_loop = loops.last().copied().unwrap_or(false);
                let times = if in_loop { 2 } else { 1 };
                frame.value_bytes = frame.value_bytes.saturating_add(times * bytes);
            }
        }
        operators.finish()?;
        // Locals here include the parameters.
        frame.places = function.len_locals().saturating_add(height);
        let floats = (0..function.len_locals())
            .filter(|local| function.get_local_type(*local).is_some_and(is_float))
            .count();
        frame.value_bytes = frame
            .value_bytes
            .saturating_add(FLOAT_PLACE_BYTES.saturating_mul(floats as u32));
        if frame.bytes() > MAX_FRAME_BYTES {
            return Err(ModuleError::TooMuch);
        }
        allocations = function.into_allocations();
        frames.push(frame);
    }
    Ok(Frames(frames))
}

fn is_float(ty: ValType) -> bool {
    matches!(ty, ValType::F32 | ValType::F64)
}

/// Bytes that the values of an instruction outside of loops may take beyond the operand stack; `float` says whether
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
