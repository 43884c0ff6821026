//! What of a stream could be shown: which frames came together with all that they need, and how
//! evenly they came. Frames are put in order by the buffer of this project's own client.

use std::time::{Duration, Instant};

use bytes::Bytes;
use videocall_client::core::video::VideoBuffer;
use videocall_types::view::Routing;

use crate::clock;

/// The pictures of one stream.
#[derive(Debug, Default)]
pub(super) struct Playout {
    buffer: VideoBuffer,
}

impl Playout {
    /// Takes a frame, and tells of each moment at which a frame could be shown. What was complete before
    /// and waited for frames that others have overtaken, in vain, counts from when it came.
    pub(super) fn take(&mut self, at: Instant, routing: Routing, mut shown: impl FnMut(Instant)) {
        let now = time(at);
        while let Some(before) = self.buffer.pop(now) {
            let waited = now.saturating_sub(before.arrived);
            shown(at.checked_sub(waited).unwrap_or(at));
        }
        // Of the frame only its place among the others counts.
        self.buffer.push(now, routing, Bytes::new());
        while self.buffer.pop(now).is_some() {
            shown(at);
        }
    }

    /// Whether to ask for a keyframe now: what came has needed something that did not come, for
    /// longer than frames overtake each other.
    pub(super) fn wants_keyframe(&mut self, now: Instant) -> bool {
        self.buffer.wants_keyframe(time(now))
    }
}

/// The client's time begins anywhere.
fn time(at: Instant) -> Duration {
    Duration::from_micros(clock::micros(at))
}

/// Interarrival jitter (RFC 3550, sections 6.4.1 and A.8).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jitter {
    /// Time on the way of the frame before. Clocks may differ: it may be negative.
    transit_us: Option<i64>,
    mean_us: f32,
}

impl Jitter {
    /// Takes note of a frame that was planned, and came, at these times in microseconds.
    pub(super) fn note(&mut self, planned_us: u64, arrived_us: u64) {
        let transit = arrived_us.wrapping_sub(planned_us) as i64;
        if let Some(before) = self.transit_us.replace(transit) {
            let difference = transit.saturating_sub(before).unsigned_abs();
            self.mean_us += (difference as f32 - self.mean_us) / 16.0;
        }
    }

    /// The jitter in microseconds.
    pub(super) fn micros(&self) -> u32 {
        self.mean_us as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_nothing_on_an_even_way_and_tends_to_the_difference_on_another() {
        let mut jitter = Jitter::default();
        for frame in 0..100 {
            jitter.note(frame * 20_000, frame * 20_000 + 5_000);
        }
        assert_eq!(jitter.micros(), 0);
        // Each second frame is 8 ms later than its neighbours.
        for frame in 100..200 {
            jitter.note(frame * 20_000, frame * 20_000 + 5_000 + frame % 2 * 8_000);
        }
        assert!((7_900..=8_000).contains(&jitter.micros()), "{jitter:?}");
    }

    #[test]
    fn jitter_bears_clocks_that_differ() {
        let mut jitter = Jitter::default();
        jitter.note(5_000_000, 1_000);
        jitter.note(5_020_000, 37_000);
        assert_eq!(jitter.micros(), 1_000);
    }
}
