//! Estimates what the way to the server carries, from how long packets wait on it.
//!
//! The criterion is CoDel's (RFC 8289): a queue that never empties for a whole interval is a
//! standing one, so the *shortest* wait of an interval counts, not the longest or the mean. A
//! keyframe that takes its time, or a packet that is lost and sent again, says nothing; a path that
//! carries less than is sent shows in every packet. `docs/decisions/uplink.md` tells why.

use std::time::Duration;

/// How long waits are gathered for a judgement.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// A shortest wait that is longer than on the idle path by this much is a standing queue.
const STANDING: Duration = Duration::from_millis(100);
/// Intervals in a row with a standing queue until the rate is cut: a keyframe is forgiven.
pub const PATIENCE: u32 = 2;
/// The same where an interval has only one wait to tell: one of a few must be short on an idle path,
/// however busy a machine is.
pub const PATIENCE_WITH_ONE: u32 = 4;
/// A queue that is still there so long after a cut is cut again.
const DRAIN: Duration = Duration::from_secs(1);
/// What is left of the measured capacity after a cut, so that the queue empties.
const CUT: f64 = 0.85;
/// The same while there still is a queue.
const DRAINING: f64 = 0.5;
/// Bits a second that pictures may take until something is known of a path: two layers of a camera.
pub const FIRST_PICTURES_BPS: u64 = 700_000;
/// Bits a second to begin with, and never less than.
const FIRST_BPS: f64 = 1_000_000.0;
const FLOOR_BPS: f64 = 50_000.0;
const CEILING_BPS: f64 = 20_000_000.0;
/// What sound alone lets the estimate grow to, so that pictures can be tried again.
const UNPROVEN_BPS: f64 = 200_000.0;
/// First and longest quiet time after a cut until more is tried; doubles with each cut soon after
/// another.
const QUIET: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// A cut is soon after another within this time.
const SOON: Duration = Duration::from_secs(30);
/// How long the idle path's wait is remembered: once to twice this long.
const MEMORY: Duration = Duration::from_secs(15);
/// Cuts in a row that shorten no wait until the wait is taken for the path's own.
const IN_VAIN: u32 = 3;

/// What the uplink carries. Tell it what happens, and call [`tick`](Self::tick) each
/// [`INTERVAL`].
#[derive(Clone, Debug)]
pub struct Uplink {
    rate: f64,
    /// The capacity that was found last; `None` until there was a first standing queue.
    found: Option<f64>,
    judged: Duration,
    shortest: Option<Duration>,
    idle: Idle,
    standing: u32,
    patience: u32,
    draining: bool,
    cut: Option<Cut>,
    quiet_until: Duration,
    in_vain: u32,
    sent: Meter,
    delivered: Meter,
}

/// The last cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Duration,
    /// How many came soon after each other.
    row: u32,
    wait: Duration,
}

impl Default for Uplink {
    fn default() -> Self {
        Self {
            rate: FIRST_BPS,
            found: None,
            judged: Duration::ZERO,
            shortest: None,
            idle: Idle::default(),
            standing: 0,
            patience: PATIENCE,
            draining: false,
            cut: None,
            quiet_until: Duration::ZERO,
            in_vain: 0,
            sent: Meter::default(),
            delivered: Meter::default(),
        }
    }
}

impl Uplink {
    /// Bits a second that may be sent, sound included.
    pub fn bps(&self) -> u64 {
        let share = if self.draining { DRAINING } else { 1.0 };
        (self.rate * share).max(FLOOR_BPS) as u64
    }

    /// Another path: what it carries is not known, so the last is believed only where it was
    /// modest.
    /// `patience` is how many intervals with a standing queue are borne in a row.
    pub fn path_changed(&mut self, now: Duration, patience: u32) {
        *self = Self {
            rate: self.rate.min(FIRST_BPS),
            judged: now,
            patience,
            ..Self::default()
        };
    }

    /// Bytes were given to the transport, their framing included.
    pub fn sent(&mut self, now: Duration, bytes: usize) {
        self.sent.add(now, bytes);
    }

    /// Bytes arrived, or at least left.
    pub fn delivered(&mut self, now: Duration, bytes: usize) {
        self.delivered.add(now, bytes);
    }

    /// Something took so long from being handed over until it was acknowledged.
    pub fn waited(&mut self, now: Duration, wait: Duration) {
        self.idle.note(now, wait);
        self.shortest = Some(self.shortest.map_or(wait, |shortest| shortest.min(wait)));
    }

