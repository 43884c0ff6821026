//! What waits to be sent, and in which order it goes: control, sound, pictures.
//!
//! Sound never waits behind a picture. A picture that waited too long is dropped together with
//! those that need it, and its encoder is asked for a keyframe once there is room for one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use videocall_types::{
    ids::MediaKind, limits::MAX_DEPENDS_BACK, view::Routing, wire::KeyframeRequest,
};

use super::{
    session::{Delivery, Transmit},
    uplink::{INTERVAL, Meter, PATIENCE, PATIENCE_WITH_ONE, Uplink},
};

/// Older pictures are of no use to anybody; the relay gives them up at the same age.
const PICTURE_AGE: Duration = Duration::from_millis(500);
/// The same for sound: later than any jitter buffer would wait.
const SOUND_AGE: Duration = Duration::from_millis(400);
/// Bytes of control that may wait; more, and the server takes nothing.
const CONTROL_BYTES: usize = 1 << 20;
/// Packets of sound, and pictures, that may wait.
const SOUNDS: usize = 256;
const PICTURES: usize = 512;
/// Layers of which losses are remembered: two streams of three, and some.
const LAYERS: usize = 16;
/// Pictures that a transport may hold at once.
const HELD: usize = 256;
/// Least time between two keyframes that are asked for.
const KEYFRAMES: Duration = Duration::from_millis(500);
/// Nothing was published for so long: nothing is to be judged.
const IDLE: Duration = Duration::from_secs(2);
/// What a packet of the network costs besides its bytes, and how many bytes fit.
const OVERHEAD: usize = 50;
const NETWORK_PACKET: usize = 1200;

/// How the time is known that packets wait on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The transport tells when a picture is acknowledged.
    Acknowledged,
    /// It tells only that it took one: round trips say how long that was on its way.
    RoundTrips,
}

/// Something to send now.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The packet.
    pub transmit: Transmit,
    /// For [`Outbox::finished`], where the packet is a picture.
    pub picture: Option<u64>,
}

/// A simulcast layer of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Layer {
    kind: i32,
    stream_id: u32,
    spatial: u8,
}

impl Layer {
    fn of(frame: &Routing) -> Self {
        Self {
            kind: frame.kind.into(),
            stream_id: frame.stream_id,
            spatial: frame.spatial,
        }
    }
}

/// What a layer lost since its last keyframe.
#[derive(Clone, Debug, Default)]
struct Losses {
    /// Numbers of frames that were dropped, as far back as a later one may need them.
    frames: BTreeSet<u64>,
    keyframe_wanted: bool,
    asked: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Waiting {
    since: Duration,
    frame: Routing,
    transmit: Transmit,
}

#[derive(Clone, Debug)]
struct Held {
    since: Duration,
    frame: Routing,
    bytes: usize,
}

/// The queue between a session and a connection.
#[derive(Clone, Debug)]
pub struct Outbox {
    waits: Waits,
    control: VecDeque<Transmit>,
    control_bytes: usize,
    sound: VecDeque<(Duration, Transmit)>,
    pictures: Vec<Waiting>,
    held: BTreeMap<u64, Held>,
    next: u64,
    losses: BTreeMap<Layer, Losses>,
    uplink: Uplink,
    sound_sent: Meter,
    published: Option<Duration>,
    ticked: Duration,
    dropped: u64,
}

impl Outbox {
    /// For a connection that is about to open.
    pub fn new(waits: Waits) -> Self {
        Self {
            waits,
            control: VecDeque::new(),
            control_bytes: 0,
            sound: VecDeque::new(),
            pictures: Vec::new(),
            held: BTreeMap::new(),
            next: 0,
            losses: BTreeMap::new(),
            uplink: Uplink::default(),
            sound_sent: Meter::default(),
            published: None,
            ticked: Duration::ZERO,
            dropped: 0,
        }
    }

    /// Another connection: what waited for the last one is gone with it.
    pub fn reconnected(&mut self, now: Duration, waits: Waits) {
        let mut uplink = std::mem::take(&mut self.uplink);
        uplink.path_changed(
            now,
            match waits {
                Waits::Acknowledged => PATIENCE,
                Waits::RoundTrips => PATIENCE_WITH_ONE,
            },
        );
        *self = Self {
            uplink,
            dropped: self.dropped,
            ..Self::new(waits)
        };
    }

    /// Bits a second that may be sent, sound included.
    pub fn uplink_bps(&self) -> u64 {
        self.uplink.bps()
    }

    /// Bits a second that pictures may take now.
    pub fn pictures_bps(&mut self, now: Duration) -> u64 {
        let sound = self.sound_sent.bps(now) as u64;
        self.uplink.bps().saturating_sub(sound)
    }

