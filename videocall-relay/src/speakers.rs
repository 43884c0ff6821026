//! Who speaks: which audio is forwarded, and the order that clients show.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use videocall_types::ids::SessionId;

/// A speaker that sent nothing for so long is none.
const GONE_AFTER: Duration = Duration::from_secs(2);
/// How often the choice is made anew.
const CHOICE_INTERVAL: Duration = Duration::from_millis(200);
/// How much louder, in dB, one must be to take the place of another.
const HYSTERESIS_DB: f32 = 6.0;
/// Below this, in dB over silence, nobody is called a speaker (−60 dBov).
const AUDIBLE_DB: f32 = 67.0;

#[derive(Debug)]
struct Voice {
    /// Smoothed, in dB over silence: 127 is the loudest.
    level: f32,
    heard: Instant,
    chosen: bool,
}

impl Voice {
    fn rank(&self) -> f32 {
        self.level + if self.chosen { HYSTERESIS_DB } else { 0.0 }
    }
}

/// The voices of one meeting.
#[derive(Debug)]
pub(crate) struct Speakers {
    loudest: usize,
    voices: FxHashMap<SessionId, Voice>,
    /// Over this, one that was not chosen takes the place of one that was.
    threshold: f32,
    chosen_at: Option<Instant>,
    ranking: Vec<(f32, SessionId)>,
    told: Vec<SessionId>,
}

impl Speakers {
    pub(crate) fn new(loudest: usize) -> Self {
        Self {
            loudest,
            voices: FxHashMap::default(),
            threshold: f32::NEG_INFINITY,
            chosen_at: None,
            ranking: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Notes the level (−dBov) of an audio packet and tells whether to forward it.
    pub(crate) fn observe(&mut self, now: Instant, session: SessionId, level: u8) -> bool {
        let loudness = f32::from(127 - level.min(127));
        let few = self.voices.len() < self.loudest;
        self.chosen_at.get_or_insert(now);
        let voice = self.voices.entry(session).or_insert(Voice {
            level: loudness,
            heard: now,
            chosen: few,
        });
        // Up within two packets, down within ten: words have pauses.
        let weight = if loudness > voice.level { 0.5 } else { 0.1 };
        voice.level += (loudness - voice.level) * weight;
        voice.heard = now;
        if voice.chosen || voice.level <= self.threshold {
            return voice.chosen;
        }
        // Somebody begins to speak: the first word must not wait for the next regular choice.
        self.rank(now);
        self.voices[&session].chosen
    }

    pub(crate) fn remove(&mut self, session: SessionId) {
        if self
            .voices
            .remove(&session)
            .is_some_and(|voice| voice.chosen)
        {
            self.threshold = f32::NEG_INFINITY;
        }
    }

    /// Who was told to speak last, loudest first.
    pub(crate) fn told(&self) -> &[SessionId] {
        &self.told
    }

    /// When to call [`choose`](Self::choose).
    pub(crate) fn next_choice(&self) -> Option<Instant> {
        self.chosen_at.map(|at| at + CHOICE_INTERVAL)
    }

    /// Chooses the loudest anew. Returns the speakers, loudest first, if they changed.
    pub(crate) fn choose(&mut self, now: Instant) -> Option<Vec<SessionId>> {
        if self.next_choice().is_none_or(|at| now < at) {
            return None;
        }
        self.rank(now);
        self.chosen_at = (!self.voices.is_empty()).then_some(now);
        let speaking: Vec<SessionId> = self
            .ranking
            .iter()
            .take(self.loudest)
            .map(|&(_, session)| session)
            .filter(|session| self.voices[session].level >= AUDIBLE_DB)
            .collect();
        if speaking == self.told {
            return None;
        }
        self.told.clone_from(&speaking);
        Some(speaking)
    }

    /// Sorts the voices, loudest first, and chooses the first of them.
    fn rank(&mut self, now: Instant) {
        self.voices
            .retain(|_, voice| now.saturating_duration_since(voice.heard) <= GONE_AFTER);
        self.ranking.clear();
        self.ranking.extend(
            self.voices
                .iter()
                .map(|(session, voice)| (voice.rank(), *session)),
        );
        self.ranking
            .sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (place, (_, session)) in self.ranking.iter().enumerate() {
            if let Some(voice) = self.voices.get_mut(session) {
                voice.chosen = place < self.loudest;
            }
        }
        self.threshold = match self.loudest.checked_sub(1) {
            None => f32::INFINITY,
            Some(last) => self
                .ranking
                .get(last)
                .map_or(f32::NEG_INFINITY, |(_, session)| {
                    self.voices[session].rank()
                }),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> SessionId {
        SessionId::new(n).unwrap()
    }

    #[test]
    fn only_the_loudest_are_forwarded_and_a_little_louder_is_not_enough() {
        let start = Instant::now();
        let mut speakers = Speakers::new(2);
        let mut now = start;
        let mut run = |levels: &[u8], ticks: u32| {
            let mut forwarded = Vec::new();
            let mut told = None;
            for _ in 0..ticks {
                now += Duration::from_millis(20);
                forwarded = levels
                    .iter()
                    .enumerate()
                    .map(|(i, &level)| speakers.observe(now, id(i as u64 + 1), level))
                    .collect();
                told = speakers.choose(now).or(told);
            }
            (forwarded, told)
        };
        let (forwarded, told) = run(&[30, 40, 90, 127], 50);
        assert_eq!(forwarded, [true, true, false, false]);
        assert_eq!(told, Some(vec![id(1), id(2)]));
        assert_eq!(run(&[30, 40, 37, 127], 50).0, [true, true, false, false]);
        let (forwarded, told) = run(&[30, 40, 25, 127], 50);
        assert_eq!(forwarded, [true, false, true, false]);
        assert_eq!(told, Some(vec![id(3), id(1)]));
        assert_eq!(run(&[127, 127, 127, 127], 200).1, Some(vec![]));
    }

    #[test]
    fn the_silent_make_place() {
        let start = Instant::now();
        let mut speakers = Speakers::new(1);
        assert!(speakers.observe(start, id(1), 10));
        assert!(!speakers.observe(start, id(2), 90));
        let later = start + Duration::from_secs(3);
        speakers.observe(later, id(2), 90);
        speakers.choose(later);
        assert!(speakers.observe(later, id(2), 90));
    }
}
