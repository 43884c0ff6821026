//! Capture times across a codec that counts samples.
//!
//! Browsers' audio codecs take the timestamp of the first sound that they are given and count from
//! there. Sound that is missing, because a busy machine's microphone skipped it or the network lost
//! it, would make everything after it seem older, by more with each gap. So a codec is given a count
//! here, and what it returns is mapped to when that was captured.

use std::collections::VecDeque;

/// Pieces of sound that a codec may hold: more than any takes.
const HELD: usize = 512;

/// What a codec was given and has not returned.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    samples: u64,
    /// Counted time and capture time of the start of each piece, in microseconds.
    pieces: VecDeque<(u64, u64)>,
}

impl Timeline {
    /// The timestamp in microseconds to give a codec with a piece of sound.
    pub fn give(&mut self, capture_us: u64, samples: u32, sample_rate: f64) -> u64 {
        let counted = (self.samples as f64 * 1e6 / sample_rate) as u64;
        self.samples += u64::from(samples);
        if self.pieces.len() >= HELD {
            self.pieces.pop_front();
        }
        self.pieces.push_back((counted, capture_us));
        counted
    }

    /// When the sound was captured that a codec returned with this timestamp, in microseconds.
    /// Timestamps must not fall. `None`: nothing was given.
    pub fn capture_us(&mut self, timestamp_us: f64) -> Option<u64> {
        // Codecs and counting round differently.
        let timestamp = timestamp_us.max(0.0) as u64 + 2;
        while self.pieces.get(1).is_some_and(|(at, _)| *at <= timestamp) {
            self.pieces.pop_front();
        }
        let (at, capture) = self.pieces.front()?;
        Some(capture + timestamp.saturating_sub(*at + 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts like a browser's codec: from the first timestamp, in packets of 20 ms.
    fn returned(packets: u64, first: u64) -> impl Iterator<Item = f64> {
        (0..packets).map(move |n| (first + n * 20_000) as f64)
    }

    #[test]
    fn what_a_microphone_skips_makes_nothing_later_older() {
        let mut timeline = Timeline::default();
        let capture = |n: u64| 5_000_000 + n * 10_000 + if n >= 10 { 700_000 } else { 0 };
        let given: Vec<u64> = (0..20)
            .map(|n| timeline.give(capture(n), 480, 48_000.0))
            .collect();
        assert_eq!(given[1], 10_000);
        for (n, timestamp) in returned(10, given[0]).enumerate() {
            let expected = capture(2 * n as u64);
            assert_eq!(timeline.capture_us(timestamp), Some(expected));
        }
    }

    #[test]
    fn pieces_need_not_be_as_long_as_packets_nor_last_whole_microseconds() {
        let mut timeline = Timeline::default();
        for n in 0..300u64 {
            let capture = 1_000 + n * 128 * 1_000_000 / 48_000;
            timeline.give(capture, 128, 48_000.0);
        }
        for (n, timestamp) in returned(40, 0).enumerate() {
            let capture = timeline.capture_us(timestamp).unwrap_or_default();
            assert!(
                capture.abs_diff(1_000 + n as u64 * 20_000) <= 3,
                "{capture}"
            );
        }
    }

    #[test]
    fn a_codec_that_returns_nothing_costs_no_memory() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.capture_us(0.0), None);
        for n in 0..10_000 {
            timeline.give(n * 10_000, 480, 48_000.0);
        }
        assert_eq!(timeline.pieces.len(), HELD);
    }
}