    /// Pictures that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a packet. `false` says that too much control waits, which nothing makes good but a
    /// new connection; media that finds no place is dropped.
    pub fn push(&mut self, now: Duration, transmit: Transmit) -> bool {
        match transmit.routing {
            _ if transmit.delivery == Delivery::Control => {
                if self.control_bytes + transmit.bytes.len() > CONTROL_BYTES {
                    return false;
                }
                self.control_bytes += transmit.bytes.len();
                self.control.push_back(transmit);
            }
            Some(frame) if !frame.is_audio() => {
                self.published = Some(now);
                self.push_picture(now, frame, transmit);
            }
            _ => {
                self.published = Some(now);
                if self.sound.len() >= SOUNDS {
                    self.sound.pop_front();
                }
                self.sound.push_back((now, transmit));
            }
        }
        true
    }

    fn push_picture(&mut self, now: Duration, frame: Routing, transmit: Transmit) {
        let layer = Layer::of(&frame);
        if frame.keyframe {
            self.losses.remove(&layer);
            // What waits of before would only delay it.
            let before = self.pictures.len();
            self.pictures
                .retain(|waiting| Layer::of(&waiting.frame) != layer);
            self.dropped += (before - self.pictures.len()) as u64;
        } else if self.losses.get(&layer).is_some_and(|losses| {
            frame
                .depends_on()
                .is_some_and(|needed| losses.frames.contains(&needed))
        }) {
            return self.lost(&frame);
        }
        if self.pictures.len() >= PICTURES {
            return self.lost(&frame);
        }
        self.pictures.push(Waiting {
            since: now,
            frame,
            transmit,
        });
    }

    /// A frame will not arrive, nor can be shown what needs it.
    fn lost(&mut self, frame: &Routing) {
        self.dropped += 1;
        let layer = Layer::of(frame);
        if self.losses.len() >= LAYERS && !self.losses.contains_key(&layer) {
            return;
        }
        let losses = self.losses.entry(layer).or_default();
        losses.keyframe_wanted |= frame.temporal == 0;
        losses.frames.insert(frame.frame_number);
        let oldest = frame
            .frame_number
            .saturating_sub(u64::from(MAX_DEPENDS_BACK));
        losses.frames = losses.frames.split_off(&oldest);
        // What waits and needs it goes with it.
        let needs = |waiting: &Waiting| {
            Layer::of(&waiting.frame) == layer
                && waiting.frame.depends_on() == Some(frame.frame_number)
        };
        while let Some(at) = self.pictures.iter().position(needs) {
            let dependent = self.pictures.remove(at);
            self.lost(&dependent.frame);
        }
    }

    /// What to send next.
    pub fn pop(&mut self, now: Duration) -> Option<Outgoing> {
        if let Some(transmit) = self.control.pop_front() {
            self.control_bytes -= transmit.bytes.len();
            return Some(Outgoing {
                transmit,
                picture: None,
            });
        }
        while let Some((since, transmit)) = self.sound.pop_front() {
            if now < since + SOUND_AGE {
                let bytes = on_the_wire(transmit.bytes.len());
                self.sound_sent.add(now, bytes);
                self.uplink.sent(now, bytes);
                self.uplink.delivered(now, bytes);
                return Some(Outgoing {
                    transmit,
                    picture: None,
                });
            }
        }
        self.expire(now);
        if self.held.len() >= HELD {
            return None;
        }
        // The smallest layer first: it is what everybody falls back to.
        let order = |(at, waiting): &(usize, &Waiting)| (waiting.frame.spatial, *at);
        let first = self.pictures.iter().enumerate().min_by_key(order);
        let at = first.map(|(at, _)| at)?;
        let Waiting {
            frame, transmit, ..
        } = self.pictures.remove(at);
        let bytes = on_the_wire(transmit.bytes.len());
        self.uplink.sent(now, bytes);
        self.next += 1;
        let held = Held {
            since: now,
            frame,
            bytes,
        };
        self.held.insert(self.next, held);
        Some(Outgoing {
            transmit,
            picture: Some(self.next),
        })
    }

    fn expire(&mut self, now: Duration) {
        while let Some(at) = self
            .pictures
            .iter()
            .position(|waiting| now >= waiting.since + PICTURE_AGE)
        {
            let old = self.pictures.remove(at);
            self.lost(&old.frame);
        }
    }

    /// The transport is done with a picture: it was acknowledged, or taken where the transport
    /// tells no more, or given up.
    pub fn finished(&mut self, now: Duration, picture: u64, arrived: bool) {
        let Some(held) = self.held.remove(&picture) else {
            return;
        };
        if !arrived {
            return self.lost(&held.frame);
        }
        self.uplink.delivered(now, held.bytes);
        if self.waits == Waits::Acknowledged {
            let wait = now.saturating_sub(held.since);
            self.uplink.waited(now, wait);
        }
    }

