//! The load tester against servers that misbehave on purpose, and against the real one.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod cli;
mod counters;
mod errors;
mod hostile;
mod latency;
mod meeting;
mod runners;
mod server;
mod soak;
mod support;
mod trust;
mod wamp;
