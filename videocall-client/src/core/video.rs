//! The jitter buffer of one picture: in come frames of any layer in any order, out go decodable
//! frames in the order in which a decoder takes them.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::Bytes;
use videocall_types::view::Routing;

/// Frames that wait at most.
const WAITING: usize = 90;
/// Bytes that wait at most: five seconds of the best layer, and eight of the largest packets.
const WAITING_BYTES: usize = 8 << 20;
/// How long a frame waits for those before it, at first and at most. Each frame travels on a stream
/// of its own, so that one of a higher temporal layer may be overtaken; without waiting it would be
/// lost. The longest is a third of what the eye takes for a freeze.
const FIRST_HOLD: Duration = Duration::from_millis(20);
const LONGEST_HOLD: Duration = Duration::from_millis(60);
/// Shorter holds are none.
const SHORTEST_HOLD: Duration = Duration::from_millis(2);
/// How long the next frame may be missing until a keyframe is asked for.
const STUCK_AFTER: Duration = Duration::from_millis(250);
/// Least time between two such requests; doubles up to eight times as much.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// A frame that can be decoded now.
#[derive(Clone, Debug)]
pub struct VideoFrame {
    /// Its routing header.
    pub routing: Routing,
    /// The payload of its packet.
    pub payload: Bytes,
    /// When it came.
    pub arrived: Duration,
}

type Place = (u32, u8, u64);

/// One picture of one publisher.
#[derive(Debug)]
pub struct VideoBuffer {
    waiting: BTreeMap<Place, VideoFrame>,
    /// Of the payloads that wait.
    bytes: usize,
    /// How long a frame waits for those before it: as long as late ones were late. Where they never
    /// come, because the relay leaves out a temporal layer, not at all.
    hold: Duration,
    /// The frames that were last passed over, and when the one that passed them came.
    passed: Option<(Range<u64>, Duration)>,
    /// Stream and layer that is being decoded.
    current: Option<(u32, u8)>,
    /// Frames of it that were released: the newest, and 63 before it as bits.
    newest: u64,
    released: u64,
    last_capture_us: u64,
    stuck_since: Option<Duration>,
    asked: Option<Duration>,
    asks: u32,
    /// Frames that came too late, twice, or without what they need.
    pub dropped: u64,
}

impl Default for VideoBuffer {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            bytes: 0,
            hold: FIRST_HOLD,
            passed: None,
            current: None,
            newest: 0,
            released: 0,
            last_capture_us: 0,
            stuck_since: None,
            asked: None,
            asks: 0,
            dropped: 0,
        }
    }
}

impl VideoBuffer {
    /// Takes a frame.
    pub fn push(&mut self, now: Duration, routing: Routing, payload: Bytes) {
        let stream = (routing.stream_id, routing.spatial);
        let late = self.current.is_some_and(|current| {
            routing.stream_id < current.0
                || (stream == current && routing.frame_number <= self.newest)
        });
        if late {
            if self.current == Some(stream) {
                self.note_late(now, routing.frame_number);
            }
            self.dropped += 1;
            return;
        }
        let place = (routing.stream_id, routing.spatial, routing.frame_number);
        self.bytes += payload.len();
        let frame = VideoFrame {
            routing,
            payload,
            arrived: now,
        };
        if let Some(twice) = self.waiting.insert(place, frame) {
            self.bytes -= twice.payload.len();
        }
        while self.waiting.len() > WAITING || self.bytes > WAITING_BYTES {
            let Some((_, oldest)) = self.waiting.pop_first() else {
                return;
            };
            self.bytes -= oldest.payload.len();
            self.dropped += 1;
        }
    }

    /// One that was passed over came after all: next time it is waited for.
    fn note_late(&mut self, now: Duration, number: u64) {
        if let Some((frames, since)) = &self.passed
            && frames.contains(&number)
        {
            let late = now.saturating_sub(*since) * 5 / 4;
            self.hold = self.hold.max(late).min(LONGEST_HOLD);
        }
    }

    /// The next frame to decode, if it is there.
    pub fn pop(&mut self, now: Duration) -> Option<VideoFrame> {
        let place = self
            .next_in_order()
            .filter(|place| !self.is_held(now, place))
            .or_else(|| self.next_keyframe());
        let Some(frame) = place.and_then(|place| self.waiting.remove(&place)) else {
            self.note_stuck(now);
            return None;
        };
        self.bytes -= frame.payload.len();
        self.note_passed(&frame);
        self.release(&frame.routing);
        self.stuck_since = None;
        if frame.routing.keyframe {
            self.asks = 0;
            self.asked = None;
        }
        Some(frame)
    }