    /// A round trip to the server was measured.
    pub fn round_trip(&mut self, now: Duration, round_trip: Duration) {
        if self.waits == Waits::RoundTrips {
            self.uplink.waited(now, round_trip);
        }
    }

    /// Whether round trips should be measured as often as [`tick`](Self::tick) is called.
    pub fn wants_round_trips(&self) -> bool {
        self.waits == Waits::RoundTrips && self.is_active(self.ticked)
    }

    fn is_active(&self, now: Duration) -> bool {
        self.published.is_some_and(|at| now < at + IDLE)
    }

    /// When to call [`tick`](Self::tick); `None` while nothing is published.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        self.is_active(now).then_some(self.ticked + INTERVAL)
    }

    /// Judges the path. `unanswered` is how long the oldest ping has waited for its answer.
    pub fn tick(&mut self, now: Duration, unanswered: Option<Duration>) {
        self.ticked = now;
        self.expire(now);
        let age = |since: Option<Duration>| since.map(|since| now.saturating_sub(since));
        let queued = age(self.pictures.iter().map(|waiting| waiting.since).min());
        let unanswered = match self.waits {
            Waits::Acknowledged => age(self.held.values().map(|held| held.since).min()),
            Waits::RoundTrips => unanswered,
        };
        self.uplink.tick(now, queued, unanswered);
    }

    /// A keyframe that is needed because of what was dropped here, once there is room for it.
    pub fn poll_keyframe(&mut self, now: Duration) -> Option<KeyframeRequest> {
        for (layer, losses) in &mut self.losses {
            let recently = losses.asked.is_some_and(|at| now < at + KEYFRAMES);
            if !losses.keyframe_wanted || recently || !self.pictures.is_empty() {
                continue;
            }
            losses.asked = Some(now);
            return Some(KeyframeRequest {
                session_id: 0,
                kind: layer.kind,
                stream_id: layer.stream_id,
                spatial: layer.spatial.into(),
            });
        }
        None
    }
}

fn on_the_wire(bytes: usize) -> usize {
    bytes + OVERHEAD * bytes.div_ceil(NETWORK_PACKET)
}

