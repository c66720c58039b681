use wasmparser::{
    FuncType,
    ValType::{self, I32, I64},
};

use crate::ModuleError;

/// A function that programs may import.
struct Function {
    name: &'static str,
    parameters: &'static [ValType],
    results: &'static [ValType],
    wrong_type: &'static str,
}

macro_rules! functions {
    ($($name:literal: [$($parameter:expr),*] -> [$($result:expr),*];)*) => {
        [$(Function {
            name: $name,
            parameters: &[$($parameter),*],
            results: &[$($result),*],
            wrong_type: concat!("wasm: vm_hooks.", $name, " is imported with a wrong type"),
        }),*]
    };
}

/// What the host offers.
const FUNCTIONS: [Function; 42] = functions! {
    "read_args": [I32] -> [];
    "write_result": [I32, I32] -> [];
    "storage_load_bytes32": [I32, I32] -> [];
    "storage_cache_bytes32": [I32, I32] -> [];
    "storage_flush_cache": [I32] -> [];
    "msg_reentrant": [] -> [I32];
    "msg_sender": [I32] -> [];
    "msg_value": [I32] -> [];
    "contract_address": [I32] -> [];
    "account_balance": [I32, I32] -> [];
    "block_basefee": [I32] -> [];
    "block_coinbase": [I32] -> [];
    "block_gas_limit": [] -> [I64];
    "block_number": [] -> [I64];
    "block_timestamp": [] -> [I64];
    "chainid": [] -> [I64];
    "tx_gas_price": [I32] -> [];
    "tx_ink_price": [] -> [I32];
    "tx_origin": [I32] -> [];
    "evm_gas_left": [] -> [I64];
    "evm_ink_left": [] -> [I64];
    "native_keccak256": [I32, I32, I32] -> [];
    "emit_log": [I32, I32, I32] -> [];
    "pay_for_memory_grow": [I32] -> [];
    "call_contract": [I32, I32, I32, I32, I64, I32] -> [I32];
    "delegate_call_contract": [I32, I32, I32, I64, I32] -> [I32];
    "static_call_contract": [I32, I32, I32, I64, I32] -> [I32];
    "create1": [I32, I32, I32, I32, I32] -> [];
    "create2": [I32, I32, I32, I32, I32, I32] -> [];
    "account_code": [I32, I32, I32, I32] -> [I32];
    "account_code_size": [I32] -> [I32];
    "account_codehash": [I32, I32] -> [];
    "transient_load_bytes32": [I32, I32] -> [];
    "transient_store_bytes32": [I32, I32] -> [];
    "exit_early": [I32] -> [];
    "math_div": [I32, I32] -> [];
    "math_mod": [I32, I32] -> [];
    "math_pow": [I32, I32] -> [];
    "math_add_mod": [I32, I32, I32] -> [];
    "math_mul_mod": [I32, I32, I32] -> [];
    "return_data_size": [] -> [I32];
    "read_return_data": [I32, I32, I32] -> [I32];
};

/// Checks an import from [`super::MODULE`].
pub(crate) fn check_import(name: &str, found: &FuncType) -> Result<(), ModuleError> {
    let function = FUNCTIONS
        .iter()
        .find(|function| function.name == name)
        .ok_or(ModuleError::ImportName)?;
    if found.params() != function.parameters || found.results() != function.results {
        return Err(ModuleError::ImportType(function.wrong_type));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, Bytes, U256};
    use wasmtime::{Engine, Linker, Module, Store};
    use weft_executor_core::Frame;

    use super::*;
    use crate::{
        host::{Instance, MODULE, link},
        memory::MemoryGrowth,
    };

    /// The table above and the functions that are linked must be the same, types included.
    #[test]
    fn every_function_of_the_table_is_linked_and_no_other() {
        let letter = |kind: &ValType| match kind {
            I64 => "i64",
            _ => "i32",
        };
        let words = |kinds: &[ValType]| kinds.iter().map(letter).collect::<Vec<_>>().join(" ");
        let imports: String = FUNCTIONS
            .iter()
            .map(|function| {
                format!(
                    r#"(import "{MODULE}" "{}" (func (param {}) (result {})))"#,
                    function.name,
                    words(function.parameters),
                    words(function.results),
                )
            })
            .collect();
        let engine = Engine::default();
        let module = Module::new(
            &engine,
            wat::parse_str(format!("(module {imports})")).unwrap(),
        );
        let mut linker: Linker<Instance> = Linker::new(&engine);
        link(&mut linker).unwrap();
        linker.instantiate_pre(&module.unwrap()).unwrap();

        let frame = Frame {
            code: Bytes::new(),
            code_hash: B256::ZERO,
            contract: Address::ZERO,
            caller: Address::ZERO,
            value: U256::ZERO,
            input: Bytes::new(),
            gas: 0,
            is_static: false,
            is_delegated: false,
        };
        let mut store = Store::new(&engine, Instance::new(&frame, MemoryGrowth::new(0, 0)));
        let linked: Vec<&str> = linker.iter(&mut store).map(|(_, name, _)| name).collect();
        assert_eq!(linked.len(), FUNCTIONS.len());
        for name in linked {
            assert!(
                FUNCTIONS.iter().any(|function| function.name == name),
                "{name}"
            );
        }
    }
}
