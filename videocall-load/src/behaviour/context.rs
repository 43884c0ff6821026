//! What a behaviour can do.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    errors::Failure,
    measure::{ErrorClass, MessageKind, Metric, Recorder},
    transport::{Delivery, Outgoing},
};

/// Messages that may wait to be sent on one connection.
const MAX_QUEUE: usize = 4096;

/// The end that a behaviour asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a good-bye.
    Close(u16, String),
    /// Without a word.
    Abort,
    /// As a failure of the server.
    Fail(Failure),
}

/// What a behaviour has asked for and the engine has not yet done. Custom drivers, and tests of
/// behaviours without a network, make one themselves.
#[derive(Debug, Default)]
pub struct Commands {
    pub(crate) queue: VecDeque<Outgoing>,
    pub(crate) wake: Option<Instant>,
    pub(crate) reading_paused_until: Option<Instant>,
    pub(crate) ending: Option<Ending>,
    pub(crate) reconnect_at_once: bool,
    pub(crate) classified: Option<(MessageKind, u8)>,
    overflow_told: bool,
}

impl Commands {
    /// The messages to be sent, oldest first.
    pub fn queue(&self) -> impl Iterator<Item = &Outgoing> {
        self.queue.iter()
    }

    /// Takes the oldest message to be sent.
    pub fn take(&mut self) -> Option<Outgoing> {
        self.queue.pop_front()
    }

    /// When the behaviour wants to be woken.
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }
}

/// What a behaviour can do, and what it knows of its connection.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) number: u64,
    pub(crate) planned: Instant,
    pub(crate) started: Instant,
    pub(crate) subprotocol: Option<&'a str>,
    pub(crate) recorder: &'a Recorder,
    pub(crate) commands: &'a mut Commands,
}

impl<'a> Context<'a> {
    /// For drivers and tests: `planned` is when the connection should have been started, `started`
    /// when it was.
    pub fn new(
        recorder: &'a Recorder,
        commands: &'a mut Commands,
        number: u64,
        planned: Instant,
        started: Instant,
        now: Instant,
    ) -> Self {
        Self {
            now,
            number,
            planned,
            started,
            subprotocol: None,
            recorder,
            commands,
        }
    }

    /// The time of what is being told.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Which place in the run this connection fills.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The WebSocket subprotocol that the server chose, known in `on_open`.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol
    }

    /// Counts into the results.
    pub fn recorder(&self) -> &Recorder {
        self.recorder
    }

    /// Queues a message. `false`, and counted as an error of class `channel`, if the queue is full
    /// because the server takes nothing.
    pub fn send(&mut self, outgoing: Outgoing) -> bool {
        if self.commands.queue.len() >= MAX_QUEUE {
            if !self.commands.overflow_told {
                self.commands.overflow_told = true;
                self.recorder.failed(
                    ErrorClass::Channel,
                    &"the send queue is full: the server takes no messages",
                );
            }
            return false;
        }
        self.commands.queue.push_back(outgoing);
        true
    }

    /// Queues a binary message.
    pub fn send_binary(&mut self, payload: impl Into<Bytes>) -> bool {
        self.send(Outgoing {
            payload: payload.into(),
            delivery: Delivery::Message,
            kind: MessageKind::Other,
            layer: 0,
        })
    }

    /// Queues a text message.
    pub fn send_text(&mut self, text: impl Into<String>) -> bool {
        self.send(Outgoing {
            payload: text.into().into(),
            delivery: Delivery::Text,
            kind: MessageKind::Other,
            layer: 0,
        })
    }

    /// Messages that wait to be sent.
    pub fn queued(&self) -> usize {
        self.commands.queue.len()
    }

    /// Asks to be woken at a time, instead of at the time asked for before.
    pub fn wake_at(&mut self, at: Instant) {
        self.commands.wake = Some(at);
    }

    /// Asks to be woken after a time.
    pub fn wake_in(&mut self, after: Duration) {
        self.wake_at(self.now + after);
    }

    /// Reads nothing for a time, so that the server meets with back-pressure.
    pub fn pause_reading(&mut self, pause: Duration) {
        self.commands.reading_paused_until = Some(self.now + pause);
    }

    /// What the message being told is counted as; otherwise it is of the kind `other`, layer 0.
    pub fn classify(&mut self, kind: MessageKind, layer: u8) {
        self.commands.classified = Some((kind, layer));
    }

    /// The connection is ready for use: records the join time, raw and from the planned start.
    pub fn joined(&mut self) {
        let corrected = self.now.saturating_duration_since(self.planned);
        let raw = self.now.saturating_duration_since(self.started);
        self.recorder.latency(Metric::Join, corrected, raw);
    }

    /// Ends the connection with a close code.
    pub fn close(&mut self, code: u16, text: impl Into<String>) {
        self.end(Ending::Close(code, text.into()));
    }

    /// Ends the connection without a word.
    pub fn abort(&mut self) {
        self.end(Ending::Abort);
    }

    /// Ends the connection, and counts the server's failure.
    pub fn fail(&mut self, failure: Failure) {
        self.end(Ending::Fail(failure));
    }

    /// Comes back at once after the end, whatever pause the run has.
    pub fn reconnect_at_once(&mut self) {
        self.commands.reconnect_at_once = true;
    }

    fn end(&mut self, ending: Ending) {
        // The first reason is the true one.
        self.commands.ending.get_or_insert(ending);
    }
}
