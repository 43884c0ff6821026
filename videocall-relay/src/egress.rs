//! The bounded queue of one receiver.
//!
//! Four classes: control before audio before pictures; cameras and screens among themselves by
//! age, each in the order they came, since a decoder needs them so. Under pressure higher temporal
//! layers go first, for nothing depends on them, then whole streams, least important first, up to
//! their newest waiting keyframe.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use videocall_types::{
    ids::{MediaKind, SessionId},
    packet,
    wire::{ForwardState, control},
};

use crate::{
    config::RelayConfig,
    counters::{Counters, DropReason},
    forward::{Forward, Verdict, Wanted},
    packet::{Class, Packet},
};

/// Longest pause until a higher layer is tried again.
const MAX_STEP_UP: Duration = Duration::from_secs(60);

/// Place of a [`Forward`] in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    index: u32,
    generation: u32,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushOutcome {
    /// Whether it waits for the receiver now.
    pub accepted: bool,
    /// The simulcast layer of which the receiver needs a keyframe.
    pub keyframe_of: Option<u8>,
    /// The receiver's path does not carry what it wanted, or carries more again: its demand changed.
    pub demand_changed: bool,
}

/// A packet on its way to the receiver.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The packet.
    pub packet: Packet,
    /// Not worth sending after this time.
    pub stale_after: Instant,
    slot: Option<Slot>,
}

impl Outgoing {
    /// Order among streams of a transport that has such: higher first. Control, audio, then
    /// pictures: lower layers first, and of these keyframes.
    pub fn priority(&self) -> i32 {
        match (self.packet.class(), self.packet.routing()) {
            (Class::Control, _) => 1000,
            (Class::Audio, _) => 900,
            (_, Some(frame)) => {
                500 + i32::from(frame.keyframe) * 50
                    - i32::from(frame.spatial) * 10
                    - i32::from(frame.temporal)
            }
            (_, None) => 500,
        }
    }
}

/// What [`Egress::poll_batch`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Packets were appended.
    More,
    /// Nothing waits and nothing will come: close the connection.
    Closed,
}

/// The queue of one receiver, shared by the meeting, which pushes, and the receiver's writer.
#[derive(Debug)]
pub struct Egress {
    config: Arc<RelayConfig>,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Entry {
    packet: Packet,
    at: Instant,
    slot: Option<Slot>,
}

impl Entry {
    fn temporal(&self) -> u8 {
        self.packet.routing().map_or(0, |frame| frame.temporal)
    }

    fn is_keyframe(&self) -> bool {
        self.packet.routing().is_some_and(|frame| frame.keyframe)
    }
}

#[derive(Debug, Default)]
struct Queue {
    control: VecDeque<Packet>,
    control_bytes: usize,
    audio: VecDeque<Entry>,
    video: VecDeque<Entry>,
    screen: VecDeque<Entry>,
    picture_bytes: usize,
    forwards: Vec<(u32, Option<Forward>)>,
    free: Vec<u32>,
    congestion: Congestion,
    waker: Option<Waker>,
    closed: bool,
    overflowed: bool,
}

/// What the queue's growth tells of the path to the receiver.
#[derive(Debug, Default)]
struct Congestion {
    /// Nothing higher before this time; `None`: nothing is held down.
    step_up_at: Option<Instant>,
    failures: u32,
    /// No keyframe on account of this receiver's congestion before this time: others pay for it.
    keyframe_after: Option<Instant>,
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
        if queue.pop_into(&self.config, now, max_packets, max_bytes, out) {
            return Poll::Ready(Batch::More);
        }
        if queue.closed {
            return Poll::Ready(Batch::Closed);
        }
        if queue
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            queue.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Like [`poll_batch`](Self::poll_batch), for one who does not wait.
    pub fn take_batch(&self, now: Instant, max_packets: usize, max_bytes: usize) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.queue
            .lock()
            .pop_into(&self.config, now, max_packets, max_bytes, &mut out);
        out
    }

    /// The transport gave up a packet that it had taken: what depends on it must not follow.
    pub fn report_lost(&self, outgoing: &Outgoing) {
        self.counters.dropped(DropReason::Stale);
        let mut queue = self.queue.lock();
        if let (Some(forward), Some(frame)) =
            (queue.forward_mut(outgoing.slot), outgoing.packet.routing())
        {
            forward.lost(frame);
        }
    }

