//! Lines for people: progress, and numbers with their units.

use std::fmt::Write;

use super::frame::{Frame, RunResult, warnings};
use crate::measure::{Figure, Unit};

/// A number with its unit.
pub fn figure(figure: &Figure) -> String {
    let value = figure.value;
    match figure.unit {
        Unit::Count => format!("{value:.0}"),
        Unit::PerSecond => format!("{value:.1}/s"),
        Unit::Milliseconds => format!("{value:.2} ms"),
        Unit::Percent => format!("{value:.3} %"),
        Unit::Bytes if value >= 1e9 => format!("{:.2} GB", value / 1e9),
        Unit::Bytes if value >= 1e6 => format!("{:.2} MB", value / 1e6),
        Unit::Bytes if value >= 1e3 => format!("{:.1} kB", value / 1e3),
        Unit::Bytes => format!("{value:.0} B"),
    }
}

/// One line about the last interval.
pub fn progress(frame: &Frame) -> String {
    let mut out = format!("{:7.1}s", frame.elapsed.as_secs_f64());
    let Some(point) = &frame.point else {
        return out;
    };
    let value = |name: &str| point.values.get(name).copied();
    let rate = |name: &str| value(&format!("{name}.rate")).unwrap_or(0.0);
    // Writing into a string does not fail.
    let _ = write!(
        out,
        "  open {:.0}  sent {:.0}/s  received {:.0}/s",
        point.open,
        rate("sent"),
        rate("received")
    );
    for name in ["round_trip", "one_way", "connect"] {
        if let Some(p99) = value(&format!("{name}.p99")) {
            let p50 = value(&format!("{name}.p50")).unwrap_or(0.0);
            let _ = write!(out, "  {name} p50 {p50:.2} p99 {p99:.2} ms");
            break;
        }
    }
    let total = |name: &str| frame.figures.get(name).map_or(0.0, |figure| figure.value);
    let _ = write!(
        out,
        "  lost {:.0}  freezes {:.0}  errors {:.0}  tester {:.0} % CPU",
        total("lost"),
        total("freezes"),
        total("errors"),
        value("tester.cpu").unwrap_or(0.0)
    );
    if let Some(server) = frame.server {
        let mib = server.memory as f64 / f64::from(1 << 20);
        let _ = write!(out, "  server {:.0} % CPU {mib:.0} MiB", 100.0 * server.cpu);
    }
    for warning in warnings(&frame.collected.workers) {
        let _ = write!(out, "\n  !! {warning}");
    }
    out
}

/// What follows the summary at the end of a run.
pub fn ending(result: &RunResult) -> String {
    let mut out = String::new();
    for name in ["tester.cpu", "tester.memory", "server.cpu", "server.memory"] {
        if let Some(value) = result.figures.get(name) {
            let _ = writeln!(out, "{name:<22} {}", figure(value));
        }
    }
    for worker in result
        .workers
        .iter()
        .filter(|worker| !worker.name.is_empty())
    {
        let state = match worker.lost_at {
            Some(at) => format!("LOST after {at:.1} s"),
            None => "went through".to_owned(),
        };
        let _ = writeln!(out, "worker       {} {state}", worker.name);
    }
    for verdict in &result.thresholds {
        let kept = if verdict.kept { "kept  " } else { "MISSED" };
        let value = verdict
            .value
            .map_or("nothing was measured".to_owned(), |value| {
                format!("{value:.3}")
            });
        let _ = writeln!(out, "threshold    {kept} {}: {value}", verdict.threshold);
    }
    if let Some(why) = &result.aborted {
        let _ = writeln!(out, "ended early  after {:.1} s: {why}", result.seconds);
    }
    for warning in &result.warnings {
        let _ = writeln!(out, "\n!! {warning}");
    }
    out
}
