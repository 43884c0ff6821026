//! Records what connections meet with.
// Placeholder with one lock until the sharded recorder is here: replace the whole file.
use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Duration};

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

/// Counts of a run.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Snapshot {
    pub planned: u64,
    pub late: u64,
    pub started: u64,
    pub connected: u64,
    pub ended: BTreeMap<EndReason, u64>,
    pub errors: BTreeMap<ErrorClass, (u64, String)>,
    pub sent: BTreeMap<(MessageKind, u8), (u64, u64)>,
    pub received: BTreeMap<(MessageKind, u8), (u64, u64)>,
    pub latencies: BTreeMap<Metric, Vec<(Duration, Duration)>>,
    pub lost: u64,
    pub reordered: u64,
    pub duplicated: u64,
    pub freezes: Vec<Duration>,
}

/// Records.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Snapshot>>);

#[allow(missing_docs)]
impl Recorder {
    pub fn snapshot(&self) -> Snapshot {
        self.0.lock().clone()
    }
    pub fn connection_planned(&self) {
        self.0.lock().planned += 1;
    }
    pub fn connection_late(&self, _: Duration) {
        self.0.lock().late += 1;
    }
    pub fn connection_started(&self) {
        self.0.lock().started += 1;
    }
    pub fn connected(&self, _: Duration) {
        self.0.lock().connected += 1;
    }
    pub fn connection_ended(&self, reason: EndReason) {
        *self.0.lock().ended.entry(reason).or_default() += 1;
    }
    pub fn failed(&self, class: ErrorClass, text: &dyn Display) {
        let mut state = self.0.lock();
        let entry = state
            .errors
            .entry(class)
            .or_insert_with(|| (0, text.to_string()));
        entry.0 += 1;
    }
    pub fn sent(&self, kind: MessageKind, layer: u8, bytes: usize) {
        let mut state = self.0.lock();
        let entry = state.sent.entry((kind, layer)).or_default();
        entry.0 += 1;
        entry.1 += bytes as u64;
    }
    pub fn received(&self, kind: MessageKind, layer: u8, bytes: usize) {
        let mut state = self.0.lock();
        let entry = state.received.entry((kind, layer)).or_default();
        entry.0 += 1;
        entry.1 += bytes as u64;
    }
    pub fn latency(&self, metric: Metric, corrected: Duration, raw: Duration) {
        let mut state = self.0.lock();
        state
            .latencies
            .entry(metric)
            .or_default()
            .push((corrected, raw));
    }
    pub fn lost(&self, count: u64) {
        self.0.lock().lost += count;
    }
    pub fn reordered(&self, count: u64) {
        self.0.lock().reordered += count;
    }
    pub fn duplicated(&self, count: u64) {
        self.0.lock().duplicated += count;
    }
    pub fn freeze(&self, gap: Duration) {
        self.0.lock().freezes.push(gap);
    }
    pub fn scheduling_delay(&self, _: Duration) {}
}
