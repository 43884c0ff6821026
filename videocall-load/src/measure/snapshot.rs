//! What was recorded up to a moment: can be merged with that of others, and sent to them.

use std::{collections::BTreeMap, io::Cursor, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer as _, V2DeflateSerializer},
};
use serde::{Deserialize, Deserializer as De, Serialize, Serializer as Ser, de::Error as _};

use super::{EndReason, ErrorClass, MessageKind, Metric};

/// Layers that are told apart; those above count as the last.
pub const LAYERS: usize = 16;
/// Longest example of an error that is kept, in characters.
pub const MAX_EXAMPLE: usize = 300;
/// Classes of errors that are told apart: there are 65,536 close codes.
pub(super) const MAX_CLASSES: usize = 64;
/// Longest time that is recorded, in microseconds: an hour.
const MAX_US: u64 = 3_600_000_000;
/// Significant digits of a time.
const DIGITS: u8 = 3;

/// Milliseconds of a recorded time.
pub fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

pub(super) fn micros(time: Duration) -> u64 {
    (time.as_micros().min(u128::from(MAX_US)) as u64).max(1)
}

/// Times of one metric, in microseconds.
#[derive(Clone, PartialEq)]
pub struct Times {
    /// From when it should have begun.
    pub corrected: Histogram<u64>,
    /// From when it began.
    pub raw: Histogram<u64>,
}

impl std::fmt::Debug for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not every bucket.
        write!(f, "{} times up to {} µs", self.raw.len(), self.raw.max())
    }
}

/// An empty histogram that grows with what is recorded.
pub(super) fn histogram() -> Histogram<u64> {
    // Fails only for other numbers of digits than 0 to 5.
    #[allow(clippy::expect_used)]
    Histogram::new(DIGITS).expect("three digits are possible")
}

impl Default for Times {
    fn default() -> Self {
        Self {
            corrected: histogram(),
            raw: histogram(),
        }
    }
}

impl Serialize for Times {
    fn serialize<S: Ser>(&self, to: S) -> Result<S::Ok, S::Error> {
        (encode(&self.corrected), encode(&self.raw)).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: De<'de>>(from: D) -> Result<Self, D::Error> {
        let (corrected, raw) = <(String, String)>::deserialize(from)?;
        let read = |text: &str| decode(text).ok_or_else(|| D::Error::custom("no HdrHistogram"));
        Ok(Self {
            corrected: read(&corrected)?,
            raw: read(&raw)?,
        })
    }
}

/// The form that other programs for HdrHistogram read: V2, deflated, base64.
fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Writing into a vector does not fail.
    let _ = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    STANDARD.encode(bytes)
}

fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let read: Histogram<u64> = Deserializer::new()
        .deserialize(&mut Cursor::new(bytes))
        .ok()?;
    // What comes from elsewhere may have other bounds.
    let mut own = histogram();
    own.add(&read).ok()?;
    Some(own)
}

mod one_histogram {
    use super::*;

    pub(super) fn serialize<S: Ser>(value: &Histogram<u64>, to: S) -> Result<S::Ok, S::Error> {
        encode(value).serialize(to)
    }

    pub(super) fn deserialize<'de, D: De<'de>>(from: D) -> Result<Histogram<u64>, D::Error> {
        let text = String::deserialize(from)?;
        decode(&text).ok_or_else(|| D::Error::custom("no HdrHistogram"))
    }
}

mod layered_histograms {
    use super::*;

    type Map = BTreeMap<(MessageKind, u8), Histogram<u64>>;

    pub(super) fn serialize<S: Ser>(map: &Map, to: S) -> Result<S::Ok, S::Error> {
        let pairs = map.iter().map(|(key, value)| (key, encode(value)));
        to.collect_seq(pairs)
    }

    pub(super) fn deserialize<'de, D: De<'de>>(from: D) -> Result<Map, D::Error> {
        let pairs = Vec::<((MessageKind, u8), String)>::deserialize(from)?;
        let read = pairs.into_iter().map(|(key, text)| {
            let value = decode(&text).ok_or_else(|| D::Error::custom("no HdrHistogram"))?;
            Ok((key, value))
        });
        read.collect()
    }
}

/// Maps whose keys are no texts, as JSON needs them: lists of pairs.
mod pairs {
    use super::*;

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Ser>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: De<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}

/// Messages and bytes.
pub type Traffic = (u64, u64);

/// How the messages of one kind and layer were delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Messages that did not come.
    pub lost: u64,
    /// Messages that came behind later ones.
    pub reordered: u64,
    /// Messages that came again.
    pub duplicated: u64,
}

