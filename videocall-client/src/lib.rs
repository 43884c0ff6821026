//! Joins a meeting: one code base for native and wasm.
//!
//! - [`core`]: everything that needs neither a socket nor a clock nor a codec.
//! - `web` (wasm only): the engine in its worker, and the facade through which a page drives it.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

pub mod core;
#[cfg(target_arch = "wasm32")]
pub mod web;
