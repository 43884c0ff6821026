//! All connections vanish at the same moments and come back at once.

use std::time::{Duration, Instant};

use super::{Behaviour, Context};
use crate::{clock, transport::Received};

/// What a server meets with when its network fails for a moment.
#[derive(Clone, Copy, Debug)]
pub struct ReconnectStorm {
    period: Duration,
}

impl ReconnectStorm {
    /// The storm comes at each whole multiple of the period by the shared clock, so that it is one
    /// storm also over several workers.
    pub fn new(period: Duration) -> Self {
        Self {
            period: period.max(Duration::from_millis(1)),
        }
    }
}

impl Behaviour for ReconnectStorm {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
        let period = self.period.as_micros() as u64;
        let since_last = clock::micros(context.now()) % period;
        context.wake_in(Duration::from_micros(period - since_last));
    }

    fn on_message(&mut self, _context: &mut Context<'_>, _message: Received) {}

    fn on_wake(&mut self, context: &mut Context<'_>, _planned: Instant) {
        context.reconnect_at_once();
        context.abort();
    }
}