/// Whether a kind has a picture.
pub fn is_picture(kind: MediaKind) -> bool {
    matches!(kind, MediaKind::Video | MediaKind::Screen)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::core::packetizer::Packetizer;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn frame(number: u64, back: u8, temporal: u8, spatial: u8) -> Transmit {
        let routing = Routing {
            kind: MediaKind::Video,
            stream_id: 1,
            spatial,
            temporal,
            keyframe: back == 0,
            depends_back: back,
            frame_number: number,
            capture_us: 0,
            audio_level: 0,
            encrypted: false,
        };
        Transmit {
            bytes: Bytes::from_static(&[0; 1000]),
            delivery: Delivery::Stream { priority: 0 },
            routing: Some(routing),
        }
    }

    fn sound() -> Transmit {
        let mut sound = frame(1, 0, 0, 0);
        sound.delivery = Delivery::Datagram;
        sound.routing = sound.routing.map(|routing| Routing {
            kind: MediaKind::Audio,
            ..routing
        });
        sound
    }

    fn control() -> Transmit {
        Transmit {
            bytes: Bytes::from_static(&[0; 100]),
            delivery: Delivery::Control,
            routing: None,
        }
    }

    /// Layer and number of what comes out, ten for sound, none for control.
    fn drain(outbox: &mut Outbox, now: Duration) -> Vec<Option<(u8, u64)>> {
        std::iter::from_fn(|| outbox.pop(now))
            .map(|out| {
                let routing = out.transmit.routing?;
                let layer = if routing.is_audio() {
                    10
                } else {
                    routing.spatial
                };
                Some((layer, routing.frame_number))
            })
            .collect()
    }

    #[test]
    fn control_goes_first_then_sound_then_the_smallest_layer() {
        let mut outbox = Outbox::new(Waits::Acknowledged);
        for packet in [frame(1, 0, 0, 2), frame(1, 0, 0, 0), sound(), control()] {
            assert!(outbox.push(at(0), packet));
        }
        let order = [None, Some((10, 1)), Some((0, 1)), Some((2, 1))];
        assert_eq!(drain(&mut outbox, at(1)), order);
    }

    #[test]
    fn an_old_picture_goes_with_those_that_need_it_and_asks_for_a_keyframe_when_there_is_room() {
        let mut outbox = Outbox::new(Waits::RoundTrips);
        outbox.push(at(0), frame(1, 0, 0, 0));
        outbox.push(at(300), frame(2, 1, 0, 0));
        outbox.push(at(400), frame(1, 0, 0, 1));
        assert_eq!(drain(&mut outbox, at(600)), [Some((1, 1))]);
        // Needs one that needs one that is gone.
        outbox.push(at(600), frame(3, 1, 0, 0));
        assert_eq!(drain(&mut outbox, at(600)), []);
        let asked = outbox.poll_keyframe(at(600)).unwrap();
        assert_eq!((asked.stream_id, asked.spatial), (1, 0));
        assert_eq!(outbox.poll_keyframe(at(700)), None, "not again at once");
        outbox.push(at(700), frame(4, 0, 0, 0));
        outbox.push(at(700), frame(5, 1, 0, 0));
        assert_eq!(drain(&mut outbox, at(700)), [Some((0, 4)), Some((0, 5))]);
        assert_eq!(outbox.poll_keyframe(at(9000)), None);
    }

    #[test]
    fn a_lost_frame_of_a_higher_temporal_layer_costs_no_keyframe() {
        let mut outbox = Outbox::new(Waits::Acknowledged);
        outbox.push(at(0), frame(1, 0, 0, 0));
        outbox.push(at(0), frame(2, 1, 1, 0));
        assert_eq!(outbox.pop(at(0)).unwrap().picture, Some(1));
        assert_eq!(outbox.pop(at(0)).unwrap().picture, Some(2));
        outbox.finished(at(50), 1, true);
        outbox.finished(at(90), 2, false);
        outbox.push(at(100), frame(3, 2, 0, 0));
        assert_eq!(drain(&mut outbox, at(100)), [Some((0, 3))]);
        assert_eq!(outbox.poll_keyframe(at(100)), None);
    }

    #[test]
    fn sound_that_nobody_would_wait_for_is_dropped() {
        let mut outbox = Outbox::new(Waits::RoundTrips);
        outbox.push(at(0), sound());
        outbox.push(at(300), sound());
        assert_eq!(drain(&mut outbox, at(500)).len(), 1);
    }

    #[test]
    fn too_much_control_is_said() {
        let mut outbox = Outbox::new(Waits::RoundTrips);
        let taken = (0..100_000).take_while(|_| outbox.push(at(0), control()));
        assert_eq!(taken.count(), CONTROL_BYTES / 100);
    }

    #[test]
    fn what_sound_takes_is_not_for_pictures() {
        let mut outbox = Outbox::new(Waits::RoundTrips);
        let all = outbox.pictures_bps(at(0));
        for n in 0..50 {
            outbox.push(at(n * 20), sound());
            outbox.pop(at(n * 20));
        }
        let taken = all - outbox.pictures_bps(at(980));
        assert!((350_000..450_000).contains(&taken), "{taken}");
    }

    proptest! {
        /// Whatever is dropped: what goes out can be decoded, and everything is bounded.
        #[test]
        fn what_goes_out_can_be_decoded(
            steps in prop::collection::vec((0..4u8, 0..200u64, any::<bool>()), 1..400),
        ) {
            let mut outbox = Outbox::new(Waits::Acknowledged);
            let mut packetizer = Packetizer::default();
            let (mut now, mut sent, mut held) = (Duration::ZERO, BTreeSet::new(), Vec::new());
            let mut count = 0u64;
            for (what, ms, flag) in steps {
                now += at(ms);
                match what {
                    0 | 1 => {
                        let wanted = outbox.poll_keyframe(now).is_some() && flag;
                        count += 1;
                        let temporal = if wanted { 0 } else { (count % 2) as u8 };
                        let Some(numbered) = packetizer.next(wanted || count == 1, temporal) else {
                            continue;
                        };
                        let temporal = if numbered.depends_back == 0 { 0 } else { temporal };
                        outbox.push(now, frame(numbered.frame_number, numbered.depends_back, temporal, 0));
                    }
                    2 => if let Some(out) = outbox.pop(now) {
                        let routing = out.transmit.routing.unwrap();
                        if let Some(needed) = routing.depends_on() {
                            prop_assert!(sent.contains(&needed), "{} needs {needed}", routing.frame_number);
                        }
                        sent.insert(routing.frame_number);
                        held.push((out.picture.unwrap(), routing.frame_number));
                    },
                    _ => if let Some((picture, number)) = held.pop() {
                        outbox.finished(now, picture, flag);
                        if !flag {
                            sent.remove(&number);
                        }
                    },
                }
                prop_assert!(outbox.pictures.len() <= PICTURES && outbox.held.len() <= HELD);
                prop_assert!(outbox.losses.values().all(|losses| losses.frames.len() <= 64));
            }
        }
    }
}
