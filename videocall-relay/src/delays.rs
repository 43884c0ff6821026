//! How long packets wait in the queues of their receivers, as a histogram.
//!
//! Each queue counts under its own lock, which it holds anyway; the sums are brought up to date
//! once a second. So a delivery touches no memory that other threads write.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::packet::Class;

/// Upper bounds of the buckets, in microseconds; a last one has none.
const BOUNDS_US: [u32; 9] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
];
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// A histogram as Prometheus has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bound in seconds, and how many values were not above it.
    pub buckets: Vec<(f64, u64)>,
    /// How many values there were.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

#[derive(Debug, Default)]
struct Totals {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// Of all receivers together.
#[derive(Debug, Default)]
pub(crate) struct Delays([Totals; 2]);

/// Of one receiver, since the last time that they were [added](Delays::add).
#[derive(Debug, Default)]
pub(crate) struct LocalDelays {
    counts: [[u16; BUCKETS]; 2],
    sum_us: [u64; 2],
}

impl LocalDelays {
    #[inline]
    pub(crate) fn note(&mut self, class: Class, now: Instant, since: Instant) {
        let waited = now.saturating_duration_since(since);
        let us = u32::try_from(waited.as_micros()).unwrap_or(u32::MAX);
        let bucket = BOUNDS_US.iter().take_while(|&&bound| us > bound).count();
        let class = usize::from(class != Class::Audio);
        let count = &mut self.counts[class][bucket];
        *count = count.saturating_add(1);
        self.sum_us[class] += u64::from(us);
    }
}

impl Delays {
    pub(crate) fn add(&self, local: &mut LocalDelays) {
        let LocalDelays { counts, sum_us } = std::mem::take(local);
        for ((totals, counts), sum_us) in self.0.iter().zip(counts).zip(sum_us) {
            for (total, count) in totals.counts.iter().zip(counts) {
                if count > 0 {
                    total.fetch_add(count.into(), Relaxed);
                }
            }
            if sum_us > 0 {
                totals.sum_us.fetch_add(sum_us, Relaxed);
            }
        }
    }

    /// Of audio, and of pictures.
    pub(crate) fn histograms(&self) -> [Histogram; 2] {
        [&self.0[0], &self.0[1]].map(|totals| {
            let counts: Vec<u64> = totals.counts.iter().map(|it| it.load(Relaxed)).collect();
            let mut below = 0;
            let buckets = BOUNDS_US
                .iter()
                .zip(&counts)
                .map(|(&bound, count)| {
                    below += count;
                    (Duration::from_micros(bound.into()).as_secs_f64(), below)
                })
                .collect();
            Histogram {
                buckets,
                count: counts.iter().sum(),
                sum: Duration::from_micros(totals.sum_us.load(Relaxed)).as_secs_f64(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_counted_once_in_its_bucket_and_those_above() {
        let start = Instant::now();
        let mut local = LocalDelays::default();
        for ms in [0, 1, 7, 2_000] {
            local.note(Class::Audio, start + Duration::from_millis(ms), start);
        }
        local.note(Class::Video, start, start);
        let delays = Delays::default();
        delays.add(&mut local);
        delays.add(&mut local);
        let [audio, pictures] = delays.histograms();
        assert_eq!(audio.buckets[0], (0.001, 2));
        assert_eq!(audio.buckets[2], (0.01, 3));
        assert_eq!(audio.buckets[8], (1.0, 3));
        assert_eq!((audio.count, pictures.count), (4, 1));
        assert!((audio.sum - 2.008).abs() < 1e-9, "{}", audio.sum);
    }
}