    /// Judges the interval that ends now, if one does. `queued` is how long the oldest picture has
    /// waited for the transport, `unanswered` how long the oldest thing has that the transport
    /// holds.
    pub fn tick(&mut self, now: Duration, queued: Option<Duration>, unanswered: Option<Duration>) {
        if now < self.judged + INTERVAL {
            return;
        }
        self.judged = now;
        let idle = self.idle.wait();
        // What is not through yet counts only where nothing else came through.
        let shortest = self.shortest.take().or(unanswered);
        let excess = shortest.map(|wait| wait.saturating_sub(idle));
        let wait = excess.max(queued).unwrap_or_default();
        if wait > STANDING {
            self.standing += 1;
            self.congested(now, wait);
        } else {
            self.standing = 0;
            self.in_vain = 0;
            self.draining = false;
            self.grow(now);
        }
    }

    fn congested(&mut self, now: Duration, wait: Duration) {
        if self.standing < self.patience {
            return;
        }
        if self.draining && self.cut.is_some_and(|cut| now < cut.at + DRAIN) {
            return;
        }
        if let Some(cut) = self.cut.filter(|_| self.draining) {
            // A queue gets longer or shorter meanwhile; only a path's own wait stays as it is.
            let same = wait >= cut.wait.mul_f64(0.85) && wait <= cut.wait.mul_f64(1.15);
            self.in_vain = if same { self.in_vain + 1 } else { 0 };
        }
        if self.in_vain >= IN_VAIN {
            // Less from us makes no difference: the path is longer now, or others fill it.
            self.idle.forget();
            self.in_vain = 0;
            self.standing = 0;
            self.draining = false;
            return;
        }
        let capacity = self.delivered.bps(now).clamp(self.rate / 2.0, self.rate);
        self.found = Some(capacity);
        self.rate = (capacity * CUT).max(FLOOR_BPS);
        self.draining = true;
        let row = match self.cut {
            Some(cut) if now < cut.at + DRAIN.mul_f64(1.5) => cut.row,
            Some(cut) if now < cut.at + SOON => cut.row + 1,
            _ => 0,
        };
        self.cut = Some(Cut { at: now, row, wait });
        self.quiet_until = now + (QUIET.0 * (1 << row.min(6))).min(QUIET.1);
    }

    fn grow(&mut self, now: Duration) {
        if now < self.quiet_until {
            return;
        }
        let sent = self.sent.bps(now);
        let factor = match (self.found, self.cut) {
            (Some(found), _) if self.rate > found * 0.9 && self.rate < found * 1.1 => 1.005,
            (Some(_), Some(cut)) if now < cut.at + SOON / 3 => 1.04,
            (Some(_), _) => 1.08,
            (None, _) => 1.25,
        };
        // A rate that is not used is not proven; some more is, since layers come in steps.
        let proven = if sent >= self.rate * 0.6 {
            CEILING_BPS
        } else if self.found.is_none() {
            (sent * 2.5).max(FIRST_BPS)
        } else {
            (sent * 2.5).max(UNPROVEN_BPS)
        };
        let grown = (self.rate * factor).min(proven).min(CEILING_BPS);
        self.rate = self.rate.max(grown);
    }
}

/// The shortest wait of the last while: that of the path without a queue.
#[derive(Clone, Debug, Default)]
struct Idle {
    since: Duration,
    now: Option<Duration>,
    before: Option<Duration>,
}

impl Idle {
    fn note(&mut self, now: Duration, wait: Duration) {
        if now >= self.since + MEMORY {
            self.since = now;
            self.before = self.now.take();
        }
        self.now = Some(self.now.map_or(wait, |shortest| shortest.min(wait)));
    }

    fn wait(&self) -> Duration {
        let both = self.now.into_iter().chain(self.before);
        both.min().unwrap_or_default()
    }

    fn forget(&mut self) {
        (self.now, self.before) = (None, None);
    }
}

/// Bits a second over the last half of a second, in tenths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    tenth: u64,
    bytes: [usize; Self::TENTHS],
}

impl Meter {
    const TENTHS: usize = 5;

    pub(crate) fn add(&mut self, now: Duration, bytes: usize) {
        self.advance(now);
        self.bytes[self.tenth as usize % Self::TENTHS] += bytes;
    }

    pub(crate) fn bps(&mut self, now: Duration) -> f64 {
        self.advance(now);
        self.bytes.iter().sum::<usize>() as f64 * 8.0 * (10.0 / Self::TENTHS as f64)
    }

    fn advance(&mut self, now: Duration) {
        let tenth = (now.as_millis() / 100) as u64;
        let passed = tenth.saturating_sub(self.tenth).min(Self::TENTHS as u64);
        for back in 0..passed {
            self.bytes[(tenth - back) as usize % Self::TENTHS] = 0;
        }
        self.tenth = self.tenth.max(tenth);
    }
}

#[cfg(test)]
mod tests;
