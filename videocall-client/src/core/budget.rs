//! What may be spent on pictures: of the network, of the processor, and of heat.

use std::time::Duration;

/// Part of the time between two pictures that encoding may take.
const BUSY: f64 = 0.8;
/// Below it there is room for more.
const FREE: f64 = 0.4;
/// How long it must be so, and how long after a step down nothing is tried at first and at most.
const BUSY_FOR: Duration = Duration::from_secs(2);
const FREE_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// Degrees Celsius from which less is done, and below which more: small computers throttle at 80
/// to 85.
const HOT: f64 = 78.0;
const COOL: f64 = 70.0;
/// How long the last step has until it is felt.
const HEAT_STEP: Duration = Duration::from_secs(20);
/// The most that is left out: two layers, and every second picture.
pub const MOST_LEFT_OUT: u8 = 3;

/// What the machine can do, as steps of things left out: a layer each, then every second picture.
#[derive(Clone, Debug)]
pub struct Machine {
    load: f64,
    load_steps: u8,
    /// Since when the load has been too high, or low enough for more.
    busy_since: Option<Duration>,
    free_since: Option<Duration>,
    free_for: Duration,
    heat_steps: u8,
    heat_changed: Option<Duration>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            load: 0.0,
            load_steps: 0,
            busy_since: None,
            free_since: None,
            free_for: FREE_FOR.0,
            heat_steps: 0,
            heat_changed: None,
        }
    }
}

impl Machine {
    /// How much to leave out, 0 to [`MOST_LEFT_OUT`].
    pub fn left_out(&self) -> u8 {
        self.load_steps.max(self.heat_steps)
    }

    /// A picture, all its layers together, took a part of the time until the next: 1 is all of it.
    pub fn encoded(&mut self, now: Duration, part: f64) {
        // One that took long says little: a scheduler may have looked elsewhere.
        self.load += (part.clamp(0.0, 4.0) - self.load) * 0.05;
        if self.load > BUSY {
            self.free_since = None;
            let since = *self.busy_since.get_or_insert(now);
            if now >= since + BUSY_FOR && self.load_steps < MOST_LEFT_OUT {
                self.load_steps += 1;
                // Each step at least halves the work.
                self.load /= 2.0;
                self.busy_since = None;
                self.free_for = (self.free_for * 2).min(FREE_FOR.1);
            }
        } else if self.load < FREE && self.load_steps > 0 {
            self.busy_since = None;
            let since = *self.free_since.get_or_insert(now);
            if now >= since + self.free_for {
                self.load_steps -= 1;
                self.free_since = None;
            }
        } else {
            (self.busy_since, self.free_since) = (None, None);
        }
    }

    /// The hottest part of the machine has so many degrees Celsius.
    pub fn temperature(&mut self, now: Duration, degrees: f64) {
        if self.heat_changed.is_some_and(|at| now < at + HEAT_STEP) {
            return;
        }
        let steps = if degrees >= HOT {
            (self.heat_steps + 1).min(MOST_LEFT_OUT)
        } else if degrees < COOL {
            self.heat_steps.saturating_sub(1)
        } else {
            self.heat_steps
        };
        if steps != self.heat_steps {
            self.heat_steps = steps;
            self.heat_changed = Some(now);
        }
    }
}

/// What one thing needs of a bit rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Less is of no use.
    pub least: u64,
    /// More is of no use.
    pub most: u64,
}

/// Divides a bit rate: first come first served for what each needs at least, then the rest in the
/// same order. What gets nothing does without.
pub fn divide(bps: u64, claims: &[Claim]) -> Vec<u64> {
    let mut left = bps;
    let mut shares: Vec<u64> = claims
        .iter()
        .map(|claim| {
            let share = if left >= claim.least { claim.least } else { 0 };
            left -= share;
            share
        })
        .collect();
    for (share, claim) in shares.iter_mut().zip(claims) {
        if *share > 0 {
            let more = left.min(claim.most.saturating_sub(*share));
            *share += more;
            left -= more;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(machine: &mut Machine, from: f64, seconds: f64, part: impl Fn(u8) -> f64) -> f64 {
        let mut now = from;
        while now < from + seconds {
            now += 1.0 / 30.0;
            let part = part(machine.left_out());
            machine.encoded(Duration::from_secs_f64(now), part);
        }
        now
    }

    #[test]
    fn a_machine_that_is_too_slow_leaves_things_out_until_it_is_not() {
        let mut machine = Machine::default();
        let slow = |left_out: u8| 3.0 / f64::from(1 << (2 * left_out));
        let now = run(&mut machine, 0.0, 20.0, slow);
        assert_eq!(machine.left_out(), 1);
        // Tried again, in vain, and less and less often.
        let mut changes = 0;
        let mut end = now;
        for _ in 0..600 {
            let before = machine.left_out();
            end = run(&mut machine, end, 1.0, |left_out| {
                if left_out == 0 { 3.0 } else { 0.3 }
            });
            changes += u32::from(machine.left_out() != before);
        }
        assert!((2..=14).contains(&changes), "{changes}");
        // And comes back when there is room.
        run(&mut machine, end, 700.0, |_| 0.1);
        assert_eq!(machine.left_out(), 0);
    }

    #[test]
    fn single_slow_pictures_change_nothing() {
        let mut machine = Machine::default();
        for n in 0..3000 {
            let part = if n % 10 == 0 { 3.0 } else { 0.3 };
            machine.encoded(Duration::from_millis(n * 33), part);
        }
        assert_eq!(machine.left_out(), 0);
    }

    #[test]
    fn heat_is_given_time_and_has_hysteresis() {
        let mut machine = Machine::default();
        let mut left_out = |second: u64, degrees| {
            machine.temperature(Duration::from_secs(second), degrees);
            machine.left_out()
        };
        assert_eq!(left_out(0, 60.0), 0);
        assert_eq!(left_out(5, 79.0), 1);
        assert_eq!(left_out(10, 79.0), 1, "the step is not felt yet");
        assert_eq!(left_out(30, 79.0), 2);
        assert_eq!(left_out(100, 74.0), 2, "between hot and cool all stays");
        assert_eq!(left_out(105, 65.0), 1);
        assert_eq!(left_out(110, 65.0), 1);
        assert_eq!(left_out(140, 65.0), 0);
    }

    proptest! {
        #[test]
        fn no_more_is_divided_than_there_is(
            bps in 0..5_000_000u64,
            claims in prop::collection::vec((1..1_000_000u64, 0..2_000_000u64), 0..6),
        ) {
            let claims: Vec<Claim> = claims
                .into_iter()
                .map(|(least, more)| Claim { least, most: least + more })
                .collect();
            let shares = divide(bps, &claims);
            prop_assert!(shares.iter().sum::<u64>() <= bps);
            for (share, claim) in shares.iter().zip(&claims) {
                prop_assert!(*share == 0 || (claim.least..=claim.most).contains(share));
            }
        }
    }
}
