//! The numbers of a snapshot by name: one definition for thresholds, reports and comparisons.
//!
//! A name is a metric, then what part of it, then which statistic: `one_way.audio.p99`. Beside each
//! counter there are its `.rate` (per second) and, where it is a part of something, its `.percent`.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{MessageKind, Metric, Snapshot, millis};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things.
    Count,
    /// Things in a second.
    PerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Hundredths.
    Percent,
    /// Bytes.
    Bytes,
}

/// A number and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
}

/// By name.
pub type Figures = BTreeMap<String, Figure>;

const STATISTICS: [(&str, f64); 7] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p999", 0.999),
    ("p9999", 0.9999),
];

/// Whether some run can have a figure of that name; `.rate` and `.percent` are left out.
pub fn is_metric(name: &str) -> bool {
    let mut parts: Vec<&str> = name.split('.').collect();
    let is_kind = |part: &str| MessageKind::ALL.iter().any(|kind| kind.to_string() == part);
    let is_layer = |part: &str| part.len() <= 2 && part.parse::<u8>().is_ok();
    let first = parts.remove(0);
    let statistic = |part: &str| {
        STATISTICS.iter().any(|(name, _)| *name == part)
            || ["min", "mean", "max", "count"].contains(&part)
    };
    let kinds = |parts: &[&str]| match parts {
        [] => true,
        [kind] => is_kind(kind),
        [kind, layer] => is_kind(kind) && is_layer(layer),
        _ => false,
    };
    match first {
        "connect" | "join" | "round_trip" | "one_way" | "lateness" => {
            let Some(last) = parts.pop() else {
                return false;
            };
            statistic(last)
                && (parts.is_empty()
                    || (parts == ["raw"] && first != "lateness")
                    || (first == "one_way" && kinds(&parts)))
        }
        "planned" | "late" | "started" | "connected" | "open" | "frozen" => parts.is_empty(),
        "errors" => match parts[..] {
            [] => true,
            [class] => {
                [
                    "dns",
                    "connect",
                    "tls",
                    "handshake",
                    "protocol",
                    "reset",
                    "timeout",
                    "channel",
                    "limit",
                ]
                .contains(&class)
                    || class
                        .strip_prefix("close_code_")
                        .is_some_and(|code| code.parse::<u16>().is_ok())
            }
            _ => false,
        },
        "sent" | "received" | "sent_bytes" | "received_bytes" | "lost" | "reordered"
        | "duplicated" => kinds(&parts),
        "freezes" => match parts[..] {
            [] => true,
            [kind] => is_kind(kind),
            _ => false,
        },
        "tester" => matches!(
            parts[..],
            ["cpu"] | ["memory"] | ["delay", "p50" | "p99" | "max"]
        ),
        "server" => matches!(parts[..], ["cpu"] | ["memory"]),
        _ => false,
    }
}

struct Table {
    out: Figures,
    seconds: f64,
}

impl Table {
    fn put(&mut self, name: &str, value: f64, unit: Unit) {
        if value.is_finite() {
            self.out.insert(name.to_owned(), Figure { value, unit });
        }
    }

    fn count(&mut self, name: &str, count: u64, of: Option<u64>) {
        self.put(name, count as f64, Unit::Count);
        let rate = count as f64 / self.seconds;
        self.put(&format!("{name}.rate"), rate, Unit::PerSecond);
        if let Some(of) = of.filter(|of| *of > 0) {
            let percent = 100.0 * count as f64 / of as f64;
            self.put(&format!("{name}.percent"), percent, Unit::Percent);
        }
    }

    fn bytes(&mut self, name: &str, bytes: u64) {
        self.put(name, bytes as f64, Unit::Bytes);
        let rate = bytes as f64 / self.seconds;
        self.put(&format!("{name}.rate"), rate, Unit::PerSecond);
    }

    fn times(&mut self, name: &str, times: &Histogram<u64>) {
        if times.is_empty() {
            return;
        }
        self.put(&format!("{name}.count"), times.len() as f64, Unit::Count);
        let mut put = |statistic: &str, value| {
            self.put(&format!("{name}.{statistic}"), value, Unit::Milliseconds);
        };
        put("min", millis(times.min()));
        put("mean", times.mean() / 1e3);
        put("max", millis(times.max()));
        for (statistic, quantile) in STATISTICS {
            put(statistic, millis(times.value_at_quantile(quantile)));
        }
    }
}

