//! How connections come and go: pure functions of time, without I/O and without a clock.
//!
//! A [`Runner`] says how many connections shall be open, or how many shall have arrived, at a time
//! after the start. Runners compose: [`Runner::Waves`] repeats any other, [`Runner::Sequence`] puts
//! them behind each other, [`Runner::Share`] takes one worker's part. [`Schedule`] turns one into
//! single starts and stops, each with the time at which it was planned.

mod bounds;
mod curve;
mod demand;
mod schedule;
#[cfg(test)]
mod tests;

pub use bounds::InvalidRunner;
pub use curve::{Demand, Runner, Stage};
pub use schedule::{Change, Schedule};
