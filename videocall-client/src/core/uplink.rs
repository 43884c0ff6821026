//! Estimates what the way to the server carries, from how long packets wait on it.
//!
//! The criterion is CoDel's (RFC 8289): a queue that never empties for a whole interval is a
//! standing one, so the *shortest* wait of an interval counts, not the longest or the mean. A
//! keyframe that takes its time, or a packet that is lost and sent again, says nothing; a path that
//! carries less than is sent shows in every packet. A machine that has too much to do delays all
//! packets as well, but not for long at a time: how long is learned, and borne. `docs/decisions/uplink.md`
//! tells why.

use std::{cmp::Reverse, time::Duration};

/// How long waits are gathered for a judgement.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// A shortest wait that is longer than on the idle path by this much is a standing queue.
const STANDING: Duration = Duration::from_millis(100);
/// Intervals in a row with a standing queue until the rate is cut: a keyframe is forgiven.
pub const PATIENCE: u32 = 3;
/// The same where an interval has only one wait to tell: one of a few must be short on an idle path,
/// however busy a machine is.
pub const PATIENCE_WITH_ONE: u32 = 4;
/// Where queues went away by themselves, so many intervals more than that took are borne, and so
/// many at most.
const MORE_PATIENCE: u32 = 2;
const MOST_PATIENCE: u32 = 8;
/// How long the longest of these is remembered: once to twice this long.
const RESTLESS: Duration = Duration::from_secs(30);
/// Part of the rate from which on it is in use, so that what arrives tells the capacity.
const IN_USE: f64 = 0.6;
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
/// It doubles after so many intervals without a queue, and it takes twice as many after each
/// attempt that failed, up to the second of these: a minute, eight minutes.
const DOUBLES_AFTER: (u32, u32) = (240, 8 * 240);
/// First and longest quiet time after a cut until more is tried; doubles with each cut soon after
/// another.
const QUIET: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// A cut is soon after another within this time.
const SOON: Duration = Duration::from_secs(30);
/// How long the idle path's wait is remembered: once to twice this long.
const MEMORY: Duration = Duration::from_secs(15);
/// With the little that is sent after a cut a long queue gets shorter by more than this in
/// [`DRAIN`].
const SHORTER: Duration = Duration::from_millis(300);
/// Part of what was sent that arrives where a path carries it, and part of what arrived before that
/// a path with a queue goes on to carry.
const ALL: f64 = 0.85;
const STILL: f64 = 0.8;
/// A wait that is not of our making is borne, and as much again by a quarter; but sound that waits
/// for longer than the second of these is of no use.
const BORNE: f64 = 1.25;
const MOST_BORNE: Duration = Duration::from_millis(400);
const UNBEARABLE: Duration = Duration::from_millis(800);

/// What the uplink carries. Tell it what happens, and call [`tick`](Self::tick) each
/// [`INTERVAL`].
#[derive(Clone, Debug)]
pub struct Uplink {
    rate: f64,
    /// The capacity that was found last; `None` until there was a first standing queue.
    found: Option<f64>,
    judged: Duration,
    shortest: Option<Duration>,
    /// The shortest waits: those of the path without a queue.
    idle: Recent<Reverse<Duration>>,
    standing: u32,
    patience: u32,
    /// Intervals that queues lasted which went away by themselves.
    passing: Recent<u32>,
    draining: bool,
    cut: Option<Cut>,
    quiet_until: Duration,
    unproven: Unproven,
    /// Waits that are not of our making.
    borne: Recent<Duration>,
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
    /// Bytes that were sent and delivered until then, and bits a second that were delivered.
    totals: (u64, u64),
    delivered: f64,
    /// What was known before the first of those that follow each other at once.
    before: (f64, Option<f64>, Unproven),
}

/// What a path is thought to carry though that much is not sent. A still picture takes little: that
/// it was too much once must not keep it small for ever.
#[derive(Clone, Copy, Debug)]
struct Unproven {
    bps: f64,
    /// Intervals without a queue, and how many there must be.
    quiet: u32,
    enough: u32,
}

impl Default for Unproven {
    fn default() -> Self {
        Self {
            bps: UNPROVEN_BPS,
            quiet: 0,
            enough: DOUBLES_AFTER.0,
        }
    }
}

impl Unproven {
    fn interval_without_queue(&mut self) {
        self.quiet += 1;
        if self.quiet >= self.enough {
            self.quiet = 0;
            self.bps = (self.bps * 2.0).min(CEILING_BPS);
        }
    }

    fn too_much(&mut self) {
        if self.bps > UNPROVEN_BPS {
            self.enough = (self.enough * 2).min(DOUBLES_AFTER.1);
        }
        (self.bps, self.quiet) = (UNPROVEN_BPS, 0);
    }
}

