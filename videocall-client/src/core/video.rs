//! The jitter buffer of one picture: in come frames of any layer in any order, out go decodable
//! frames in the order in which a decoder takes them.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use videocall_types::view::Routing;

/// Frames that wait at most.
const WAITING: usize = 90;
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
#[derive(Debug, Default)]
pub struct VideoBuffer {
    waiting: BTreeMap<Place, VideoFrame>,
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

impl VideoBuffer {
    /// Takes a frame.
    pub fn push(&mut self, now: Duration, routing: Routing, payload: Bytes) {
        let stream = (routing.stream_id, routing.spatial);
        let late = self.current.is_some_and(|current| {
            routing.stream_id < current.0
                || (stream == current && routing.frame_number <= self.newest)
        });
        if late {
            self.dropped += 1;
            return;
        }
        let place = (routing.stream_id, routing.spatial, routing.frame_number);
        self.waiting.insert(
            place,
            VideoFrame {
                routing,
                payload,
                arrived: now,
            },
        );
        while self.waiting.len() > WAITING {
            self.waiting.pop_first();
            self.dropped += 1;
        }
    }

    /// The next frame to decode, if it is there.
    pub fn pop(&mut self, now: Duration) -> Option<VideoFrame> {
        let place = self.next_in_order().or_else(|| self.next_keyframe());
        let Some(frame) = place.and_then(|place| self.waiting.remove(&place)) else {
            self.note_stuck(now);
            return None;
        };
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

    /// A keyframe of another layer or stream that is ahead of what was shown: the relay switched.
    fn next_keyframe(&self) -> Option<Place> {
        self.waiting
            .iter()
            .filter(|((stream, spatial, _), frame)| {
                frame.routing.keyframe
                    && self.current != Some((*stream, *spatial))
                    && (self.current.is_none_or(|(current, _)| *stream > current)
                        || frame.routing.capture_us >= self.last_capture_us)
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
        self.waiting.retain(|&(id, spatial, number), frame| {
            let gone = id < stream.0
                || ((id, spatial) == stream && number <= newest)
                || ((id, spatial) != stream && frame.routing.capture_us < routing.capture_us);
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

    proptest! {
        #[test]
        fn nothing_undecodable_is_released(
            arrivals in prop::collection::vec((0..2u8, 1..40u64, 0..4u8), 1..200)
        ) {
            let mut buffer = VideoBuffer::default();
            let mut decoded: Option<(u8, Vec<u64>)> = None;
            for (spatial, number, back) in arrivals {
                let back = if u64::from(back) < number { back } else { 0 };
                buffer.push(Duration::ZERO, frame(spatial, number, back), Bytes::new());
                prop_assert!(buffer.waiting.len() <= WAITING);
                while let Some(out) = buffer.pop(Duration::ZERO) {
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
