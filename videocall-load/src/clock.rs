//! The clock that all connections, and all workers of a run, share: it stamps payloads.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Microseconds by which this machine's clock is behind the coordinator's.
static OFFSET_US: AtomicI64 = AtomicI64::new(0);

/// The wall clock is read once, so that its corrections during a run cannot bend delays.
fn anchor() -> &'static (Instant, u64) {
    static ANCHOR: OnceLock<(Instant, u64)> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since_epoch.map_or(0, |since| since.as_micros() as u64);
        (Instant::now(), micros)
    })
}

/// Microseconds since the Unix epoch at a moment of this process.
pub fn micros(at: Instant) -> u64 {
    let (start, epoch) = anchor();
    let here = match at.checked_duration_since(*start) {
        Some(since) => epoch.saturating_add(since.as_micros() as u64),
        None => epoch.saturating_sub(start.duration_since(at).as_micros() as u64),
    };
    here.saturating_add_signed(OFFSET_US.load(Relaxed))
}

/// Microseconds since the Unix epoch, now.
pub fn now_micros() -> u64 {
    micros(Instant::now())
}

/// The time from a stamp to a moment; zero if the clocks disagree so much that it would be negative.
pub fn since(stamp_us: u64, at: Instant) -> Duration {
    Duration::from_micros(micros(at).saturating_sub(stamp_us))
}

/// Aligns this process with another clock: microseconds to be added to its own time.
pub fn set_offset(micros: i64) {
    OFFSET_US.store(micros, Relaxed);
}
