//! The real server as a process, real sockets, peers that behave and peers that do not.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // figures, and what is skipped

mod bad_input;
mod clients;
mod metrics;
mod overload;
mod process;
mod sessions;
mod startup;
