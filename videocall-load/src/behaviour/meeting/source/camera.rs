//! A simulated camera with simulcast encoders.

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

/// The temporal pattern L1T3 (W3C Scalable Video Coding for WebRTC, section 6).
const PATTERN: [u8; 4] = [0, 2, 1, 2];
/// Size of a frame of each temporal layer over the mean; over a pattern the mean is 1.
const WEIGHTS: [f64; TEMPORAL_LAYERS] = [1.6, 1.1, 0.65];
/// Size of a keyframe over the mean.
const KEYFRAME_WEIGHT: f64 = 8.0;
/// Frames that a late publisher makes up for at once; more are skipped, as a camera does.
pub(super) const MAKE_UP: u64 = 5;

/// A camera with its simulcast encoders.
#[derive(Debug)]
pub(in super::super) struct Camera {
    layers: Vec<Layer>,
    step: Duration,
    start: Instant,
    /// The next picture.
    picture: u64,
    keyframe_interval: Duration,
    random: SmallRng,
}

#[derive(Debug)]
struct Layer {
    spatial: u8,
    picture: Picture,
    mean_bytes: f64,
    wanted: bool,
    keyframe_due: bool,
    last_keyframe: Option<Instant>,
    /// Place in the pattern.
    place: usize,
    number: u64,
    /// The last frame of each temporal layer.
    last: [u64; TEMPORAL_LAYERS],
    counts: [u32; TEMPORAL_LAYERS],
}

impl Camera {
    pub(in super::super) fn new(options: &MeetingOptions, now: Instant, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let step = Duration::from_secs(1) / options.fps;
        let layers = options.camera_layers().iter().zip(0..);
        let layer = |(layer, spatial): (&LayerOptions, u8)| Layer {
            spatial,
            picture: Picture {
                width: layer.width,
                height: layer.height,
                codec: Codec::Vp9Profile0Level108bit,
            },
            mean_bytes: f64::from(layer.bitrate) / 8.0 / f64::from(options.fps),
            wanted: true,
            keyframe_due: true,
            last_keyframe: None,
            place: 0,
            number: 0,
            last: [0; TEMPORAL_LAYERS],
            counts: [0; TEMPORAL_LAYERS],
        };
        Self {
            layers: layers.map(layer).collect(),
            step,
            // Cameras are not in step with each other.
            start: now + step.mul_f64(random.random()),
            picture: 0,
            keyframe_interval: options.keyframe_interval,
            random,
        }
    }
}

impl Source for Camera {
    fn next_due(&self) -> Instant {
        self.start + self.step * self.picture as u32
    }

    fn demand(&mut self, demand: &StreamDemand) {
        for layer in &mut self.layers {
            let wanted = demand.spatial_mask >> layer.spatial & 1 == 1;
            layer.keyframe_due |= wanted && !layer.wanted;
            layer.wanted = wanted;
        }
    }

    fn request_keyframe(&mut self, spatial: u32) {
        for layer in &mut self.layers {
            layer.keyframe_due |= u32::from(layer.spatial) == spatial;
        }
    }

    fn skip(&mut self, now: Instant) {
        while self.next_due() <= now {
            self.picture += 1;
        }
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Frame>) {
        let behind = now.saturating_duration_since(self.next_due());
        let due = (behind.as_nanos() / self.step.as_nanos()) as u64;
        if due > MAKE_UP {
            self.picture += due - MAKE_UP;
        }
        while self.next_due() <= now {
            let planned = self.next_due();
            self.picture += 1;
            for layer in self.layers.iter_mut().filter(|layer| layer.wanted) {
                out.push(layer.next(planned, self.keyframe_interval, &mut self.random));
            }
        }
    }
}

impl Layer {
    fn next(&mut self, planned: Instant, interval: Duration, random: &mut SmallRng) -> Frame {
        let since = self
            .last_keyframe
            .map(|at| planned.saturating_duration_since(at));
        let keyframe = since.is_none_or(|since| {
            since >= interval || (self.keyframe_due && since >= KEYFRAME_SPACING)
        });
        if keyframe {
            self.keyframe_due = false;
            self.last_keyframe = Some(planned);
            self.place = 0;
        }
        let temporal = PATTERN[self.place % PATTERN.len()];
        self.place += 1;
        self.number += 1;
        let level = usize::from(temporal);
        let needed = if level == 0 {
            self.last[0]
        } else {
            self.last[..level].iter().copied().max().unwrap_or(0)
        };
        let depends_back = if keyframe {
            self.last = [0; TEMPORAL_LAYERS];
            0
        } else {
            (self.number - needed) as u8
        };
        self.last[level] = self.number;
        for count in &mut self.counts[level..] {
            *count += 1;
        }
        let weight = if keyframe {
            KEYFRAME_WEIGHT
        } else {
            WEIGHTS[level]
        };
        let bytes = self.mean_bytes * weight * random.random_range(0.8..1.2);
        Frame {
            planned,
            kind: MessageKind::Video,
            spatial: self.spatial,
            temporal,
            keyframe,
            depends_back,
            number: self.number,
            counts: self.counts,
            content: Content::Simulated(bytes as usize),
            picture: Some(self.picture),
            level: 0,
            since: None,
        }
    }
}
