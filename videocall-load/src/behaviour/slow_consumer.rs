//! Reads one message, then nothing for a while, so that the server's queues fill.

use std::time::Duration;

use super::{Behaviour, Context, Factory};
use crate::transport::{Received, Request};

/// A receiver whose path carries little.
#[derive(Clone, Copy, Debug)]
pub struct SlowConsumer {
    pause: Duration,
}

impl SlowConsumer {
    /// Rests so long after each message.
    pub fn new(pause: Duration) -> Self {
        Self { pause }
    }

    /// The same with a small receive buffer in the kernel, so that the server notices soon.
    pub fn factory(pause: Duration, receive_buffer: u32) -> impl Factory {
        Slow {
            pause,
            receive_buffer,
        }
    }
}

struct Slow {
    pause: Duration,
    receive_buffer: u32,
}

impl Factory for Slow {
    fn request(&self, _number: u64) -> Request {
        Request {
            receive_buffer: Some(self.receive_buffer),
            ..Request::default()
        }
    }

    fn behaviour(&self, _number: u64) -> Box<dyn Behaviour> {
        Box::new(SlowConsumer::new(self.pause))
    }
}

impl Behaviour for SlowConsumer {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
        context.pause_reading(self.pause);
    }

    fn on_message(&mut self, context: &mut Context<'_>, _message: Received) {
        context.pause_reading(self.pause);
    }
}
