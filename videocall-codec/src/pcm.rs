//! Uncompressed sound between what sources give and what Opus takes: rates, channels, loudness.
//!
//! Samples are `f32` from −1 to 1, interleaved.

use std::f64::consts::PI;

use crate::{opus::Channels, wav::MAX_RATE};

/// Input samples that each output sample is made of, where the rate goes up.
const TAPS: usize = 32;
/// Places between two input samples that the filter is computed for, where the rates have few
/// factors in common.
const MAX_PHASES: u64 = 1024;

/// Why there is no way from one rate to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{channels} channels from {from} Hz to {to} Hz cannot be resampled")]
pub struct ResampleError {
    /// Samples a second and channel that come.
    pub from: u32,
    /// Samples a second and channel that are wanted.
    pub to: u32,
    /// Channels.
    pub channels: usize,
}

/// Changes the rate of a stream of sound, by a windowed sinc (Kaiser, −80 dB). What comes out is
/// aligned with what went in, and lags behind by 16 input samples, or more where the rate goes
/// down.
#[derive(Clone, Debug)]
pub struct Resampler {
    channels: usize,
    /// The rates, without their common factors.
    from: u64,
    to: u64,
    taps: usize,
    phases: u64,
    /// `taps` weights for each phase.
    filter: Vec<f32>,
    /// Input that is still needed.
    buffer: Vec<f32>,
    /// Where in the buffer the next output begins, in samples per channel.
    at: usize,
    /// How far behind that it lies, in parts of `to`.
    fraction: u64,
}

impl Resampler {
    /// Rates are in Hz, 1 to [`MAX_RATE`]; channels are 1 to 8.
    pub fn new(from: u32, to: u32, channels: usize) -> Result<Self, ResampleError> {
        let rates = 1..=MAX_RATE;
        if !rates.contains(&from) || !rates.contains(&to) || !(1..=8).contains(&channels) {
            return Err(ResampleError { from, to, channels });
        }
        let common = u64::from(greatest_common_divisor(from, to));
        let (from, to) = (u64::from(from) / common, u64::from(to) / common);
        // A filter for a lower rate is longer by as much; beyond that it only cuts deeper.
        let step = (from as f64 / to as f64).clamp(1.0, 16.0);
        let taps = (TAPS as f64 * step).ceil() as usize & !1;
        let phases = to.min(MAX_PHASES);
        Ok(Self {
            channels,
            from,
            to,
            taps,
            phases,
            filter: if from == to {
                Vec::new()
            } else {
                filter(taps, phases, step)
            },
            // The first sample is in the middle of its filter.
            buffer: vec![0.0; (taps / 2 - 1) * channels],
            at: 0,
            fraction: 0,
        })
    }

