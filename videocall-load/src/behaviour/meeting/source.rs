//! Makes frames of the sizes, and at the times, of real encoders.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use videocall_types::wire::StreamDemand;

use super::{
    options::{LayerOptions, MeetingOptions},
    speech::Voice,
    stamp::{STAMP_BYTES, TEMPORAL_LAYERS},
};
use crate::clock;

/// The temporal pattern L1T3 (W3C Scalable Video Coding for WebRTC, section 6).
const PATTERN: [u8; 4] = [0, 2, 1, 2];
/// Size of a frame of each temporal layer over the mean; over a pattern the mean is 1.
const WEIGHTS: [f64; TEMPORAL_LAYERS] = [1.6, 1.1, 0.65];
/// Size of a keyframe over the mean.
const KEYFRAME_WEIGHT: f64 = 8.0;
/// Keyframes that are asked for come no more often than this.
const KEYFRAME_SPACING: Duration = Duration::from_millis(300);
/// Length of the sound in an Opus packet.
const AUDIO_STEP: Duration = Duration::from_millis(20);
/// An Opus encoder with DTX sends this often in silence (RFC 6716, section 2.1.9).
const DTX_STEP: u32 = 20;
/// Frames that a late publisher makes up for at once; more are skipped, as a camera does.
const MAKE_UP: u64 = 5;

/// A frame to be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// When it should be sent.
    pub(super) planned: Instant,
    /// Simulcast layer.
    pub(super) spatial: u8,
    /// Temporal layer.
    pub(super) temporal: u8,
    /// Decodable by itself.
    pub(super) keyframe: bool,
    /// Distance to what it needs.
    pub(super) depends_back: u8,
    /// From 1.
    pub(super) number: u64,
    /// As in the stamp.
    pub(super) counts: [u32; TEMPORAL_LAYERS],
    /// Of the encoded frame.
    pub(super) bytes: usize,
    /// −dBov, for sound.
    pub(super) level: u8,
    /// When the last silence ended, if there was one.
    pub(super) since: Option<Instant>,
}

/// A camera with its simulcast encoders.
#[derive(Debug)]
pub(super) struct Camera {
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
    pub(super) fn new(options: &MeetingOptions, now: Instant, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let step = Duration::from_secs(1) / options.fps;
        let layers = options.camera_layers().iter().zip(0..);
        let layer = |(layer, spatial): (&LayerOptions, u8)| Layer {
            spatial,
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

    /// When the next picture is due.
    pub(super) fn next_due(&self) -> Instant {
        self.start + self.step * self.picture as u32
    }

    /// The server's wish for layers.
    pub(super) fn demand(&mut self, demand: &StreamDemand) {
        for layer in &mut self.layers {
            let wanted = demand.spatial_mask >> layer.spatial & 1 == 1;
            layer.keyframe_due |= wanted && !layer.wanted;
            layer.wanted = wanted;
        }
    }

    /// Somebody needs a keyframe of a layer.
    pub(super) fn request_keyframe(&mut self, spatial: u32) {
        for layer in &mut self.layers {
            layer.keyframe_due |= u32::from(layer.spatial) == spatial;
        }
    }

    /// Leaves out the pictures that are due.
    pub(super) fn skip(&mut self, now: Instant) {
        while self.next_due() <= now {
            self.picture += 1;
        }
    }

    /// The frames of all pictures that are due.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<Frame>) {
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
            spatial: self.spatial,
            temporal,
            keyframe,
            depends_back,
            number: self.number,
            counts: self.counts,
            bytes: (bytes as usize).max(STAMP_BYTES),
            level: 0,
            since: None,
        }
    }
}

/// A microphone with an Opus encoder.
#[derive(Debug)]
pub(super) struct Microphone {
    voice: Voice,
    mean_bytes: f64,
    start: Instant,
    step: u64,
    silent_steps: u32,
    since: Option<Instant>,
    number: u64,
    random: SmallRng,
}

