//! What waits for one receiver, and what is dropped when it is too much.
//!
//! Control before audio before pictures; pictures in the order they came, since a decoder needs
//! them so. Under pressure higher temporal layers go first, for nothing that stays depends on
//! them, then whole streams, least important first, up to their newest waiting keyframe. A frame
//! never stays when one that it depends on goes.

use std::{
    collections::VecDeque,
    task::Waker,
    time::{Duration, Instant},
};

use rustc_hash::FxHashSet;
use videocall_types::{
    packet,
    view::Routing,
    wire::{ForwardState, control},
};

use crate::{
    config::RelayConfig,
    congestion::Congestion,
    counters::{Counters, DropReason},
    delays::LocalDelays,
    egress::{BatchLimits, Outgoing, PushOutcome},
    forward::{Forward, Verdict},
    packet::{Class, Packet},
};

/// Place of a [`Forward`] in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
pub(crate) struct Entry {
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
pub(crate) struct Queue {
    pub(crate) control: VecDeque<Packet>,
    pub(crate) control_bytes: usize,
    pub(crate) audio: VecDeque<Entry>,
    pub(crate) pictures: VecDeque<Entry>,
    pub(crate) picture_bytes: usize,
    pub(crate) forwards: Forwards,
    pub(crate) congestion: Congestion,
    /// How long what was taken had waited.
    pub(crate) delays: LocalDelays,
    /// What the writer took, ever.
    pub(crate) taken: Taken,
    pub(crate) waker: Option<Waker>,
    /// Of a writer that is blocked and must know only when there is nothing more to write.
    pub(crate) over_waker: Option<Waker>,
    /// Whether the receiver has said that it knows control messages beyond `Ping` and `Close`.
    pub(crate) greeted: bool,
    /// Whether it can decompress them.
    pub(crate) decompresses: bool,
    pub(crate) closed: bool,
    pub(crate) overflowed: bool,
}

/// What a receiver's writer took, ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) audio: u64,
    pub(crate) picture_bytes: u64,
}

/// The streams that a receiver is given, by [`Slot`].
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    places: Vec<(u32, Option<Forward>)>,
    free: Vec<u32>,
}

impl Forwards {
    pub(crate) fn insert(&mut self, forward: Forward) -> Slot {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.0 += 1;
            place.1 = Some(forward);
            return Slot {
                index,
                generation: place.0,
            };
        }
        self.places.push((0, Some(forward)));
        Slot {
            index: self.places.len() as u32 - 1,
            generation: 0,
        }
    }

    /// Whether there was one.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        if self.get_mut(slot).is_none() {
            return false;
        }
        self.places[slot.index as usize].1 = None;
        self.free.push(slot.index);
        true
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Forward> {
        let (generation, forward) = self.places.get(slot.index as usize)?;
        forward.as_ref().filter(|_| *generation == slot.generation)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Forward> {
        let (generation, forward) = self.places.get_mut(slot.index as usize)?;
        forward.as_mut().filter(|_| *generation == slot.generation)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Forward)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, (generation, forward))| {
            let slot = Slot {
                index: index as u32,
                generation: *generation,
            };
            Some((slot, forward.as_ref()?))
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Forward> {
        self.places
            .iter_mut()
            .filter_map(|(_, forward)| forward.as_mut())
    }
}

/// Frames that were taken out, so that what depends on them goes too.
#[derive(Default)]
struct Gone(FxHashSet<(Slot, u32, u8, u64)>);

impl Gone {
    fn note(&mut self, slot: Slot, frame: &Routing) {
        let key = (slot, frame.stream_id, frame.spatial, frame.frame_number);
        self.0.insert(key);
    }

    fn breaks(&self, slot: Slot, frame: &Routing) -> bool {
        !self.0.is_empty()
            && frame.depends_on().is_some_and(|needed| {
                self.0
                    .contains(&(slot, frame.stream_id, frame.spatial, needed))
            })
    }
}

