//! The memory shared with the AudioWorklet, from the side that fills it.

use std::time::Duration;

use js_sys::{Atomics, Float32Array, Int32Array, SharedArrayBuffer};
use videocall_playout::layout::{
    BUFFERED_MS, CHUNK, CHUNK_HEAD, CHUNK_SAMPLES, CHUNKS, CONCEALED, CONTROL, GENERATION, HEADER,
    HEARD_HIGH, HEARD_LOW, OWN_LEVEL, READ, SLOT, SLOTS, WRITTEN,
};
use videocall_types::ids::MediaKind;

type Key = (u64, MediaKind);

pub(super) struct Voices {
    words: Int32Array,
    samples: Float32Array,
    slots: Vec<Option<Key>>,
}

fn base(slot: u32) -> u32 {
    HEADER + slot * SLOT
}

impl Voices {
    pub(super) fn new(memory: &SharedArrayBuffer) -> Self {
        Self {
            words: Int32Array::new(memory),
            samples: Float32Array::new(memory),
            slots: vec![None; SLOTS as usize],
        }
    }

    /// A free voice for a stream; `None` if all are taken.
    pub(super) fn take(&mut self, key: Key) -> Option<u32> {
        let slot = self.slots.iter().position(Option::is_none)?;
        self.slots[slot] = Some(key);
        let slot = slot as u32;
        // What was written for somebody else is not played: the worklet begins anew.
        let _ = Atomics::add(&self.words, base(slot) + GENERATION, 1);
        Some(slot)
    }

    pub(super) fn release(&mut self, key: Key) {
        for slot in self.slots.iter_mut().filter(|slot| **slot == Some(key)) {
            *slot = None;
        }
    }

    /// Which voice is whose microphone.
    pub(super) fn list(&self) -> Vec<(u64, u32)> {
        let slots = self.slots.iter().zip(0..);
        slots
            .filter_map(|(key, slot)| match key {
                Some((session, MediaKind::Audio)) => Some((*session, slot)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn set_own_level(&self, level: f32) {
        let _ = Atomics::store(&self.words, OWN_LEVEL, (level * 1e6) as i32);
    }

    /// Puts sound into a voice. Where the worklet does not take it, it is dropped.
    pub(super) fn write(&self, slot: u32, capture_us: f64, samples: &[f32]) {
        let base = base(slot);
        let mut capture_us = capture_us;
        for part in samples.chunks(CHUNK_SAMPLES as usize) {
            let written = self.word(base + WRITTEN);
            let read = self.word(base + READ);
            if written.wrapping_sub(read) as u32 >= CHUNKS {
                return;
            }
            let chunk = base + CONTROL + (written as u32 % CHUNKS) * CHUNK;
            let start = chunk + CHUNK_HEAD;
            self.samples
                .subarray(start, start + part.len() as u32)
                .copy_from(part);
            let capture = capture_us.max(0.0) as u64;
            self.words.set_index(chunk, part.len() as i32);
            self.words.set_index(chunk + 1, capture as u32 as i32);
            self.words.set_index(chunk + 2, (capture >> 32) as i32);
            // Only now may the worklet look at it.
            let _ = Atomics::store(&self.words, base + WRITTEN, written.wrapping_add(1));
            capture_us += part.len() as f64 * 1e6 / 48_000.0;
        }
    }

    /// When sound is heard, and when it was captured, in microseconds.
    pub(super) fn heard(&self, slot: u32, now: Duration) -> Option<(Duration, u64)> {
        let base = base(slot);
        let high = self.word(base + HEARD_HIGH);
        let low = self.word(base + HEARD_LOW);
        // Written in two halves: around a carry they may not belong together.
        let torn = high != self.word(base + HEARD_HIGH);
        let capture = (high as u64) << 32 | u64::from(low as u32);
        (high >= 0 && capture > 0 && !torn).then_some((now, capture))
    }

    pub(super) fn buffered_ms(&self, slot: u32) -> f64 {
        self.word(base(slot) + BUFFERED_MS).into()
    }

    pub(super) fn concealed(&self, slot: u32) -> u32 {
        self.word(base(slot) + CONCEALED) as u32
    }

    fn word(&self, at: u32) -> i32 {
        Atomics::load(&self.words, at).unwrap_or(0)
    }
}
