//! Turns a curve into single starts and stops.

use std::time::Duration;

use super::{Demand, Runner};

/// Times are multiples of this; a faster curve starts several connections at one time.
const RESOLUTION: Duration = Duration::from_millis(1);
/// How far ahead the next change is looked for at once.
const LOOK_AHEAD: Duration = Duration::from_secs(1);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Start a connection.
    Start {
        /// When that was planned, after the start of the run.
        planned: Duration,
        /// Counts starts from 0 in the open model; in the closed model the place that is filled.
        number: u64,
        /// Whether it is to be replaced when it ends.
        keep: bool,
    },
    /// End the connection in the highest place.
    Stop {
        /// Which place is emptied.
        number: u64,
    },
}

/// The plan of one run: asks the runner in steps of a millisecond and tells what changes.
#[derive(Clone, Debug)]
pub struct Schedule {
    runner: Runner,
    /// After which nothing is started, and all is stopped.
    end: Duration,
    /// The time up to which everything was told.
    at: Duration,
    begun: bool,
    target: u64,
    now: u64,
}

impl Schedule {
    /// The plan for a run of that length.
    pub fn new(runner: Runner, end: Duration) -> Self {
        Self {
            runner,
            end,
            at: Duration::ZERO,
            begun: false,
            target: 0,
            now: 0,
        }
    }

    /// What is due at a time after the start; ask until `None`.
    pub fn poll(&mut self, time: Duration) -> Option<Change> {
        loop {
            let keep = !self.is_open_model();
            if self.now < self.target {
                let number = self.now;
                self.now += 1;
                return Some(Change::Start {
                    planned: self.at,
                    number,
                    keep,
                });
            }
            if self.now > self.target && keep {
                self.now -= 1;
                return Some(Change::Stop { number: self.now });
            }
            // Connections of the open model last as long as they last.
            self.now = self.now.max(self.target);
            if !self.begun {
                self.begun = true;
            } else {
                let next = self.at + RESOLUTION;
                if next > time || next >= self.end {
                    return None;
                }
                self.at = next;
            }
            self.target = self.runner.demand(self.at).count();
        }
    }

    /// When to ask again: the next change, or earlier.
    pub fn next_due(&self) -> Duration {
        let mut at = self.at;
        let horizon = (self.at + LOOK_AHEAD).min(self.end);
        while at < horizon {
            at += RESOLUTION;
            if self.runner.demand(at).count() != self.now {
                return at.min(self.end);
            }
        }
        horizon
    }

    /// Whether the run is over.
    pub fn is_over(&self, time: Duration) -> bool {
        time >= self.end
    }

    fn is_open_model(&self) -> bool {
        matches!(self.runner.demand(self.at), Demand::Arrived(_))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(schedule: &mut Schedule, millis: u64) -> Vec<Change> {
        let at = Duration::from_millis(millis);
        std::iter::from_fn(|| schedule.poll(at)).collect()
    }

    #[test]
    fn late_starts_keep_their_planned_time() {
        let runner = Runner::Arrivals { per_second: 100.0 };
        let mut schedule = Schedule::new(runner, Duration::from_secs(1));
        assert_eq!(all(&mut schedule, 0).len(), 1);
        assert_eq!(schedule.next_due(), Duration::from_millis(10));
        // Asked much too late: the starts are told with the times at which they should have been.
        let planned: Vec<u64> = all(&mut schedule, 50)
            .iter()
            .map(|change| match change {
                Change::Start { planned, .. } => planned.as_millis() as u64,
                Change::Stop { .. } => panic!("a stop"),
            })
            .collect();
        assert_eq!(planned, [10, 20, 30, 40, 50]);
    }

    #[test]
    fn a_falling_curve_stops_the_highest_place() {
        let runner = Runner::Waves {
            wave: Box::new(Runner::Flat { connections: 2 }),
            length: Duration::from_millis(10),
            number: 2,
            pause: Duration::from_millis(10),
        };
        let mut schedule = Schedule::new(runner, Duration::from_millis(40));
        let start = |millis, number| Change::Start {
            planned: Duration::from_millis(millis),
            number,
            keep: true,
        };
        assert_eq!(all(&mut schedule, 5), [start(0, 0), start(0, 1)]);
        assert_eq!(schedule.next_due(), Duration::from_millis(10));
        assert_eq!(
            all(&mut schedule, 15),
            [Change::Stop { number: 1 }, Change::Stop { number: 0 }]
        );
        assert_eq!(all(&mut schedule, 25), [start(20, 0), start(20, 1)]);
    }

    proptest! {
        #[test]
        fn what_runs_follows_the_curve(min in 0u64..50, more in 1u64..50, period in 20u64..2000, polls in prop::collection::vec(1u64..50, 1..60)) {
            let runner = Runner::Sine { min, max: min + more, period: Duration::from_millis(period) };
            let mut schedule = Schedule::new(runner.clone(), Duration::from_secs(3600));
            let (mut at, mut running) = (0u64, 0i64);
            for step in polls {
                at += step;
                for change in all(&mut schedule, at) {
                    running += if matches!(change, Change::Start { .. }) { 1 } else { -1 };
                }
                let wanted = runner.demand(Duration::from_millis(at)).count();
                prop_assert_eq!(running, wanted as i64);
            }
        }
    }
}
