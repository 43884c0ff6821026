//! Adds voices up.

use crate::{Voice, VoiceStatus, layout::SLOTS};

/// From here on the sum is bent towards 1 instead of being cut.
const KNEE: f32 = 0.8;

/// All voices of a meeting.
#[derive(Debug)]
pub struct Mixer {
    voices: Vec<Voice>,
}

impl Default for Mixer {
    fn default() -> Self {
        Self {
            voices: vec![Voice::default(); SLOTS as usize],
        }
    }
}

impl Mixer {
    /// Takes a chunk of a voice; see [`Voice::push`]. Out of range it does nothing.
    pub fn push(&mut self, slot: usize, capture_us: f64, now_us: f64, samples: &[f32]) {
        if let Some(voice) = self.voices.get_mut(slot) {
            voice.push(capture_us, now_us, samples);
        }
    }

    /// Makes a voice as new.
    pub fn reset(&mut self, slot: usize) {
        if let Some(voice) = self.voices.get_mut(slot) {
            *voice = Voice::default();
        }
    }

    /// How a voice is.
    pub fn status(&self, slot: usize) -> VoiceStatus {
        self.voices.get(slot).map(Voice::status).unwrap_or_default()
    }

    /// Writes the next samples of all voices together.
    pub fn process(&mut self, out: &mut [f32]) {
        out.fill(0.0);
        for voice in &mut self.voices {
            voice.mix_into(out);
        }
        for sample in out {
            *sample = limit(*sample);
        }
    }
}

/// Softly, so that several voices at once do not clip.
fn limit(sample: f32) -> f32 {
    let over = sample.abs() - KNEE;
    if over <= 0.0 {
        return sample;
    }
    let room = 1.0 - KNEE;
    sample.signum() * (KNEE + room * (over / (over + room)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_sum_never_clips(chunks in prop::collection::vec((0..20usize, 0..400u32, -1.5f32..1.5), 1..80)) {
            let mut mixer = Mixer::default();
            for (n, (slot, at, value)) in chunks.into_iter().enumerate() {
                mixer.push(slot, f64::from(at) * 20_000.0, n as f64 * 2_667.0, &[value; 960]);
                let mut out = [0.0; 128];
                mixer.process(&mut out);
                prop_assert!(out.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
            }
        }
    }

    #[test]
    fn quiet_sound_is_left_alone() {
        assert_eq!(limit(0.5), 0.5);
        assert_eq!(limit(-0.8), -0.8);
        assert!(limit(3.0) < 1.0 && limit(3.0) > limit(1.0));
    }
}
