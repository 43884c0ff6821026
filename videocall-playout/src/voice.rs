//! One remote voice: an adaptive jitter buffer for decoded sound.

use std::collections::VecDeque;

use crate::{SAMPLE_RATE, stretch};

/// Sound kept at most: more has no use and the oldest goes.
const LONGEST: usize = SAMPLE_RATE as usize;
/// Least and most that should wait, in microseconds.
const TARGET_MIN: f64 = 30_000.0;
const TARGET_MAX: f64 = 500_000.0;
/// How fast the jitter estimate forgets, per chunk: half in about 7 s of 20 ms chunks.
const FORGET: f64 = 0.998;
/// Waiting this much over the target is too much, under it too little.
const OVER: f64 = 25_000.0;
const UNDER: f64 = 15_000.0;
/// Least distance between two changes of length, in samples: 40 ms.
const CHANGE_INTERVAL: usize = 1920;
/// A hole in the sound up to this is a lost packet; a longer one is a pause of the speaker.
const LOSS: f64 = 100_000.0;
/// Concealment fades to silence over this many samples: 60 ms.
const FADE: usize = 2880;
/// Samples remembered to conceal with.
const MEMORY: usize = 2 * 600;
/// Samples over which sound comes back after silence: 2.5 ms.
const RAMP: usize = 120;

/// How a voice is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoiceStatus {
    /// Capture time of the sample that is next, in microseconds; `None` while nothing is played.
    pub heard_us: Option<f64>,
    /// Sound that waits, in milliseconds.
    pub buffered_ms: f32,
    /// Sound that should wait, in milliseconds.
    pub target_ms: f32,
    /// Samples made up because none came.
    pub concealed: u64,
    /// Loudness, 0 to 1.
    pub level: f32,
}

/// One remote voice.
#[derive(Clone, Debug)]
pub struct Voice {
    waiting: VecDeque<f32>,
    /// Stretched sound that is played before what waits.
    ready: VecDeque<f32>,
    /// Capture time of the first waiting sample.
    capture_us: f64,
    playing: bool,
    /// Smallest transit time and how much later chunks come.
    base: Option<f64>,
    jitter: f64,
    since_change: usize,
    memory: Vec<f32>,
    memory_at: usize,
    conceal: Option<usize>,
    ramp: usize,
    concealed: u64,
    level: f32,
    scratch: Vec<f32>,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            waiting: VecDeque::with_capacity(LONGEST),
            ready: VecDeque::with_capacity(2 * stretch::NEEDED),
            capture_us: 0.0,
            playing: false,
            base: None,
            jitter: 0.0,
            since_change: 0,
            memory: vec![0.0; MEMORY],
            memory_at: 0,
            conceal: None,
            ramp: RAMP,
            concealed: 0,
            level: 0.0,
            scratch: Vec::with_capacity(2 * stretch::NEEDED),
        }
    }
}

fn microseconds(samples: usize) -> f64 {
    samples as f64 * 1e6 / f64::from(SAMPLE_RATE)
}

impl Voice {
    /// Takes a chunk that was captured at `capture_us` and arrived at `now_us` of any clock that
    /// runs like that of playing.
    pub fn push(&mut self, capture_us: f64, now_us: f64, samples: &[f32]) {
        self.note_arrival(capture_us, now_us);
        let end = self.capture_us + microseconds(self.waiting.len());
        let hole = capture_us - end;
        if self.waiting.is_empty() || hole.abs() > LOSS {
            // A pause, or another time: what waits is played, then this.
            if self.waiting.is_empty() || hole < 0.0 {
                self.waiting.clear();
                self.capture_us = capture_us;
            } else {
                self.fill_silence(hole.min(TARGET_MAX));
            }
        } else if hole > 1_000.0 {
            self.fill_silence(hole);
        }
        self.waiting
            .extend(samples.iter().map(|s| if s.is_finite() { *s } else { 0.0 }));
        while self.waiting.len() > LONGEST {
            self.waiting.pop_front();
            self.capture_us += microseconds(1);
        }
    }

    fn fill_silence(&mut self, hole_us: f64) {
        let samples = (hole_us * f64::from(SAMPLE_RATE) / 1e6) as usize;
        self.waiting
            .extend(std::iter::repeat_n(0.0, samples.min(LONGEST)));
    }

