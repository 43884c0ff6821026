//! Limits that a run must keep: `p99<50ms`, `one_way.audio.p99<50ms`, `lost.audio<0.1%`,
//! `errors<1`, `received>1000/s`.
//!
//! Grammar: `metric[.part][.statistic] operator number[unit]`, blanks allowed between. Operators are
//! `<`, `<=`, `>`, `>=`; units `us ms s` for times, `%`, `/s`, and `B KB MB GB KiB MiB GiB`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::measure::{Figures, is_metric};

/// How a figure is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// A limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// As it was given.
    pub text: String,
    /// Names of figures, of which the first that was measured counts.
    pub names: Vec<String>,
    /// How it is compared.
    pub operator: Operator,
    /// In the figure's own unit.
    pub limit: f64,
}

/// A limit that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{message}, at column {column}\n  {text}\n  {caret:>column$}",
    caret = '^'
)]
pub struct ThresholdError {
    /// The limit.
    pub text: String,
    /// Where, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// How a limit was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The limit as it was given.
    pub threshold: String,
    /// What was measured; nothing is a failure, too.
    pub value: Option<f64>,
    /// Whether it was kept.
    pub kept: bool,
}

/// What the number of a limit is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Time,
    Count,
    Bytes,
    Percent,
}

fn dimension(name: &str) -> Dimension {
    let last = name.rsplit('.').next().unwrap_or(name);
    let first = name.split('.').next().unwrap_or(name);
    let timed = ["connect", "join", "round_trip", "one_way", "lateness"].contains(&first);
    if name == "frozen" || name.starts_with("tester.delay") || (timed && last != "count") {
        Dimension::Time
    } else if first.ends_with("_bytes") || last == "memory" {
        Dimension::Bytes
    } else if last == "cpu" {
        Dimension::Percent
    } else {
        Dimension::Count
    }
}

/// What a bare percentile is of, in that order.
const PRIMARY: [&str; 4] = ["round_trip", "one_way", "join", "connect"];

/// The figures that a name stands for.
fn names(name: &str) -> Option<Vec<String>> {
    // p99.9 is another way to write p999.
    let name = name.replace("p99.99", "p9999").replace("p99.9", "p999");
    if is_metric(&name) {
        return Some(vec![name]);
    }
    let whole = format!("{name}.p99");
    if dimension(&whole) == Dimension::Time && is_metric(&whole) && name != "tester.delay" {
        return Some(vec![whole]);
    }
    if !name.contains('.') {
        let of = |metric: &str| format!("{metric}.{name}");
        if is_metric(&of(PRIMARY[0])) {
            return Some(PRIMARY.iter().map(|metric| of(metric)).collect());
        }
    }
    None
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let error = |at: usize, message: String| ThresholdError {
            text: text.to_owned(),
            column: text[..at].chars().count() + 1,
            message,
        };
        let skip = |at: usize| text.len() - text[at..].trim_start().len();
        let start = skip(0);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let found = text[start..].find(|c| !is_name(c));
        let name_end = found.map_or(text.len(), |length| start + length);
        let name = &text[start..name_end];
        if name.is_empty() {
            return Err(error(start, "a metric is missing".to_owned()));
        }
        let Some(mut names) = names(name) else {
            return Err(error(start, format!("there is no metric `{name}`")));
        };
        let at = skip(name_end);
        let (operator, length) = match &text[at..] {
            rest if rest.starts_with("<=") => (Operator::AtMost, 2),
            rest if rest.starts_with(">=") => (Operator::AtLeast, 2),
            rest if rest.starts_with('<') => (Operator::Less, 1),
            rest if rest.starts_with('>') => (Operator::More, 1),
            _ => return Err(error(at, "one of <, <=, > and >= is missing".to_owned())),
        };
        let at = skip(at + length);
        let found = text[at..].find(|c: char| !c.is_ascii_digit() && c != '.');
        let number_end = found.map_or(text.len(), |length| at + length);
        let number = &text[at..number_end];
        let Ok(number) = number.parse::<f64>() else {
            return Err(error(at, "a number is missing".to_owned()));
        };
        let at = skip(number_end);
        let unit = text[at..].trim_end();
        let wrong = || {
            let message = format!("`{unit}` is no unit of {name}");
            Err(error(at, message))
        };
        let dimension = dimension(&names[0]);
        let (suffix, factor) = match (dimension, unit) {
            (Dimension::Time, "us" | "µs") => ("", 1e-3),
            (Dimension::Time, "ms") => ("", 1.0),
            (Dimension::Time, "s") => ("", 1e3),
            (Dimension::Time, "") => return Err(error(at, "us, ms or s is missing".to_owned())),
            (Dimension::Percent, "%") | (Dimension::Count, "") => ("", 1.0),
            (Dimension::Count, "%") if is_part(&names[0]) => (".percent", 1.0),
            (Dimension::Count, "/s") if has_rate(&names[0]) => (".rate", 1.0),
            (Dimension::Bytes, _) => {
                let (size, rate) = match unit.strip_suffix("/s") {
                    Some(size)
                        if names[0].starts_with(['s', 'r']) && names[0].contains("_bytes") =>
                    {
                        (size, ".rate")
                    }
                    Some(_) => return wrong(),
                    None => (unit, ""),
                };
                let Some(factor) = bytes(size) else {
                    return wrong();
                };
                (rate, factor)
            }
            _ => return wrong(),
        };
        for name in &mut names {
            name.push_str(suffix);
        }
        Ok(Self {
            text: text.trim().to_owned(),
            names,
            operator,
            limit: number * factor,
        })
    }
}

