//! Load tester for WebSocket and WebTransport servers, and for meetings of this protocol.
//!
//! - [`runner`]: how connections come and go, as functions of time.
//! - [`behaviour`]: what connections do; a custom behaviour is a short file.
//! - [`transport`]: WebSocket and WebTransport.
//! - [`engine`]: runs a [`plan::Plan`]; [`program`] is the program around it.
//! - [`measure`], [`output`]: what is recorded, and how it is told.
//! - [`cluster`]: one run over several workers.
//!
//! # Errors and panics
//! What a server does ends up in the results and never as an error or a panic of the tester;
//! errors are for plans that cannot be run.
#![forbid(unsafe_code)]

pub mod behaviour;
pub mod cli;
pub mod clock;
pub mod cluster;
mod connection;
pub mod engine;
pub mod errors;
pub mod measure;
pub mod output;
pub mod plan;
pub mod program;
pub mod runner;
pub mod scenario;
pub mod summary;
pub mod time_text;
pub mod transport;