    /// The interarrival statistics of RFC 3550 lose the worst cases, which are what is heard: this
    /// keeps the largest recent lateness instead.
    fn note_arrival(&mut self, capture_us: f64, now_us: f64) {
        let transit = now_us - capture_us;
        let base = self.base.get_or_insert(transit);
        if (transit - *base).abs() > 2_000_000.0 {
            *base = transit;
            self.jitter = 0.0;
        }
        if transit < *base {
            *base = transit;
        } else {
            // Up slowly, for clocks that drift apart.
            *base += (transit - *base) * 0.002;
        }
        self.jitter = (transit - *base).min(TARGET_MAX).max(self.jitter * FORGET);
    }

    fn target_us(&self) -> f64 {
        (self.jitter + TARGET_MIN).clamp(TARGET_MIN, TARGET_MAX)
    }

    fn buffered_us(&self) -> f64 {
        microseconds(self.waiting.len() + self.ready.len())
    }

    /// Adds the next samples to `out`.
    pub fn mix_into(&mut self, out: &mut [f32]) {
        if !self.playing && self.buffered_us() >= self.target_us() {
            self.playing = true;
            self.conceal = None;
            self.ramp = 0;
        }
        let mut energy = 0.0;
        let length = out.len() as f32;
        for place in out {
            let sample = self.next_sample();
            energy += sample * sample;
            *place += sample;
        }
        let loudness = (energy / length).sqrt();
        let weight = if loudness > self.level { 0.3 } else { 0.03 };
        self.level += (loudness - self.level) * weight;
    }

    fn next_sample(&mut self) -> f32 {
        if self.playing {
            self.adjust_length();
            let sample = match self.ready.pop_front() {
                Some(sample) => Some(sample),
                None => self
                    .waiting
                    .pop_front()
                    .inspect(|_| self.capture_us += microseconds(1)),
            };
            if let Some(mut sample) = sample {
                if self.ramp < RAMP {
                    sample *= self.ramp as f32 / RAMP as f32;
                    self.ramp += 1;
                }
                self.remember(sample);
                return sample;
            }
            // Nothing came in time: wait for as much as should wait before playing again.
            self.playing = false;
            self.conceal = Some(0);
        }
        self.concealment()
    }

    fn remember(&mut self, sample: f32) {
        self.memory[self.memory_at] = sample;
        self.memory_at = (self.memory_at + 1) % MEMORY;
    }

    /// The last 12.5 ms back and forth, fading.
    fn concealment(&mut self) -> f32 {
        let Some(at) = self.conceal.as_mut().filter(|at| **at < FADE) else {
            return 0.0;
        };
        let half = MEMORY / 2;
        let phase = *at % (2 * half);
        // Backwards, then forwards: no jump at the turning points.
        let back = if phase < half {
            phase
        } else {
            2 * half - 1 - phase
        };
        let sample = self.memory[(self.memory_at + MEMORY - 1 - back) % MEMORY];
        let gain = 1.0 - *at as f32 / FADE as f32;
        *at += 1;
        self.concealed += 1;
        sample * gain * gain
    }

    /// Leaves out or repeats a period where too much or too little waits.
    fn adjust_length(&mut self) {
        self.since_change += 1;
        if self.since_change < CHANGE_INTERVAL
            || !self.ready.is_empty()
            || self.waiting.len() < stretch::NEEDED
        {
            return;
        }
        let (buffered, target) = (self.buffered_us(), self.target_us());
        let change = if buffered > target + OVER {
            stretch::shorten
        } else if buffered < target - UNDER {
            stretch::lengthen
        } else {
            return;
        };
        self.since_change = 0;
        let sound = &self.waiting.make_contiguous()[..stretch::NEEDED];
        self.scratch.clear();
        let taken = change(sound, &mut self.scratch);
        self.waiting.drain(..taken);
        self.capture_us += microseconds(taken);
        self.ready.extend(&self.scratch);
    }

