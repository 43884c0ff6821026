//! One stream of a publisher: its layers, who is given it, and what it is asked for.

use std::time::Instant;

use videocall_types::{ids::MediaKind, limits::MAX_SPATIAL_LAYERS, wire::StreamInfo};

use crate::{
    config::RelayConfig,
    counters::{Counters, DropReason},
    packet::Packet,
    subscribers::Subscribers,
    window::Window,
};

const LAYERS: usize = MAX_SPATIAL_LAYERS as usize;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) kind: MediaKind,
    pub(crate) info: StreamInfo,
    /// Whether the publisher described it; if not, other nodes cannot know that they might want it.
    pub(crate) announced: bool,
    pub(crate) subscribers: Subscribers,
    layers: [Ingest; LAYERS],
    keyframe_asked: [Option<Instant>; LAYERS],
    /// Layers that participants of other nodes want, one bit each.
    pub(crate) remote_demand: u8,
    /// What the publisher, or the publisher's node, was told last.
    told: Option<u8>,
    removal_at: Option<Instant>,
}

impl Stream {
    pub(crate) fn new(kind: MediaKind, info: StreamInfo) -> Self {
        Self {
            kind,
            info,
            announced: false,
            subscribers: Subscribers::default(),
            layers: Default::default(),
            keyframe_asked: [None; LAYERS],
            remote_demand: 0,
            told: None,
            removal_at: None,
        }
    }

    /// The publisher describes the stream anew. A higher id means that it was started anew.
    pub(crate) fn update(&mut self, info: StreamInfo) {
        if info.stream_id != self.info.stream_id {
            self.layers = Default::default();
            self.keyframe_asked = [None; LAYERS];
            self.forget_told();
        }
        self.info = info;
    }

    /// Puts a frame in order and appends what can be forwarded now. Returns a layer of which a
    /// keyframe is needed because a frame was lost on its way in.
    pub(crate) fn admit(
        &mut self,
        config: &RelayConfig,
        counters: &Counters,
        now: Instant,
        packet: Packet,
        ready: &mut Vec<Packet>,
    ) -> Option<u8> {
        let frame = *packet.routing()?;
        if frame.stream_id < self.info.stream_id {
            counters.dropped(DropReason::TooLate, 1);
            return None;
        }
        if frame.stream_id > self.info.stream_id {
            self.update(StreamInfo {
                stream_id: frame.stream_id,
                ..self.info.clone()
            });
        }
        let layer = &mut self.layers[usize::from(frame.spatial) % LAYERS];
        layer
            .admit(config, counters, now, packet, ready)
            .then_some(frame.spatial)
    }

    /// Whether the publisher may be asked for a keyframe now; if so, it is noted.
    pub(crate) fn may_ask_for_keyframe(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        spatial: u8,
    ) -> bool {
        let asked = &mut self.keyframe_asked[usize::from(spatial) % LAYERS];
        let due = asked.is_none_or(|at| now >= at + config.keyframe_interval);
        if due {
            *asked = Some(now);
        }
        due
    }

    /// What to tell now, if anything: more at once, less only after a while, so that a short
    /// change does not stop an encoder.
    pub(crate) fn demand_to_tell(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        wanted: u8,
    ) -> Option<u8> {
        let told = self.told.unwrap_or(0);
        if self.told == Some(wanted) {
            self.removal_at = None;
            return None;
        }
        let adds = self.told.is_none() || wanted & !told != 0;
        if adds {
            // What is no longer wanted goes on until its own time.
            self.removal_at = (told & !wanted != 0).then_some(now + config.demand_removal_delay);
            self.told = Some(wanted | told);
            return self.told;
        }
        let at = *self
            .removal_at
            .get_or_insert(now + config.demand_removal_delay);
        if now < at {
            return None;
        }
        self.removal_at = None;
        self.told = Some(wanted);
        self.told
    }

    /// When [`demand_to_tell`](Self::demand_to_tell) has something to tell by itself.
    pub(crate) fn removal_at(&self) -> Option<Instant> {
        self.removal_at
    }

