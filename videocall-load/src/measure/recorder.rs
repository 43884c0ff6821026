//! What connections record into. Each thread has a place of its own, so that none waits for another.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};

use super::{
    Delivery, EndReason, ErrorClass, LAYERS, MAX_EXAMPLE, MessageKind, Metric, Snapshot, Times,
    snapshot::{MAX_CLASSES, histogram, micros},
};

/// Places for threads: more than a runtime has workers on most machines. Threads beyond share.
const SHARDS: usize = 32;

/// What one thread has recorded about one kind and layer.
#[derive(Debug, Default)]
struct Cell {
    sent: (u64, u64),
    received: (u64, u64),
    delivery: Delivery,
    one_way: Option<Histogram<u64>>,
}

/// What one thread has recorded.
#[derive(Debug, Default)]
// Neighbours do not share a cache line.
#[repr(align(128))]
struct Shard {
    rare: Snapshot,
    cells: Vec<Cell>,
    latencies: [Option<Times>; Metric::ALL.len()],
}

impl Shard {
    fn cell(&mut self, kind: MessageKind, layer: u8) -> &mut Cell {
        if self.cells.is_empty() {
            let all = MessageKind::ALL.len() * LAYERS;
            self.cells.resize_with(all, Cell::default);
        }
        let layer = usize::from(layer).min(LAYERS - 1);
        &mut self.cells[kind as usize * LAYERS + layer]
    }

    fn part(&self) -> Snapshot {
        let mut mine = self.rare.clone();
        for (place, cell) in self.cells.iter().enumerate() {
            let key = (MessageKind::ALL[place / LAYERS], (place % LAYERS) as u8);
            if cell.sent.0 > 0 {
                mine.sent.insert(key, cell.sent);
            }
            if cell.received.0 > 0 {
                mine.received.insert(key, cell.received);
            }
            if cell.delivery != Delivery::default() {
                mine.delivery.insert(key, cell.delivery);
            }
            if let Some(times) = &cell.one_way {
                mine.one_way.insert(key, times.clone());
            }
        }
        let all = Metric::ALL.into_iter().zip(&self.latencies);
        mine.latencies = all
            .filter_map(|(metric, times)| Some((metric, times.clone()?)))
            .collect::<BTreeMap<_, _>>();
        mine
    }
}

/// Records what connections meet with; clones record into the same place.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Vec<Mutex<Shard>>>);

impl Default for Recorder {
    fn default() -> Self {
        Self(Arc::new((0..SHARDS).map(|_| Mutex::default()).collect()))
    }
}

impl Recorder {
    fn shard(&self) -> MutexGuard<'_, Shard> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static PLACE: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
        }
        self.0[PLACE.with(|place| *place)].lock()
    }

    /// What has been recorded so far.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for shard in self.0.iter() {
            // The thread that records there waits for the copy only, not for the sum.
            let part = shard.lock().part();
            sum.merge(&part);
        }
        sum
    }

    /// A connection should be started.
    pub fn connection_planned(&self) {
        self.shard().rare.planned += 1;
    }

    /// A connection is started so much too late.
    pub fn connection_late(&self, late: Duration) {
        let rare = &mut self.shard().rare;
        rare.late += 1;
        rare.lateness.saturating_record(micros(late));
    }

    /// An attempt to connect begins.
    pub fn connection_started(&self) {
        self.shard().rare.started += 1;
    }

    /// A connection is open. How long that took is recorded as [`Metric::Connect`].
    pub fn connected(&self, _after: Duration) {
        self.shard().rare.connected += 1;
    }

    /// A connection that had been open is so no more.
    pub fn closed(&self) {
        self.shard().rare.closed += 1;
    }

    /// A connection, or an attempt, has ended.
    pub fn connection_ended(&self, reason: EndReason) {
        *self.shard().rare.ended.entry(reason).or_default() += 1;
    }

    /// Something went wrong. The first text of each class is kept as its example.
    pub fn failed(&self, class: ErrorClass, text: &dyn Display) {
        let errors = &mut self.shard().rare.errors;
        if let Some(known) = errors.get_mut(&class) {
            known.0 += 1;
            return;
        }
        let class = if errors.len() < MAX_CLASSES {
            class
        } else {
            ErrorClass::Protocol
        };
        let entry = errors.entry(class);
        entry.or_insert_with(|| (0, example(text))).0 += 1;
    }

    /// A message was handed to a socket.
    pub fn sent(&self, kind: MessageKind, layer: u8, bytes: usize) {
        let mut shard = self.shard();
        let sent = &mut shard.cell(kind, layer).sent;
        *sent = (sent.0 + 1, sent.1 + bytes as u64);
    }

    /// A message has come.
    pub fn received(&self, kind: MessageKind, layer: u8, bytes: usize) {
        let mut shard = self.shard();
        let received = &mut shard.cell(kind, layer).received;
        *received = (received.0 + 1, received.1 + bytes as u64);
    }

    /// A time: `corrected` from the planned beginning, so that what waited behind a stall counts in
    /// full, and `raw` from the actual one.
    pub fn latency(&self, metric: Metric, corrected: Duration, raw: Duration) {
        let mut shard = self.shard();
        let times = shard.latencies[metric as usize].get_or_insert_default();
        record(&mut times.corrected, corrected);
        record(&mut times.raw, raw);
    }

    /// A delay from a sender's planned time to its receiver, by kind and layer. Beside
    /// [`Metric::OneWay`], which is of all kinds.
    pub fn one_way(&self, kind: MessageKind, layer: u8, delay: Duration) {
        let mut shard = self.shard();
        let times = &mut shard.cell(kind, layer).one_way;
        record(times.get_or_insert_with(histogram), delay);
    }

    /// Messages did not come.
    pub fn lost(&self, kind: MessageKind, layer: u8, count: u64) {
        self.shard().cell(kind, layer).delivery.lost += count;
    }

    /// Messages came behind later ones.
    pub fn reordered(&self, kind: MessageKind, layer: u8, count: u64) {
        self.shard().cell(kind, layer).delivery.reordered += count;
    }

    /// Messages came again.
    pub fn duplicated(&self, kind: MessageKind, layer: u8, count: u64) {
        self.shard().cell(kind, layer).delivery.duplicated += count;
    }

    /// Nothing of a stream came for so long.
    pub fn freeze(&self, kind: MessageKind, gap: Duration) {
        let mut shard = self.shard();
        let freezes = shard.rare.freezes.entry(kind).or_default();
        *freezes = (freezes.0 + 1, freezes.1 + gap);
    }

    /// A timer of the tester fired so late.
    pub fn scheduling_delay(&self, late: Duration) {
        record(&mut self.shard().rare.scheduling_delay, late);
    }
}

/// Does not fail: the histogram grows, and `micros` keeps to its bounds.
fn record(times: &mut Histogram<u64>, time: Duration) {
    let _ = times.record(micros(time));
}

/// The beginning of a text, which may come from a server, without control characters.
fn example(text: &dyn Display) -> String {
    let mut whole = String::new();
    let _ = write!(whole, "{text}");
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    whole.chars().take(MAX_EXAMPLE).map(printable).collect()
}
