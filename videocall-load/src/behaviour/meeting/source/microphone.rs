//! A simulated microphone with an Opus encoder.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    super::{options::MeetingOptions, speech::Voice, stamp::TEMPORAL_LAYERS},
    Content, Frame, Source,
};
use crate::{clock, measure::MessageKind};

/// Length of the sound in an Opus packet.
const AUDIO_STEP: Duration = Duration::from_millis(20);
/// An Opus encoder with DTX sends this often in silence (RFC 6716, section 2.1.9).
const DTX_STEP: u32 = 20;
/// Size of a packet of comfort noise.
const DTX_BYTES: usize = 8;

/// A microphone with an Opus encoder.
#[derive(Debug)]
pub(in super::super) struct Microphone {
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
    pub(in super::super) fn new(
        options: &MeetingOptions,
        voice: Voice,
        now: Instant,
        seed: u64,
    ) -> Self {
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
}

impl Source for Microphone {
    fn next_due(&self) -> Instant {
        self.start + AUDIO_STEP * self.step as u32
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Frame>) {
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
                kind: MessageKind::Audio,
                spatial: 0,
                temporal: 0,
                keyframe: false,
                depends_back: 0,
                number: self.number,
                counts: [self.number as u32; TEMPORAL_LAYERS],
                content: Content::Simulated((bytes as usize).max(DTX_BYTES)),
                picture: None,
                level: if talking { self.voice.level() } else { 127 },
                since: self.since,
            });
        }
    }

    fn skip(&mut self, now: Instant) {
        while self.next_due() <= now {
            self.step += 1;
        }
    }
}
