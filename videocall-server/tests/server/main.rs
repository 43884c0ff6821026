//! The real server as a process, real sockets, peers that behave and peers that do not.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // figures

mod bad_input;
mod clients;
mod compression;
mod delay;
mod handshakes;
mod limits;
mod logs;
mod metrics;
#[path = "../../../videocall-node/tests/node/nats_server.rs"]
#[allow(dead_code)]
mod nats_server;
mod overload;
mod process;
mod resume;
mod rolling;
mod sessions;
mod startup;
mod streams;
mod tokens;
