//! Joins a meeting: one code base for native and wasm.