fn is_part(name: &str) -> bool {
    let parts = [
        "late",
        "connected",
        "errors",
        "lost",
        "reordered",
        "duplicated",
    ];
    parts.contains(&name.split('.').next().unwrap_or(name))
}

fn has_rate(name: &str) -> bool {
    name != "open" && !name.ends_with(".count")
}

fn bytes(unit: &str) -> Option<f64> {
    Some(match unit {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    })
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Threshold {
    /// Judges the figures of a run.
    pub fn judge(&self, figures: &Figures) -> Verdict {
        let mut found = self.names.iter().filter_map(|name| figures.get(name));
        let mut value = found.next().map(|figure| figure.value);
        // Classes of errors that did not occur have no figure.
        if value.is_none() && self.names[0].starts_with("errors.") {
            value = Some(0.0);
        }
        let kept = value.is_some_and(|value| match self.operator {
            Operator::Less => value < self.limit,
            Operator::AtMost => value <= self.limit,
            Operator::More => value > self.limit,
            Operator::AtLeast => value >= self.limit,
        });
        Verdict {
            threshold: self.text.clone(),
            value,
            kept,
        }
    }

    /// Whether the figure cannot fall: what exceeds an upper limit then exceeds it for good.
    fn only_grows(&self) -> bool {
        let name = &self.names[0];
        let of_counter = dimension(name) == Dimension::Count && name != "open";
        let is_ratio = name.ends_with(".percent") || name.ends_with(".rate");
        (of_counter && !is_ratio) || name.ends_with(".max") || name == "frozen"
    }

    fn is_upper(&self) -> bool {
        matches!(self.operator, Operator::Less | Operator::AtMost)
    }
}

/// Decides while a run lasts whether it is worth going on.
#[derive(Debug)]
pub struct Guard {
    thresholds: Vec<Threshold>,
    /// Since when each has been exceeded, in the time of the run.
    since: Vec<Option<Duration>>,
    grace: Duration,
}

impl Guard {
    /// `grace`: how long a limit may be exceeded by a figure that can recover.
    pub fn new(thresholds: Vec<Threshold>, grace: Duration) -> Self {
        Self {
            since: vec![None; thresholds.len()],
            thresholds,
            grace,
        }
    }

    /// How the limits are kept.
    pub fn verdicts(&self, figures: &Figures) -> Vec<Verdict> {
        let judge = |threshold: &Threshold| threshold.judge(figures);
        self.thresholds.iter().map(judge).collect()
    }

    /// Why the run should end now, if it should. Lower limits are judged at the end only: a run
    /// begins with nothing.
    pub fn judge(&mut self, elapsed: Duration, figures: &Figures) -> Option<String> {
        for (threshold, since) in self.thresholds.iter().zip(&mut self.since) {
            let verdict = threshold.judge(figures);
            if verdict.kept || verdict.value.is_none() || !threshold.is_upper() {
                *since = None;
                continue;
            }
            if threshold.only_grows() {
                return Some(format!("{threshold} cannot be kept any more"));
            }
            let since = *since.get_or_insert(elapsed);
            if elapsed.saturating_sub(since) >= self.grace {
                let grace = self.grace.as_secs_f64();
                return Some(format!("{threshold} has not been kept for {grace} s"));
            }
        }
        None
    }
}
