//! Time since the Unix epoch that never jumps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Follows the system's clock from the moment at which it was made, whatever that clock does later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_us: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            start: Instant::now(),
            start_us: since.map_or(0, |since| since.as_micros() as u64),
        }
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        self.at_us(Instant::now())
    }

    /// The same of another moment.
    pub(crate) fn at_us(&self, at: Instant) -> u64 {
        self.start_us + at.saturating_duration_since(self.start).as_micros() as u64
    }

    /// Since this clock was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
