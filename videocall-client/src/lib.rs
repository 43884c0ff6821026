//! Joins a meeting: one code base for native and wasm.
//!
//! - [`core`]: everything that needs neither a socket nor a clock nor a codec.
//! - `native` (feature of that name): drivers on tokio for WebTransport and WebSocket.
//! - `web` (wasm only): the engine in its worker, and the facade through which a page drives it.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

pub mod core;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod web;
