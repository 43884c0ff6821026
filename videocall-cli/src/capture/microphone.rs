//! A microphone that may be unplugged and plugged in again.

use std::{
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use videocall_capture::{CaptureError, Microphone, microphone::RATE};
use videocall_codec::opus::FRAME_SAMPLES;

use super::{
    Away,
    backoff::{Backoff, is_over},
};
use crate::exit::Failure;

/// As long does the end of the program wait for a microphone that gives nothing.
const WAIT: Duration = Duration::from_millis(100);

/// Sound of a microphone in frames of 20 ms, for as long as the program runs.
pub(crate) struct MicrophoneSource {
    state: State,
    device: String,
    /// Sound that makes no whole frame yet.
    ready: Vec<f32>,
    heard: SampleClock,
    away: watch::Sender<Away>,
}

enum State {
    Here(Box<Microphone>),
    Gone(Backoff),
}

impl MicrophoneSource {
    pub(crate) fn open(device: &str, away: watch::Sender<Away>) -> Result<Self, Failure> {
        let microphone = Microphone::open(device).map_err(|error| Failure::device(&error))?;
        Ok(Self {
            state: State::Here(Box::new(microphone)),
            device: device.to_owned(),
            ready: Vec::new(),
            heard: SampleClock::default(),
            away,
        })
    }

    /// Waits for the next 20 ms and gives the moment at which they began; `None` when the program
    /// ends.
    pub(crate) fn next(
        &mut self,
        to: &mut [f32; FRAME_SAMPLES],
        stopped: &Receiver<()>,
    ) -> Option<Instant> {
        while !is_over(stopped) {
            if self.ready.len() >= FRAME_SAMPLES
                && let Some(began) = self.heard.take(FRAME_SAMPLES)
            {
                to.copy_from_slice(&self.ready[..FRAME_SAMPLES]);
                self.ready.drain(..FRAME_SAMPLES);
                return Some(began);
            }
            match &mut self.state {
                State::Here(microphone) => match microphone.next(WAIT, &mut self.ready) {
                    Ok(Some(last)) => self.heard.measured(last, self.ready.len()),
                    Ok(None) => {}
                    Err(error) => self.lost(&error),
                },
                State::Gone(backoff) => {
                    if !backoff.wait(stopped) {
                        return None;
                    }
                    self.look_again();
                }
            }
        }
        None
    }

    fn lost(&mut self, error: &CaptureError) {
        self.state = State::Gone(Backoff::new());
        self.ready.clear();
        self.heard = SampleClock::default();
        self.away
            .send_modify(|away| away.microphone = Some(error.to_string()));
    }

    fn look_again(&mut self) {
        match Microphone::open(&self.device) {
            Ok(microphone) => {
                self.state = State::Here(Box::new(microphone));
                self.away.send_modify(|away| away.microphone = None);
            }
            Err(error) => {
                tracing::debug!(%error, "the microphone is not back yet");
            }
        }
    }
}

/// When samples were heard: by their count, which is even, and slowly corrected by the clock,
/// which is not, since it is read whenever the program gets to it.
#[derive(Default)]
struct SampleClock {
    /// When the next sample to be taken was heard.
    next: Option<Instant>,
}

/// A jump of the clock: sound was lost, or the machine slept.
const JUMP: Duration = Duration::from_millis(60);

fn length(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(RATE))
}

impl SampleClock {
    /// The last of `waiting` samples was heard at `last`.
    fn measured(&mut self, last: Instant, waiting: usize) {
        let Some(first) = last.checked_sub(length(waiting)) else {
            return;
        };
        self.next = Some(match self.next {
            Some(next) if first >= next && first - next < JUMP => next + (first - next) / 32,
            Some(next) if first < next && next - first < JUMP => next - (next - first) / 32,
            _ => first,
        });
    }

    /// Takes samples away, and tells when the first of them was heard.
    fn take(&mut self, samples: usize) -> Option<Instant> {
        let began = self.next?;
        self.next = Some(began + length(samples));
        Some(began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_even_though_the_clock_is_not() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut clock = SampleClock::default();
        let mut last: Option<Instant> = None;
        for frame in 0..500u32 {
            // Read up to 8 ms late.
            let late = Duration::from_millis(u64::from(frame * 7 % 9));
            clock.measured(
                start + 20 * (frame + 1) * Duration::from_millis(1) + late,
                FRAME_SAMPLES,
            );
            let began = clock.take(FRAME_SAMPLES).unwrap();
            if let Some(last) = last {
                let step = began - last;
                assert!(
                    step.abs_diff(Duration::from_millis(20)) < Duration::from_millis(1),
                    "{step:?}"
                );
            }
            last = Some(began);
        }
        let expected = start + Duration::from_millis(499 * 20 + 4);
        let last = last.unwrap();
        assert!(last.max(expected) - last.min(expected) < Duration::from_millis(4));
    }

    #[test]
    fn lost_sound_is_a_jump() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut clock = SampleClock::default();
        clock.measured(start, FRAME_SAMPLES);
        clock.take(FRAME_SAMPLES);
        let later = start + Duration::from_secs(3);
        clock.measured(later, FRAME_SAMPLES);
        assert_eq!(
            clock.take(FRAME_SAMPLES),
            Some(later - Duration::from_millis(20))
        );
    }
}