/// What was recorded up to a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Connections that should have been started.
    pub planned: u64,
    /// Those that were started too late.
    pub late: u64,
    /// How late those were.
    #[serde(with = "one_histogram")]
    pub lateness: Histogram<u64>,
    /// Attempts to connect.
    pub started: u64,
    /// Those that came about.
    pub connected: u64,
    /// Those that came about and have ended since.
    pub closed: u64,
    /// Ends, by reason; also of attempts that did not come about.
    #[serde(with = "pairs")]
    pub ended: BTreeMap<EndReason, u64>,
    /// Count and an example, by class.
    #[serde(with = "pairs")]
    pub errors: BTreeMap<ErrorClass, (u64, String)>,
    /// By kind and layer.
    #[serde(with = "pairs")]
    pub sent: BTreeMap<(MessageKind, u8), Traffic>,
    /// By kind and layer.
    #[serde(with = "pairs")]
    pub received: BTreeMap<(MessageKind, u8), Traffic>,
    /// Times, by metric.
    #[serde(with = "pairs")]
    pub latencies: BTreeMap<Metric, Times>,
    /// One-way delay from the planned time, by kind and layer.
    #[serde(with = "layered_histograms")]
    pub one_way: BTreeMap<(MessageKind, u8), Histogram<u64>>,
    /// By kind and layer.
    #[serde(with = "pairs")]
    pub delivery: BTreeMap<(MessageKind, u8), Delivery>,
    /// Gaps of over 200 ms and their length in all, by kind.
    #[serde(with = "pairs")]
    pub freezes: BTreeMap<MessageKind, (u64, Duration)>,
    /// How late the tester's own timers fired, in microseconds.
    #[serde(with = "one_histogram")]
    pub scheduling_delay: Histogram<u64>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            planned: 0,
            late: 0,
            lateness: histogram(),
            started: 0,
            connected: 0,
            closed: 0,
            ended: BTreeMap::new(),
            errors: BTreeMap::new(),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            latencies: BTreeMap::new(),
            one_way: BTreeMap::new(),
            delivery: BTreeMap::new(),
            freezes: BTreeMap::new(),
            scheduling_delay: histogram(),
        }
    }
}

/// Adds, or takes away what was recorded earlier; neither fails between histograms that grow.
fn combine(mine: &mut Histogram<u64>, other: &Histogram<u64>, add: bool) {
    let _ = if add {
        mine.add(other).is_ok()
    } else {
        mine.subtract(other).is_ok()
    };
}

impl Snapshot {
    /// Adds what another part of the run has recorded.
    pub fn merge(&mut self, other: &Self) {
        self.combine(other, true);
    }

    /// What was recorded after `earlier`, which must be an earlier state of the same run.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = self.clone();
        rest.combine(earlier, false);
        rest
    }

    /// What counts when everything up to `earlier` was to warm up: messages and their times from
    /// then on; connections, how they came about and what went wrong from the beginning.
    pub fn warmed_up(&self, earlier: &Self) -> Self {
        let rest = self.since(earlier);
        let opening = |metric: &Metric| matches!(metric, Metric::Connect | Metric::Join);
        let mut latencies = rest.latencies;
        for (metric, times) in self.latencies.iter().filter(|(metric, _)| opening(metric)) {
            latencies.insert(*metric, times.clone());
        }
        Self {
            sent: rest.sent,
            received: rest.received,
            delivery: rest.delivery,
            one_way: rest.one_way,
            freezes: rest.freezes,
            latencies,
            ..self.clone()
        }
    }

    fn combine(&mut self, other: &Self, add: bool) {
        let number = |mine: &mut u64, other: u64| {
            *mine = if add {
                mine.saturating_add(other)
            } else {
                mine.saturating_sub(other)
            };
        };
        number(&mut self.planned, other.planned);
        number(&mut self.late, other.late);
        number(&mut self.started, other.started);
        number(&mut self.connected, other.connected);
        number(&mut self.closed, other.closed);
        for (reason, count) in &other.ended {
            number(self.ended.entry(*reason).or_default(), *count);
        }
        for (class, (count, example)) in &other.errors {
            let full = self.errors.len() >= MAX_CLASSES && !self.errors.contains_key(class);
            let class = if full { ErrorClass::Protocol } else { *class };
            let error = self.errors.entry(class);
            number(&mut error.or_insert_with(|| (0, example.clone())).0, *count);
        }
        for (mine, theirs) in [
            (&mut self.sent, &other.sent),
            (&mut self.received, &other.received),
        ] {
            for (key, (count, bytes)) in theirs {
                let entry = mine.entry(*key).or_default();
                number(&mut entry.0, *count);
                number(&mut entry.1, *bytes);
            }
        }
        for (metric, times) in &other.latencies {
            let mine = self.latencies.entry(*metric).or_default();
            combine(&mut mine.corrected, &times.corrected, add);
            combine(&mut mine.raw, &times.raw, add);
        }
        for (key, times) in &other.one_way {
            let mine = self.one_way.entry(*key).or_insert_with(histogram);
            combine(mine, times, add);
        }
        for (key, delivery) in &other.delivery {
            let mine = self.delivery.entry(*key).or_default();
            number(&mut mine.lost, delivery.lost);
            number(&mut mine.reordered, delivery.reordered);
            number(&mut mine.duplicated, delivery.duplicated);
        }
        for (kind, (count, length)) in &other.freezes {
            let mine = self.freezes.entry(*kind).or_default();
            number(&mut mine.0, *count);
            mine.1 = if add {
                mine.1.saturating_add(*length)
            } else {
                mine.1.saturating_sub(*length)
            };
        }
        combine(&mut self.lateness, &other.lateness, add);
        combine(&mut self.scheduling_delay, &other.scheduling_delay, add);
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.connected.saturating_sub(self.closed)
    }

    /// Errors of all classes.
    pub fn error_count(&self) -> u64 {
        self.errors.values().map(|(count, _)| count).sum()
    }

    /// The delivery of all kinds and layers.
    pub fn delivery_in_all(&self) -> Delivery {
        let mut sum = Delivery::default();
        for delivery in self.delivery.values() {
            sum.lost += delivery.lost;
            sum.reordered += delivery.reordered;
            sum.duplicated += delivery.duplicated;
        }
        sum
    }

    /// Number and length of the freezes of all kinds.
    pub fn freezes_in_all(&self) -> (u64, Duration) {
        let all = self.freezes.values();
        all.fold((0, Duration::ZERO), |sum, (count, length)| {
            (sum.0 + count, sum.1 + *length)
        })
    }
}
