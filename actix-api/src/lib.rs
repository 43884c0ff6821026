//! HTTP: WebSocket ingress, the built UI, health and metrics.
//!
//! | path | what |
//! | --- | --- |
//! | `/lobby/{user}/{meeting}`, `/lobby?token=…` | WebSocket |
//! | `/config.json` | where a browser finds WebTransport |
//! | `/healthz`, `/readyz` | whether the process lives, and takes participants |
//! | `/metrics` | Prometheus |
//! | everything else | the user interface |
#![forbid(unsafe_code)]

mod assets;
mod config_json;
mod health;
mod server;
mod websocket;

pub use server::{ApiServer, BindError};
