//! The bounded queue of one receiver, shared by the meeting, which pushes, and the receiver's
//! writer, which takes batches. What waits and what is dropped is decided in `queue`.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use videocall_types::ids::{MediaKind, SessionId};

use crate::{
    config::RelayConfig,
    congestion::Finding,
    counters::{Counters, DropReason},
    forward::{Forward, Wanted},
    packet::Packet,
    queue::{Queue, Slot, Taken},
};

/// What [`Egress::tick`] found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tick {
    pub(crate) changed: bool,
    pub(crate) congested: bool,
}

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

/// How much a writer takes at once.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Packets at most.
    pub packets: usize,
    /// Bytes after which no packet follows.
    pub bytes: usize,
    /// Whether pictures may be among them, or only what is urgent: control and audio.
    pub pictures: bool,
}

impl BatchLimits {
    /// Everything that waits.
    pub const NONE: Self = Self {
        packets: usize::MAX,
        bytes: usize::MAX,
        pictures: true,
    };
}

/// What the transport knows of the path to a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathEstimate {
    /// Bits a second that it is thought to carry: congestion window by round trip.
    pub bps: u64,
    /// Round trip now.
    pub rtt: Duration,
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

    /// Appends waiting packets to `out`, most urgent first. Wakes the task of `cx` when more come.
    pub fn poll_batch(
        &self,
        cx: &mut Context<'_>,
        now: Instant,
        limits: BatchLimits,
        out: &mut Vec<Outgoing>,
    ) -> Poll<Batch> {
        let Err(mut queue) = self.take(now, limits, out) else {
            return Poll::Ready(Batch::More);
        };
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
    pub fn take_batch(&self, now: Instant, limits: BatchLimits) -> Vec<Outgoing> {
        let mut out = Vec::new();
        drop(self.take(now, limits, &mut out));
        out
    }

    /// Appends what waits; the queue, still locked, if that is nothing.
    fn take(
        &self,
        now: Instant,
        limits: BatchLimits,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), MutexGuard<'_, Queue>> {
        let start = out.len();
        let mut queue = self.queue.lock();
        if !queue.pop_into(&self.config, &self.counters, now, limits, out) {
            return Err(queue);
        }
        let decompresses = queue.decompresses;
        drop(queue);
        if decompresses {
            self.compress(&mut out[start..]);
        }
        Ok(())
    }

    /// Puts compressed ones in the place of large control messages, which stand first. In the
    /// receiver's own time: no lock is held.
    fn compress(&self, batch: &mut [Outgoing]) {
        let control = batch.iter_mut().take_while(|it| it.packet.is_control());
        for outgoing in control.filter(|it| it.packet.bytes().len() >= self.config.compress_from) {
            outgoing.packet = outgoing.packet.compressed().clone();
        }
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

    /// What the transport knows of the path now.
    pub fn note_path(&self, path: PathEstimate) {
        self.queue.lock().congestion.note_path(path);
    }

    /// What a report of the receiver, or the round trip to it, tells of the path.
    pub(crate) fn note_finding(&self, now: Instant, finding: Finding) {
        let mut queue = self.queue.lock();
        queue.congestion.note_finding(&self.config, now, finding);
        if queue.congestion.is_active() {
            queue.adapt(&self.config, &self.counters, now);
        }
        wake(queue);
    }

    /// What the writer took, ever.
    pub(crate) fn taken(&self) -> Taken {
        self.queue.lock().taken
    }

    /// What has to be done about once a second. Returns whether what the receiver needs of its
    /// streams may have changed, and whether its path is under suspicion.
    pub(crate) fn tick(&self, now: Instant) -> Tick {
        let mut queue = self.queue.lock();
        self.counters.delays.add(&mut queue.delays);
        let rate = queue.taken.picture_bytes;
        queue.congestion.note_rate(now, rate);
        if !queue.congestion.is_active() {
            return Tick {
                changed: queue.congestion.take_changed(),
                congested: false,
            };
        }
        queue.adapt(&self.config, &self.counters, now);
        let tick = Tick {
            changed: queue.congestion.take_changed(),
            congested: true,
        };
        wake(queue);
        tick
    }

    /// The layers that the receiver needs of a stream now.
    pub(crate) fn demand(&self, slot: Slot) -> u8 {
        let queue = self.queue.lock();
        queue.forwards.get(slot).map_or(0, Forward::demand)
    }

    /// The receiver knows control messages beyond `Ping` and `Close`, perhaps compressed ones.
    pub(crate) fn greet(&self, decompresses: bool) {
        let mut queue = self.queue.lock();
        queue.greeted = true;
        queue.decompresses = decompresses;
    }

    /// No more packets come; what waits of control can still be taken.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        self.counters.delays.add(&mut queue.delays);
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
        queue.forwards.get(slot)?.awaited()
    }

    /// The layer of which a keyframe would help a receiver that cannot decode what it was sent.
    pub(crate) fn keyframe_layer(&self, slot: Slot) -> Option<u8> {
        let queue = self.queue.lock();
        let forward = queue.forwards.get(slot)?;
        (!forward.is_paused()).then(|| forward.current().unwrap_or(forward.target()))
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use videocall_types::{ids::MediaKind, view::Routing};

    use super::*;

    fn priority(packet: Packet) -> i32 {
        let outgoing = Outgoing {
            packet,
            stale_after: Instant::now(),
            slot: None,
        };
        outgoing.priority()
    }

    fn media(kind: MediaKind, spatial: u8, temporal: u8, keyframe: bool) -> Packet {
        let routing = Routing {
            kind,
            stream_id: 1,
            spatial,
            temporal,
            keyframe,
            depends_back: u8::from(!keyframe),
            frame_number: 7,
            capture_us: 0,
            audio_level: 30,
            encrypted: false,
        };
        Packet::media(Bytes::from_static(b"x"), Some(routing))
    }

    #[test]
    fn what_others_depend_on_goes_first() {
        let video =
            |spatial, temporal, keyframe| media(MediaKind::Video, spatial, temporal, keyframe);
        let in_order = [
            ("control", Packet::control(Bytes::from_static(b"x"))),
            ("sound", media(MediaKind::Audio, 0, 0, false)),
            ("base keyframe", video(0, 0, true)),
            ("upper keyframe", video(2, 0, true)),
            ("base", video(0, 0, false)),
            ("base, left out first", video(0, 1, false)),
            ("middle", video(1, 0, false)),
            ("upper", video(2, 0, false)),
            ("upper, left out first", video(2, 2, false)),
        ];
        let priorities = in_order.map(|(name, packet)| (name, priority(packet)));
        for pair in priorities.windows(2) {
            assert!(pair[0].1 > pair[1].1, "{pair:?}");
        }
        assert_eq!(
            priority(media(MediaKind::Screen, 0, 0, true)),
            priority(video(0, 0, true)),
        );
    }
}
