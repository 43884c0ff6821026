//! Compares two runs, and tells changes from noise.
//!
//! A change is beyond noise when the means of the figure over the intervals of both runs differ by
//! more than three standard errors of their difference (as in Welch's test; sound for figures whose
//! intervals are many and depend little on each other).

use std::fmt::Write;

use super::{frame::RunResult, text::figure};
use crate::measure::Figure;

/// Fewer intervals of a run tell nothing about noise.
const FEWEST: usize = 5;
/// Standard errors.
const BEYOND: f64 = 3.0;

/// What is known of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Significance {
    /// The intervals of the runs themselves differ as much.
    Noise,
    /// More than the intervals explain.
    Beyond,
    /// Too few intervals.
    Unknown,
}

/// One figure of two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Of the figure.
    pub name: String,
    /// In the first run.
    pub before: Option<Figure>,
    /// In the second run.
    pub after: Option<Figure>,
    /// What is known of it.
    pub significance: Significance,
}

impl Change {
    /// In hundredths of the first.
    pub fn percent(&self) -> Option<f64> {
        let (before, after) = (self.before?.value, self.after?.value);
        (before != 0.0).then(|| 100.0 * (after - before) / before)
    }
}

/// All figures that either run has.
pub fn compare(before: &RunResult, after: &RunResult) -> Vec<Change> {
    let names: std::collections::BTreeSet<_> =
        before.figures.keys().chain(after.figures.keys()).collect();
    let change = |name: &String| Change {
        name: name.clone(),
        before: before.figures.get(name).copied(),
        after: after.figures.get(name).copied(),
        significance: significance(name, before, after),
    };
    names.into_iter().map(change).collect()
}

/// Mean, and variance of the mean.
fn mean(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < FEWEST {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, squares / (count - 1.0) / count))
}

fn significance(name: &str, before: &RunResult, after: &RunResult) -> Significance {
    // A percentage has its counter's course, and a counter that of its rate.
    let base = name.strip_suffix(".percent").unwrap_or(name);
    let values = |run: &RunResult| -> Vec<f64> {
        let rate = format!("{base}.rate");
        let points = run.series.iter();
        points
            .filter_map(|point| {
                if name == "open" {
                    return Some(point.open);
                }
                let found = point.values.get(&rate).or_else(|| point.values.get(base));
                found.copied()
            })
            .collect()
    };
    let (Some(a), Some(b)) = (mean(&values(before)), mean(&values(after))) else {
        return Significance::Unknown;
    };
    let difference = (a.0 - b.0).abs();
    if difference > BEYOND * (a.1 + b.1).sqrt() + 1e-12 * a.0.abs() {
        Significance::Beyond
    } else {
        Significance::Noise
    }
}

/// The comparison for people. `all`: also what did not change.
pub fn table(before: &RunResult, after: &RunResult, all: bool) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    for (name, run) in [("a", before), ("b", after)] {
        let (target, seconds) = (&run.target, run.seconds);
        let _ = writeln!(out, "{name}: {target}, {}, {seconds:.1} s", run.description);
        for warning in &run.warnings {
            let _ = writeln!(out, "   !! {warning}");
        }
    }
    if before.description != after.description {
        out.push_str("!! the runs are not of the same plan\n");
    }
    let _ = writeln!(
        out,
        "\n{:<26} {:>14} {:>14} {:>10}",
        "figure", "a", "b", "change"
    );
    for change in compare(before, after) {
        // Totals follow from rates and the length of the run.
        let has_rate = before
            .figures
            .contains_key(&format!("{}.rate", change.name));
        let same = change.before == change.after;
        let beyond = change.significance == Significance::Beyond;
        let minor = [
            ".min", ".mean", ".p75", ".p90", ".p95", ".p999", ".p9999", ".count",
        ];
        let minor = has_rate || minor.iter().any(|end| change.name.ends_with(end));
        if !all && (same || (minor && !beyond)) {
            continue;
        }
        let text = |value: Option<Figure>| value.map_or("-".to_owned(), |value| figure(&value));
        let percent = match change.percent() {
            Some(percent) => format!("{percent:+.1} %"),
            None => String::new(),
        };
        let word = match change.significance {
            Significance::Beyond => "beyond noise",
            Significance::Noise => "",
            Significance::Unknown => "too few intervals to tell",
        };
        let _ = writeln!(
            out,
            "{:<26} {:>14} {:>14} {percent:>10}  {word}",
            change.name,
            text(change.before),
            text(change.after)
        );
    }
    out
}
