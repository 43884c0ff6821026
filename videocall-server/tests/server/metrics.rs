//! What dashboard, alerts and manual name is measured, and the other way round.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use videocall_types::ids::MediaKind;

use crate::{clients::Client, process::Server};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything in a text that looks like a metric of ours.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| {
            ["videocall_", "process_"]
                .iter()
                .any(|start| word.starts_with(start) && word.len() > start.len())
        })
        .map(str::to_owned)
        .collect()
}

/// Names of series with the values of their labels.
fn exported(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let series: &mut Vec<String> = found.entry(name.to_owned()).or_default();
        series.push(line.to_owned());
    }
    found.remove("");
    found
}

async fn short_meeting(server: &Server) {
    let mut ann = Client::websocket(server, "/lobby/ann/metrics").await;
    let mut ben = Client::webtransport(server, "/lobby/ben/metrics").await;
    ann.sees(ben.session).await;
    for number in 1..=3 {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let packet = ann.frame(kind, number, &[7; 500]);
            ann.send(packet).await;
            ben.media().await;
        }
    }
    let left = ben.session;
    ben.vanish();
    ann.misses(left).await;
    // Histograms are brought up to date once a second.
    let delays = "videocall_queue_delay_seconds_count{class=\"picture\"}";
    server.counts(delays, 1.0).await;
    server
        .counts("videocall_closes_total{reason=\"lost\"}", 1.0)
        .await;
}

#[tokio::test]
async fn whatever_is_named_somewhere_is_measured_and_documented() {
    let server = Server::start(&[]);
    short_meeting(&server).await;
    let (_, text) = server.get("/metrics");
    let exported = exported(&text);
    for path in [
        "deploy/grafana/videocall.json",
        "deploy/prometheus/alerts.yml",
    ] {
        for name in names(&file(path)) {
            assert!(
                exported.contains_key(&name),
                "{path} names {name}, which is not measured"
            );
        }
    }
    let manual = names(&file("docs/operations.md"));
    let family = |name: &str| {
        let suffixes = ["_bucket", "_sum", "_count"];
        let stem = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        stem.filter(|stem| manual.contains(*stem))
            .unwrap_or(name)
            .to_owned()
    };
    let measured: BTreeSet<String> = exported.keys().map(|name| family(name)).collect();
    assert_eq!(manual, measured, "the manual on the left");
    for (name, series) in &exported {
        assert!(series.len() <= 64, "{name} has {} series", series.len());
    }
    assert_eq!(
        server.metric("videocall_closes_total{reason=\"lost\"}"),
        1.0
    );
    assert!(server.metric("process_resident_memory_bytes") > 1e6);
}

#[test]
fn the_alerts_are_rules_that_prometheus_takes() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(promtool) = std::env::split_paths(&path)
        .map(|folder| folder.join("promtool"))
        .find(|file| file.is_file())
    else {
        // Past the test harness, which shows what failed only.
        let told =
            b"\nSKIPPED: the alerts are not checked: no promtool, which `scripts/setup test` fetches\n";
        let _ = std::io::stdout().lock().write_all(told);
        return;
    };
    let rules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/alerts.yml");
    let output = Command::new(promtool)
        .args(["check", "rules"])
        .arg(rules)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
}
