//! The queue to a connection, shared by the session that fills it and the task that empties it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use videocall_types::wire::KeyframeRequest;

use crate::core::{
    outbox::{Outbox, Outgoing, Waits},
    session::Transmit,
};

/// An [`Outbox`] with a clock, and a bell for the one task that empties it.
pub(super) struct Sending {
    state: Mutex<State>,
    more: Notify,
    start: Instant,
}

struct State {
    outbox: Outbox,
    /// Counts connections: what one that was given up still tells is not heard.
    connection: u64,
    ended: bool,
}

impl Sending {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            state: Mutex::new(State {
                outbox: Outbox::new(Waits::Acknowledged),
                connection: 0,
                ended: true,
            }),
            more: Notify::new(),
            start,
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A connection begins; gives its number.
    pub(super) fn begin(&self, waits: Waits) -> u64 {
        let mut state = self.state.lock();
        state.connection += 1;
        state.ended = false;
        state.outbox.reconnected(self.now(), waits);
        state.connection
    }

    /// Nothing comes any more; what waits is still sent.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.more.notify_one();
    }

    /// `false` if the server takes nothing.
    pub(super) fn push(&self, transmit: Transmit) -> bool {
        let taken = self.state.lock().outbox.push(self.now(), transmit);
        self.more.notify_one();
        taken
    }

    /// What to send next on a connection; `None` after its end. Cancel safe.
    pub(super) async fn next(&self, connection: u64) -> Option<Outgoing> {
        loop {
            {
                let mut state = self.state.lock();
                if state.connection != connection {
                    // The bell was for another.
                    self.more.notify_one();
                    return None;
                }
                if let Some(outgoing) = state.outbox.pop(self.now()) {
                    return Some(outgoing);
                }
                if state.ended {
                    return None;
                }
            }
            self.more.notified().await;
        }
    }

    /// A connection is done with a picture.
    pub(super) fn finished(&self, connection: u64, picture: Option<u64>, arrived: bool) {
        let mut state = self.state.lock();
        if state.connection == connection
            && let Some(picture) = picture
        {
            state.outbox.finished(self.now(), picture, arrived);
        }
    }

    pub(super) fn wants_round_trips(&self) -> bool {
        self.state.lock().outbox.wants_round_trips()
    }

    pub(super) fn round_trip(&self, round_trip: Duration) {
        self.state.lock().outbox.round_trip(self.now(), round_trip);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let at = self.state.lock().outbox.deadline(self.now())?;
        Some(self.start + at)
    }

    /// Judges the path; gives what pictures may take.
    pub(super) fn tick(&self, unanswered: Option<Duration>) -> u64 {
        let (now, mut state) = (self.now(), self.state.lock());
        state.outbox.tick(now, unanswered);
        state.outbox.pictures_bps(now)
    }

    pub(super) fn poll_keyframe(&self) -> Option<KeyframeRequest> {
        self.state.lock().outbox.poll_keyframe(self.now())
    }
}