impl Microphone {
    pub(super) fn new(options: &MeetingOptions, voice: Voice, now: Instant, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x5eed);
        Self {
            voice,
            mean_bytes: f64::from(options.audio_bitrate) / 8.0 * AUDIO_STEP.as_secs_f64(),
            start: now + AUDIO_STEP.mul_f64(random.random()),
            step: 0,
            silent_steps: 0,
            since: None,
            number: 0,
            random,
        }
    }

    pub(super) fn next_due(&self) -> Instant {
        self.start + AUDIO_STEP * self.step as u32
    }

    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<Frame>) {
        while self.next_due() <= now {
            let planned = self.next_due();
            self.step += 1;
            let at = Duration::from_micros(clock::micros(planned));
            let talking = self.voice.is_talking(at);
            if self.silent_steps > 0 {
                self.since = Some(planned);
            }
            if talking {
                self.silent_steps = 0;
            } else {
                self.silent_steps += 1;
                if self.silent_steps % DTX_STEP != 1 {
                    continue;
                }
            }
            self.number += 1;
            let mean = if talking { self.mean_bytes } else { 0.0 };
            let bytes = mean * self.random.random_range(0.8..1.2);
            out.push(Frame {
                planned,
                spatial: 0,
                temporal: 0,
                keyframe: false,
                depends_back: 0,
                number: self.number,
                counts: [self.number as u32; TEMPORAL_LAYERS],
                bytes: (bytes as usize).max(STAMP_BYTES),
                level: if talking { self.voice.level() } else { 127 },
                since: self.since,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::meeting::{options::LAYERS, speech::Speech};

    fn run(camera: &mut Camera, seconds: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        for _ in 0..seconds * 30 {
            camera.poll(camera.next_due(), &mut frames);
        }
        frames
    }

    #[test]
    fn a_camera_has_the_rate_and_the_bits_of_each_layer() {
        let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
        let frames = run(&mut camera, 60);
        for (layer, spatial) in LAYERS.iter().zip(0..) {
            let of_layer: Vec<_> = frames.iter().filter(|f| f.spatial == spatial).collect();
            assert_eq!(of_layer.len(), 60 * 30);
            let bits: usize = of_layer.iter().map(|frame| frame.bytes * 8).sum();
            let rate = bits as f64 / 60.0 / f64::from(layer.bitrate);
            assert!((0.95..1.1).contains(&rate), "{rate}");
            assert_eq!(of_layer.iter().filter(|frame| frame.keyframe).count(), 6);
            let numbers: Vec<u64> = of_layer.iter().map(|frame| frame.number).collect();
            assert_eq!(numbers, (1..=1800).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_frame_needs_one_of_a_higher_temporal_layer() {
        let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
        camera.request_keyframe(1);
        let frames = run(&mut camera, 15);
        let layer: Vec<_> = frames.iter().filter(|frame| frame.spatial == 1).collect();
        for frame in &layer {
            if frame.keyframe {
                assert_eq!(frame.depends_back, 0);
                continue;
            }
            let needed = layer[(frame.number - u64::from(frame.depends_back)) as usize - 1];
            assert!(needed.temporal < frame.temporal || needed.temporal == 0);
        }
        // What a receiver of the lower temporal layers sees has no gap in its own count.
        for max in 0..TEMPORAL_LAYERS {
            let seen = layer.iter().filter(|f| usize::from(f.temporal) <= max);
            let counts: Vec<u32> = seen.map(|frame| frame.counts[max]).collect();
            assert!(counts.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
    }

    #[test]
    fn a_layer_that_nobody_wants_is_not_encoded_and_returns_with_a_keyframe() {
        let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
        let demand = |mask| StreamDemand {
            spatial_mask: mask,
            ..StreamDemand::default()
        };
        camera.demand(&demand(0b001));
        assert!(run(&mut camera, 1).iter().all(|frame| frame.spatial == 0));
        camera.demand(&demand(0b101));
        let frames = run(&mut camera, 1);
        let first = frames.iter().find(|frame| frame.spatial == 2).unwrap();
        assert!(first.keyframe && first.number == 1);
        assert!(frames.iter().all(|frame| frame.spatial != 1));
    }

    #[test]
    fn a_late_camera_skips_pictures_and_counts_on() {
        let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
        run(&mut camera, 1);
        let late = camera.next_due() + Duration::from_secs(5);
        let mut frames = Vec::new();
        camera.poll(late, &mut frames);
        assert!(frames.len() <= 3 * (MAKE_UP as usize + 1));
        assert_eq!(frames[0].number, 31);
    }

    #[test]
    fn a_microphone_makes_fifty_packets_a_second_and_few_in_silence() {
        let options = MeetingOptions::default();
        let count = |speech| {
            let voice = Voice::new(speech, 0, 4, 1);
            let mut microphone = Microphone::new(&options, voice, Instant::now(), 1);
            let mut frames = Vec::new();
            for _ in 0..60 * 50 {
                microphone.poll(microphone.next_due(), &mut frames);
            }
            frames
        };
        assert_eq!(count(Speech::Steady).len(), 60 * 50);
        let turns = count(Speech::Turns);
        let (talk, silence): (Vec<Frame>, Vec<Frame>) =
            turns.iter().partition(|frame| frame.level < 127);
        assert_eq!(talk.len(), 15 * 50);
        assert!((45 * 5 / 2..=45 * 5 / 2 + 20).contains(&silence.len()));
        let mut spurts: Vec<_> = talk.iter().filter_map(|frame| frame.since).collect();
        spurts.dedup();
        assert!((2..=4).contains(&spurts.len()));
    }
}
