//! The load tester against servers that misbehave on purpose, and against the real one.

mod cli;
mod counters;
mod errors;
mod latency;
mod meeting;
mod runners;
mod server;
mod support;
