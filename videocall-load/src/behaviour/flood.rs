//! Sends as fast as the server takes it, or so many messages a second.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Behaviour, Context};
use crate::transport::Received;

/// Messages that wait in the queue while the server is slower than the pace.
const AHEAD: usize = 64;
/// How often the queue is filled when no pause is asked for.
const REFILL: Duration = Duration::from_millis(1);

/// Never waits for an answer.
#[derive(Clone, Debug)]
pub struct Flood {
    pause: Duration,
    payload: Bytes,
    due: Option<Instant>,
}

impl Flood {
    /// Messages of so many bytes with a pause between them; without a pause as many as go.
    pub fn new(pause: Duration, bytes: usize) -> Self {
        Self {
            pause,
            payload: Bytes::from(vec![b'.'; bytes]),
            due: None,
        }
    }

    fn fill(&mut self, context: &mut Context<'_>) {
        if self.pause.is_zero() {
            while context.queued() < AHEAD {
                context.send_binary(self.payload.clone());
            }
            return context.wake_in(REFILL);
        }
        let mut due = self.due.unwrap_or_else(|| context.now());
        while due <= context.now() {
            // What the server did not take in time is not made up for.
            if context.queued() < AHEAD {
                context.send_binary(self.payload.clone());
            }
            due += self.pause;
        }
        self.due = Some(due);
        context.wake_at(due);
    }
}

impl Behaviour for Flood {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
        self.fill(context);
    }

    fn on_message(&mut self, _context: &mut Context<'_>, _message: Received) {}

    fn on_wake(&mut self, context: &mut Context<'_>, _planned: Instant) {
        self.fill(context);
    }
}