    /// How the voice is.
    pub fn status(&self) -> VoiceStatus {
        VoiceStatus {
            heard_us: self
                .playing
                .then(|| self.capture_us - microseconds(self.ready.len())),
            buffered_ms: (self.buffered_us() / 1000.0) as f32,
            target_ms: (self.target_us() / 1000.0) as f32,
            concealed: self.concealed,
            level: self.level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 960;

    /// Plays a tone over a path; `late` gives each chunk's delay in ms, `None` for a lost one.
    /// Returns what is heard.
    fn play(seconds: usize, drift: f64, late: impl Fn(usize) -> Option<f64>) -> (Vec<f32>, Voice) {
        let mut voice = Voice::default();
        let mut arrivals: Vec<(f64, usize)> = (0..seconds * 50)
            .filter_map(|n| {
                Some((
                    n as f64 * 20_000.0 * drift + late(n)? * 1000.0 + 20_000.0,
                    n,
                ))
            })
            .collect();
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut arrivals = arrivals.into_iter().peekable();
        let mut heard = Vec::new();
        for quantum in 0..seconds * 375 {
            let now = quantum as f64 * 128.0 * 1e6 / 48_000.0;
            while let Some((_, n)) = arrivals.next_if(|(at, _)| *at <= now) {
                let chunk: Vec<f32> = (n * CHUNK..(n + 1) * CHUNK)
                    .map(|i| 0.5 * (i as f32 * 200.0 * std::f32::consts::TAU / 48_000.0).sin())
                    .collect();
                voice.push(n as f64 * 20_000.0, now, &chunk);
            }
            let mut out = [0.0; 128];
            voice.mix_into(&mut out);
            heard.extend(out);
        }
        (heard, voice)
    }

    fn crossings(sound: &[f32]) -> usize {
        sound
            .windows(2)
            .filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0)
            .count()
    }

    fn largest_step(sound: &[f32]) -> f32 {
        sound
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn a_steady_path_is_played_as_it_was_with_little_delay() {
        let (heard, voice) = play(5, 1.0, |_| Some(0.0));
        assert_eq!(voice.status().concealed, 0);
        assert!(voice.status().buffered_ms < 60.0, "{:?}", voice.status());
        let pitch = crossings(&heard[48_000..4 * 48_000]);
        assert!(pitch.abs_diff(600) <= 3, "{pitch}");
        assert!(largest_step(&heard) < 0.02);
    }

    #[test]
    fn jitter_raises_the_target_and_it_comes_back() {
        let (_, shaky) = play(10, 1.0, |n| Some(if n % 7 == 0 { 80.0 } else { 0.0 }));
        assert!(shaky.status().target_ms > 90.0, "{:?}", shaky.status());
        let (heard, calm) = play(60, 1.0, |n| {
            Some(if n < 500 && n % 7 == 0 { 80.0 } else { 0.0 })
        });
        assert!(calm.status().target_ms < 50.0, "{:?}", calm.status());
        assert!(calm.status().buffered_ms < 80.0, "{:?}", calm.status());
        let pitch = crossings(&heard[50 * 48_000..]);
        assert!(pitch.abs_diff(2000) <= 20, "{pitch}");
    }

    #[test]
    fn drifting_clocks_neither_run_dry_nor_fill_up() {
        for drift in [0.9998, 1.0002] {
            let (_, voice) = play(120, drift, |_| Some(0.0));
            let status = voice.status();
            assert!(status.concealed < 48 * 60, "{drift} {status:?}");
            assert!(status.buffered_ms < 90.0, "{drift} {status:?}");
        }
    }

    #[test]
    fn a_silent_path_fades_and_never_clicks() {
        let (heard, _) = play(6, 1.0, |n| (!(100..=200).contains(&n)).then_some(0.0));
        let middle = &heard[3 * 48_000..3 * 48_000 + 24_000];
        assert!(middle.iter().all(|sample| sample.abs() < 1e-6));
        assert!(largest_step(&heard) < 0.05, "{}", largest_step(&heard));
        assert!(
            heard
                .iter()
                .all(|sample| sample.is_finite() && sample.abs() <= 1.0)
        );
    }

    #[test]
    fn the_position_says_what_is_heard() {
        let (_, voice) = play(5, 1.0, |_| Some(0.0));
        let heard = voice.status().heard_us.unwrap();
        assert!((heard - 5e6).abs() < 120_000.0, "{heard}");
    }
}
