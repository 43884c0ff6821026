//! The program: exit codes and messages.

use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::server::{Mischief, Server};

async fn load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_videocall-load"));
    command.args(arguments).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(Duration::from_secs(30), run).await;
    output
        .expect("the program ends")
        .expect("a task")
        .expect("the program runs")
}

async fn refused(arguments: &[&str], word: &str) {
    let output = load(arguments).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(word), "`{word}` in: {text}");
}

#[tokio::test]
async fn wrong_flags_are_refused_by_name() {
    let url = "ws://127.0.0.1:9";
    refused(&[], "--url").await;
    refused(&["--url", "ftp://a"], "scheme").await;
    refused(&["--url", "not a url"], "not a URL").await;
    refused(&["--url", url, "--period", "3s"], "--runner sine").await;
    refused(
        &["--url", url, "--runner", "linear"],
        "--target-connections",
    )
    .await;
    refused(&["--url", url, "--cameras", "3"], "--behaviour meeting").await;
    refused(&["--url", url, "--insecure"], "wss:").await;
    refused(&["--url", url, "--waves-pause", "3s"], "--waves-number").await;
    let meeting = ["--url", url, "--behaviour", "meeting"];
    refused(
        &[&meeting[..], &["--legacy", "--layers", "2"]].concat(),
        "--legacy",
    )
    .await;
    refused(
        &[&meeting[..], &["--cameras", "99"]].concat(),
        "more cameras",
    )
    .await;
    refused(&[&meeting[..], &["--layout", "gird"]].concat(), "gird").await;
    refused(&["--url", url, "--then", "falt"], "falt").await;
    refused(
        &["--url", url, "--then", "linear:ramp-duration=1s"],
        "--target-connections",
    )
    .await;
    refused(
        &[&meeting[..], &["--media", "nowhere.webm"]].concat(),
        "nowhere.webm",
    )
    .await;
    refused(
        &[&meeting[..], &["--media", "a.webm", "--layers", "2"]].concat(),
        "--media",
    )
    .await;
    let both = ["--insecure", "--certificate-hash", "00"];
    refused(
        &[&["--url", "wss://a"], &both[..]].concat(),
        "cannot be used with",
    )
    .await;
}

#[tokio::test]
async fn a_typo_in_a_scenario_is_named_with_line_and_column() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "[[step]]\nsend = \"a\"\n\n[[step]]\nwiat = \"1s\"\n",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = [
        "--url",
        "ws://a",
        "--behaviour",
        "scenario",
        "--scenario",
        path,
    ];
    refused(&arguments, "line 5, column 1").await;
    refused(&arguments, "wiat").await;
}

#[tokio::test]
async fn a_file_stands_for_flags_and_the_command_line_wins() {
    let server = Server::start(Mischief::Close(1000)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("url = \"{}\"\nduration = \"20s\"\n", server.url());
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let output = load(&["--config", path, "--duration", "200ms"]).await;
    assert_eq!(output.status.code(), Some(0));
    std::fs::write(file.path(), "url = \"ws://a\"\nduraton = \"1s\"\n").unwrap();
    refused(&["--config", path], "line 2, column 1").await;
    refused(
        &["--config", "/nowhere/at/all.toml"],
        "/nowhere/at/all.toml",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_nobody_reaches_has_its_own_code() {
    let server = Server::start(Mischief::ResetAtOnce).await;
    let output = load(&["--url", &server.url(), "--duration", "300ms"]).await;
    assert_eq!(output.status.code(), Some(4));
}

#[tokio::test]
async fn more_connections_than_files_are_refused_with_advice() {
    // More than any kernel allows, whatever the limits of this machine are.
    let ramp = ["--runner", "linear", "--target-connections", "4000000000"];
    let rest = ["--ramp-duration", "1h", "--url", "ws://127.0.0.1:9"];
    refused(&[&ramp[..], &rest[..]].concat(), "ulimit").await;
}

#[tokio::test]
async fn an_interrupt_ends_the_run_and_says_good_bye() {
    let server = Server::start(Mischief::Echo).await;
    let child = Command::new(env!("CARGO_BIN_EXE_videocall-load"))
        .args(["--url", &server.url(), "--duration", "1h"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = rustix::process::Pid::from_child(&child);
    server.connected(10).await;
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let wait = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = tokio::time::timeout(Duration::from_secs(20), wait).await;
    let output = output.expect("the program ends").unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", output.stderr);
}

#[tokio::test]
async fn a_program_with_a_behaviour_of_its_own() {
    let server = Server::start(Mischief::Echo).await;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_videocall-load"));
    let example = program.with_file_name("examples").join("custom");
    assert!(
        example.exists(),
        "build it first: cargo build -p videocall-load --examples"
    );
    let arguments = [
        "--url",
        &server.url(),
        "--connection-number",
        "3",
        "--duration",
        "2500ms",
    ];
    let mut command = Command::new(&example);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("RoundTrip"), "{text}");
    let refused = Command::new(&example)
        .args(["--url", &server.url(), "--behaviour", "flood"])
        .output();
    assert_eq!(refused.unwrap().status.code(), Some(2));
}
