//! Reports and exit codes of the program, against a server that refuses everybody.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

async fn load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_videocall-load"));
    command.args(arguments).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(Duration::from_secs(60), run).await;
    output.expect("the program ends").unwrap().unwrap()
}

/// Arguments of a short run that connects to nothing; port 9 of this machine is closed.
fn run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--url", "ws://127.0.0.1:9", "--connection-number", "1"];
    all.extend(more);
    all
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn reports_are_written_and_can_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (json, html, pdf) = (path("a.json"), path("a.html"), path("a.pdf"));
    let reports = [
        "--duration",
        "1500ms",
        "--json",
        &json,
        "--html",
        &html,
        "--pdf",
        &pdf,
    ];
    let output = load(&run(&reports)).await;
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("1.0s  open 0"), "progress");
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert!(result["figures"]["errors.connect"]["value"].as_f64() >= Some(1.0));
    assert!(
        std::fs::read_to_string(&html)
            .unwrap()
            .contains("ws://127.0.0.1:9/")
    );
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF-"));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(
        left.len(),
        3,
        "nothing is left beside the reports: {left:?}"
    );
    let output = load(&["compare", &json, &json, "--all"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("errors.connect"));
    let output = load(&["compare", &json, &html]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("a.html is no result of a run"));
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_found_before_the_run() {
    for flag in ["--json", "--html", "--pdf"] {
        // An hour, which does not pass.
        let more = [flag, "/nowhere/at/all/report", "--duration", "1h"];
        let output = load(&run(&more)).await;
        assert_eq!(output.status.code(), Some(5), "{flag}");
        assert!(text(&output.stderr).contains("/nowhere/at/all/report"));
    }
}

#[tokio::test]
async fn a_report_without_room_goes_to_the_terminal() {
    assert!(Path::new("/dev/full").exists());
    let output = load(&run(&["--json", "/dev/full", "--duration", "300ms"])).await;
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("/dev/full"));
    let out = text(&output.stdout);
    assert!(
        out.contains("\"snapshot\"") && out.contains("\"figures\""),
        "{out}"
    );
}

#[tokio::test]
async fn a_limit_that_cannot_be_kept_ends_the_run() {
    // An hour, which does not pass.
    let output = load(&run(&["--threshold", "errors<1", "--duration", "1h"])).await;
    assert_eq!(
        output.status.code(),
        Some(4),
        "nobody was reached, which is worse"
    );
    let out = text(&output.stdout);
    assert!(out.contains("errors<1 cannot be kept any more"), "{out}");
    assert!(out.contains("MISSED errors<1"), "{out}");
}

#[tokio::test]
async fn flags_that_would_do_nothing_or_make_no_sense_are_refused() {
    for (more, word) in [
        (&["--keep-going"][..], "--threshold"),
        (&["--abort-grace", "3s"], "--threshold"),
        (&["--threshold", "p99<fast"], "at column 5"),
        (&["--server-pid", "4294967295"], "no process"),
        (&["--server-metrics", "https://a/metrics"], "http:"),
        (&["--web-listen", "nowhere"], "--web-listen"),
    ] {
        let output = load(&run(&[more, &["--duration", "1h"]].concat())).await;
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(
            text(&output.stderr).contains(word),
            "{}",
            text(&output.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_missed_have_their_own_code() {
    let url = crate::silent::silent_server().await;
    let plan = [
        "--url",
        &url,
        "--connection-number",
        "3",
        "--duration",
        "1200ms",
    ];
    let with = |limits: &[&'static str]| -> Vec<String> {
        let limits = limits.iter().flat_map(|limit| ["--threshold", *limit]);
        plan.iter()
            .copied()
            .chain(limits)
            .map(str::to_owned)
            .collect()
    };
    for (limits, code) in [
        (&["connected>=3", "errors<1", "connect.p99<10s"][..], 0),
        (&["connected>=3", "connected>3"], 3),
        // Nothing of it was measured.
        (&["round_trip.p99<1s"], 3),
    ] {
        let arguments = with(limits);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = load(&arguments).await;
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{limits:?}: {out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_may_recover_ends_the_run_after_its_grace() {
    let url = crate::silent::silent_server().await;
    // An hour, which does not pass.
    let limit = [
        "--threshold",
        "connect.p50<0us",
        "--abort-grace",
        "1s",
        "--duration",
        "1h",
    ];
    let output = load(&[&["--url", &url][..], &limit].concat()).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("has not been kept for 1 s"));
    let limit = [
        "--threshold",
        "connected<1",
        "--keep-going",
        "--duration",
        "2s",
    ];
    let output = load(&[&["--url", &url][..], &limit].concat()).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(!text(&output.stdout).contains("ended early"));
}
