//! Records what connections meet with.
// Holds the interface that connections record through, with bounded memory and a few locks, until
// the full recorder takes its place.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Classes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ErrorClass {
    Dns,
    Connect,
    Tls,
    Handshake,
    Protocol,
    CloseCode(u16),
    Reset,
    Timeout,
    Channel,
    Limit,
}

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MessageKind {
    Control,
    Audio,
    Video,
    Screen,
    Other,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Metric {
    Connect,
    Join,
    RoundTrip,
    OneWay,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum EndReason {
    Stopped,
    ClosedByServer,
    Failed,
}

/// Locks that threads share; each thread keeps to one.
const SHARDS: usize = 8;
/// Longest time that is recorded, in microseconds: an hour.
const MAX_US: u64 = 3_600_000_000;

/// Times of one metric, in microseconds.
#[derive(Clone, Debug)]
pub struct Times {
    /// From when it should have begun.
    pub corrected: Histogram<u64>,
    /// From when it began.
    pub raw: Histogram<u64>,
}

impl Times {
    fn new() -> Option<Self> {
        let histogram = Histogram::new_with_bounds(1, MAX_US, 3).ok()?;
        Some(Self {
            corrected: histogram.clone(),
            raw: histogram,
        })
    }
}

/// What was recorded up to a moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Connections that should have been started.
    pub planned: u64,
    /// Those that were started too late.
    pub late: u64,
    /// Attempts to connect.
    pub started: u64,
    /// Those that came about.
    pub connected: u64,
    /// Ends, by reason.
    pub ended: BTreeMap<EndReason, u64>,
    /// Count and an example, by class.
    pub errors: BTreeMap<ErrorClass, (u64, String)>,
    /// Messages and bytes, by kind and layer.
    pub sent: BTreeMap<(MessageKind, u8), (u64, u64)>,
    /// Messages and bytes, by kind and layer.
    pub received: BTreeMap<(MessageKind, u8), (u64, u64)>,
    /// Times, by metric.
    pub latencies: BTreeMap<Metric, Times>,
    /// Messages that did not come.
    pub lost: u64,
    /// Messages that came behind later ones.
    pub reordered: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Gaps of over 200 ms, and their length in all.
    pub freezes: (u64, Duration),
    /// Longest delay of the tester's own timers.
    pub scheduling_delay: Duration,
}

impl Snapshot {
    /// Adds what another part of the run has recorded.
    pub fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.late += other.late;
        self.started += other.started;
        self.connected += other.connected;
        for (reason, count) in &other.ended {
            *self.ended.entry(*reason).or_default() += count;
        }
        for (class, (count, example)) in &other.errors {
            let error = self.errors.entry(*class);
            error.or_insert_with(|| (0, example.clone())).0 += count;
        }
        for (mine, theirs) in [
            (&mut self.sent, &other.sent),
            (&mut self.received, &other.received),
        ] {
            for (key, (count, bytes)) in theirs {
                let entry = mine.entry(*key).or_default();
                entry.0 += count;
                entry.1 += bytes;
            }
        }
        for (metric, times) in &other.latencies {
            match self.latencies.get_mut(metric) {
                Some(mine) => {
                    // The bounds are the same everywhere, so that adding does not fail.
                    let _ = mine.corrected.add(&times.corrected);
                    let _ = mine.raw.add(&times.raw);
                }
                None => {
                    self.latencies.insert(*metric, times.clone());
                }
            }
        }
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.duplicated += other.duplicated;
        self.freezes.0 += other.freezes.0;
        self.freezes.1 += other.freezes.1;
        self.scheduling_delay = self.scheduling_delay.max(other.scheduling_delay);
    }
}

/// Records what connections meet with; clones record into the same place.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<[Mutex<Snapshot>; SHARDS]>);

impl Recorder {
    fn shard(&self) -> parking_lot::MutexGuard<'_, Snapshot> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static PLACE: usize = NEXT.fetch_add(1, Relaxed);
        }
        self.0[PLACE.with(|place| place % SHARDS)].lock()
    }

    /// What has been recorded so far.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for shard in self.0.iter() {
            sum.merge(&shard.lock());
        }
        sum
    }

    /// A connection should be started.
    pub fn connection_planned(&self) {
        self.shard().planned += 1;
    }

    /// A connection is started so much too late.
    pub fn connection_late(&self, _late: Duration) {
        self.shard().late += 1;
    }

    /// An attempt to connect begins.
    pub fn connection_started(&self) {
        self.shard().started += 1;
    }

    /// A connection is open after that time.
    pub fn connected(&self, _after: Duration) {
        self.shard().connected += 1;
    }

    /// A connection, or an attempt, has ended.
    pub fn connection_ended(&self, reason: EndReason) {
        *self.shard().ended.entry(reason).or_default() += 1;
    }

    /// Something went wrong.
    pub fn failed(&self, class: ErrorClass, text: &dyn Display) {
        let mut state = self.shard();
        let error = state.errors.entry(class);
        error.or_insert_with(|| (0, text.to_string())).0 += 1;
    }

    /// A message was handed to a socket.
    pub fn sent(&self, kind: MessageKind, layer: u8, bytes: usize) {
        let mut state = self.shard();
        let entry = state.sent.entry((kind, layer)).or_default();
        entry.0 += 1;
        entry.1 += bytes as u64;
    }

    /// A message has come.
    pub fn received(&self, kind: MessageKind, layer: u8, bytes: usize) {
        let mut state = self.shard();
        let entry = state.received.entry((kind, layer)).or_default();
        entry.0 += 1;
        entry.1 += bytes as u64;
    }

    /// A time, from the planned beginning and from the actual one.
    pub fn latency(&self, metric: Metric, corrected: Duration, raw: Duration) {
        let mut state = self.shard();
        let times = match state.latencies.entry(metric) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match Times::new() {
                Some(times) => place.insert(times),
                None => return,
            },
        };
        let micros = |time: Duration| (time.as_micros() as u64).max(1);
        times.corrected.saturating_record(micros(corrected));
        times.raw.saturating_record(micros(raw));
    }

    /// Messages did not come.
    pub fn lost(&self, count: u64) {
        self.shard().lost += count;
    }

    /// Messages came behind later ones.
    pub fn reordered(&self, count: u64) {
        self.shard().reordered += count;
    }

    /// Messages came again.
    pub fn duplicated(&self, count: u64) {
        self.shard().duplicated += count;
    }

    /// Nothing of a stream came for so long.
    pub fn freeze(&self, gap: Duration) {
        let freezes = &mut self.shard().freezes;
        freezes.0 += 1;
        freezes.1 += gap;
    }

    /// A timer of the tester fired so late.
    pub fn scheduling_delay(&self, late: Duration) {
        let mut state = self.shard();
        state.scheduling_delay = state.scheduling_delay.max(late);
    }
}