    /// Bytes and packets that wait now.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        let audio: usize = queue
            .audio
            .iter()
            .map(|entry| entry.packet.bytes().len())
            .sum();
        (
            queue.control_bytes + queue.picture_bytes + audio,
            queue.control.len() + queue.audio.len() + queue.video.len() + queue.screen.len(),
        )
    }

    /// Whether control messages were not read for so long that the session must end.
    pub fn has_overflowed(&self) -> bool {
        self.queue.lock().overflowed
    }

    /// No more packets come; what waits of control can still be taken.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.audio.clear();
        queue.video.clear();
        queue.screen.clear();
        queue.picture_bytes = 0;
        queue.forwards.clear();
        queue.free.clear();
        wake(queue);
    }

    pub(crate) fn push_control(&self, packet: &Packet) {
        let mut queue = self.queue.lock();
        queue.push_control(&self.config, packet);
        wake(queue);
    }

    pub(crate) fn push_audio(&self, now: Instant, packet: &Packet) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        if queue.audio.len() >= self.config.audio_queue_packets {
            queue.audio.pop_front();
            self.counters.dropped(DropReason::QueueFull);
        }
        queue.audio.push_back(Entry {
            packet: packet.clone(),
            at: now,
            slot: None,
        });
        wake(queue);
    }

    /// A packet that says nothing of itself: in order, dropped only by age and bytes.
    pub(crate) fn push_opaque(&self, now: Instant, packet: &Packet) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        self.make_room(&mut queue, now, packet.bytes().len());
        queue.push_picture(now, packet, None);
        wake(queue);
    }

    pub(crate) fn push_frame(&self, now: Instant, slot: Slot, packet: &Packet) -> PushOutcome {
        let mut outcome = PushOutcome {
            accepted: false,
            keyframe_of: None,
            demand_changed: false,
        };
        let Some(frame) = packet.routing() else {
            return outcome;
        };
        let mut queue = self.queue.lock();
        outcome.demand_changed = queue.try_step_up(&self.config, now);
        let Some(forward) = queue.forward_mut(Some(slot)) else {
            return outcome;
        };
        // Room first: what it takes away counts in the judgement of this frame.
        if forward.expects(frame) && self.make_room(&mut queue, now, packet.bytes().len()) {
            outcome.demand_changed = true;
        }
        let Some(forward) = queue.forward_mut(Some(slot)) else {
            return outcome;
        };
        let judgement = forward.judge(frame);
        match judgement.verdict {
            Verdict::Accept => {
                outcome.accepted = true;
                queue.push_picture(now, packet, Some(slot));
            }
            Verdict::Skip => {}
            Verdict::Drop(reason) => self.counters.dropped(reason),
        }
        if judgement.switched {
            self.counters.layer_switched();
            outcome.demand_changed = true;
            queue.tell_forward_state(&self.config, slot);
        }
        if judgement.keyframe_of.is_some() && queue.may_ask_for_keyframe(now) {
            outcome.keyframe_of = judgement.keyframe_of;
        }
        wake(queue);
        outcome
    }

    /// Starts forwarding a stream to this receiver.
    pub(crate) fn add_forward(
        &self,
        publisher: SessionId,
        kind: MediaKind,
        wanted: Wanted,
    ) -> Slot {
        let mut queue = self.queue.lock();
        let forward = Forward::new(publisher, kind, wanted);
        if let Some(index) = queue.free.pop() {
            let place = &mut queue.forwards[index as usize];
            place.0 += 1;
            place.1 = Some(forward);
            return Slot {
                index,
                generation: place.0,
            };
        }
        queue.forwards.push((0, Some(forward)));
        Slot {
            index: queue.forwards.len() as u32 - 1,
            generation: 0,
        }
    }

    pub(crate) fn set_wanted(&self, slot: Slot, wanted: Wanted) {
        if let Some(forward) = self.queue.lock().forward_mut(Some(slot)) {
            forward.set_wanted(wanted);
        }
    }

    /// Ends it; what waits of the stream is dropped.
    pub(crate) fn remove_forward(&self, slot: Slot) {
        let mut queue = self.queue.lock();
        if queue.forward_mut(Some(slot)).is_none() {
            return;
        }
        queue.remove_entries(|entry| entry.slot == Some(slot));
        queue.forwards[slot.index as usize].1 = None;
        queue.free.push(slot.index);
    }

    /// One bit for each simulcast layer that this receiver needs of the stream.
    pub(crate) fn demand(&self, slot: Slot) -> u8 {
        self.queue
            .lock()
            .forward_mut(Some(slot))
            .map_or(0, |forward| forward.demand())
    }

    /// The layer that the receiver needs a keyframe of to see anything.
    pub(crate) fn awaited_layer(&self, slot: Slot) -> Option<u8> {
        let mut queue = self.queue.lock();
        let forward = queue.forward_mut(Some(slot))?;
        (forward.current() != Some(forward.target())).then(|| forward.target())
    }

    /// The layer of which a keyframe would help a receiver that cannot decode what it was sent.
    pub(crate) fn keyframe_layer(&self, slot: Slot) -> Option<u8> {
        let mut queue = self.queue.lock();
        let forward = queue.forward_mut(Some(slot))?;
        Some(forward.current().unwrap_or(forward.target()))
    }

    /// Drops what is too old or too much. Returns whether it had to.
    fn make_room(&self, queue: &mut Queue, now: Instant, bytes: usize) -> bool {
        let config = &self.config;
        let stale = |entry: Option<&Entry>| {
            entry
                .is_some_and(|entry| now.saturating_duration_since(entry.at) > config.video_max_age)
        };
        let too_old = stale(queue.video.front()) || stale(queue.screen.front());
        let limit = config.video_queue_bytes;
        if !too_old && queue.picture_bytes + bytes <= limit {
            return false;
        }
        let reason = if too_old {
            DropReason::Stale
        } else {
            DropReason::QueueFull
        };
        let before = queue.video.len() + queue.screen.len();
        queue.remove_entries(|entry| entry.temporal() > 0);
        // Down to half, so that the next packets do not find it full again at once.
        let goal = limit / 2;
        while queue.picture_bytes + bytes > goal || too_old {
            let Some(victim) = queue.least_important() else {
                break;
            };
            let dropped = queue.drop_stream(victim, now, config.video_max_age);
            if !dropped || (queue.picture_bytes + bytes <= goal && !queue.has_stale(now, config)) {
                break;
            }
        }
        for _ in 0..before - (queue.video.len() + queue.screen.len()) {
            self.counters.dropped(reason);
        }
        queue.congested(config, now);
        true
    }
}