    /// Takes whole frames of input and appends what they give to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        if self.from == self.to {
            out.extend_from_slice(samples);
            return;
        }
        self.buffer.extend_from_slice(samples);
        let frames = self.buffer.len() / self.channels;
        while self.at + self.taps <= frames {
            let phase = (self.fraction * self.phases / self.to) as usize;
            let weights = &self.filter[phase * self.taps..][..self.taps];
            let input = &self.buffer[self.at * self.channels..][..self.taps * self.channels];
            for channel in 0..self.channels {
                let values = input.iter().skip(channel).step_by(self.channels);
                out.push(
                    values
                        .zip(weights)
                        .map(|(value, weight)| value * weight)
                        .sum(),
                );
            }
            self.fraction += self.from;
            self.at += (self.fraction / self.to) as usize;
            self.fraction %= self.to;
        }
        let done = self.at.min(frames);
        self.buffer.drain(..done * self.channels);
        self.at -= done;
    }

    /// Appends what lags behind; the stream is over then.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        if self.from != self.to {
            let silence = vec![0.0; self.taps / 2 * self.channels];
            self.push(&silence, out);
        }
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Weights for each phase; each phase's sum up to 1.
fn filter(taps: usize, phases: u64, step: f64) -> Vec<f32> {
    let half = (taps / 2) as f64;
    // A little below the lower of both rates' limits: room for the slope.
    let cutoff = 0.93 / step;
    let mut filter = Vec::with_capacity(taps * phases as usize);
    for phase in 0..phases {
        let offset = phase as f64 / phases as f64;
        let weights: Vec<f64> = (0..taps)
            .map(|tap| {
                let x = tap as f64 - (half - 1.0) - offset;
                sinc(x * cutoff) * kaiser(x / half)
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        filter.extend(weights.iter().map(|weight| (weight / sum) as f32));
    }
    filter
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Kaiser's window from −1 to 1, for −80 dB.
fn kaiser(x: f64) -> f64 {
    const BETA: f64 = 7.86;
    if x.abs() > 1.0 {
        return 0.0;
    }
    bessel(BETA * (1.0 - x * x).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Appends samples of `from` channels to `out` with other channels: one channel becomes two equal
/// ones; of several, odd ones make the left or only half, even ones the right, each averaged.
/// `from` must not be 0.
pub fn remix(samples: &[f32], from: usize, to: Channels, out: &mut Vec<f32>) {
    let from = from.max(1);
    if from == to.count() {
        out.extend_from_slice(samples);
        return;
    }
    let mean = |frame: &[f32], skip: usize, step: usize| {
        let count = frame.len().saturating_sub(skip).div_ceil(step).max(1);
        frame.iter().skip(skip).step_by(step).sum::<f32>() / count as f32
    };
    for frame in samples.chunks_exact(from) {
        match (to, from) {
            (Channels::Mono, _) => out.push(mean(frame, 0, 1)),
            (Channels::Stereo, 1) => out.extend([frame[0], frame[0]]),
            (Channels::Stereo, _) => out.extend([mean(frame, 0, 2), mean(frame, 1, 2)]),
        }
    }
}

/// Loudness of samples as the routing header wants it (RFC 6464): 0 for the loudest there can be,
/// 127 for silence, −dBov in between.
pub fn level(samples: &[f32]) -> u8 {
    let power = samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum::<f64>()
        / samples.len().max(1) as f64;
    // What is no number counts as silence.
    (-10.0 * power.max(1e-13).log10()).clamp(0.0, 127.0).round() as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pattern::measure_tone;

    fn tone(hz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count)
            .map(|index| (2.0 * PI * hz * index as f64 / f64::from(rate)).sin() as f32 * 0.5)
            .collect()
    }

    fn resampled(samples: &[f32], from: u32, to: u32, channels: usize, piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to, channels).unwrap();
        let mut out = Vec::new();
        for piece in samples.chunks(piece * channels) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn a_tone_keeps_its_pitch_loudness_and_place() {
        for rate in [
            8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 44_101,
        ] {
            let out = resampled(&tone(1_000.0, rate, rate as usize), rate, 48_000, 1, 500);
            assert!(
                out.len().abs_diff(48_000) <= 2,
                "{} samples from {rate} Hz",
                out.len()
            );
            assert!(
                (measure_tone(&out, 1_000.0) - 0.5).abs() < 0.005,
                "{rate} Hz"
            );
            // Beside the same tone made at 48 kHz: what differs is noise, below −50 dB.
            let error = out[1_000..40_000]
                .iter()
                .zip(&tone(1_000.0, 48_000, 48_000)[1_000..])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(error < 0.0016, "{error} from {rate} Hz");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_left_out() {
        let out = resampled(&tone(30_000.0, 96_000, 48_000), 96_000, 48_000, 1, 960);
        assert!(level(&out[1_000..20_000]) > 70);
    }

    #[test]
    fn channels_stay_apart() {
        let left = tone(1_000.0, 44_100, 44_100);
        let both: Vec<f32> = left.iter().flat_map(|sample| [*sample, 0.0]).collect();
        let out = resampled(&both, 44_100, 48_000, 2, 441);
        let of =
            |channel: usize| -> Vec<f32> { out.iter().skip(channel).step_by(2).copied().collect() };
        assert!((measure_tone(&of(0), 1_000.0) - 0.5).abs() < 0.005);
        assert_eq!(level(&of(1)), 127);
    }

    #[test]
    fn rates_out_of_bounds_are_errors() {
        assert!(Resampler::new(0, 48_000, 1).is_err());
        assert!(Resampler::new(48_000, MAX_RATE + 1, 1).is_err());
        assert!(Resampler::new(48_000, 48_000, 0).is_err());
    }

    #[test]
    fn channels_are_remixed() {
        let mix = |samples: &[f32], from, to| {
            let mut out = Vec::new();
            remix(samples, from, to, &mut out);
            out
        };
        assert_eq!(
            mix(&[0.5, 0.25], 1, Channels::Stereo),
            [0.5, 0.5, 0.25, 0.25]
        );
        assert_eq!(mix(&[0.5, 0.25], 2, Channels::Mono), [0.375]);
        assert_eq!(mix(&[0.5, 0.25], 2, Channels::Stereo), [0.5, 0.25]);
        assert_eq!(
            mix(&[0.5, 0.25, 0.0, 0.75], 4, Channels::Stereo),
            [0.25, 0.5]
        );
        assert_eq!(mix(&[0.5, 0.25, 0.0], 3, Channels::Stereo), [0.25, 0.25]);
    }

    #[test]
    fn levels_of_known_sounds() {
        assert_eq!(level(&[1.0, -1.0]), 0);
        assert_eq!(level(&[]), 127);
        assert_eq!(level(&[0.0; 960]), 127);
        assert_eq!(level(&[0.1; 960]), 20);
        assert_eq!(level(&[f32::INFINITY]), 0);
        assert_eq!(level(&[f32::NAN]), 127);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn pieces_make_no_difference(piece in 1usize..700, from in 1_000u32..200_000) {
            let samples = tone(300.0, from, 2_000);
            let whole = resampled(&samples, from, 48_000, 1, samples.len());
            prop_assert_eq!(resampled(&samples, from, 48_000, 1, piece), whole);
        }

        #[test]
        fn no_rates_panic(from in 1u32..=MAX_RATE, to in 1u32..=MAX_RATE, channels in 1usize..=8) {
            let out = resampled(&[0.25; 800], from, to, channels, 30);
            prop_assert_eq!(out.len() % channels, 0);
            // Not far from constant: the filter's sums are 1.
            prop_assert!(out.iter().all(|sample| sample.abs() < 0.5));
        }
    }
}
