//! WebAssembly (wasmtime) as an execution layer.
