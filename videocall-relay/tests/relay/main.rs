//! The relay through its public surface: one behaviour per module.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod bounds;
mod decodability;
mod garbage;
mod isolation;
mod keyframes;
mod layers;
mod nodes;
mod ordering;
mod paths;
mod sessions;
mod speakers;
mod world;
mod writer;
