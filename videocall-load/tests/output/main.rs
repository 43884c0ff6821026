//! Outputs against known snapshots, and by the program.
#![allow(clippy::unwrap_used)]

mod compare;
mod pages;
mod program;
#[path = "../common/silent.rs"]
mod silent;
mod support;
mod thresholds;
