//! What an operator sees when something is wrong.

use std::{fs, net::TcpListener};

use crate::process::{Server, command};

/// What is told, which is one line, also for those who want backtraces.
fn failure(args: &[&str]) -> String {
    let output = command(args).env("RUST_BACKTRACE", "1").output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn error(args: &[&str]) -> String {
    let text = failure(args);
    let is_log = |line: &&str| line.contains(" INFO ") || line.contains(" WARN ");
    let errors: Vec<&str> = text.lines().filter(|line| !is_log(line)).collect();
    assert!(
        errors.len() == 1 && errors[0].starts_with("error: "),
        "{text}"
    );
    text
}

#[test]
fn a_port_in_use_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = error(&[
        "--http-listen",
        &address,
        "--webtransport-listen",
        "127.0.0.1:0",
    ]);
    assert!(
        text.contains("--http-listen") && text.contains(&address),
        "{text}"
    );

    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = error(&[
        "--http-listen",
        "127.0.0.1:0",
        "--webtransport-listen",
        &address,
    ]);
    assert!(
        text.contains("--webtransport-listen") && text.contains(&address),
        "{text}"
    );
}

#[test]
fn an_unreadable_certificate_is_named_with_its_setting() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.pem");
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let broken = broken.to_str().unwrap();
    for certificate in ["/nonexistent/certificate.pem", broken] {
        let text = error(&["--tls-certificate", certificate, "--tls-key", broken]);
        assert!(
            text.contains("--tls-certificate") && text.contains(certificate),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_flag_is_answered_with_help() {
    let text = failure(&["--http-lisen", "x"]);
    assert!(text.contains("--http-listen"), "{text}");
    let text = failure(&["--http-listen", "localhost"]);
    assert!(text.contains("--http-listen"), "{text}");
    let text = failure(&["--nats-url", "not a url"]);
    assert!(text.contains("NATS"), "{text}");
}

#[test]
fn every_flag_is_documented() {
    let help = String::from_utf8(command(&["--help"]).output().unwrap().stdout).unwrap();
    let page = include_str!("../../../docs/configuration.md");
    let flags: Vec<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '-'))
        .filter(|word| !matches!(*word, "--help" | "--version"))
        .collect();
    assert!(flags.len() > 10);
    for flag in flags {
        assert!(
            page.contains(&format!("`{flag}`")),
            "{flag} is not in docs/configuration.md"
        );
    }
}

#[test]
fn health_metrics_and_the_page_answer() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "the page").unwrap();
    let server = Server::start(&["--ui-dir", folder.path().to_str().unwrap()]);
    assert_eq!(server.get("/healthz").0, 200);
    let (status, ready) = server.get("/readyz");
    assert_eq!(status, 200);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&ready).unwrap()["status"],
        "ok"
    );
    assert!(
        server
            .get("/metrics")
            .1
            .contains("videocall_sessions{transport=\"websocket\"} 0")
    );
    assert_eq!(server.get("/meeting/Ann/x").1, "the page");
    assert_eq!(server.get("/nothing.js").0, 404);
    let config: serde_json::Value = serde_json::from_str(&server.get("/config.json").1).unwrap();
    let transport = &config["webtransport"][0];
    assert_eq!(
        transport["url"],
        format!("https://localhost:{}", server.media)
    );
    assert_eq!(
        transport["certificateHashes"][0].as_str().unwrap().len(),
        44
    );
}