    /// Whether to ask for a keyframe now; call after [`pop`](Self::pop) gave `None`.
    pub fn wants_keyframe(&mut self, now: Duration) -> bool {
        let stuck = self
            .stuck_since
            .is_some_and(|since| now.saturating_sub(since) >= STUCK_AFTER);
        let pause = ASK_INTERVAL * (1 << self.asks.min(3));
        let due = self
            .asked
            .is_none_or(|asked| now.saturating_sub(asked) >= pause);
        if stuck && due {
            self.asked = Some(now);
            self.asks += 1;
        }
        stuck && due
    }

    /// The decoder failed: nothing counts until the next keyframe.
    pub fn restart(&mut self, now: Duration) {
        self.released = 0;
        self.stuck_since = Some(now.saturating_sub(STUCK_AFTER));
    }

    /// The layer that is being decoded.
    pub fn spatial(&self) -> Option<u8> {
        self.current.map(|(_, spatial)| spatial)
    }

    fn next_in_order(&self) -> Option<Place> {
        let (stream, spatial) = self.current?;
        self.waiting
            .range((stream, spatial, 0)..=(stream, spatial, u64::MAX))
            .find(|(_, frame)| {
                frame.routing.keyframe
                    || frame
                        .routing
                        .depends_on()
                        .is_some_and(|needed| self.was_released(needed))
            })
            .map(|(place, _)| *place)
    }

    /// Whether frames before it may still come.
    fn is_held(&self, now: Duration, place: &Place) -> bool {
        self.waiting.get(place).is_some_and(|frame| {
            !frame.routing.keyframe
                && frame.routing.frame_number > self.newest + 1
                && now < frame.arrived + self.hold
        })
    }

    fn note_passed(&mut self, frame: &VideoFrame) {
        let routing = &frame.routing;
        let follows = self.current == Some((routing.stream_id, routing.spatial));
        let passed = self.newest + 1..routing.frame_number;
        self.passed = None;
        if follows && !routing.keyframe && !passed.is_empty() {
            // In vain, as far as is known by now.
            self.hold /= 2;
            if self.hold < SHORTEST_HOLD {
                self.hold = Duration::ZERO;
            }
            self.passed = Some((passed, frame.arrived));
        }
    }

    /// A keyframe of another layer or stream that is ahead of what was shown: the relay switched.
    fn next_keyframe(&self) -> Option<Place> {
        self.waiting
            .iter()
            .filter(|((stream, spatial, _), frame)| {
                frame.routing.keyframe
                    && self.current != Some((*stream, *spatial))
                    && self.current.is_none_or(|current| {
                        // Of the same picture only a higher layer: a lower one that was overtaken
                        // must not lead back.
                        let time = (frame.routing.capture_us, *spatial);
                        *stream > current.0 || time > (self.last_capture_us, current.1)
                    })
            })
            .map(|(place, _)| *place)
            .next_back()
    }

    fn release(&mut self, routing: &Routing) {
        let stream = (routing.stream_id, routing.spatial);
        if self.current != Some(stream) || routing.keyframe {
            self.current = Some(stream);
            self.newest = routing.frame_number;
            self.released = 1;
        } else {
            let ahead = routing.frame_number - self.newest;
            self.released = if ahead < 64 {
                self.released << ahead | 1
            } else {
                1
            };
            self.newest = routing.frame_number;
        }
        self.last_capture_us = routing.capture_us;
        let newest = self.newest;
        let before = self.waiting.len();
        let bytes = &mut self.bytes;
        self.waiting.retain(|&(id, spatial, number), frame| {
            let gone = id < stream.0
                || ((id, spatial) == stream && number <= newest)
                || ((id, spatial) != stream && frame.routing.capture_us < routing.capture_us);
            if gone {
                *bytes -= frame.payload.len();
            }
            !gone
        });
        self.dropped += (before - self.waiting.len()) as u64;
    }

    fn was_released(&self, frame: u64) -> bool {
        self.newest
            .checked_sub(frame)
            .is_some_and(|back| back < 64 && self.released >> back & 1 == 1)
    }

