//! A tone that marks each second, and what finds it again.

use std::f64::consts::TAU;

use super::FLASH_MS;
use crate::opus::SAMPLE_RATE;

/// A tone at [`SAMPLE_RATE`] that has twice its frequency for the first [`FLASH_MS`] of every
/// second.
#[derive(Clone, Debug)]
pub struct Tone {
    hz: f64,
    amplitude: f32,
    phase: f64,
}

impl Tone {
    /// Frequency in Hz; amplitude 0 to 1.
    pub fn new(hz: f32, amplitude: f32) -> Self {
        Self {
            hz: f64::from(hz),
            amplitude,
            phase: 0.0,
        }
    }

    /// Fills `samples`, one channel, of which the first is played at `unix_us` microseconds since
    /// the Unix epoch. Calls one after the other give one tone without clicks.
    pub fn fill(&mut self, unix_us: u64, samples: &mut [f32]) {
        let rate = u64::from(SAMPLE_RATE);
        // Counted in samples of the second, so that the mark is exact.
        let start = unix_us % 1_000_000 * rate / 1_000_000;
        let mark = FLASH_MS * rate / 1_000;
        for (index, sample) in samples.iter_mut().enumerate() {
            let marked = (start + index as u64) % rate < mark;
            let hz = if marked { 2.0 * self.hz } else { self.hz };
            *sample = self.phase.sin() as f32 * self.amplitude;
            self.phase = (self.phase + TAU * hz / f64::from(SAMPLE_RATE)) % TAU;
        }
    }
}

/// A plain tone of `count` samples at [`SAMPLE_RATE`], beginning at phase 0.
pub fn sine(hz: f32, amplitude: f32, count: usize) -> Vec<f32> {
    let step = TAU * f64::from(hz) / f64::from(SAMPLE_RATE);
    (0..count)
        .map(|index| (step * index as f64).sin() as f32 * amplitude)
        .collect()
}

/// Amplitude of one frequency in samples of one channel at [`SAMPLE_RATE`], 0 to about 1
/// (Goertzel's algorithm). Frequencies nearer than `SAMPLE_RATE / samples.len()` are not told
/// apart.
pub fn measure_tone(samples: &[f32], hz: f32) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let step = TAU * f64::from(hz) / f64::from(SAMPLE_RATE);
    let factor = 2.0 * step.cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        let value = f64::from(*sample) + factor * one - two;
        (two, one) = (one, value);
    }
    let power = one * one + two * two - factor * one * two;
    (power.max(0.0).sqrt() * 2.0 / samples.len() as f64) as f32
}

/// Where the marks of a [`Tone`] of `hz` begin in samples of one channel, as indices, to within
/// about 2 ms. A mark that `samples` begins in is not found.
pub fn find_marks(samples: &[f32], hz: f32) -> Vec<usize> {
    /// 5 ms: ten periods of 2 kHz.
    const WINDOW: usize = 240;
    const STEP: usize = 24;
    let mut marks = Vec::new();
    let mut marked = true;
    let mut at = 0;
    while let Some(window) = samples.get(at..at + WINDOW) {
        let (low, high) = (measure_tone(window, hz), measure_tone(window, 2.0 * hz));
        if marked && low > high && low > 0.01 {
            marked = false;
        } else if !marked && high > low && high > 0.01 {
            marked = true;
            // Half of the window is the mark's.
            marks.push(at + WINDOW / 2);
        }
        at += STEP;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frequency_is_told_from_another() {
        let samples = sine(1_000.0, 0.25, 4_800);
        assert!((measure_tone(&samples, 1_000.0) - 0.25).abs() < 0.001);
        assert!(measure_tone(&samples, 1_200.0) < 0.005);
        assert_eq!(measure_tone(&[], 1_000.0), 0.0);
    }

    #[test]
    fn marks_are_where_seconds_begin() {
        let mut tone = Tone::new(1_000.0, 0.3);
        let mut samples = vec![0.0; 2 * 48_000];
        // In uneven pieces, from 0.7 s on.
        let mut at = 0;
        for piece in samples.chunks_mut(960) {
            tone.fill(5_700_000 + at * 1_000_000 / 48_000, piece);
            at += piece.len() as u64;
        }
        let marks = find_marks(&samples, 1_000.0);
        assert_eq!(marks.len(), 2);
        for (found, expected) in marks.iter().zip([14_400, 62_400]) {
            assert!(found.abs_diff(expected) < 100, "{found} for {expected}");
        }
    }

    #[test]
    fn the_tone_has_no_clicks() {
        let mut tone = Tone::new(1_000.0, 0.5);
        let mut samples = vec![0.0; 48_000];
        for (index, piece) in samples.chunks_mut(960).enumerate() {
            tone.fill(900_000 + index as u64 * 20_000, piece);
        }
        let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steepest.fold(0.0, f32::max) < 0.5 * 0.27);
    }
}
