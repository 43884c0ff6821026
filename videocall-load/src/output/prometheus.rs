//! Metrics in Prometheus' text form, version 0.0.4.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::frame::Frame;
use crate::measure::{EndReason, MessageKind, Metric};

/// Content type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];
const PREFIX: &str = "videocall_load_";

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}");
        let _ = writeln!(self.0, "# TYPE {PREFIX}{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "{PREFIX}{name}");
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { "{" } else { "," };
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    fn summary(&mut self, name: &str, labels: &[(&str, &str)], times: &Histogram<u64>) {
        for quantile in QUANTILES {
            let text = quantile.to_string();
            let with: Vec<_> = labels
                .iter()
                .copied()
                .chain([("quantile", &*text)])
                .collect();
            self.value(name, &with, times.value_at_quantile(quantile) as f64 / 1e6);
        }
        let sum = times.mean() * times.len() as f64 / 1e6;
        self.value(&format!("{name}_sum"), labels, sum);
        self.value(&format!("{name}_count"), labels, times.len() as f64);
    }
}

/// The page for a moment of a run.
pub fn page(frame: &Frame) -> String {
    let run = &frame.collected.snapshot;
    let mut page = Page(String::with_capacity(8192));
    let out = &mut page;
    out.single(
        "run_seconds",
        "gauge",
        "Time since the run began.",
        frame.elapsed.as_secs_f64(),
    );
    for (name, help, value) in [
        (
            "connections_planned_total",
            "Connections that should have been started.",
            run.planned,
        ),
        (
            "connections_late_total",
            "Connections started over 10 ms too late.",
            run.late,
        ),
        (
            "connections_started_total",
            "Attempts to connect.",
            run.started,
        ),
        (
            "connections_connected_total",
            "Attempts that came about.",
            run.connected,
        ),
    ] {
        out.single(name, "counter", help, value as f64);
    }
    out.single(
        "connections_open",
        "gauge",
        "Connections that are open.",
        run.open() as f64,
    );
    out.family(
        "connections_ended_total",
        "counter",
        "Ends of connections by reason.",
    );
    for reason in [
        EndReason::Stopped,
        EndReason::ClosedByServer,
        EndReason::Failed,
    ] {
        let count = run.ended.get(&reason).copied().unwrap_or(0);
        let reason = reason.to_string();
        out.value(
            "connections_ended_total",
            &[("reason", &reason)],
            count as f64,
        );
    }
    out.family("errors_total", "counter", "Errors by class.");
    for (class, (count, _)) in &run.errors {
        out.value(
            "errors_total",
            &[("class", &class.to_string())],
            *count as f64,
        );
    }
    messages(out, frame);
    out.family(
        "latency_seconds",
        "summary",
        "Times since the run began; corrected: from the planned time.",
    );
    for metric in Metric::ALL {
        let Some(times) = run.latencies.get(&metric) else {
            continue;
        };
        let metric = metric.to_string();
        for (form, times) in [("corrected", &times.corrected), ("raw", &times.raw)] {
            out.summary(
                "latency_seconds",
                &[("metric", &metric), ("form", form)],
                times,
            );
        }
    }
    out.family(
        "one_way_seconds",
        "summary",
        "Delay from a sender's planned time, by kind and layer.",
    );
    for ((kind, layer), times) in &run.one_way {
        let (kind, layer) = (kind.to_string(), layer.to_string());
        out.summary(
            "one_way_seconds",
            &[("kind", &kind), ("layer", &layer)],
            times,
        );
    }
    tester(out, frame);
    page.0
}

fn messages(out: &mut Page, frame: &Frame) {
    let run = &frame.collected.snapshot;
    for (name, help, traffic, bytes) in [
        (
            "messages_sent_total",
            "Messages handed to sockets.",
            &run.sent,
            false,
        ),
        ("bytes_sent_total", "Bytes of those.", &run.sent, true),
        (
            "messages_received_total",
            "Messages that came.",
            &run.received,
            false,
        ),
        (
            "bytes_received_total",
            "Bytes of those.",
            &run.received,
            true,
        ),
    ] {
        out.family(name, "counter", help);
        for ((kind, layer), (count, size)) in traffic {
            let value = if bytes { size } else { count };
            let (kind, layer) = (kind.to_string(), layer.to_string());
            out.value(name, &[("kind", &kind), ("layer", &layer)], *value as f64);
        }
    }
    for (place, name, help) in [
        (0, "messages_lost_total", "Messages that did not come."),
        (
            1,
            "messages_reordered_total",
            "Messages that came behind later ones.",
        ),
        (2, "messages_duplicated_total", "Messages that came again."),
    ] {
        out.family(name, "counter", help);
        for kind in MessageKind::ALL {
            let of_kind = run.delivery.iter().filter(|((of, _), _)| *of == kind);
            let sum: u64 = of_kind
                .map(|(_, found)| [found.lost, found.reordered, found.duplicated][place])
                .sum();
            out.value(name, &[("kind", &kind.to_string())], sum as f64);
        }
    }
    out.family(
        "freezes_total",
        "counter",
        "Gaps of over 200 ms in a stream.",
    );
    out.family("frozen_seconds_total", "counter", "Length of those in all.");
    for kind in MessageKind::ALL {
        let (count, length) = run.freezes.get(&kind).copied().unwrap_or_default();
        let kind = kind.to_string();
        out.value("freezes_total", &[("kind", &kind)], count as f64);
        out.value(
            "frozen_seconds_total",
            &[("kind", &kind)],
            length.as_secs_f64(),
        );
    }
}

fn tester(out: &mut Page, frame: &Frame) {
    let delay = &frame.collected.snapshot.scheduling_delay;
    out.family(
        "tester_delay_seconds",
        "summary",
        "How late the tester's own timers fired.",
    );
    out.summary("tester_delay_seconds", &[], delay);
    type Of = fn(&super::frame::Worker) -> f64;
    let families: [(&str, &str, Of); 4] = [
        (
            "tester_cpu_cores",
            "Cores that the tester used in the last second.",
            |w| w.tester.cpu,
        ),
        (
            "tester_memory_bytes",
            "Resident memory of the tester.",
            |w| w.tester.memory as f64,
        ),
        (
            "tester_bottleneck",
            "1 if the tester is too slow for its figures to be trusted.",
            |w| f64::from(u8::from(!w.tester.bottleneck.is_empty())),
        ),
        ("worker_lost", "1 if the worker was lost.", |w| {
            f64::from(u8::from(w.lost_at.is_some()))
        }),
    ];
    for (name, help, of) in families {
        out.family(name, "gauge", help);
        for worker in &frame.collected.workers {
            out.value(name, &[("worker", &worker.name)], of(worker));
        }
    }
    let (cpu, memory) = frame.server.map_or((f64::NAN, f64::NAN), |server| {
        (server.cpu, server.memory as f64)
    });
    out.single(
        "server_cpu_cores",
        "gauge",
        "Cores that the server used in the last second.",
        cpu,
    );
    out.single(
        "server_memory_bytes",
        "gauge",
        "Resident memory of the server.",
        memory,
    );
    out.family("threshold_kept", "gauge", "1 if the limit is kept so far.");
    for verdict in &frame.verdicts {
        let kept = f64::from(u8::from(verdict.kept));
        out.value("threshold_kept", &[("threshold", &verdict.threshold)], kept);
    }
}
