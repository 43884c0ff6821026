//! The report: one HTML file that needs nothing from elsewhere and prints well.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::{
    frame::RunResult,
    svg::{Line, escape, over_percentiles, over_time},
    text::figure,
};
use crate::measure::{Metric, millis};

const STYLE: &str = "
:root{color-scheme:light}body{font:15px/1.45 system-ui,sans-serif;color:#1a1a1a;background:#fff;
max-width:1020px;margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem;margin:0}h2{margin:2rem 0 .5rem;
font-size:1.15rem;border-bottom:1px solid #ccc}table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #e5e5e5;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.warn{background:#b91c1c;color:#fff;
padding:.7rem 1rem;font-weight:600;margin:.6rem 0}.bad{color:#b91c1c;font-weight:600}.good{color:#15803d}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1rem}
figure{margin:0;break-inside:avoid}figcaption{font-weight:600;font-size:.9rem}svg{width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:#444}.grid{stroke:#e0e0e0}.legend{margin:0;font-size:.8rem}
.legend span{margin-right:1rem}.legend i{display:inline-block;width:.8rem;height:.8rem;margin-right:.3rem}
tr,.warn{break-inside:avoid}h2{break-after:avoid}
@page{size:A4;margin:14mm}@media print{body{margin:0;max-width:none;font-size:11px}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}";

/// Figures of which the course is plotted: title, unit, names.
const COURSES: [(&str, &str, &[&str]); 9] = [
    ("Messages", "per second", &["sent.rate", "received.rate"]),
    (
        "Bytes",
        "per second",
        &["sent_bytes.rate", "received_bytes.rate"],
    ),
    (
        "Round trip",
        "ms, corrected",
        &["round_trip.p50", "round_trip.p99", "round_trip.max"],
    ),
    (
        "One-way delay",
        "ms, corrected",
        &["one_way.p50", "one_way.p99", "one_way.max"],
    ),
    (
        "One-way delay by kind",
        "ms",
        &[
            "one_way.audio.p99",
            "one_way.video.p99",
            "one_way.screen.p99",
        ],
    ),
    (
        "Connecting and joining",
        "ms, p99",
        &["connect.p99", "join.p99"],
    ),
    (
        "Loss and freezes",
        "in each interval",
        &["lost", "reordered", "duplicated", "freezes"],
    ),
    ("Errors", "in each interval", &["errors", "late"]),
    ("CPU", "% of one core", &["tester.cpu", "server.cpu"]),
];

/// The report.
pub fn report(result: &RunResult) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Load test of {target}\
         </title><meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><h1>Load test of {target}</h1><p>{description}<br>Begun {begun}, lasted {seconds:.1} s \
         of {planned:.1} s planned. videocall-load {version}.</p>",
        target = escape(&result.target),
        description = escape(&result.description),
        begun = date(result.started_ms),
        seconds = result.seconds,
        planned = result.planned_seconds,
        version = escape(&result.version),
    );
    if let Some(why) = &result.aborted {
        let _ = write!(out, "<p class=\"bad\">Ended early: {}</p>", escape(why));
    }
    for warning in &result.warnings {
        let _ = write!(out, "<p class=\"warn\">{}</p>", escape(warning));
    }
    thresholds(&mut out, result);
    latencies(&mut out, result);
    plots(&mut out, result);
    delivery(&mut out, result);
    errors(&mut out, result);
    workers(&mut out, result);
    all_figures(&mut out, result);
    out.push_str("</body></html>\n");
    out
}

fn thresholds(out: &mut String, result: &RunResult) {
    if result.thresholds.is_empty() {
        return;
    }
    out.push_str("<h2>Thresholds</h2><table><tr><th>Limit<th class=\"n\">Measured<th>");
    for verdict in &result.thresholds {
        let (class, word) = if verdict.kept {
            ("good", "kept")
        } else {
            ("bad", "missed")
        };
        let value = match verdict.value {
            Some(value) => format!("{value:.3}"),
            None => "nothing was measured".to_owned(),
        };
        let limit = escape(&verdict.threshold);
        let _ = write!(
            out,
            "<tr><td>{limit}<td class=\"n\">{value}<td class=\"{class}\">{word}"
        );
    }
    out.push_str("</table>");
}

/// Every recorded distribution with its name.
fn distributions(result: &RunResult) -> Vec<(String, &Histogram<u64>)> {
    let run = &result.snapshot;
    let mut all = Vec::new();
    for metric in Metric::ALL {
        if let Some(times) = run.latencies.get(&metric) {
            all.push((format!("{metric} (corrected)"), &times.corrected));
            all.push((format!("{metric} (raw)"), &times.raw));
        }
    }
    for ((kind, layer), times) in &run.one_way {
        all.push((format!("one_way {kind} layer {layer}"), times));
    }
    if !run.lateness.is_empty() {
        all.push(("lateness of starts".to_owned(), &run.lateness));
    }
    all.push(("tester's timers".to_owned(), &run.scheduling_delay));
    all
}

fn latencies(out: &mut String, result: &RunResult) {
    out.push_str("<h2>Times in milliseconds</h2><table><tr><th>");
    for head in ["count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"] {
        let _ = write!(out, "<th class=\"n\">{head}");
    }
    for (name, times) in distributions(result) {
        let _ = write!(
            out,
            "<tr><td>{name}<td class=\"n\">{}<td class=\"n\">{:.2}",
            times.len(),
            times.mean() / 1e3
        );
        for quantile in [0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let value = millis(times.value_at_quantile(quantile));
            let _ = write!(out, "<td class=\"n\">{value:.2}");
        }
    }
    out.push_str(
        "</table><p>Corrected times count from the moment at which something should have begun, so \
         that what waits behind a stall counts in full; raw times from when it did begin.</p>",
    );
}