impl Default for Uplink {
    fn default() -> Self {
        Self {
            rate: FIRST_BPS,
            found: None,
            judged: Duration::ZERO,
            shortest: None,
            idle: Recent::new(MEMORY),
            standing: 0,
            patience: PATIENCE,
            passing: Recent::new(RESTLESS),
            draining: false,
            cut: None,
            quiet_until: Duration::ZERO,
            unproven: Unproven::default(),
            borne: Recent::new(MEMORY),
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
        self.idle.note(now, Reverse(wait));
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
        let idle = self
            .idle
            .most(now)
            .map_or(Duration::ZERO, |Reverse(wait)| wait);
        // What is not through yet counts only where nothing else came through.
        let through = self.shortest.take();
        let shortest = through.or(unanswered);
        let excess = shortest.map(|wait| wait.saturating_sub(idle));
        let wait = excess.max(queued).unwrap_or_default();
        let borne = self.borne.most(now).unwrap_or_default();
        if wait > STANDING.max(borne) {
            self.standing += 1;
            self.congested(now, wait, through.is_some());
        } else {
            if self.standing > 0 && !self.draining {
                self.passing.note(now, self.standing);
            }
            self.standing = 0;
            self.draining = false;
            if through.is_some() {
                self.unproven.interval_without_queue();
            }
            self.grow(now);
        }
    }

    /// How many intervals with a standing queue are borne.
    fn patience(&mut self, now: Duration) -> u32 {
        let passing = self
            .passing
            .most(now)
            .map_or(0, |most| most + MORE_PATIENCE);
        self.patience.max(passing.min(MOST_PATIENCE))
    }

    /// `through`: something arrived meanwhile; of a path where nothing does the capacity is not known.
    fn congested(&mut self, now: Duration, wait: Duration, through: bool) {
        let patience = if wait < UNBEARABLE {
            self.patience(now)
        } else {
            self.patience
        };
        if !self.draining && self.standing < patience {
            return;
        }
        if self.draining && self.cut.is_some_and(|cut| now < cut.at + DRAIN) {
            return;
        }
        if let Some(cut) = self.cut.filter(|_| self.draining)
            && self.is_in_vain(now, &cut, wait)
        {
            // The machine has too much to do, the path is longer now, or others fill it.
            (self.rate, self.found, self.unproven) = cut.before;
            self.borne.note(now, wait.mul_f64(BORNE).min(MOST_BORNE));
            self.passing.note(now, self.standing);
            self.standing = 0;
            self.draining = false;
            return;
        }
        let before = match self.cut {
            Some(cut) if self.draining => cut.before,
            _ => (self.rate, self.found, self.unproven),
        };
        let (sent, delivered) = (self.sent.bps(now), self.delivered.bps(now));
        // Only less than is sent makes a difference.
        let most = self.rate.min(sent.max(FLOOR_BPS));
        let capacity = delivered.clamp(most / 2.0, most);
        if through && sent >= self.bps() as f64 * IN_USE {
            self.found = Some(capacity);
            self.unproven.too_much();
        }
        self.rate = (capacity * CUT).max(FLOOR_BPS);
        self.draining = true;
        let row = match self.cut {
            Some(cut) if now < cut.at + DRAIN.mul_f64(1.5) => cut.row,
            Some(cut) if now < cut.at + SOON => cut.row + 1,
            _ => 0,
        };
        self.cut = Some(Cut {
            at: now,
            row,
            wait,
            totals: (self.sent.total, self.delivered.total),
            delivered,
            before,
        });
        self.quiet_until = now + (QUIET.0 * (1 << row.min(6))).min(QUIET.1);
    }

    /// Whether less was sent since a cut, and yet what waits waits as long. A queue keeps its path
    /// busy: as much is delivered as before, however little is sent.
    fn is_in_vain(&self, now: Duration, cut: &Cut, wait: Duration) -> bool {
        let sent = (self.sent.total - cut.totals.0) as f64;
        let delivered = (self.delivered.total - cut.totals.1) as f64;
        let bps = delivered * 8.0 / now.saturating_sub(cut.at).as_secs_f64();
        delivered >= sent * ALL
            && bps < cut.delivered * STILL
            && wait + SHORTER > cut.wait
            && wait < UNBEARABLE
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
        let proven = if sent >= self.rate * IN_USE {
            CEILING_BPS
        } else if self.found.is_none() {
            (sent * 2.5).max(FIRST_BPS)
        } else {
            (sent * 2.5).max(self.unproven.bps)
        };
        let grown = (self.rate * factor).min(proven).min(CEILING_BPS);
        self.rate = self.rate.max(grown);
    }
}

/// The largest value of the last while: once to twice as long as `memory`.
#[derive(Clone, Debug)]
struct Recent<T> {
    memory: Duration,
    since: Duration,
    now: Option<T>,
    before: Option<T>,
}

impl<T: Ord + Copy> Recent<T> {
    fn new(memory: Duration) -> Self {
        Self {
            memory,
            since: Duration::ZERO,
            now: None,
            before: None,
        }
    }

    fn note(&mut self, now: Duration, value: T) {
        self.advance(now);
        self.now = self.now.max(Some(value));
    }

    fn most(&mut self, now: Duration) -> Option<T> {
        self.advance(now);
        self.now.max(self.before)
    }

    fn advance(&mut self, now: Duration) {
        if now >= self.since + self.memory {
            let forgotten = now >= self.since + 2 * self.memory;
            self.before = self.now.take().filter(|_| !forgotten);
            self.since = now;
        }
    }
}

/// Bits a second over the last half of a second, in tenths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    total: u64,
    tenth: u64,
    bytes: [usize; Self::TENTHS],
}

impl Meter {
    const TENTHS: usize = 5;

    pub(crate) fn add(&mut self, now: Duration, bytes: usize) {
        self.advance(now);
        self.total += bytes as u64;
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
