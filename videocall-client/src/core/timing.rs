//! When to show a frame, so that picture and sound belong together and jitter is not seen.

use std::time::Duration;

/// How fast the estimates forget: about four seconds at 30 frames a second.
const FORGET: f64 = 0.992;
/// Nobody waits longer for a picture.
const LONGEST: f64 = 400_000.0;
/// Sound that is further away than this belongs to another time.
const AUDIO_RANGE: f64 = 2_000_000.0;

/// From handing a picture over to seeing it, in microseconds: browsers present at the next refresh
/// of the screen, of which there are 60 a second.
const PRESENTATION: f64 = 16_000.0;

/// Maps the publisher's capture clock to the local one for one picture. All in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    /// Smallest difference of arrival and capture: the path without waiting.
    base: Option<f64>,
    /// How much later frames come than that; rises at once, falls slowly.
    jitter: f64,
    /// Difference of the time sound is heard and its capture.
    audio: Option<f64>,
}

impl Timing {
    /// Notes the arrival of a frame.
    pub fn arrived(&mut self, now: Duration, capture_us: u64) {
        let transit = now.as_micros() as f64 - capture_us as f64;
        let base = self.base.get_or_insert(transit);
        if (transit - *base).abs() > 5_000_000.0 {
            // Another clock: the publisher came back.
            *base = transit;
            self.jitter = 0.0;
        }
        if transit < *base {
            *base = transit;
        } else {
            // Up slowly, for clocks that drift apart.
            *base += (transit - *base) * (1.0 - FORGET) * 0.1;
        }
        let late = (transit - *base).min(LONGEST);
        self.jitter = late.max(self.jitter * FORGET);
    }

    /// Notes that sound captured at `capture_us` is heard at `now`; `None`: there is no sound.
    pub fn heard(&mut self, heard: Option<(Duration, u64)>) {
        self.audio = heard.map(|(now, capture_us)| now.as_micros() as f64 - capture_us as f64);
    }

    /// When to hand a frame over to be shown.
    pub fn display_at(&self, capture_us: u64) -> Duration {
        let own = self.base.unwrap_or(0.0) + self.jitter;
        let offset = match self.audio {
            // With the sound, unless the picture cannot be there in time or would wait for ever.
            Some(audio) if (audio - own).abs() < AUDIO_RANGE => {
                audio.min(own + LONGEST) - PRESENTATION
            }
            _ => own,
        };
        let at = capture_us as f64 + offset;
        Duration::from_micros(at.max(0.0) as u64)
    }

    /// Mean delay for jitter, in milliseconds.
    pub fn jitter_ms(&self) -> f32 {
        (self.jitter / 1000.0) as f32
    }

    /// How much later than its sound a frame is seen that was handed over at `shown`, in
    /// milliseconds.
    pub fn offset_to_audio_ms(&self, shown: Duration, capture_us: u64) -> Option<f32> {
        let audio = self.audio?;
        let seen = shown.as_micros() as f64 + PRESENTATION;
        Some(((seen - capture_us as f64 - audio) / 1000.0) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKS_APART: u64 = 7_000_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_steady_path_adds_no_delay_and_a_shaky_one_adds_its_jitter() {
        let mut timing = Timing::default();
        for n in 0..100u64 {
            timing.arrived(ms(n * 33 + 20), CLOCKS_APART + n * 33_000);
        }
        assert_eq!(
            timing.display_at(CLOCKS_APART + 100 * 33_000),
            ms(100 * 33 + 20)
        );
        for n in 100..400u64 {
            let late = if n % 3 == 0 { 30 } else { 0 };
            timing.arrived(ms(n * 33 + 20 + late), CLOCKS_APART + n * 33_000);
        }
        let wait = timing.display_at(CLOCKS_APART + 400 * 33_000) - ms(400 * 33 + 20);
        assert!(wait > ms(25) && wait < ms(36), "{wait:?}");
    }

    #[test]
    fn the_picture_waits_for_its_sound() {
        let mut timing = Timing::default();
        for n in 0..100u64 {
            timing.arrived(ms(n * 33 + 20), CLOCKS_APART + n * 33_000);
        }
        timing.heard(Some((ms(3300 + 80), CLOCKS_APART + 3_300_000)));
        let shown = timing.display_at(CLOCKS_APART + 3_333_000);
        assert_eq!(
            shown,
            ms(3333 + 80 - 16),
            "as long before as presenting takes"
        );
        let offset = timing.offset_to_audio_ms(shown, CLOCKS_APART + 3_333_000);
        assert_eq!(offset, Some(0.0));
        timing.heard(None);
        assert_eq!(timing.display_at(CLOCKS_APART + 3_333_000), ms(3333 + 20));
    }
}
