//! When to try again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits longer after each failure, by a random part of it, so that the people of a server that
/// went down do not all come back in the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    attempt: u32,
    random: u64,
}

impl Backoff {
    /// `seed` should differ between clients.
    pub fn new(seed: u64) -> Self {
        Self {
            attempt: 0,
            random: seed | 1,
        }
    }

    /// Failures since the last success.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How long to wait now: at most 100 ms the first time, then up to 0.2 s, 0.4 s, … 5 s.
    pub fn next_wait(&mut self) -> Duration {
        let limit = match self.attempt {
            0 => FIRST,
            n => (STEP * (1 << (n - 1).min(8))).min(LONGEST),
        };
        self.attempt += 1;
        limit.mul_f64(self.fraction())
    }

    /// A wait that somebody asks of many, spread over half as much again.
    pub fn spread(&mut self, wait: Duration) -> Duration {
        wait + wait.mul_f64(self.fraction() / 2.0)
    }

    /// The connection stands again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Between 0 and 1 (xorshift64: this needs to differ, not to be unpredictable).
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_stay_in_bounds_and_start_again(seed: u64) {
            let mut backoff = Backoff::new(seed);
            let limits = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
            for limit in limits {
                prop_assert!(backoff.next_wait() <= Duration::from_millis(limit));
            }
            backoff.reset();
            prop_assert!(backoff.next_wait() <= Duration::from_millis(100));
        }
    }

    #[test]
    fn two_clients_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_ne!(waits(12345), waits(67890));
    }
}
