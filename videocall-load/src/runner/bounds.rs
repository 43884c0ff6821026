//! How long and how high a curve is, and which numbers make none.

use std::time::Duration;

use super::{Runner, demand::times};

/// A runner that no time fits into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRunner(String);

impl Runner {
    /// The time by which the curve has told all it has to tell, if it ends by itself: the end of
    /// a ramp, one period of a sine, the end of the last wave.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Self::Flat { .. } | Self::Arrivals { .. } => None,
            Self::Linear { over, .. } => Some(*over),
            Self::Steps {
                from,
                connections,
                size,
                every,
            } => {
                let more = connections.saturating_sub(*from);
                let steps = more.div_ceil((*size).max(1)).max(1);
                Some(times(*every, steps))
            }
            Self::Exponential {
                connections,
                start,
                factor,
                soak,
            } => {
                let growth = *connections as f64 / (*start).max(1) as f64;
                let steps = (growth.max(1.0).ln() / factor.ln() - 1e-9).ceil().max(0.0) as u64;
                Some(times(*soak, steps.saturating_add(1)))
            }
            Self::Sine { period, .. } => Some(*period),
            Self::Waves {
                length,
                number,
                pause,
                ..
            } => {
                let number = u64::from(*number);
                Some(times(*length, number).saturating_add(times(*pause, number.saturating_sub(1))))
            }
            Self::Sequence { stages } => Some(stages.iter().fold(Duration::ZERO, |sum, stage| {
                sum.saturating_add(stage.length)
            })),
            Self::Share { of, .. } => of.length(),
        }
    }

    /// The most that are open at once, in the closed model.
    pub fn peak(&self) -> u64 {
        match self {
            Self::Linear {
                from, connections, ..
            } => (*connections).max(*from),
            Self::Flat { connections }
            | Self::Steps { connections, .. }
            | Self::Exponential { connections, .. } => *connections,
            Self::Sine { min, max, .. } => (*max).max(*min),
            Self::Arrivals { .. } => 0,
            Self::Waves { wave, .. } => wave.peak(),
            Self::Sequence { stages } => stages
                .iter()
                .map(|stage| stage.runner.peak())
                .max()
                .unwrap_or(0),
            Self::Share { of, workers, .. } => of.peak().div_ceil((*workers).max(1)),
        }
    }

    /// Refuses numbers that make no curve.
    pub fn check(&self) -> Result<(), InvalidRunner> {
        let require = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(InvalidRunner(what.to_owned()))
            }
        };
        match self {
            Self::Flat { connections } => {
                require(*connections > 0, "the number of connections is 0")
            }
            Self::Linear {
                from, connections, ..
            } => require(
                (*connections).max(*from) > 0,
                "the ramp leads from 0 connections to 0",
            ),
            Self::Steps {
                from,
                connections,
                size,
                every,
            } => {
                require(connections > from, "the steps lead to no more connections")?;
                require(*size > 0, "a step adds no connection")?;
                require(!every.is_zero(), "a step has no duration")
            }
            Self::Exponential {
                connections,
                start,
                factor,
                soak,
            } => {
                require(*start > 0, "growth cannot begin with 0 connections")?;
                require(start <= connections, "growth begins above its end")?;
                require(
                    factor.is_finite() && *factor > 1.0,
                    "the growth factor must be greater than 1",
                )?;
                require(!soak.is_zero(), "the soaking time is 0")
            }
            Self::Sine { min, max, period } => {
                require(min <= max, "the fewest connections are more than the most")?;
                require(*max > 0, "the sine has 0 connections at most")?;
                require(!period.is_zero(), "the period is 0")
            }
            Self::Arrivals { per_second } => require(
                per_second.is_finite() && *per_second > 0.0,
                "the rate of arrivals must be greater than 0",
            ),
            Self::Waves {
                wave,
                length,
                number,
                ..
            } => {
                require(*number > 0, "the number of waves is 0")?;
                require(!length.is_zero(), "a wave has no duration")?;
                wave.check()
            }
            Self::Sequence { stages } => {
                require(!stages.is_empty(), "the sequence has no stage")?;
                let first = stages[0].runner.is_open_model();
                for stage in stages {
                    stage.runner.check()?;
                    require(
                        stage.runner.is_open_model() == first,
                        "a sequence is of the open model, or it is not",
                    )?;
                }
                Ok(())
            }
            Self::Share { of, index, workers } => {
                require(index < workers, "no such worker")?;
                of.check()
            }
        }
    }
}