    fn note_stuck(&mut self, now: Duration) {
        if self.waiting.is_empty() {
            if self.released != 0 {
                self.stuck_since = None;
            }
        } else {
            self.stuck_since.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use videocall_types::ids::MediaKind;

    fn frame(spatial: u8, number: u64, back: u8) -> Routing {
        Routing {
            kind: MediaKind::Video,
            stream_id: 1,
            spatial,
            temporal: 0,
            keyframe: back == 0,
            depends_back: back,
            frame_number: number,
            capture_us: number * 33_333,
            audio_level: 0,
            encrypted: false,
        }
    }

    fn drain(buffer: &mut VideoBuffer, now: Duration) -> Vec<(u8, u64)> {
        std::iter::from_fn(|| buffer.pop(now))
            .map(|frame| (frame.routing.spatial, frame.routing.frame_number))
            .collect()
    }

    #[test]
    fn frames_that_overtook_each_other_come_out_in_order() {
        let mut buffer = VideoBuffer::default();
        let now = Duration::ZERO;
        for routing in [frame(0, 2, 1), frame(0, 3, 1), frame(0, 1, 0)] {
            buffer.push(now, routing, Bytes::new());
        }
        assert_eq!(drain(&mut buffer, now), [(0, 1), (0, 2), (0, 3)]);
    }

    #[test]
    fn a_missing_frame_leads_to_one_request_and_a_keyframe_to_recovery() {
        let mut buffer = VideoBuffer::default();
        let at = Duration::from_millis;
        buffer.push(at(0), frame(0, 1, 0), Bytes::new());
        drain(&mut buffer, at(0));
        buffer.push(at(66), frame(0, 3, 1), Bytes::new());
        assert!(drain(&mut buffer, at(66)).is_empty());
        assert!(!buffer.wants_keyframe(at(100)));
        assert!(buffer.wants_keyframe(at(400)));
        assert!(!buffer.wants_keyframe(at(500)));
        buffer.push(at(510), frame(0, 4, 0), Bytes::new());
        assert_eq!(drain(&mut buffer, at(510)), [(0, 4)]);
        assert!(!buffer.wants_keyframe(at(2000)));
    }

    #[test]
    fn a_layer_is_changed_at_its_keyframe() {
        let mut buffer = VideoBuffer::default();
        let now = Duration::ZERO;
        buffer.push(now, frame(0, 10, 0), Bytes::new());
        buffer.push(now, frame(1, 12, 1), Bytes::new());
        assert_eq!(drain(&mut buffer, now), [(0, 10)]);
        buffer.push(now, frame(1, 11, 0), Bytes::new());
        assert_eq!(drain(&mut buffer, now), [(1, 11), (1, 12)]);
        buffer.push(now, frame(0, 11, 1), Bytes::new());
        assert!(drain(&mut buffer, now).is_empty());
    }

    /// Two temporal layers: each odd frame needs the one two before it, each even one the one
    /// before it, and nobody needs even ones.
    fn layered(number: u64) -> Routing {
        let back = match number {
            1 => 0,
            odd if odd % 2 == 1 => 2,
            _ => 1,
        };
        frame(0, number, back)
    }

    #[test]
    fn a_frame_that_was_overtaken_is_waited_for() {
        let at = Duration::from_millis;
        let mut buffer = VideoBuffer::default();
        buffer.push(at(0), layered(1), Bytes::new());
        assert_eq!(drain(&mut buffer, at(0)), [(0, 1)]);
        buffer.push(at(60), layered(3), Bytes::new());
        assert!(drain(&mut buffer, at(60)).is_empty());
        buffer.push(at(75), layered(2), Bytes::new());
        assert_eq!(drain(&mut buffer, at(75)), [(0, 2), (0, 3)]);
        assert_eq!(buffer.dropped, 0);
    }

    #[test]
    fn a_layer_that_never_comes_is_soon_not_waited_for() {
        let at = Duration::from_millis;
        let mut buffer = VideoBuffer::default();
        buffer.push(at(0), layered(1), Bytes::new());
        drain(&mut buffer, at(0));
        let mut waits = Vec::new();
        for number in 1..12 {
            let arrival = number * 66;
            buffer.push(at(arrival), layered(2 * number + 1), Bytes::new());
            waits.push((0..100).find(|&wait| !drain(&mut buffer, at(arrival + wait)).is_empty()));
        }
        assert_eq!(waits[0], Some(20), "at first");
        assert_eq!(waits[10], Some(0), "in the end");
        assert!(waits.is_sorted_by(|a, b| a >= b), "{waits:?}");
        assert_eq!(buffer.dropped, 0);
    }

    #[test]
    fn late_frames_lengthen_the_wait_up_to_its_bound() {
        let at = Duration::from_millis;
        let mut buffer = VideoBuffer::default();
        buffer.push(at(0), layered(1), Bytes::new());
        drain(&mut buffer, at(0));
        // The second comes 40 ms after the third, which was let go after 20.
        buffer.push(at(100), layered(3), Bytes::new());
        assert_eq!(drain(&mut buffer, at(120)), [(0, 3)]);
        buffer.push(at(140), layered(2), Bytes::new());
        assert_eq!(buffer.dropped, 1);
        // So the fourth, as late as that, is waited for.
        buffer.push(at(200), layered(5), Bytes::new());
        assert!(drain(&mut buffer, at(239)).is_empty());
        buffer.push(at(240), layered(4), Bytes::new());
        assert_eq!(drain(&mut buffer, at(240)), [(0, 4), (0, 5)]);
        // And one that is much later is not.
        buffer.push(at(300), layered(7), Bytes::new());
        assert_eq!(drain(&mut buffer, at(350)), [(0, 7)]);
        buffer.push(at(900), layered(6), Bytes::new());
        buffer.push(at(1000), layered(9), Bytes::new());
        assert_eq!(drain(&mut buffer, at(1060)), [(0, 9)], "60 ms at most");
    }

    #[test]
    fn a_lower_layer_of_the_same_picture_does_not_lead_back() {
        let mut buffer = VideoBuffer::default();
        let now = Duration::ZERO;
        buffer.push(now, frame(2, 5, 0), Bytes::new());
        assert_eq!(drain(&mut buffer, now), [(2, 5)]);
        // Its keyframe of the lowest layer was overtaken on the way.
        buffer.push(now, frame(0, 5, 0), Bytes::new());
        assert!(drain(&mut buffer, now).is_empty());
        buffer.push(now, frame(2, 6, 1), Bytes::new());
        assert_eq!(drain(&mut buffer, now), [(2, 6)]);
        // The next picture's keyframe of that layer does: the relay switched.
        buffer.push(now, frame(0, 7, 0), Bytes::new());
        assert_eq!(drain(&mut buffer, now), [(0, 7)]);
    }

    #[test]
    fn a_keyframe_is_not_held() {
        let mut buffer = VideoBuffer::default();
        let now = Duration::ZERO;
        buffer.push(now, layered(1), Bytes::new());
        assert_eq!(drain(&mut buffer, now), [(0, 1)]);
        buffer.push(now, frame(0, 9, 0), Bytes::new());
        assert_eq!(drain(&mut buffer, now), [(0, 9)]);
    }

    #[test]
    fn bytes_are_bounded_whatever_comes() {
        let mut buffer = VideoBuffer::default();
        let large = Bytes::from(vec![0; 1_000_000]);
        for number in 2..80 {
            buffer.push(Duration::ZERO, frame(0, number, 1), large.clone());
            // Twice the same, of another size.
            buffer.push(
                Duration::ZERO,
                frame(0, number, 1),
                Bytes::from_static(b"x"),
            );
            buffer.push(Duration::ZERO, frame(0, number, 1), large.clone());
            let bytes: usize = buffer.waiting.values().map(|it| it.payload.len()).sum();
            assert!(bytes <= WAITING_BYTES && bytes == buffer.bytes, "{bytes}");
        }
        buffer.push(Duration::ZERO, frame(0, 100, 0), large);
        assert_eq!(drain(&mut buffer, Duration::ZERO), [(0, 100)]);
        assert_eq!(buffer.bytes, 0);
    }

    proptest! {
        #[test]
        fn nothing_undecodable_is_released(
            arrivals in prop::collection::vec((0..2u8, 1..40u64, 0..4u8, 0..30u64), 1..200)
        ) {
            let mut buffer = VideoBuffer::default();
            let mut decoded: Option<(u8, Vec<u64>)> = None;
            let mut now = Duration::ZERO;
            for (spatial, number, back, passes) in arrivals {
                now += Duration::from_millis(passes);
                let back = if u64::from(back) < number { back } else { 0 };
                let payload = Bytes::from(vec![0; passes as usize]);
                buffer.push(now, frame(spatial, number, back), payload);
                prop_assert!(buffer.waiting.len() <= WAITING);
                let bytes: usize = buffer.waiting.values().map(|it| it.payload.len()).sum();
                prop_assert_eq!(bytes, buffer.bytes);
                prop_assert!(buffer.hold <= LONGEST_HOLD);
                while let Some(out) = buffer.pop(now) {
                    let routing = out.routing;
                    match &mut decoded {
                        Some((layer, frames)) if *layer == routing.spatial && !routing.keyframe => {
                            prop_assert!(frames.contains(&routing.depends_on().unwrap()));
                            prop_assert!(frames.iter().all(|&earlier| earlier < routing.frame_number));
                            frames.push(routing.frame_number);
                        }
                        _ => {
                            prop_assert!(routing.keyframe);
                            decoded = Some((routing.spatial, vec![routing.frame_number]));
                        }
                    }
                }
            }
        }
    }
}
