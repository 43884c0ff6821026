//! What a receiver's reports tell of the path to it.
//!
//! A receiver counts as lost also what was never sent to it, such as sound of one who was not among
//! the loudest; and it may lie. So a loss is believed only as far as the relay misses it, too:
//! packets that the receiver's writer took and the receiver did not get. What a lie can do is
//! spoil the liar's own picture.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use videocall_types::{
    ids::MediaKind,
    limits::MAX_WANTS,
    wire::{ReceiverReport, StreamReport},
};

use crate::congestion::Finding;

/// Reports that come sooner after the last one are not looked at.
const LEAST_INTERVAL: Duration = Duration::from_millis(400);
/// Reports over which losses are summed up: what is under way at the end of one is a small part.
const REPORTS: usize = 4;
/// Fewer packets of sound say nothing.
const LEAST_PACKETS: u64 = 50;

/// Sound within one report.
#[derive(Clone, Copy, Debug, Default)]
struct Sound {
    /// As the relay counted.
    taken: u64,
    /// As the receiver says.
    received: u64,
    lost: u64,
}

/// The reports of one receiver.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    last: Option<Instant>,
    taken: u64,
    sound: VecDeque<Sound>,
}

impl Reports {
    /// Whether a report has a form that a client of ours could send.
    pub(crate) fn is_plausible(report: &ReceiverReport) -> bool {
        // Sound and pictures of everybody whom one can want.
        report.streams.len() <= 4 * MAX_WANTS
    }

    /// Takes a report. `taken`: packets of sound that the receiver's writer took, ever.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        taken: u64,
        report: &ReceiverReport,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let elapsed = self.last.map(|last| now.saturating_duration_since(last));
        if elapsed.is_some_and(|elapsed| elapsed < LEAST_INTERVAL) {
            return found;
        }
        let before = std::mem::replace(&mut self.taken, taken);
        let is_first = self.last.replace(now).is_none();
        if report.available_bps > 0 {
            found.push(Finding::Available(report.available_bps));
        }
        if is_first {
            return found;
        }
        if self.sound.len() == REPORTS {
            self.sound.pop_front();
        }
        let mut sound = Sound {
            taken: taken - before,
            ..Sound::default()
        };
        for stream in report.streams.iter().filter(|stream| is_sound(stream)) {
            sound.received += u64::from(stream.received);
            sound.lost += u64::from(stream.lost);
        }
        self.sound.push_back(sound);
        found.extend(self.loss().map(Finding::Loss));
        found.extend(frozen(report).map(Finding::Frozen));
        found
    }

    /// The part of the sound that did not arrive.
    fn loss(&self) -> Option<f32> {
        let sum = |of: fn(&Sound) -> u64| self.sound.iter().map(of).sum::<u64>();
        let taken = sum(|sound| sound.taken);
        let missing = taken.saturating_sub(sum(|sound| sound.received));
        let lost = missing.min(sum(|sound| sound.lost));
        (taken >= LEAST_PACKETS).then(|| lost as f32 / taken as f32)
    }
}

/// The part of the interval in which pictures stood still, on the mean of all pictures: where only
/// one does, its publisher is the cause.
fn frozen(report: &ReceiverReport) -> Option<f32> {
    let pictures = report.streams.iter().filter(|stream| !is_sound(stream));
    let (mut count, mut still_ms) = (0u32, 0.0);
    for stream in pictures {
        count += 1;
        still_ms += stream.impaired_ms.min(report.interval_ms) as f32;
    }
    let shown_ms = report.interval_ms as f32 * count as f32;
    (shown_ms > 0.0).then(|| still_ms / shown_ms)
}

fn is_sound(stream: &StreamReport) -> bool {
    matches!(stream.kind(), MediaKind::Audio | MediaKind::ScreenAudio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(received: u32, lost: u32) -> ReceiverReport {
        ReceiverReport {
            interval_ms: 1000,
            streams: vec![StreamReport {
                session_id: 1,
                kind: MediaKind::Audio.into(),
                received,
                lost,
                ..StreamReport::default()
            }],
            ..ReceiverReport::default()
        }
    }

    /// The last loss found after reports of a second each, with 50 packets taken in each.
    fn loss_of(reports: &[(u32, u32)]) -> Option<f32> {
        let start = Instant::now();
        let mut state = Reports::default();
        let mut last = None;
        for (second, &(received, lost)) in (0..).zip(reports) {
            let now = start + Duration::from_secs(second);
            for finding in state.take(now, 50 * second, &report(received, lost)) {
                if let Finding::Loss(loss) = finding {
                    last = Some(loss);
                }
            }
        }
        last
    }

    #[test]
    fn a_loss_counts_as_far_as_both_sides_miss_it() {
        assert_eq!(loss_of(&[(0, 0), (40, 10), (40, 10)]), Some(0.2));
        assert_eq!(loss_of(&[(0, 0), (50, 900), (50, 0)]), Some(0.0), "a gap");
        assert_eq!(loss_of(&[(0, 0), (20, 0), (20, 0)]), Some(0.0), "silent");
        assert_eq!(loss_of(&[(0, 0)]), None, "nothing to compare with");
    }

    #[test]
    fn one_picture_that_stands_still_among_many_says_little_of_the_path() {
        let pictures = |still_ms: &[u32]| {
            let streams = still_ms.iter().map(|&impaired_ms| StreamReport {
                kind: MediaKind::Video.into(),
                impaired_ms,
                ..StreamReport::default()
            });
            frozen(&ReceiverReport {
                streams: streams.collect(),
                ..report(50, 0)
            })
        };
        assert_eq!(pictures(&[500]), Some(0.5));
        assert_eq!(pictures(&[1000, 0, 0, 0]), Some(0.25));
        assert_eq!(pictures(&[u32::MAX]), Some(1.0));
        assert_eq!(frozen(&report(50, 0)), None);
    }

    #[test]
    fn a_report_that_comes_at_once_after_another_is_not_looked_at() {
        let start = Instant::now();
        let mut state = Reports::default();
        let lossy = report(10, 90);
        state.take(start, 0, &lossy);
        assert!(!state.take(start + LEAST_INTERVAL, 100, &lossy).is_empty());
        let soon = start + LEAST_INTERVAL + Duration::from_millis(10);
        assert!(state.take(soon, 200, &lossy).is_empty());
    }
}