fn plots(out: &mut String, result: &RunResult) {
    out.push_str("<h2>Course</h2><div class=\"plots\">");
    let open = Line {
        name: "open",
        points: result.series.iter().map(|p| (p.second, p.open)).collect(),
    };
    out.push_str(&over_time("Connections", "open", result.seconds, &[open]));
    for (title, unit, names) in COURSES {
        let lines: Vec<_> = names
            .iter()
            .map(|name| Line {
                name,
                points: (result.series.iter())
                    .filter_map(|p| Some((p.second, *p.values.get(*name)?)))
                    .collect(),
            })
            .filter(|line| !line.points.is_empty())
            .collect();
        if !lines.is_empty() {
            out.push_str(&over_time(title, unit, result.seconds, &lines));
        }
    }
    out.push_str("</div><h2>Percentiles</h2><div class=\"plots\">");
    for metric in Metric::ALL {
        let Some(times) = result.snapshot.latencies.get(&metric) else {
            continue;
        };
        let lines = [("corrected", &times.corrected), ("raw", &times.raw)].map(|(name, times)| {
            let steps = (0..=100).map(|n| 1.0 - 10f64.powf(-f64::from(n) / 20.0));
            // Beyond the number of times there is nothing to see.
            let known = steps.filter(|q| (1.0 - q) * times.len() as f64 >= 0.5);
            Line {
                name,
                points: known
                    .map(|q| (q, millis(times.value_at_quantile(q))))
                    .collect(),
            }
        });
        out.push_str(&over_percentiles(&metric.to_string(), "ms", &lines));
    }
    out.push_str("</div>");
}

fn delivery(out: &mut String, result: &RunResult) {
    let run = &result.snapshot;
    out.push_str("<h2>Messages</h2><table><tr><th>Kind<th>Layer");
    for head in [
        "sent",
        "bytes",
        "received",
        "bytes",
        "lost",
        "reordered",
        "duplicated",
    ] {
        let _ = write!(out, "<th class=\"n\">{head}");
    }
    let keys: std::collections::BTreeSet<_> = (run.sent.keys())
        .chain(run.received.keys())
        .chain(run.delivery.keys())
        .collect();
    for key in keys {
        let sent = run.sent.get(key).copied().unwrap_or_default();
        let received = run.received.get(key).copied().unwrap_or_default();
        let found = run.delivery.get(key).copied().unwrap_or_default();
        let _ = write!(out, "<tr><td>{}<td>{}", key.0, key.1);
        for value in [
            sent.0,
            sent.1,
            received.0,
            received.1,
            found.lost,
            found.reordered,
            found.duplicated,
        ] {
            let _ = write!(out, "<td class=\"n\">{value}");
        }
    }
    out.push_str("</table>");
    for (kind, (count, length)) in &run.freezes {
        let seconds = length.as_secs_f64();
        let _ = write!(
            out,
            "<p>Freezes of {kind}: {count}, {seconds:.1} s in all.</p>"
        );
    }
}

fn errors(out: &mut String, result: &RunResult) {
    if result.snapshot.errors.is_empty() {
        return;
    }
    out.push_str("<h2>Errors</h2><table><tr><th>Class<th class=\"n\">Count<th>Example");
    for (class, (count, example)) in &result.snapshot.errors {
        let example = escape(example);
        let _ = write!(out, "<tr><td>{class}<td class=\"n\">{count}<td>{example}");
    }
    out.push_str("</table>");
}

fn workers(out: &mut String, result: &RunResult) {
    let named = || {
        result
            .workers
            .iter()
            .filter(|worker| !worker.name.is_empty())
    };
    if named().next().is_none() {
        return;
    }
    out.push_str(
        "<h2>Workers</h2><table><tr><th>Name<th>State<th class=\"n\">CPU, highest\
         <th class=\"n\">Timers p99<th class=\"n\">Clock",
    );
    for worker in named() {
        let state = match worker.lost_at {
            Some(at) => format!("<span class=\"bad\">LOST after {at:.1} s</span>"),
            None => "went through".to_owned(),
        };
        let clock = match worker.clock {
            Some((offset, error)) => format!("{offset:+} ± {error} µs"),
            None => String::new(),
        };
        let _ = write!(
            out,
            "<tr><td>{}<td>{state}<td class=\"n\">{:.0} %<td class=\"n\">{:.2} ms<td class=\"n\">{clock}",
            escape(&worker.name),
            100.0 * worker.tester.cpu_highest,
            worker.tester.delay_p99_ms,
        );
    }
    out.push_str("</table>");
}

fn all_figures(out: &mut String, result: &RunResult) {
    out.push_str("<h2>All figures</h2><table><tr><th>Name<th class=\"n\">Value");
    for (name, value) in &result.figures {
        let value = figure(value);
        let _ = write!(out, "<tr><td>{}<td class=\"n\">{value}", escape(name));
    }
    out.push_str("</table>");
}

/// A moment in UTC, from milliseconds since the Unix epoch.
fn date(ms: u64) -> String {
    let (days, second) = ((ms / 86_400_000) as i64, ms / 1000 % 86_400);
    // From days to civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_right() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_827_696_000), "2000-02-29 12:34:56 UTC");
        assert_eq!(date(1_767_225_599_999), "2025-12-31 23:59:59 UTC");
    }
}
