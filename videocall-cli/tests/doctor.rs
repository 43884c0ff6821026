//! What is wrong is found, and what is right is not complained of.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, UdpSocket},
    process::Command,
};

use serde_json::Value;
use support::Server;

/// What the doctor says of a server, and its exit code.
fn examine(url: &str, more: &[&str]) -> (Vec<Value>, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_videocall-cli"))
        .args(["doctor", "--server", url])
        // Little to encode: this machine may be busy.
        .args(["--resolution", "160x90", "--fps", "5", "--speed", "9"])
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let findings = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (findings.collect(), output.status.code().unwrap())
}

fn of<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let mut all = findings.iter();
    let found = all.find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check} is examined: {findings:?}"))
}

fn assert_verdict(findings: &[Value], check: &str, verdict: &str) {
    let finding = of(findings, check);
    assert_eq!(finding["verdict"], verdict, "{finding}");
    assert_eq!(finding["advice"].is_string(), verdict != "ok", "{finding}");
}

fn url(server: &Server) -> String {
    format!("http://127.0.0.1:{}", server.port)
}

#[test]
fn a_server_that_is_well() {
    let (findings, code) = examine(&url(&Server::start(&[])), &[]);
    for check in ["server", "clock", "websocket", "webtransport", "cpu"] {
        assert_verdict(&findings, check, "ok");
    }
    let devices = [of(&findings, "camera"), of(&findings, "microphone")];
    let failed = devices.iter().any(|finding| finding["verdict"] == "fail");
    assert_eq!(code, if failed { 11 } else { 0 }, "{findings:?}");
}

#[test]
fn udp_that_does_not_come_through() {
    // Somebody has the port who never answers, as a firewall does.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let media = format!("https://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let server = Server::start(&["--webtransport-url", &media]);
    let (findings, _) = examine(&url(&server), &[]);
    assert_verdict(&findings, "websocket", "ok");
    assert_verdict(&findings, "webtransport", "warn");
    let advice = of(&findings, "webtransport")["advice"].as_str().unwrap();
    assert!(advice.contains("let UDP"), "{advice}");
}

#[test]
fn a_server_that_is_not_there_and_a_camera_that_is_not_either() {
    let (findings, code) = examine("http://127.0.0.1:9", &["--video-device-index", "99"]);
    assert_verdict(&findings, "server", "fail");
    assert_verdict(&findings, "camera", "fail");
    assert!(
        of(&findings, "camera")["found"]
            .as_str()
            .unwrap()
            .contains("/dev/video99")
    );
    assert!(
        !findings
            .iter()
            .any(|finding| finding["check"] == "websocket")
    );
    assert_eq!(code, 11);
}

#[test]
fn a_certificate_that_nobody_knows() {
    let server = Server::start(&["--lan"]);
    let url = format!("https://127.0.0.1:{}", server.port);
    let (findings, code) = examine(&url, &[]);
    assert_verdict(&findings, "certificate", "fail");
    assert_verdict(&findings, "server", "fail");
    assert_eq!(code, 11);
    let (findings, _) = examine(&url, &["--insecure"]);
    assert_verdict(&findings, "server", "ok");
    // Believed by its hash, where that is how it goes.
    assert_verdict(&findings, "webtransport", "ok");
    assert_verdict(&findings, "websocket", "warn");
    let certificate = of(&findings, "certificate");
    assert!(
        certificate["found"]
            .as_str()
            .unwrap()
            .contains("valid until"),
        "{certificate}"
    );
}

#[test]
fn a_clock_that_is_wrong() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Lives as long as the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let request = BufReader::new(&stream).lines().map_while(Result::ok);
            if request.take_while(|line| !line.is_empty()).count() > 0 {
                let answer = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                              Content-Length: 2\r\nConnection: close\r\n\r\n{}";
                let _ = (&stream).write_all(answer.as_bytes());
            }
        }
    });
    let (findings, code) = examine(&url, &[]);
    assert_verdict(&findings, "clock", "fail");
    assert!(
        of(&findings, "clock")["found"]
            .as_str()
            .unwrap()
            .contains("ahead")
    );
    assert_eq!(code, 11);
}
