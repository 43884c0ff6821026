//! How well each stream comes in, as the relay is told once a second and as people can see it.
//!
//! Counted are true losses only. The relay leaves out temporal layers, quiet voices and streams
//! that nobody shows; numbers that are missing for such a reason are none. A publisher that makes
//! no pictures, such as a screen at rest, causes no freeze.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    time::Duration,
};

use videocall_types::{
    ids::{MediaKind, SessionId},
    limits::MAX_SPATIAL_LAYERS,
    view::Routing,
    wire::{ReceiverReport, StreamReport},
};

/// How often a report is due.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// A picture that stands still for longer is frozen.
pub const FREEZE: Duration = Duration::from_millis(200);
/// Streams that are followed at most.
const STREAMS: usize = 1024;
/// One of which nothing came for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// What is still missing after this time is lost: by then no decoder waits for it.
const LATE: Duration = Duration::from_millis(250);
/// More packets of sound in a row are not lost: another voice was louder (500 ms).
const LONGEST_AUDIO_GAP: u64 = 25;
/// More frames in a row are not lost: the relay had stopped forwarding the stream.
const LONGEST_VIDEO_GAP: u64 = 60;
/// Missing frames that are remembered of a stream.
const MISSING: usize = 256;

/// What is known of one stream since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets that came.
    pub received: u64,
    /// Packets that were needed and never came, or too late.
    pub lost: u64,
    /// Interarrival jitter in microseconds (RFC 3550, section 6.4.1).
    pub jitter_us: u32,
    /// How often the picture stood still for longer than [`FREEZE`].
    pub freezes: u64,
    /// For how long in all; of sound, how much was made up.
    pub impaired: Duration,
}

/// All streams that one participant receives.
#[derive(Debug, Default)]
pub struct Reception {
    streams: HashMap<(SessionId, MediaKind), Stream>,
    reported: Duration,
}

impl Reception {
    /// Notes a packet.
    pub fn arrived(&mut self, now: Duration, session: SessionId, routing: &Routing) {
        let key = (session, routing.kind);
        if self.streams.len() >= STREAMS && !self.streams.contains_key(&key) {
            return;
        }
        let stream = self.streams.entry(key).or_default();
        stream.arrived(now, routing);
    }

    /// Notes that a frame is shown, or that it could be.
    pub fn shown(&mut self, now: Duration, session: SessionId, routing: &Routing) {
        if let Some(stream) = self.streams.get_mut(&(session, routing.kind)) {
            let impaired = stream.picture.shown(now, routing);
            stream.add_impaired(impaired);
        }
    }

    /// Notes that sound had to be made up.
    pub fn concealed(&mut self, session: SessionId, kind: MediaKind, length: Duration) {
        if let Some(stream) = self.streams.get_mut(&(session, kind)) {
            stream.add_impaired((length, 0));
        }
    }

    /// The relay forwards nothing of a stream for now, or nobody wants it: what is between is not
    /// missing.
    pub fn paused(&mut self, session: SessionId, kind: MediaKind) {
        if let Some(stream) = self.streams.get_mut(&(session, kind)) {
            stream.layers = Default::default();
            stream.missing.clear();
            stream.picture = Picture::default();
        }
    }

    /// What is known of a stream.
    pub fn figures(&self, session: SessionId, kind: MediaKind) -> Option<Figures> {
        self.streams.get(&(session, kind)).map(Stream::figures)
    }

    /// When [`report`](Self::report) is to be called next.
    pub fn due(&self) -> Duration {
        self.reported + INTERVAL
    }

