//! The curves by name and number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a runner asks for at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// So many connections are open; those that end are replaced (closed model).
    Open(u64),
    /// So many connections have been started since the beginning; none is replaced (open model).
    Arrived(u64),
}

impl Demand {
    /// The number.
    pub const fn count(self) -> u64 {
        match self {
            Self::Open(count) | Self::Arrived(count) => count,
        }
    }
}

/// How connections come and go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runner {
    /// All at once.
    Flat {
        /// How many.
        connections: u64,
    },
    /// Evenly, from `from` to `connections` in the time `over`, up or down; then they stay.
    Linear {
        /// How many at the start.
        from: u64,
        /// How many in the end.
        connections: u64,
        /// Length of the ramp.
        over: Duration,
    },
    /// `size` more than `from` at the start, and at the end of each step, up to `connections`.
    Steps {
        /// How many before the start.
        from: u64,
        /// How many in the end.
        connections: u64,
        /// How many are added at once.
        size: u64,
        /// Length of a step.
        every: Duration,
    },
    /// `start` at first, `factor` times as many after each `soak`, up to `connections`.
    Exponential {
        /// How many in the end.
        connections: u64,
        /// How many at the start.
        start: u64,
        /// Growth of a step, above 1.
        factor: f64,
        /// How long each number is held.
        soak: Duration,
    },
    /// Between `min` and `max` and back in each `period`, beginning with `min`.
    Sine {
        /// The fewest.
        min: u64,
        /// The most.
        max: u64,
        /// From one minimum to the next.
        period: Duration,
    },
    /// Open model: connections arrive at a rate, whether or not earlier ones are through.
    Arrivals {
        /// Each second.
        per_second: f64,
    },
    /// Another runner, again and again from its beginning, with none open in between.
    Waves {
        /// What is repeated.
        wave: Box<Runner>,
        /// Length of a wave.
        length: Duration,
        /// How many waves.
        number: u32,
        /// Time between them.
        pause: Duration,
    },
    /// Runners behind each other, each from its beginning; the last one goes on.
    Sequence {
        /// At least one.
        stages: Vec<Stage>,
    },
    /// The part of one of several workers; all parts together make the whole curve.
    Share {
        /// The whole.
        of: Box<Runner>,
        /// Which worker, from 0.
        index: u64,
        /// How many workers.
        workers: u64,
    },
}

/// A part of a [`Runner::Sequence`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What is run.
    pub runner: Runner,
    /// For how long.
    pub length: Duration,
}
