//! A simulated shared screen: still for a while, then much at once.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use videocall_types::wire::{StreamDemand, video_metadata::Codec};

use super::{
    super::{
        options::{LayerOptions, MeetingOptions},
        stamp::TEMPORAL_LAYERS,
    },
    Content, Frame, KEYFRAME_SPACING, Picture, Source,
};
use crate::measure::MessageKind;

/// A screen as clients announce it: one layer in full size, with what they allow while it changes.
pub(in super::super) const SCREEN: LayerOptions = LayerOptions {
    width: 1920,
    height: 1080,
    bitrate: 3_000_000,
};
/// Between frames while something changes.
const STEP: Duration = Duration::from_millis(66);
/// Between frames of a screen that does not change: browsers send one each second.
const REFRESH: Duration = Duration::from_secs(1);
/// Mean time from one change to the next; exponential.
const CHANGE_MEAN: f64 = 4.0;
/// Frames of a change: a page that is turned, up to a while of scrolling.
const CHANGE_FRAMES: std::ops::RangeInclusive<u32> = 2..=20;
/// Mean bytes of a keyframe, of the first frame of a change, of those behind it, and of a refresh.
const KEYFRAME_BYTES: f64 = 160_000.0;
const CHANGE_BYTES: f64 = 60_000.0;
const REST_BYTES: f64 = 14_000.0;
const REFRESH_BYTES: f64 = 600.0;

/// A shared screen.
#[derive(Debug)]
pub(in super::super) struct Screen {
    due: Instant,
    next_change: Instant,
    /// Frames of the present change that are left.
    left: u32,
    before: Option<Instant>,
    since: Option<Instant>,
    wanted: bool,
    keyframe_due: bool,
    last_keyframe: Option<Instant>,
    keyframe_interval: Duration,
    number: u64,
    random: SmallRng,
}

impl Screen {
    pub(in super::super) fn new(options: &MeetingOptions, now: Instant, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x5c4e);
        let start = now + STEP.mul_f64(random.random());
        Self {
            due: start,
            next_change: start,
            left: 0,
            before: None,
            since: None,
            wanted: true,
            keyframe_due: true,
            last_keyframe: None,
            keyframe_interval: options.keyframe_interval,
            number: 0,
            random,
        }
    }

    fn frame(&mut self, planned: Instant) -> Option<Frame> {
        let changes = planned >= self.next_change;
        if changes {
            self.left = self.random.random_range(CHANGE_FRAMES);
            let pause = -CHANGE_MEAN * (1.0 - self.random.random::<f64>()).ln();
            let whole = STEP * self.left + Duration::from_secs_f64(pause.clamp(0.1, 30.0));
            self.next_change = planned + whole;
        }
        let moves = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.due = match self.left {
            0 => self.next_change.min(planned + REFRESH),
            _ => planned + STEP,
        };
        if !self.wanted {
            return None;
        }
        let since = self
            .last_keyframe
            .map(|at| planned.saturating_duration_since(at));
        let keyframe = since.is_none_or(|since| {
            since >= self.keyframe_interval || (self.keyframe_due && since >= KEYFRAME_SPACING)
        });
        if keyframe {
            self.keyframe_due = false;
            self.last_keyframe = Some(planned);
        }
        let rested = |before: Instant| planned.saturating_duration_since(before) > 2 * STEP;
        if self.before.replace(planned).is_some_and(rested) {
            self.since = Some(planned);
        }
        self.number += 1;
        let mean = match (keyframe, changes, moves) {
            (true, ..) => KEYFRAME_BYTES,
            (false, true, _) => CHANGE_BYTES,
            (false, false, true) => REST_BYTES,
            (false, false, false) => REFRESH_BYTES,
        };
        Some(Frame {
            planned,
            kind: MessageKind::Screen,
            spatial: 0,
            temporal: 0,
            keyframe,
            depends_back: u8::from(!keyframe),
            number: self.number,
            counts: [self.number as u32; TEMPORAL_LAYERS],
            content: Content::Simulated((mean * self.random.random_range(0.5..1.5)) as usize),
            picture: Some(Picture {
                width: SCREEN.width,
                height: SCREEN.height,
                codec: Codec::Vp9Profile0Level108bit,
            }),
            level: 0,
            since: self.since,
        })
    }
}

impl Source for Screen {
    fn next_due(&self) -> Instant {
        self.due
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Frame>) {
        while self.due <= now {
            let frame = self.frame(self.due);
            out.extend(frame);
        }
    }

    fn skip(&mut self, now: Instant) {
        // A screen that could not be sent is captured anew, and what it shows then is sent.
        self.due = self.due.max(now + STEP);
    }

    fn demand(&mut self, demand: &StreamDemand) {
        let wanted = demand.spatial_mask & 1 == 1;
        if wanted && !self.wanted {
            self.keyframe_due = true;
        }
        self.wanted = wanted;
    }

    fn request_keyframe(&mut self, _spatial: u32) {
        // A still screen is encoded at once for those who wait for it.
        self.keyframe_due = true;
        if let Some(last) = self.last_keyframe {
            let earliest = last + KEYFRAME_SPACING;
            self.due = self
                .due
                .min(earliest.max(self.before.unwrap_or(earliest) + STEP));
        }
    }
}
