//! The curves.

use std::{f64::consts::TAU, time::Duration};

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
    /// Evenly, from none to `connections` in the time `over`; then they stay.
    Linear {
        /// How many in the end.
        connections: u64,
        /// Length of the ramp.
        over: Duration,
    },
    /// `size` more at the start and at the end of each step, up to `connections`.
    Steps {
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

/// A runner that no time fits into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRunner(String);

impl Runner {
    /// What is asked for at a time after the start.
    pub fn demand(&self, at: Duration) -> Demand {
        match self {
            Self::Flat { connections } => Demand::Open(*connections),
            Self::Linear { connections, over } => Demand::Open(linear(*connections, *over, at)),
            Self::Steps {
                connections,
                size,
                every,
            } => {
                let steps = 1 + whole(at, *every);
                Demand::Open(size.saturating_mul(steps).min(*connections))
            }
            Self::Exponential {
                connections,
                start,
                factor,
                soak,
            } => {
                let steps = whole(at, *soak).min(i32::MAX as u64) as i32;
                let open = *start as f64 * factor.powi(steps);
                // A float beyond the integers becomes the largest of them.
                Demand::Open((open.floor() as u64).min(*connections))
            }
            Self::Sine { min, max, period } => {
                let phase = at.as_secs_f64() / period.as_secs_f64();
                let height = (1.0 - (phase * TAU).cos()) / 2.0;
                let between = height * max.saturating_sub(*min) as f64;
                Demand::Open(min + between.round() as u64)
            }
            Self::Arrivals { per_second } => {
                // The first one comes at once; a rounding error must not delay one.
                Demand::Arrived(1 + (at.as_secs_f64() * per_second + 1e-9).floor() as u64)
            }
            Self::Waves {
                wave,
                length,
                number,
                pause,
            } => waves(wave, *length, *number, *pause, at),
            Self::Sequence { stages } => sequence(stages, at),
            Self::Share { of, index, workers } => {
                // Number n of the whole belongs to worker n modulo the number of workers.
                let part = |all: u64| (all + workers - 1 - index) / workers;
                match of.demand(at) {
                    Demand::Open(all) => Demand::Open(part(all)),
                    Demand::Arrived(all) => Demand::Arrived(part(all)),
                }
            }
        }
    }

    /// Whether connections arrive at a rate instead of being kept open.
    pub fn is_open_model(&self) -> bool {
        matches!(self.demand(Duration::ZERO), Demand::Arrived(_))
    }

    /// The time by which the curve has told all it has to tell, if it ends by itself: the end of
    /// a ramp, one period of a sine, the end of the last wave.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Self::Flat { .. } | Self::Arrivals { .. } => None,
            Self::Linear { over, .. } => Some(*over),
            Self::Steps {
                connections,
                size,
                every,
            } => {
                let steps = connections.div_ceil((*size).max(1)).max(1);
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
            Self::Flat { connections }
            | Self::Linear { connections, .. }
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
            Self::Linear { connections, .. } => {
                require(*connections > 0, "the ramp leads to 0 connections")
            }
            Self::Steps {
                connections,
                size,
                every,
            } => {
                require(*connections > 0, "the steps lead to 0 connections")?;
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

fn linear(connections: u64, over: Duration, at: Duration) -> u64 {
    if at >= over {
        return connections;
    }
    // Connection n of m opens at (n - 1) / m of the ramp, so the first opens at once.
    let done = u128::from(connections) * at.as_nanos() / over.as_nanos();
    (done as u64 + 1).min(connections)
}

fn waves(wave: &Runner, length: Duration, number: u32, pause: Duration, at: Duration) -> Demand {
    let cycle = length.saturating_add(pause);
    let before = whole(at, cycle).min(u64::from(number));
    let within = at.saturating_sub(times(cycle, before));
    let running = before < u64::from(number) && within < length;
    match wave.demand(if running { within } else { Duration::ZERO }) {
        Demand::Open(open) => Demand::Open(if running { open } else { 0 }),
        Demand::Arrived(now) => {
            let each = last_moment(wave, length);
            let during = if running {
                now
            } else if before < u64::from(number) {
                each
            } else {
                0
            };
            Demand::Arrived(each.saturating_mul(before).saturating_add(during))
        }
    }
}

fn sequence(stages: &[Stage], at: Duration) -> Demand {
    let mut begin = Duration::ZERO;
    let mut arrived = 0u64;
    for (place, stage) in stages.iter().enumerate() {
        let end = begin.saturating_add(stage.length);
        if at < end || place + 1 == stages.len() {
            return match stage.runner.demand(at - begin) {
                Demand::Open(open) => Demand::Open(open),
                Demand::Arrived(now) => Demand::Arrived(arrived.saturating_add(now)),
            };
        }
        arrived = arrived.saturating_add(last_moment(&stage.runner, stage.length));
        begin = end;
    }
    Demand::Open(0)
}

/// How many arrived before the end of a time.
fn last_moment(runner: &Runner, length: Duration) -> u64 {
    let moment = length.saturating_sub(Duration::from_nanos(1));
    runner.demand(moment).count()
}

/// How often a time fits into another.
fn whole(at: Duration, unit: Duration) -> u64 {
    match unit.as_nanos() {
        0 => 0,
        unit => u64::try_from(at.as_nanos() / unit).unwrap_or(u64::MAX),
    }
}

fn times(unit: Duration, count: u64) -> Duration {
    let nanos = unit.as_nanos().saturating_mul(u128::from(count));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn open(runner: &Runner, at: f64) -> u64 {
        match runner.demand(Duration::from_secs_f64(at)) {
            Demand::Open(open) => open,
            Demand::Arrived(_) => panic!("the open model"),
        }
    }

    fn points(runner: &Runner, at: &[f64]) -> Vec<u64> {
        at.iter().map(|at| open(runner, *at)).collect()
    }

    #[test]
    fn flat_is_all_at_once() {
        assert_eq!(
            points(&Runner::Flat { connections: 7 }, &[0.0, 9.0]),
            [7, 7]
        );
    }

    #[test]
    fn linear_rises_evenly_and_stays() {
        let runner = Runner::Linear {
            connections: 10,
            over: s(10),
        };
        assert_eq!(
            points(&runner, &[0.0, 0.9, 1.0, 5.5, 9.0, 10.0, 60.0]),
            [1, 1, 2, 6, 10, 10, 10]
        );
        assert_eq!(runner.length(), Some(s(10)));
    }

    #[test]
    fn steps_rise_at_once_and_hold() {
        let runner = Runner::Steps {
            connections: 25,
            size: 10,
            every: s(5),
        };
        assert_eq!(
            points(&runner, &[0.0, 4.99, 5.0, 9.99, 10.0, 99.0]),
            [10, 10, 20, 20, 25, 25]
        );
        assert_eq!(runner.length(), Some(s(15)));
    }

    #[test]
    fn exponential_multiplies() {
        let runner = Runner::Exponential {
            connections: 100,
            start: 3,
            factor: 2.0,
            soak: s(1),
        };
        assert_eq!(
            points(&runner, &[0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6]),
            [3, 3, 6, 12, 24, 48, 96, 100, 100]
        );
        assert_eq!(runner.length(), Some(s(7)));
    }

    #[test]
    fn sine_swings_between_its_ends() {
        let runner = Runner::Sine {
            min: 10,
            max: 30,
            period: s(8),
        };
        assert_eq!(
            points(&runner, &[0.0, 2.0, 4.0, 6.0, 8.0, 12.0]),
            [10, 20, 30, 20, 10, 30]
        );
    }

    #[test]
    fn arrivals_go_on_whatever_happens() {
        let runner = Runner::Arrivals { per_second: 10.0 };
        let arrived = |at| runner.demand(Duration::from_millis(at));
        assert_eq!(arrived(0), Demand::Arrived(1));
        assert_eq!(arrived(99), Demand::Arrived(1));
        assert_eq!(arrived(100), Demand::Arrived(2));
        assert_eq!(arrived(60_000), Demand::Arrived(601));
    }

    #[test]
    fn waves_repeat_any_curve() {
        let runner = Runner::Waves {
            wave: Box::new(Runner::Steps {
                connections: 20,
                size: 10,
                every: s(1),
            }),
            length: s(2),
            number: 2,
            pause: s(3),
        };
        assert_eq!(
            points(&runner, &[0.0, 1.0, 2.0, 4.9, 5.0, 6.0, 7.0, 10.0, 11.0]),
            [10, 20, 0, 0, 10, 20, 0, 0, 0]
        );
        assert_eq!(runner.length(), Some(s(7)));
    }

    #[test]
    fn waves_of_arrivals_count_on() {
        let runner = Runner::Waves {
            wave: Box::new(Runner::Arrivals { per_second: 2.0 }),
            length: s(2),
            number: 2,
            pause: s(1),
        };
        let at = |millis| runner.demand(Duration::from_millis(millis)).count();
        assert_eq!(
            [at(0), at(1999), at(2500), at(3000), at(3500)],
            [1, 4, 4, 5, 6]
        );
        assert_eq!([at(5000), at(60_000)], [8, 8]);
    }

    #[test]
    fn a_sequence_goes_from_one_to_the_next() {
        let runner = Runner::Sequence {
            stages: vec![
                Stage {
                    runner: Runner::Flat { connections: 5 },
                    length: s(2),
                },
                Stage {
                    runner: Runner::Sine {
                        min: 1,
                        max: 3,
                        period: s(2),
                    },
                    length: s(4),
                },
            ],
        };
        assert_eq!(points(&runner, &[0.0, 1.9, 2.0, 3.0, 9.0]), [5, 5, 1, 3, 3]);
    }

    #[test]
    fn nonsense_is_refused() {
        let bad = Runner::Exponential {
            connections: 5,
            start: 1,
            factor: 1.0,
            soak: s(1),
        };
        let message = bad.check().unwrap_err().to_string();
        assert_eq!(message, "the growth factor must be greater than 1");
        let waves = Runner::Waves {
            wave: Box::new(bad),
            length: s(1),
            number: 1,
            pause: s(0),
        };
        assert!(waves.check().is_err());
    }

    fn any_ramp() -> impl Strategy<Value = Runner> {
        let millis = || (1u64..100_000).prop_map(Duration::from_millis);
        prop_oneof![
            (1u64..5000).prop_map(|connections| Runner::Flat { connections }),
            (1u64..5000, millis())
                .prop_map(|(connections, over)| Runner::Linear { connections, over }),
            (1u64..5000, 1u64..500, millis()).prop_map(|(connections, size, every)| {
                Runner::Steps {
                    connections,
                    size,
                    every,
                }
            }),
            (1u64..5000, 1.01f64..9.0, millis()).prop_map(|(connections, factor, soak)| {
                Runner::Exponential {
                    connections,
                    start: 1,
                    factor,
                    soak,
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn ramps_never_fall_and_end_at_their_target(runner in any_ramp(), mut at in prop::collection::vec(0u64..1_000_000, 2..40)) {
            at.sort_unstable();
            let values: Vec<u64> = at.iter().map(|at| runner.demand(Duration::from_millis(*at)).count()).collect();
            prop_assert!(values.is_sorted());
            prop_assert!(values.iter().all(|value| (1..=runner.peak()).contains(value)));
            let end = runner.length().unwrap_or(Duration::ZERO);
            prop_assert_eq!(runner.demand(end).count(), runner.peak());
        }

        #[test]
        fn a_sine_stays_between_its_ends(min in 0u64..100, more in 1u64..100, period in 1u64..100_000, at in 0u64..1_000_000) {
            let runner = Runner::Sine { min, max: min + more, period: Duration::from_millis(period) };
            let open = runner.demand(Duration::from_millis(at)).count();
            prop_assert!((min..=min + more).contains(&open));
        }

        #[test]
        fn the_shares_of_all_workers_make_the_whole(runner in any_ramp(), workers in 1u64..9, at in 0u64..200_000) {
            let at = Duration::from_millis(at);
            let sum: u64 = (0..workers)
                .map(|index| Runner::Share { of: Box::new(runner.clone()), index, workers }.demand(at).count())
                .sum();
            prop_assert_eq!(sum, runner.demand(at).count());
        }

        #[test]
        fn waves_of_arrivals_never_fall(rate in 0.1f64..50.0, length in 1u64..5000, pause in 0u64..5000, number in 1u32..5, mut at in prop::collection::vec(0u64..60_000, 2..40)) {
            let runner = Runner::Waves {
                wave: Box::new(Runner::Arrivals { per_second: rate }),
                length: Duration::from_millis(length),
                number,
                pause: Duration::from_millis(pause),
            };
            at.sort_unstable();
            let values: Vec<u64> = at.iter().map(|at| runner.demand(Duration::from_millis(*at)).count()).collect();
            prop_assert!(values.is_sorted());
        }
    }
}
