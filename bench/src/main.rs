//! Prints what it costs the server to deliver a packet, beside its floor: the same bytes to the same
//! number of sockets from a bare loop on the same runtime, measured in the same run.
//!
//! Server and floor are processes of their own, so that the time they take (user and system, from
//! `/proc`) is theirs alone. Everything stays on the loopback interface, bounded in time and count.
//! Results go to `bench/results/latest.json` as well.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod floor;
mod meeting;
mod process;

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    meeting::{Load, Transport},
    process::Process,
};

/// Receivers, name and size of a packet, packets a second, packets in all.
const LOADS: [(usize, &str, usize, u32, u32); 4] = [
    (10, "audio", 120, 250, 2500),
    (50, "audio", 120, 250, 1500),
    (10, "video", 4000, 150, 1500),
    (50, "video", 4000, 100, 800),
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        None => run().await,
        Some("floor-websocket") => floor::tcp().await,
        Some("floor-webtransport") => floor::quic().await,
        Some(other) => anyhow::bail!("`{other}`: run without arguments"),
    }
}

async fn run() -> Result<()> {
    println!(
        "{:<40} {:>10} {:>10} {:>7}",
        "CPU per delivered packet", "µs", "floor", "ratio"
    );
    let mut results = Vec::new();
    for transport in [Transport::WebSocket, Transport::WebTransport] {
        for (receivers, kind, bytes, per_second, packets) in LOADS {
            let load = Load {
                receivers,
                bytes,
                per_second,
                packets,
                audio: kind == "audio",
            };
            let value = meeting::measure(transport, &load)
                .await
                .context("the server")?;
            let floor = floor::measure(transport, &load)
                .await
                .context("the floor")?;
            let ratio = value / floor;
            let name = format!("relay.{}.{receivers}.{kind}.cpu_us", transport.label());
            println!("{name:<40} {value:>10.2} {floor:>10.2} {ratio:>7.2}");
            results.push(json!({
                "name": name, "unit": "us", "value": value, "floor": floor, "ratio": ratio,
            }));
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
    fs::create_dir_all(folder)?;
    let path = format!("{folder}/latest.json");
    fs::write(&path, serde_json::to_string_pretty(&results)?)?;
    println!("written to bench/results/latest.json");
    Ok(())
}

/// CPU time for each of `deliveries`, in microseconds.
fn per_delivery(process: &Process, before: f64, deliveries: u64) -> Result<f64> {
    Ok((process.cpu_seconds()? - before) * 1e6 / deliveries as f64)
}
