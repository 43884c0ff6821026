//! The real server as a process, real sockets, peers that behave and peers that do not.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod clients;
mod process;
mod sessions;
mod startup;
