//! The wire protocol, ids and close reasons that every other part speaks; no I/O.
//!
//! - [`wire`]: the protobuf messages, generated from `proto/`.
//! - [`view`]: a borrowed look at a packet, which is all that a relay reads of it.
//! - [`packet`]: builds packets.
//! - [`compression`]: reads compressed control messages.
//! - [`ids`]: names and numbers of meetings, people, sessions and nodes.
//! - [`close`]: why a session ends.
//! - [`token`]: what lets somebody in who is no guest.
//!
//! # Errors and panics
//! Everything that reads bytes or text of a peer returns an error and never panics; memory it
//! takes is bounded by the length of its input.
#![forbid(unsafe_code)]

pub mod close;
pub mod compression;
pub mod ids;
pub mod limits;
pub mod packet;
pub mod token;
pub mod view;
pub mod wire;