impl Queue {
    pub(crate) fn is_idle(&self) -> bool {
        self.control.is_empty() && self.audio.is_empty() && self.pictures.is_empty()
    }

    /// Bytes and packets that wait now.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let length = |entry: &Entry| entry.packet.bytes().len();
        let audio: usize = self.audio.iter().map(length).sum();
        (
            self.control_bytes + self.picture_bytes + audio,
            self.control.len() + self.audio.len() + self.pictures.len(),
        )
    }

    pub(crate) fn push_control(&mut self, config: &RelayConfig, packet: &Packet) {
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

    /// Returns whether an older one had to go.
    pub(crate) fn push_audio(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        packet: &Packet,
    ) -> bool {
        let full = self.audio.len() >= config.audio_queue_packets;
        if full {
            self.audio.pop_front();
        }
        self.audio.push_back(Entry {
            packet: packet.clone(),
            at: now,
            slot: None,
        });
        full
    }

    pub(crate) fn push_opaque(
        &mut self,
        config: &RelayConfig,
        counters: &Counters,
        now: Instant,
        packet: &Packet,
    ) {
        self.make_room(config, counters, now, packet.bytes().len());
        self.push_picture(now, packet, None);
    }

    pub(crate) fn push_frame(
        &mut self,
        config: &RelayConfig,
        counters: &Counters,
        now: Instant,
        slot: Slot,
        packet: &Packet,
    ) -> PushOutcome {
        let mut outcome = PushOutcome::default();
        let Some(frame) = packet.routing() else {
            return outcome;
        };
        if self.congestion.is_active() {
            self.adapt(config, counters, now);
        }
        let Some(forward) = self.forwards.get(slot) else {
            return outcome;
        };
        // Room first: what it takes away counts in the judgement of this frame.
        if forward.expects(now, frame) {
            self.make_room(config, counters, now, packet.bytes().len());
        }
        let Some(forward) = self.forwards.get_mut(slot) else {
            return outcome;
        };
        let judgement = forward.judge(now, frame);
        outcome.demand = forward.demand();
        if judgement.keyframe_of.is_some() {
            let relieves = forward.descends();
            if relieves
                || self
                    .congestion
                    .may_ask_for_keyframe(now, self.is_fresh(config, now))
            {
                outcome.keyframe_of = judgement.keyframe_of;
            }
        }
        match judgement.verdict {
            Verdict::Accept => {
                outcome.accepted = true;
                self.push_picture(now, packet, Some(slot));
            }
            Verdict::Skip => {}
            Verdict::Drop(reason) => counters.dropped(reason, 1),
        }
        if judgement.switched {
            counters.layer_switched();
            self.tell_forward_state(config, slot);
        }
        outcome
    }

    fn push_picture(&mut self, now: Instant, packet: &Packet, slot: Option<Slot>) {
        self.picture_bytes += packet.bytes().len();
        self.pictures.push_back(Entry {
            packet: packet.clone(),
            at: now,
            slot,
        });
    }

    /// Appends what waits, most urgent first. Returns whether there was anything.
    pub(crate) fn pop_into(
        &mut self,
        config: &RelayConfig,
        counters: &Counters,
        now: Instant,
        limits: BatchLimits,
        out: &mut Vec<Outgoing>,
    ) -> bool {
        if limits.pictures {
            self.congestion.note_taken();
        }
        let start = out.len();
        let mut bytes = 0;
        while out.len() - start < limits.packets && (bytes == 0 || bytes < limits.bytes) {
            let urgent = self.pop_urgent(config, counters, now);
            let next = match urgent {
                None if limits.pictures => self.pop_picture(config, now),
                urgent => urgent,
            };
            let Some(outgoing) = next else { break };
            bytes += outgoing.packet.bytes().len().max(1);
            out.push(outgoing);
        }
        out.len() > start
    }

    fn pop_urgent(
        &mut self,
        config: &RelayConfig,
        counters: &Counters,
        now: Instant,
    ) -> Option<Outgoing> {
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
                self.delays.note(Class::Audio, now, entry.at);
                self.taken.audio += 1;
                return Some(Outgoing {
                    packet: entry.packet,
                    stale_after,
                    slot: None,
                });
            }
            counters.dropped(DropReason::Stale, 1);
        }
        None
    }

    fn pop_picture(&mut self, config: &RelayConfig, now: Instant) -> Option<Outgoing> {
        let entry = self.pictures.pop_front()?;
        self.delays.note(Class::Video, now, entry.at);
        let length = entry.packet.bytes().len();
        self.picture_bytes -= length;
        self.taken.picture_bytes += length as u64;
        Some(Outgoing {
            packet: entry.packet,
            stale_after: entry.at + config.video_max_age,
            slot: entry.slot,
        })
    }

    /// The transport gave up a packet that it had taken: what depends on it must not follow.
    pub(crate) fn report_lost(&mut self, counters: &Counters, outgoing: &Outgoing) {
        let (Some(slot), Some(frame)) = (outgoing.slot, outgoing.packet.routing()) else {
            return;
        };
        let Some(forward) = self.forwards.get_mut(slot) else {
            return;
        };
        forward.lost_with_dependents(frame);
        self.congestion.note_loss();
        let mut restarted = false;
        let dropped = self.remove(|entry| {
            let Some(later) = entry.packet.routing().filter(|_| entry.slot == Some(slot)) else {
                return false;
            };
            restarted |= later.keyframe && later.frame_number > frame.frame_number;
            !restarted
                && (later.stream_id, later.spatial) == (frame.stream_id, frame.spatial)
                && later.frame_number > frame.frame_number
                && (frame.temporal == 0 || later.temporal > 0)
        });
        counters.dropped(DropReason::Undecodable, dropped);
    }

    /// Takes pictures out, and those that depend on them. Returns how many.
    fn remove(&mut self, mut goes: impl FnMut(&Entry) -> bool) -> u64 {
        let mut gone = Gone::default();
        let Self {
            pictures,
            forwards,
            picture_bytes,
            ..
        } = self;
        let before = pictures.len();
        pictures.retain(|entry| {
            let frame = entry.slot.zip(entry.packet.routing());
            // Asked of every entry, since it may count them.
            let goes = goes(entry);
            if !goes && !frame.is_some_and(|(slot, frame)| gone.breaks(slot, frame)) {
                return true;
            }
            *picture_bytes -= entry.packet.bytes().len();
            if let Some((slot, frame)) = frame {
                gone.note(slot, frame);
                if let Some(forward) = forwards.get_mut(slot) {
                    forward.lost(frame);
                }
            }
            false
        });
        (before - pictures.len()) as u64
    }

    /// What waits of a stream that ended.
    pub(crate) fn remove_slot(&mut self, slot: Slot) {
        self.remove(|entry| entry.slot == Some(slot));
    }

    /// Drops what is too old or too much, and notes that the path carries less than is sent.
    #[inline]
    fn make_room(&mut self, config: &RelayConfig, counters: &Counters, now: Instant, bytes: usize) {
        let Some(front) = self.pictures.front() else {
            return;
        };
        let age = now.saturating_duration_since(front.at);
        if self.has_room(bytes, config, 1) && age <= config.video_max_age / 2 {
            return;
        }
        self.relieve(config, counters, now, bytes);
    }

    fn has_room(&self, bytes: usize, config: &RelayConfig, divisor: usize) -> bool {
        self.picture_bytes + bytes <= config.video_queue_bytes / divisor
            && self.pictures.len() < config.video_queue_packets / divisor
    }

    #[cold]
    fn relieve(&mut self, config: &RelayConfig, counters: &Counters, now: Instant, bytes: usize) {
        let full = !self.has_room(bytes, config, 1);
        if !full && !self.is_stale(config, now) {
            // Half the time is over: a lower layer may still come in time.
            self.congestion.warn(config, now, &mut self.forwards);
            self.tell_paused(config, counters);
            return;
        }
        let mut dropped = self.remove(|entry| entry.temporal() > 0);
        loop {
            // Down to half, so that the next packets do not find it full again at once.
            let victim = if self.is_stale(config, now) {
                self.pictures.front().map(|entry| entry.slot)
            } else if full && !self.has_room(bytes, config, 2) {
                self.least_important()
            } else {
                None
            };
            let Some(victim) = victim else { break };
            dropped += self.drop_stream(victim, now, config.video_max_age);
        }
        let reason = if full {
            DropReason::QueueFull
        } else {
            DropReason::Stale
        };
        counters.dropped(reason, dropped);
        self.congestion.step_down(config, now, &mut self.forwards);
        self.tell_paused(config, counters);
    }

    /// Follows what has been learned of the path, and after a quiet time tries a little more.
    pub(crate) fn adapt(&mut self, config: &RelayConfig, counters: &Counters, now: Instant) {
        let drained = self.picture_bytes <= config.video_queue_bytes / 8;
        self.congestion
            .adapt(config, now, drained, &mut self.forwards);
        self.tell_paused(config, counters);
    }

    /// What is paused since the last call is told and waits no more.
    fn tell_paused(&mut self, config: &RelayConfig, counters: &Counters) {
        if !self.congestion.take_paused() {
            return;
        }
        let paused: Vec<Slot> = self
            .forwards
            .iter()
            .filter(|(_, forward)| forward.is_paused())
            .map(|(slot, _)| slot)
            .collect();
        for slot in paused {
            self.remove_slot(slot);
            let told = self.forwards.get_mut(slot).is_some_and(Forward::note_told);
            if !told {
                counters.picture_paused();
                self.tell_forward_state(config, slot);
            }
        }
    }

    fn is_stale(&self, config: &RelayConfig, now: Instant) -> bool {
        self.pictures
            .front()
            .is_some_and(|entry| now.saturating_duration_since(entry.at) > config.video_max_age)
    }

    /// Whether what waits came just now, so that a keyframe would go out soon.
    fn is_fresh(&self, config: &RelayConfig, now: Instant) -> bool {
        let age = |entry: &Entry| now.saturating_duration_since(entry.at);
        self.pictures
            .front()
            .is_none_or(|entry| age(entry) <= config.video_max_age / 8)
    }

    /// The stream to drop first: of lowest priority, and of these the one that waits longest.
    /// The inner `None` stands for all packets without header.
    fn least_important(&self) -> Option<Option<Slot>> {
        let priority = |slot: Option<Slot>| {
            slot.and_then(|slot| self.forwards.get(slot))
                .map_or(0, Forward::priority)
        };
        self.pictures
            .iter()
            .map(|entry| entry.slot)
            .min_by_key(|&slot| priority(slot))
    }

    /// Drops what waits of a stream, but for its newest keyframe, if that is still fresh and not
    /// the first that waits, and what follows that. So at least one goes, of a stream that waits.
    fn drop_stream(&mut self, slot: Option<Slot>, now: Instant, max_age: Duration) -> u64 {
        let first = self.pictures.iter().position(|entry| entry.slot == slot);
        let keep_from = self
            .pictures
            .iter()
            .rposition(|entry| entry.slot == slot && entry.is_keyframe())
            .filter(|&at| {
                slot.is_some()
                    && Some(at) > first
                    && now.saturating_duration_since(self.pictures[at].at) <= max_age
            });
        let mut at = 0;
        let dropped = self.remove(|entry| {
            let before = keep_from.is_none_or(|keep| at < keep);
            at += 1;
            before && entry.slot == slot
        });
        if keep_from.is_none()
            && let Some(forward) = slot.and_then(|slot| self.forwards.get_mut(slot))
        {
            forward.lost_all();
        }
        dropped
    }

    fn tell_forward_state(&mut self, config: &RelayConfig, slot: Slot) {
        let Some(forward) = self.forwards.get(slot).filter(|_| self.greeted) else {
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
