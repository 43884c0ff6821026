//! The bounded queue of one receiver, shared by the meeting, which pushes, and the receiver's
//! writer, which takes batches. What waits and what is dropped is decided in `queue`.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use videocall_types::ids::{MediaKind, SessionId};

use crate::{
    config::RelayConfig,
    counters::{Counters, DropReason},
    forward::{Forward, Wanted},
    packet::Packet,
    queue::{Queue, Slot},
};

/// What became of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PushOutcome {
    /// Whether it waits for the receiver now.
    pub(crate) accepted: bool,
    /// The simulcast layer of which the receiver needs a keyframe.
    pub(crate) keyframe_of: Option<u8>,
    /// One bit for each simulcast layer that the receiver needs of the stream now.
    pub(crate) demand: u8,
}

/// A packet on its way to the receiver.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The packet.
    pub packet: Packet,
    /// Not worth sending after this time.
    pub stale_after: Instant,
    pub(crate) slot: Option<Slot>,
}

/// What [`Egress::poll_batch`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Packets were appended.
    More,
    /// Nothing waits and nothing will come: close the connection.
    Closed,
}

/// The queue of one receiver.
#[derive(Debug)]
pub struct Egress {
    config: Arc<RelayConfig>,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
}

impl Egress {
    pub(crate) fn new(config: Arc<RelayConfig>, counters: Arc<Counters>) -> Self {
        Self {
            config,
            counters,
            queue: Mutex::default(),
        }
    }

    /// Appends waiting packets to `out`, most urgent first, up to `max_packets` and, beyond the
    /// first, `max_bytes`. Wakes the task of `cx` when more come.
    pub fn poll_batch(
        &self,
        cx: &mut Context<'_>,
        now: Instant,
        max_packets: usize,
        max_bytes: usize,
        out: &mut Vec<Outgoing>,
    ) -> Poll<Batch> {
        let mut queue = self.queue.lock();
        if queue.pop_into(
            &self.config,
            &self.counters,
            now,
            max_packets,
            max_bytes,
            out,
        ) {
            return Poll::Ready(Batch::More);
        }
        if queue.closed {
            return Poll::Ready(Batch::Closed);
        }
        remember(&mut queue.waker, cx);
        Poll::Pending
    }

    /// Ready when the session is over, whatever still waits. Wakes the task of `cx` then.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Poll::Ready(());
        }
        remember(&mut queue.over_waker, cx);
        Poll::Pending
    }

    /// Like [`poll_batch`](Self::poll_batch), for one who does not wait.
    pub fn take_batch(&self, now: Instant, max_packets: usize, max_bytes: usize) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.queue.lock().pop_into(
            &self.config,
            &self.counters,
            now,
            max_packets,
            max_bytes,
            &mut out,
        );
        out
    }

    /// The transport gave up a packet that it had taken: what depends on it will not follow.
    pub fn report_lost(&self, outgoing: &Outgoing) {
        self.counters.dropped(DropReason::Stale, 1);
        self.queue.lock().report_lost(&self.counters, outgoing);
    }

    /// Bytes and packets that wait now.
    pub fn waiting(&self) -> (usize, usize) {
        self.queue.lock().waiting()
    }

    /// Whether control messages were not read for so long that the session must end.
    pub fn has_overflowed(&self) -> bool {
        self.queue.lock().overflowed
    }

    /// The receiver knows control messages beyond `Ping` and `Close`.
    pub(crate) fn greet(&self) {
        self.queue.lock().greeted = true;
    }

    /// No more packets come; what waits of control can still be taken.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.audio.clear();
        queue.pictures.clear();
        queue.picture_bytes = 0;
        queue.forwards.clear();
        let over = queue.over_waker.take();
        wake(queue);
        if let Some(waker) = over {
            waker.wake();
        }
    }

    pub(crate) fn push_control(&self, packet: &Packet) {
        let mut queue = self.queue.lock();
        queue.push_control(&self.config, packet);
        wake(queue);
    }

    /// A packet of another participant that must arrive. It takes half of the room at most, so
    /// that nobody can end another's session by sending too many.
    pub(crate) fn push_reliable(&self, packet: &Packet) {
        let mut queue = self.queue.lock();
        if queue.control_bytes + packet.bytes().len() > self.config.control_queue_bytes / 2 {
            self.counters.dropped(DropReason::QueueFull, 1);
            return;
        }
        queue.push_control(&self.config, packet);
        wake(queue);
    }

    pub(crate) fn push_audio(&self, now: Instant, packet: &Packet) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        if queue.push_audio(&self.config, now, packet) {
            self.counters.dropped(DropReason::QueueFull, 1);
        }
        wake(queue);
    }

    /// A packet that says nothing of itself: in order, dropped only by age and bytes.
    pub(crate) fn push_opaque(&self, now: Instant, packet: &Packet) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        queue.push_opaque(&self.config, &self.counters, now, packet);
        wake(queue);
    }

    pub(crate) fn push_frame(&self, now: Instant, slot: Slot, packet: &Packet) -> PushOutcome {
        let mut queue = self.queue.lock();
        let outcome = queue.push_frame(&self.config, &self.counters, now, slot, packet);
        wake(queue);
        outcome
    }

    /// Starts forwarding a stream to this receiver. Returns its demand as well.
    pub(crate) fn add_forward(
        &self,
        publisher: SessionId,
        kind: MediaKind,
        wanted: Wanted,
    ) -> (Slot, u8) {
        let forward = Forward::new(publisher, kind, wanted);
        let demand = forward.demand();
        (self.queue.lock().forwards.insert(forward), demand)
    }

    /// Returns the demand that follows.
    pub(crate) fn set_wanted(&self, slot: Slot, wanted: Wanted) -> u8 {
        let mut queue = self.queue.lock();
        queue.forwards.get_mut(slot).map_or(0, |forward| {
            forward.set_wanted(wanted);
            forward.demand()
        })
    }

    /// Ends it; what waits of the stream is dropped.
    pub(crate) fn remove_forward(&self, slot: Slot) {
        let mut queue = self.queue.lock();
        if queue.forwards.remove(slot) {
            queue.remove_slot(slot);
        }
    }

    /// The layer that the receiver needs a keyframe of to see what it wants.
    pub(crate) fn awaited_layer(&self, slot: Slot) -> Option<u8> {
        let queue = self.queue.lock();
        let forward = queue.forwards.get(slot)?;
        (forward.current() != Some(forward.target())).then(|| forward.target())
    }

    /// The layer of which a keyframe would help a receiver that cannot decode what it was sent.
    pub(crate) fn keyframe_layer(&self, slot: Slot) -> Option<u8> {
        let queue = self.queue.lock();
        let forward = queue.forwards.get(slot)?;
        Some(forward.current().unwrap_or(forward.target()))
    }
}

fn remember(waker: &mut Option<Waker>, cx: &mut Context<'_>) {
    if waker
        .as_ref()
        .is_none_or(|waker| !waker.will_wake(cx.waker()))
    {
        *waker = Some(cx.waker().clone());
    }
}

/// Unlocks, then wakes the writer if there is something for it.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waker = if queue.is_idle() && !queue.closed && !queue.overflowed {
        None
    } else {
        queue.waker.take()
    };
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}