    /// What the relay is to know of the time since the last report. Of streams of which nothing
    /// came there is nothing to tell.
    pub fn report(&mut self, now: Duration, rtt: Option<Duration>) -> ReceiverReport {
        let interval = now.saturating_sub(self.reported);
        self.reported = now;
        self.streams
            .retain(|_, stream| now.saturating_sub(stream.heard) < FORGOTTEN);
        let streams = self.streams.iter_mut();
        let streams = streams.filter_map(|(&(session, kind), stream)| {
            let told = stream.report(now, interval);
            told.map(|told| StreamReport {
                session_id: session.get(),
                kind: kind.into(),
                ..told
            })
        });
        ReceiverReport {
            interval_ms: milliseconds(interval),
            streams: streams.collect(),
            available_bps: 0,
            rtt_ms: rtt.map_or(0, milliseconds),
        }
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[derive(Debug, Default)]
struct Stream {
    stream_id: u32,
    /// The simulcast layer that is being received.
    spatial: u8,
    layers: [Sequence; MAX_SPATIAL_LAYERS as usize],
    /// Distance of the frames of the base layer, by the last one.
    step: u64,
    /// Frames that may still come, and since when they are missed.
    missing: VecDeque<(u64, Duration)>,
    jitter: Jitter,
    picture: Picture,
    heard: Duration,
    total: Figures,
    /// As of the last report.
    told: Figures,
}

impl Stream {
    fn arrived(&mut self, now: Duration, routing: &Routing) {
        if routing.stream_id != self.stream_id {
            if routing.stream_id < self.stream_id {
                return;
            }
            self.stream_id = routing.stream_id;
            self.layers = Default::default();
            self.missing.clear();
        }
        let Some(layer) = self.layers.get_mut(usize::from(routing.spatial)) else {
            return;
        };
        let current = routing.spatial == self.spatial;
        if routing.keyframe && !current {
            // The relay switched: what is between is not for this receiver.
            if layer.newest < routing.frame_number {
                *layer = Sequence::default();
            }
            self.spatial = routing.spatial;
            self.missing.clear();
        }
        let found = layer.note(routing.frame_number);
        if matches!(found, Found::Twice) {
            return;
        }
        if let Found::After(gap) = found
            && current
        {
            let seen = |number| layer.has_seen(number);
            let step = self.step.max(1);
            for number in needed(routing, gap, step, seen) {
                if self.missing.len() >= MISSING {
                    self.missing.pop_front();
                    self.total.lost += 1;
                }
                self.missing.push_back((number, now));
            }
        } else if current {
            self.missing
                .retain(|(number, _)| *number != routing.frame_number);
        }
        if routing.temporal == 0 && !routing.keyframe {
            self.step = routing.depends_back.into();
        }
        self.heard = now;
        self.total.received += 1;
        self.jitter.note(now, routing.capture_us);
        self.picture.waiting.get_or_insert(now);
    }

    fn add_impaired(&mut self, (length, freezes): (Duration, u64)) {
        self.total.impaired += length;
        self.total.freezes += freezes;
    }

    fn figures(&self) -> Figures {
        Figures {
            jitter_us: self.jitter.micros(),
            ..self.total
        }
    }

    fn report(&mut self, now: Duration, interval: Duration) -> Option<StreamReport> {
        while let Some((_, since)) = self.missing.front()
            && now.saturating_sub(*since) >= LATE
        {
            self.missing.pop_front();
            self.total.lost += 1;
        }
        let ongoing = self.picture.still(now);
        self.add_impaired(ongoing);
        let (total, told) = (self.figures(), self.told);
        self.told = total;
        let since = |now: u64, before: u64| u32::try_from(now - before).unwrap_or(u32::MAX);
        let report = StreamReport {
            spatial: self.spatial.into(),
            received: since(total.received, told.received),
            lost: since(total.lost, told.lost),
            jitter_us: total.jitter_us,
            impaired_ms: milliseconds((total.impaired - told.impaired).min(interval)),
            ..StreamReport::default()
        };
        let anything = report.received > 0 || report.lost > 0 || report.impaired_ms > 0;
        anything.then_some(report)
    }
}

/// Which numbers of a gap were needed by the frame after it.
fn needed(routing: &Routing, gap: Range<u64>, step: u64, seen: impl Fn(u64) -> bool) -> Vec<u64> {
    let longest = if routing.is_audio() {
        LONGEST_AUDIO_GAP
    } else {
        LONGEST_VIDEO_GAP
    };
    if gap.end - gap.start > longest {
        return Vec::new();
    }
    if routing.is_audio() {
        return gap.collect();
    }
    // From the frame after the gap back to the one before it, as each frame needs an earlier one.
    // What lies between those steps is of higher temporal layers, which nobody needs.
    let (last, step) = match routing.depends_on() {
        Some(needed) if seen(needed) => return Vec::new(),
        Some(needed) => (needed, routing.depends_back.into()),
        None => (gap.end.saturating_sub(step), step),
    };
    let mut numbers: Vec<u64> =
        std::iter::successors(Some(last), |number| number.checked_sub(step))
            .take_while(|number| *number >= gap.start)
            .collect();
    numbers.reverse();
    numbers
}

/// Which frames of one layer came.
#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    /// 0: none.
    newest: u64,
    /// Bit n: the frame n before the newest.
    seen: u64,
}

enum Found {
    /// Newer than all, behind these that are missing, if any.
    After(Range<u64>),
    /// Overtaken, or the first.
    Late,
    Twice,
}

impl Sequence {
    fn note(&mut self, number: u64) -> Found {
        if self.newest == 0 {
            (self.newest, self.seen) = (number, 1);
            return Found::Late;
        }
        if let Some(ahead) = number.checked_sub(self.newest).filter(|ahead| *ahead > 0) {
            let gap = self.newest + 1..number;
            self.seen = if ahead < 64 {
                self.seen << ahead | 1
            } else {
                1
            };
            self.newest = number;
            return Found::After(gap);
        }
        let back = self.newest - number;
        if back >= 64 {
            return Found::Late;
        }
        if self.has_seen(number) {
            return Found::Twice;
        }
        self.seen |= 1 << back;
        Found::Late
    }