fn wake(mut queue: parking_lot::MutexGuard<'_, Queue>) {
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

impl Queue {
    fn is_idle(&self) -> bool {
        self.control.is_empty()
            && self.audio.is_empty()
            && self.video.is_empty()
            && self.screen.is_empty()
    }

    fn forward_mut(&mut self, slot: Option<Slot>) -> Option<&mut Forward> {
        let slot = slot?;
        let (generation, forward) = self.forwards.get_mut(slot.index as usize)?;
        if *generation == slot.generation {
            forward.as_mut()
        } else {
            None
        }
    }

    fn push_control(&mut self, config: &RelayConfig, packet: &Packet) {
        if self.closed {
            return;
        }
        if self.control_bytes + packet.bytes().len() > config.control_queue_bytes {
            self.overflowed = true;
            return;
        }
        self.control_bytes += packet.bytes().len();
        self.control.push_back(packet.clone());
    }

    fn push_picture(&mut self, now: Instant, packet: &Packet, slot: Option<Slot>) {
        self.picture_bytes += packet.bytes().len();
        let entry = Entry {
            packet: packet.clone(),
            at: now,
            slot,
        };
        match packet.class() {
            Class::Screen => self.screen.push_back(entry),
            _ => self.video.push_back(entry),
        }
    }

    fn pop_into(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        max_packets: usize,
        max_bytes: usize,
        out: &mut Vec<Outgoing>,
    ) -> bool {
        let start = out.len();
        let mut bytes = 0;
        while out.len() - start < max_packets && (bytes == 0 || bytes < max_bytes) {
            let Some(outgoing) = self.pop(config, now) else {
                break;
            };
            bytes += outgoing.packet.bytes().len().max(1);
            out.push(outgoing);
        }
        out.len() > start
    }

    fn pop(&mut self, config: &RelayConfig, now: Instant) -> Option<Outgoing> {
        if let Some(packet) = self.control.pop_front() {
            self.control_bytes -= packet.bytes().len();
            return Some(Outgoing {
                packet,
                stale_after: now + config.session_timeout,
                slot: None,
            });
        }
        while let Some(entry) = self.audio.pop_front() {
            let stale_after = entry.at + config.audio_max_age;
            if stale_after >= now {
                return Some(Outgoing {
                    packet: entry.packet,
                    stale_after,
                    slot: None,
                });
            }
        }
        let screen_is_older = match (self.video.front(), self.screen.front()) {
            (Some(video), Some(screen)) => screen.at < video.at,
            (video, _) => video.is_none(),
        };
        let entry = if screen_is_older {
            &mut self.screen
        } else {
            &mut self.video
        }
        .pop_front()?;
        self.picture_bytes -= entry.packet.bytes().len();
        let stale_after = entry.at + config.video_max_age;
        Some(Outgoing {
            packet: entry.packet,
            stale_after,
            slot: entry.slot,
        })
    }

    /// Takes matching pictures out and tells their forwards.
    fn remove_entries(&mut self, matches: impl Fn(&Entry) -> bool) {
        for class in [Class::Video, Class::Screen] {
            let entries = match class {
                Class::Screen => &mut self.screen,
                _ => &mut self.video,
            };
            if !entries.iter().any(&matches) {
                continue;
            }
            let (gone, kept): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(entries).into_iter().partition(&matches);
            *entries = kept;
            for entry in gone {
                self.picture_bytes -= entry.packet.bytes().len();
                if let Some(frame) = entry.packet.routing().copied()
                    && let Some(forward) = self.forward_mut(entry.slot)
                {
                    forward.lost(&frame);
                }
            }
        }
    }

    fn has_stale(&self, now: Instant, config: &RelayConfig) -> bool {
        [self.video.front(), self.screen.front()]
            .into_iter()
            .flatten()
            .any(|entry| now.saturating_duration_since(entry.at) > config.video_max_age)
    }

    /// The stream to drop first: of lowest priority, and of these the one that waits longest.
    /// The inner `None` stands for all packets without header.
    fn least_important(&self) -> Option<Option<Slot>> {
        let priority = |slot: Option<Slot>| {
            slot.and_then(|slot| self.forwards.get(slot.index as usize))
                .and_then(|(_, forward)| forward.as_ref())
                .map_or(0, Forward::priority)
        };
        self.video
            .iter()
            .chain(&self.screen)
            .map(|entry| entry.slot)
            .min_by_key(|&slot| priority(slot))
    }

    /// Drops what waits of a stream, but for its newest keyframe that is still fresh and what
    /// follows that. Returns whether anything was dropped.
    fn drop_stream(&mut self, slot: Option<Slot>, now: Instant, max_age: Duration) -> bool {
        let fresh = |entry: &Entry| now.saturating_duration_since(entry.at) <= max_age;
        let of_stream = |entry: &&Entry| entry.slot == slot;
        let waiting: Vec<(bool, u64)> = self
            .video
            .iter()
            .chain(&self.screen)
            .filter(of_stream)
            .map(|entry| {
                let number = entry.packet.routing().map_or(0, |frame| frame.frame_number);
                (
                    slot.is_some() && entry.is_keyframe() && fresh(entry),
                    number,
                )
            })
            .collect();
        // The first of what waits may be that keyframe: then all of it must go.
        let keep_from = waiting
            .iter()
            .rposition(|&(fresh_keyframe, _)| fresh_keyframe);
        let keep_from = keep_from.filter(|&at| at > 0).map(|at| waiting[at].1);
        self.remove_entries(|entry| {
            entry.slot == slot
                && keep_from.is_none_or(|from| {
                    entry
                        .packet
                        .routing()
                        .is_none_or(|frame| frame.frame_number < from)
                })
        });
        if keep_from.is_none()
            && let Some(forward) = self.forward_mut(slot)
        {
            forward.lost_all();
        }
        !waiting.is_empty()
    }

    /// The path carries less than is sent: aim lower, for the least important stream first.
    fn congested(&mut self, config: &RelayConfig, now: Instant) {
        let congestion = &mut self.congestion;
        let pause = config.step_up_after * (1 << congestion.failures.min(5));
        congestion.step_up_at = Some(now + pause.min(MAX_STEP_UP));
        congestion.failures = congestion.failures.saturating_add(1);
        congestion.keyframe_after = Some(now + pause.min(Duration::from_secs(8)) / 3);
        let mut order: Vec<&mut Forward> = self
            .forwards
            .iter_mut()
            .filter_map(|(_, forward)| forward.as_mut())
            .collect();
        order.sort_by_key(|forward| (forward.current().unwrap_or(0) == 0, forward.priority()));
        for forward in order {
            if forward.step_down() {
                break;
            }
        }
    }

    /// After a quiet time, aims one step higher. Returns whether a target changed.
    fn try_step_up(&mut self, config: &RelayConfig, now: Instant) -> bool {
        let Some(at) = self.congestion.step_up_at else {
            return false;
        };
        if now < at || self.picture_bytes > config.video_queue_bytes / 8 {
            return false;
        }
        let mut order: Vec<&mut Forward> = self
            .forwards
            .iter_mut()
            .filter_map(|(_, forward)| forward.as_mut())
            .collect();
        order.sort_by_key(|forward| std::cmp::Reverse(forward.priority()));
        let stepped = order.into_iter().any(Forward::step_up);
        if stepped {
            self.congestion.step_up_at = Some(now + config.step_up_after);
        } else {
            self.congestion = Congestion::default();
        }
        stepped
    }

    /// A receiver that does not drain, or was just congested, must not cost the publisher and all
    /// other receivers a keyframe.
    fn may_ask_for_keyframe(&mut self, now: Instant) -> bool {
        self.congestion
            .keyframe_after
            .is_none_or(|after| now >= after && self.video.is_empty() && self.screen.is_empty())
    }

    fn tell_forward_state(&mut self, config: &RelayConfig, slot: Slot) {
        let Some(forward) = self.forward_mut(Some(slot)) else {
            return;
        };
        let state = ForwardState {
            session_id: forward.publisher.get(),
            kind: forward.kind.into(),
            spatial: forward.current().map(u32::from),
        };
        let packet = packet::control(control::Message::ForwardState(state));
        self.push_control(config, &Packet::control(packet));
    }
}