    /// The publisher was not told, whatever is noted here: it tells what it knows only now.
    pub(crate) fn forget_told(&mut self) {
        self.told = None;
        self.removal_at = None;
    }

    /// Layers told last.
    pub(crate) fn told(&self) -> u8 {
        self.told.unwrap_or(0)
    }

    /// Drops frames that waited too long for one that never came. Returns the layers that need a
    /// keyframe therefore, one bit each.
    pub(crate) fn expire(&mut self, config: &RelayConfig, counters: &Counters, now: Instant) -> u8 {
        let mut mask = 0;
        for (spatial, layer) in self.layers.iter_mut().enumerate() {
            if layer.expire(config, counters, now) {
                mask |= 1 << spatial;
            }
        }
        mask
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_expiry(&self, config: &RelayConfig) -> Option<Instant> {
        self.layers
            .iter()
            .filter_map(|layer| layer.held.iter().map(|(at, _)| *at).min())
            .min()
            .map(|at| at + config.reorder_max_age)
    }
}

/// Puts the frames of one layer in an order in which each follows the one that it depends on:
/// frames on separate streams of a transport overtake each other.
#[derive(Debug, Default)]
struct Ingest {
    seen: Window,
    keyframe: u64,
    held: Vec<(Instant, Packet)>,
}

impl Ingest {
    /// Returns whether a keyframe is needed.
    fn admit(
        &mut self,
        config: &RelayConfig,
        counters: &Counters,
        now: Instant,
        packet: Packet,
        ready: &mut Vec<Packet>,
    ) -> bool {
        let Some(&frame) = packet.routing() else {
            return false;
        };
        if frame.keyframe {
            if frame.frame_number <= self.keyframe {
                counters.dropped(DropReason::TooLate, 1);
                return false;
            }
            self.keyframe = frame.frame_number;
            self.seen.restart(frame.frame_number);
            let before = self.held.len();
            self.held
                .retain(|(_, held)| number(held) > frame.frame_number);
            let late = before - self.held.len();
            counters.dropped(DropReason::TooLate, late as u64);
            ready.push(packet);
        } else if frame.frame_number <= self.keyframe || self.seen.contains(frame.frame_number) {
            counters.dropped(DropReason::TooLate, 1);
            return false;
        } else if frame
            .depends_on()
            .is_some_and(|needed| self.seen.contains(needed))
        {
            self.seen.insert(frame.frame_number, frame.temporal);
            ready.push(packet);
        } else {
            if self.held.len() >= config.reorder_frames {
                self.held.remove(0);
                counters.dropped(DropReason::Undecodable, 1);
            }
            self.held.push((now, packet));
            // Before the first keyframe nothing can come that would help.
            return self.keyframe == 0;
        }
        self.release(ready);
        false
    }

    /// Moves what can follow now.
    fn release(&mut self, ready: &mut Vec<Packet>) {
        while let Some(at) = self.held.iter().position(|(_, held)| {
            held.routing()
                .and_then(|frame| frame.depends_on())
                .is_some_and(|needed| self.seen.contains(needed))
        }) {
            let (_, packet) = self.held.remove(at);
            if let Some(frame) = packet.routing() {
                self.seen.insert(frame.frame_number, frame.temporal);
            }
            ready.push(packet);
        }
    }

    fn expire(&mut self, config: &RelayConfig, counters: &Counters, now: Instant) -> bool {
        let mut keyframe_needed = false;
        self.held.retain(|(at, held)| {
            let keep = now < *at + config.reorder_max_age;
            if !keep {
                counters.dropped(DropReason::Undecodable, 1);
                keyframe_needed |= held.routing().is_some_and(|frame| frame.temporal == 0);
            }
            keep
        });
        keyframe_needed
    }
}

fn number(packet: &Packet) -> u64 {
    packet.routing().map_or(0, |frame| frame.frame_number)
}
