//! Sends messages at a steady pace to a server that echoes them, and takes the round trip.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Behaviour, Context};
use crate::{
    errors::{Failure, Phase},
    measure::{MessageKind, Metric},
    transport::Received,
};

/// Begins each message, so that a greeting of the server is not taken for an echo.
const MAGIC: &[u8; 8] = b"VCLOADPP";
/// An echo that has been outstanding for less when the connection ends is no stall.
const WORTH_TELLING: Duration = Duration::from_secs(1);
const HEADER: usize = MAGIC.len() + 8;

/// One message at a time. While its echo is outstanding the next ones become late, and their
/// corrected round trip counts from the time at which each should have been sent.
#[derive(Clone, Debug)]
pub struct PingPong {
    pause: Duration,
    bytes: usize,
    timeout: Duration,
    number: u64,
    /// When the next message is due.
    due: Instant,
    outstanding: Option<Outstanding>,
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    number: u64,
    planned: Instant,
    sent: Instant,
}

impl PingPong {
    /// A message of so many bytes after each pause; the server has `timeout` to echo one.
    pub fn new(pause: Duration, bytes: usize, timeout: Duration) -> Self {
        Self {
            pause: pause.max(Duration::from_micros(1)),
            bytes: bytes.max(HEADER),
            timeout,
            number: 0,
            due: Instant::now(),
            outstanding: None,
        }
    }

    fn send(&mut self, context: &mut Context<'_>) {
        self.number += 1;
        let mut payload = BytesMut::with_capacity(self.bytes);
        payload.put_slice(MAGIC);
        payload.put_u64_le(self.number);
        payload.resize(self.bytes, b'.');
        self.outstanding = Some(Outstanding {
            number: self.number,
            planned: self.due,
            sent: context.now(),
        });
        self.due += self.pause;
        context.send_binary(payload.freeze());
        context.wake_in(self.timeout);
    }

    fn is_echo(payload: &Bytes) -> Option<u64> {
        let number = payload.strip_prefix(MAGIC)?.get(..8)?;
        Some(u64::from_le_bytes(number.try_into().ok()?))
    }
}

impl Behaviour for PingPong {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
        self.due = context.now();
        self.send(context);
    }

    fn on_message(&mut self, context: &mut Context<'_>, message: Received) {
        let Some(number) = Self::is_echo(&message.payload) else {
            return;
        };
        match self.outstanding {
            Some(outstanding) if outstanding.number == number => {
                self.outstanding = None;
                context.recorder().latency(
                    Metric::RoundTrip,
                    message.at.saturating_duration_since(outstanding.planned),
                    message.at.saturating_duration_since(outstanding.sent),
                );
            }
            // Echoed before.
            _ => return context.recorder().duplicated(MessageKind::Other, 0, 1),
        }
        if self.due <= context.now() {
            self.send(context);
        } else {
            context.wake_at(self.due);
        }
    }

    fn on_close(&mut self, context: &mut Context<'_>, _failure: Option<&Failure>) {
        // What has been waited for so far is the least that the round trip would have taken; a
        // stall at the end must not be left out.
        if let Some(outstanding) = self.outstanding.take() {
            let waited = context.now().saturating_duration_since(outstanding.sent);
            if waited > WORTH_TELLING {
                let late = context.now().saturating_duration_since(outstanding.planned);
                context.recorder().latency(Metric::RoundTrip, late, waited);
            }
        }
    }

    fn on_wake(&mut self, context: &mut Context<'_>, _planned: Instant) {
        if self.outstanding.is_some() {
            context.recorder().lost(MessageKind::Other, 0, 1);
            context.fail(Failure::timeout(Phase::Open));
        } else {
            self.send(context);
        }
    }
}
