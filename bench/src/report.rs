//! The table, and the same as JSON.

use std::{fs, io::Write, time::Instant};

use anyhow::Result;
use serde_json::{Value, json};

/// Figures as they come.
pub(crate) struct Report {
    only: String,
    rows: Vec<Value>,
    section: Option<&'static str>,
    started: Instant,
}

impl Report {
    pub(crate) fn new(only: String) -> Self {
        Self {
            only,
            rows: Vec::new(),
            section: None,
            started: Instant::now(),
        }
    }

    /// Whether a figure with this name is asked for, or, if it ends with a dot, one of this group.
    pub(crate) fn wants(&self, name: &str) -> bool {
        name.starts_with(&self.only) || (name.ends_with('.') && self.only.starts_with(name))
    }

    /// The heading of the figures that follow, printed with the first of them.
    pub(crate) fn section(&mut self, title: &'static str) {
        self.section = Some(title);
    }

    /// Prints and keeps a figure; its ratio is what it costs for each of what its floor costs.
    pub(crate) fn add(&mut self, name: &str, unit: &str, value: f64, floor: Option<f64>) {
        if !self.wants(name) {
            return;
        }
        if let Some(title) = self.section.take() {
            println!("\n{title}");
            println!(
                "{:<44} {:>10} {:>10} {:>7}  unit",
                "", "value", "floor", "ratio"
            );
        }
        let ratio = floor
            .filter(|&floor| floor > 0.0)
            .map(|floor| value / floor);
        let cell = |value: Option<f64>| value.map_or_else(|| String::from("-"), short);
        println!(
            "{name:<44} {:>10} {:>10} {:>7}  {unit}",
            short(value),
            cell(floor),
            ratio.map_or_else(|| String::from("-"), |ratio| format!("{ratio:.2}"))
        );
        let _ = std::io::stdout().flush();
        self.rows.push(json!({
            "name": name, "unit": unit, "value": value, "floor": floor, "ratio": ratio,
        }));
    }

    /// Writes `bench/results/latest.json`.
    pub(crate) fn save(&self) -> Result<()> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
        fs::create_dir_all(folder)?;
        let path = format!("{folder}/latest.json");
        fs::write(&path, serde_json::to_string_pretty(&self.rows)?)?;
        println!(
            "\n{} figures in {} s, also in bench/results/latest.json",
            self.rows.len(),
            self.started.elapsed().as_secs()
        );
        Ok(())
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