    fn has_seen(&self, number: u64) -> bool {
        self.newest
            .checked_sub(number)
            .is_some_and(|back| back < 64 && self.seen >> back & 1 == 1)
    }
}

/// Interarrival jitter (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default)]
struct Jitter {
    transit_us: Option<i64>,
    mean_us: f64,
}

impl Jitter {
    fn note(&mut self, now: Duration, capture_us: u64) {
        let transit = (now.as_micros() as i64).wrapping_sub(capture_us as i64);
        if let Some(before) = self.transit_us.replace(transit) {
            let change = transit.wrapping_sub(before).unsigned_abs() as f64;
            self.mean_us += (change - self.mean_us) / 16.0;
        }
    }

    fn micros(&self) -> u32 {
        self.mean_us as u32
    }
}

/// Whether a picture moves.
#[derive(Clone, Copy, Debug, Default)]
struct Picture {
    /// When the last frame was shown, and which.
    shown: Option<(Duration, Routing)>,
    /// When the first frame after it came.
    waiting: Option<Duration>,
    /// Of the freeze that goes on, how far it was told.
    told_until: Option<Duration>,
}

impl Picture {
    /// Gives what was not told of the freeze that ends with this frame, and whether it is one more.
    fn shown(&mut self, now: Duration, routing: &Routing) -> (Duration, u64) {
        self.waiting = None;
        let told_until = self.told_until.take();
        let Some((since, before)) = self.shown.replace((now, *routing)) else {
            return (Duration::ZERO, 0);
        };
        if let Some(until) = told_until {
            return (now.saturating_sub(until), 0);
        }
        let follows = (routing.stream_id, routing.spatial) == (before.stream_id, before.spatial)
            && (routing.frame_number == before.frame_number + 1
                || routing.depends_on() == Some(before.frame_number));
        // The publisher itself may have made no picture meanwhile.
        let meant = routing.capture_us.saturating_sub(before.capture_us);
        let meant = if follows { meant } else { 0 };
        let still = now
            .saturating_sub(since)
            .saturating_sub(Duration::from_micros(meant));
        if still > FREEZE {
            (still, 1)
        } else {
            (Duration::ZERO, 0)
        }
    }

    /// The same of a freeze that goes on: frames have come, and none can be shown.
    fn still(&mut self, now: Duration) -> (Duration, u64) {
        let (Some((since, _)), Some(waiting)) = (self.shown, self.waiting) else {
            return (Duration::ZERO, 0);
        };
        if let Some(until) = self.told_until.replace(now) {
            return (now.saturating_sub(until), 0);
        }
        let still = now.saturating_sub(since.max(waiting));
        if still > FREEZE {
            (still, 1)
        } else {
            self.told_until = None;
            (Duration::ZERO, 0)
        }
    }
}

#[cfg(test)]
mod tests;
