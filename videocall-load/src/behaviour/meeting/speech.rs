//! When people speak.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

/// Mean length of talking, ITU-T P.59, table 1.
const TALK_MEAN: f64 = 1.004;
/// Mean length of a pause, the same.
const PAUSE_MEAN: f64 = 1.587;
/// Length of a turn.
const TURN: Duration = Duration::from_secs(5);

/// Pattern of the speakers of a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Speech {
    /// All speakers all the time.
    #[default]
    Steady,
    /// One after the other, five seconds each.
    Turns,
    /// Talkspurts and pauses of random length with the means of ITU-T P.59.
    Conversation,
}

/// The voice of one speaker.
#[derive(Debug)]
pub struct Voice {
    speech: Speech,
    index: u64,
    speakers: u64,
    random: SmallRng,
    talking: bool,
    until: Duration,
}

impl Voice {
    /// Speaker `index` of so many.
    pub fn new(speech: Speech, index: u64, speakers: u64, seed: u64) -> Self {
        Self {
            speech,
            index,
            speakers: speakers.max(1),
            random: SmallRng::seed_from_u64(seed),
            talking: false,
            until: Duration::ZERO,
        }
    }

    /// Whether the voice is heard at a time of the shared clock. Times must not fall.
    pub fn is_talking(&mut self, at: Duration) -> bool {
        match self.speech {
            Speech::Steady => true,
            Speech::Turns => {
                let turn = at.as_nanos() / TURN.as_nanos();
                turn % u128::from(self.speakers) == u128::from(self.index)
            }
            Speech::Conversation => {
                if self.until.is_zero() {
                    self.until = at;
                }
                while self.until <= at {
                    self.talking = !self.talking;
                    let mean = if self.talking { TALK_MEAN } else { PAUSE_MEAN };
                    // Exponential: both tails of the published distributions are.
                    let seconds = -mean * (1.0 - self.random.random::<f64>()).ln();
                    self.until += Duration::from_secs_f64(seconds.clamp(0.04, 20.0));
                }
                self.talking
            }
        }
    }

    /// The level of a talking voice in −dBov: wavers around its own loudness.
    pub fn level(&mut self) -> u8 {
        let own = 22 + (self.index % 8) as u8;
        own + self.random.random_range(0..6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talking(voice: &mut Voice, seconds: u64) -> f64 {
        let steps = seconds * 50;
        let base = Duration::from_secs(1_700_000_000);
        let heard = (0..steps)
            .filter(|step| voice.is_talking(base + Duration::from_millis(20 * step)))
            .count();
        heard as f64 / steps as f64
    }

    #[test]
    fn each_pattern_has_its_share_of_talk() {
        assert_eq!(talking(&mut Voice::new(Speech::Steady, 0, 3, 1), 10), 1.0);
        let turns = talking(&mut Voice::new(Speech::Turns, 1, 3, 1), 300);
        assert!((turns - 1.0 / 3.0).abs() < 0.01, "{turns}");
        let free = talking(&mut Voice::new(Speech::Conversation, 0, 3, 1), 3000);
        let expected = TALK_MEAN / (TALK_MEAN + PAUSE_MEAN);
        assert!((free - expected).abs() < 0.05, "{free}");
    }

    #[test]
    fn of_those_who_take_turns_one_talks_at_a_time() {
        let mut voices: Vec<_> = (0..3)
            .map(|index| Voice::new(Speech::Turns, index, 3, index))
            .collect();
        for second in 0..60 {
            let at = Duration::from_secs(second);
            assert_eq!(
                voices
                    .iter_mut()
                    .filter_map(|v| v.is_talking(at).then_some(()))
                    .count(),
                1
            );
        }
    }
}
