//! The micro-benchmarks' figures, as criterion left them.

use std::fs;

use anyhow::{Context, Result};

use crate::{process::beside, report::Report};

/// Names of figures, where criterion keeps them, and for how many receivers an iteration works.
const FIGURES: [(&str, &str, f64); 5] = [
    ("core.view_ns", "view/media", 1.0),
    ("core.audio.push_ns", "push/audio", 1000.0),
    ("core.audio.take_ns", "take/audio", 1000.0),
    ("core.video.push_ns", "push/video", 1000.0),
    ("core.video.take_ns", "take/video", 1000.0),
];

/// `core.…_ns`: what `cargo bench -p videocall-types -p videocall-relay` measured.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    for (name, place, receivers) in FIGURES {
        if report.wants(name)
            && let Some(value) = median(place)?
        {
            report.add(name, "ns", value / receivers, None);
        }
    }
    Ok(())
}

fn median(place: &str) -> Result<Option<f64>> {
    let path = beside(&format!("../criterion/{place}/new/estimates.json"))?;
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(None);
    };
    let figures: serde_json::Value = serde_json::from_str(&text)?;
    let median = figures["median"]["point_estimate"].as_f64();
    Ok(Some(median.context("criterion's median")?))
}
