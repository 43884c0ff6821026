//! The program against a real server: what is streamed is seen and heard at the other end.
#![allow(clippy::print_stdout)] // what is skipped
#![allow(clippy::unwrap_used)]

mod composed;
mod ends;
mod inputs;
mod pattern;
mod record;
#[path = "../support/mod.rs"]
mod server;
mod settings;
mod support;
mod tokens;
mod twenty;
