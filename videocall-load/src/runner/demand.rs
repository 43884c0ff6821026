//! What a runner asks for at a moment.

use std::{f64::consts::TAU, time::Duration};

use super::{Demand, Runner, Stage};

impl Runner {
    /// What is asked for at a time after the start.
    pub fn demand(&self, at: Duration) -> Demand {
        match self {
            Self::Flat { connections } => Demand::Open(*connections),
            Self::Linear {
                from,
                connections,
                over,
            } => Demand::Open(linear(*from, *connections, *over, at)),
            Self::Steps {
                from,
                connections,
                size,
                every,
            } => {
                let steps = 1 + whole(at, *every);
                let open = from.saturating_add(size.saturating_mul(steps));
                Demand::Open(open.min(*connections))
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
}

fn linear(from: u64, connections: u64, over: Duration, at: Duration) -> u64 {
    if at >= over {
        return connections;
    }
    let all = connections.abs_diff(from);
    let done = (u128::from(all) * at.as_nanos() / over.as_nanos()) as u64;
    if connections < from {
        return from - done;
    }
    // Connection n of m opens at (n - 1) / m of the ramp, so the first opens at once.
    from + (done + 1).min(all)
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
pub(super) fn whole(at: Duration, unit: Duration) -> u64 {
    match unit.as_nanos() {
        0 => 0,
        unit => u64::try_from(at.as_nanos() / unit).unwrap_or(u64::MAX),
    }
}

pub(super) fn times(unit: Duration, count: u64) -> Duration {
    let nanos = unit.as_nanos().saturating_mul(u128::from(count));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
