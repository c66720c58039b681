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

macro_rules! not_yet {
    ($($name:literal)*) => {
        [$((
            $name,
            concat!("wasm: vm_hooks.", $name, " is not available on this chain yet"),
        )),*]
    };
}

/// What the host offers.
const FUNCTIONS: [Function; 26] = functions! {
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
    "return_data_size": [] -> [I32];
    "read_return_data": [I32, I32, I32] -> [I32];
};

/// Functions of Stylus' interface that are not here yet, with the reason for refusing them.
const NOT_YET: [(&str, &str); 17] = not_yet! {
    "call_contract" "delegate_call_contract" "static_call_contract" "create1" "create2"
    "account_code" "account_code_size" "account_codehash"
    "transient_load_bytes32" "transient_store_bytes32" "storage_store_bytes32"
    "exit_early"
    "math_div" "math_mod" "math_pow" "math_add_mod" "math_mul_mod"
};

/// Checks an import from [`super::MODULE`].
pub(crate) fn check_import(name: &str, found: &FuncType) -> Result<(), ModuleError> {
    if let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) {
        if found.params() != function.parameters || found.results() != function.results {
            return Err(ModuleError::ImportType(function.wrong_type));
        }
        return Ok(());
    }
    match NOT_YET.iter().find(|(known, _)| *known == name) {
        Some((_, reason)) => Err(ModuleError::ImportNotYet(reason)),
        None => Err(ModuleError::ImportName),
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Linker, Module, Store};

    use super::*;
    use crate::host::{Instance, MODULE, link};

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

        let mut store = Store::new(&engine, crate::host::functions::tests::instance());
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
