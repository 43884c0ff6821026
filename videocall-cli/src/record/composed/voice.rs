//! The sound of one participant or screen, placed in the recorder's time.

use std::collections::VecDeque;

use bytes::Bytes;
use videocall_client::core::audio::{AudioBuffer, AudioPacket};
use videocall_codec::opus::{Channels, Decoder, OpusError};
use videocall_types::view::Routing;

use super::line::Line;

/// Samples of a microsecond, by a million.
const RATE: i64 = 48_000;
/// Sound that is nearer than this to where it belongs is put behind what is there: a cut would be
/// heard, 30 ms are not seen.
const TOLERANCE: i64 = RATE * 30 / 1000;
/// Samples that wait at most.
const WAITING: usize = 3 * RATE as usize;

pub(super) struct Voice {
    buffer: AudioBuffer,
    ready: Vec<AudioPacket>,
    decoder: Decoder,
    samples: Vec<f32>,
    waiting: VecDeque<f32>,
    /// Where the first sample that waits belongs, in samples of the recorder's time.
    start: i64,
}

impl Voice {
    pub(super) fn new() -> Result<Self, OpusError> {
        Ok(Self {
            buffer: AudioBuffer::default(),
            ready: Vec::new(),
            decoder: Decoder::new(Channels::Mono)?,
            samples: Vec::new(),
            waiting: VecDeque::new(),
            start: 0,
        })
    }

    pub(super) fn take(&mut self, routing: &Routing, data: Bytes, line: &Line) {
        let mut ready = std::mem::take(&mut self.ready);
        self.buffer.push(routing, data, &mut ready);
        for packet in ready.drain(..) {
            self.samples.clear();
            if self.decoder.decode(&packet.data, &mut self.samples).is_ok() {
                self.place(line.local_us(packet.capture_us) * RATE / 1_000_000);
            }
        }
        self.ready = ready;
    }

    fn place(&mut self, at: i64) {
        let end = self.start + self.waiting.len() as i64;
        let gap = at - end;
        if self.waiting.is_empty() || gap > WAITING as i64 {
            self.waiting.clear();
            self.start = at;
        } else if gap < -TOLERANCE {
            // It would be heard over what is there.
            return;
        } else if gap > TOLERANCE {
            self.waiting.extend(std::iter::repeat_n(0.0, gap as usize));
        }
        self.waiting.extend(&self.samples);
        let excess = self.waiting.len().saturating_sub(WAITING);
        self.drop_first(excess);
    }

    fn drop_first(&mut self, count: usize) {
        self.waiting.drain(..count);
        self.start += count as i64;
    }

    /// Adds what belongs from that sample on, and forgets it.
    pub(super) fn mix(&mut self, from: i64, to: &mut [f32]) {
        if self.waiting.is_empty() {
            return;
        }
        let late = (from - self.start).clamp(0, self.waiting.len() as i64) as usize;
        self.drop_first(late);
        let offset = (self.start - from).clamp(0, to.len() as i64) as usize;
        let count = (to.len() - offset).min(self.waiting.len());
        for (to, sample) in to[offset..].iter_mut().zip(&self.waiting) {
            *to += sample;
        }
        self.drop_first(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(voice: &mut Voice, from: i64, count: usize) -> Vec<f32> {
        let mut samples = vec![0.0; count];
        voice.mix(from, &mut samples);
        samples
    }

    #[test]
    fn sound_is_heard_where_it_belongs() {
        let mut voice = Voice::new().unwrap();
        voice.samples = vec![1.0; 4];
        voice.place(1_000_002);
        assert_eq!(mixed(&mut voice, 1_000_000, 4), [0.0, 0.0, 1.0, 1.0]);
        // A little off: behind what is there.
        voice.samples = vec![0.5; 2];
        voice.place(1_000_010);
        assert_eq!(mixed(&mut voice, 1_000_004, 4), [1.0, 1.0, 0.5, 0.5]);
        // After a silence, which is as long as it was.
        voice.place(1_010_000);
        voice.place(1_020_000);
        assert_eq!(mixed(&mut voice, 1_010_000, 3), [0.5, 0.5, 0.0]);
        assert_eq!(mixed(&mut voice, 1_019_999, 3), [0.0, 0.5, 0.5]);
        // Too late.
        voice.place(1_000_000);
        assert_eq!(mixed(&mut voice, 1_020_002, 2), [0.0, 0.0]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut voice = Voice::new().unwrap();
        voice.samples = vec![1.0; 960];
        for n in 0..1000 {
            voice.place(n * 960);
            assert!(voice.waiting.len() <= WAITING);
        }
    }
}
