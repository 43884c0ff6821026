//! Nodes that share meetings: over the embedded hub, and over a real NATS server.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod backend;
mod drain;
mod failures;
mod limits;
mod nats_bus;
mod nats_server;
mod peers;
mod person;
mod suite;
