//! The result of a run in a few lines of text.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::measure::{Snapshot, millis};

/// For people.
pub fn of(run: &Snapshot) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        out,
        "connections  planned {}, started {}, late {}, open at some time {}",
        run.planned, run.started, run.late, run.connected
    );
    for (metric, times) in &run.latencies {
        let name = format!("{metric:?}");
        for (form, histogram) in [("corrected", &times.corrected), ("raw", &times.raw)] {
            let _ = writeln!(out, "{name:<12} {form:<9} {}", percentiles(histogram));
        }
    }
    for (way, messages) in [("sent", &run.sent), ("received", &run.received)] {
        for ((kind, layer), (count, bytes)) in messages {
            let name = format!("{kind:?} {layer}");
            let _ = writeln!(out, "{way:<12} {name:<9} {count} messages, {bytes} bytes");
        }
    }
    let (freezes, frozen) = run.freezes_in_all();
    let delivery = run.delivery_in_all();
    let _ = writeln!(
        out,
        "delivery     lost {}, reordered {}, duplicated {}, freezes {freezes} ({:.1} s)",
        delivery.lost,
        delivery.reordered,
        delivery.duplicated,
        frozen.as_secs_f64()
    );
    let _ = writeln!(
        out,
        "tester       timers up to {:.1} ms late",
        millis(run.scheduling_delay.max())
    );
    for (class, (count, example)) in &run.errors {
        let _ = writeln!(out, "error        {class:?} {count} times: {example}");
    }
    out
}

fn percentiles(times: &Histogram<u64>) -> String {
    let at = |quantile| millis(times.value_at_quantile(quantile));
    format!(
        "p50 {:.2} ms, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2} ({} times)",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        millis(times.max()),
        times.len()
    )
}