/// All numbers of what was recorded within so many seconds.
pub fn figures(run: &Snapshot, seconds: f64) -> Figures {
    let mut table = Table {
        out: Figures::new(),
        seconds: seconds.max(1e-3),
    };
    table.count("planned", run.planned, None);
    table.count("late", run.late, Some(run.planned));
    table.count("started", run.started, None);
    table.count("connected", run.connected, Some(run.started));
    table.put("open", run.open() as f64, Unit::Count);
    table.count("errors", run.error_count(), Some(run.started));
    for (class, (count, _)) in &run.errors {
        table.count(&format!("errors.{class}"), *count, Some(run.started));
    }
    table.times("lateness", &run.lateness);
    for metric in Metric::ALL {
        if let Some(times) = run.latencies.get(&metric) {
            table.times(&metric.to_string(), &times.corrected);
            table.times(&format!("{metric}.raw"), &times.raw);
        }
    }
    let mut of_kind: BTreeMap<MessageKind, Histogram<u64>> = BTreeMap::new();
    for ((kind, layer), times) in &run.one_way {
        table.times(&format!("one_way.{kind}.{layer}"), times);
        match of_kind.get_mut(kind) {
            // Histograms that grow can always be added.
            Some(sum) => drop(sum.add(times)),
            None => drop(of_kind.insert(*kind, times.clone())),
        }
    }
    for (kind, times) in &of_kind {
        table.times(&format!("one_way.{kind}"), times);
    }
    messages(&mut table, run);
    let (freezes, frozen) = run.freezes_in_all();
    table.count("freezes", freezes, None);
    table.put("frozen", frozen.as_secs_f64() * 1e3, Unit::Milliseconds);
    for (kind, (count, _)) in &run.freezes {
        table.count(&format!("freezes.{kind}"), *count, None);
    }
    let delay = &run.scheduling_delay;
    if !delay.is_empty() {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = millis(delay.value_at_quantile(quantile));
            table.put(&format!("tester.delay.{name}"), value, Unit::Milliseconds);
        }
    }
    table.out
}

/// Sums of one way: of everything, by kind, and by kind and layer.
#[derive(Clone, Copy, Default)]
struct Sum {
    sent: (u64, u64),
    received: (u64, u64),
    lost: u64,
    reordered: u64,
    duplicated: u64,
}

fn messages(table: &mut Table, run: &Snapshot) {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::from([(String::new(), Sum::default())]);
    let mut add = |key: &(MessageKind, u8), change: &dyn Fn(&mut Sum)| {
        let (kind, layer) = key;
        for name in [
            String::new(),
            format!(".{kind}"),
            format!(".{kind}.{layer}"),
        ] {
            change(sums.entry(name).or_default());
        }
    };
    for (key, (count, bytes)) in &run.sent {
        add(key, &|sum| {
            sum.sent = (sum.sent.0 + count, sum.sent.1 + bytes);
        });
    }
    for (key, (count, bytes)) in &run.received {
        add(key, &|sum| {
            sum.received = (sum.received.0 + count, sum.received.1 + bytes);
        });
    }
    for (key, delivery) in &run.delivery {
        add(key, &|sum| {
            sum.lost += delivery.lost;
            sum.reordered += delivery.reordered;
            sum.duplicated += delivery.duplicated;
        });
    }
    for (name, sum) in sums {
        table.count(&format!("sent{name}"), sum.sent.0, None);
        table.bytes(&format!("sent_bytes{name}"), sum.sent.1);
        table.count(&format!("received{name}"), sum.received.0, None);
        table.bytes(&format!("received_bytes{name}"), sum.received.1);
        let expected = Some(sum.received.0 + sum.lost);
        table.count(&format!("lost{name}"), sum.lost, expected);
        let received = Some(sum.received.0);
        table.count(&format!("reordered{name}"), sum.reordered, received);
        table.count(&format!("duplicated{name}"), sum.duplicated, received);
    }
}
