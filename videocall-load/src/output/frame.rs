//! What every output shows: the state of a run at a moment, and its result.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::threshold::Verdict;
use crate::measure::{Figures, ServerSample, Snapshot, TesterState};

/// A part of a run: a worker, or the only process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name; empty for the only process.
    pub name: String,
    /// How it is doing.
    pub tester: TesterState,
    /// Seconds of the run after which it was given up; what it had done until then is counted.
    pub lost_at: Option<f64>,
    /// Microseconds that its clock was corrected by, and the uncertainty of that.
    pub clock: Option<(i64, u64)>,
}

/// What has been recorded so far, everywhere.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Merged.
    pub snapshot: Snapshot,
    /// All parts.
    pub workers: Vec<Worker>,
}

/// What happened within an interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// End of the interval, in seconds of the run.
    pub second: f64,
    /// Length of the interval in seconds.
    pub length: f64,
    /// Connections that are open at its end.
    pub open: f64,
    /// Figures of the interval alone, by name.
    pub values: std::collections::BTreeMap<String, f64>,
}

/// The state of a run at a moment.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Since the run began.
    pub elapsed: Duration,
    /// How long it will last.
    pub planned: Duration,
    /// What has been recorded so far.
    pub collected: Collected,
    /// The figures of that.
    pub figures: Figures,
    /// The last interval.
    pub point: Option<Point>,
    /// What the server used.
    pub server: Option<ServerSample>,
    /// How the limits are kept so far.
    pub verdicts: Vec<Verdict>,
    /// Whether this is the last one.
    pub last: bool,
}

/// The result of a run: what the JSON contains, and all reports are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Of this form: 1.
    pub format: u32,
    /// Of the program.
    pub version: String,
    /// Server, without what may be secret.
    pub target: String,
    /// What was run, in words.
    pub description: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// How long it was meant to last.
    pub planned_seconds: f64,
    /// Why it ended before that.
    pub aborted: Option<String>,
    /// What makes the figures doubtful: a tester that was too slow, workers that were lost.
    pub warnings: Vec<String>,
    /// How the limits were kept.
    pub thresholds: Vec<Verdict>,
    /// All parts.
    pub workers: Vec<Worker>,
    /// The figures, by name.
    pub figures: Figures,
    /// Their course.
    pub series: Vec<Point>,
    /// Everything that was recorded, histograms included.
    pub snapshot: Snapshot,
}

/// What makes the figures doubtful.
pub fn warnings(workers: &[Worker]) -> Vec<String> {
    let mut out = Vec::new();
    for worker in workers {
        let of = if worker.name.is_empty() {
            String::new()
        } else {
            format!("worker {}: ", worker.name)
        };
        if let Some(at) = worker.lost_at {
            let name = &worker.name;
            out.push(format!(
                "WORKER LOST: {name} was not heard of after {at:.1} s; the figures contain what it \
                 had told until then"
            ));
        }
        for reason in &worker.tester.bottleneck {
            out.push(format!(
                "THE TESTER IS THE BOTTLENECK: {of}{reason}; the figures are worse than the server is"
            ));
        }
    }
    out
}

/// The address without user, password and query, which may hold a token.
pub fn without_secrets(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else {
        return String::new();
    };
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
