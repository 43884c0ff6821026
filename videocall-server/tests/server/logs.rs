//! What the server logs of a session's life, and what it never logs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    clients::{Client, Way, resuming},
    process::Server,
};

/// Log lines as JSON that are within the span of a session, once there are that many.
async fn lines_of(server: &Server, session: &str, number: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let log = server.log();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let of_session = |line: &Value| line["span"]["id"] == session;
        let lines: Vec<Value> = lines.filter(of_session).collect();
        if lines.len() >= number {
            return lines;
        }
        assert!(Instant::now() < deadline, "{session} in {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_life_of_a_session_is_one_span_without_names_or_tickets() {
    // The libraries' own, below the usual level, show paths.
    let settings = [
        "--log-format=json",
        "--log=info,videocall_node=debug,webtransport_server=debug,actix_api=debug",
    ];
    let server = Server::start(&settings);
    let path = "/lobby/somebody%20secret/a%20private%20meeting";
    for (way, transport) in [
        (Way::WebSocket, "websocket"),
        (Way::WebTransport, "webtransport"),
    ] {
        let mut first = Client::join(&server, way, path).await;
        let ticket = first.ticket().await;
        let mut second = Client::saying(&server, way, path, resuming(&ticket)).await;
        second.welcomed().await;
        let id = first.session.to_string();
        let lines = lines_of(&server, &id, 2).await;
        for line in &lines {
            assert_eq!(line["span"]["name"], "session");
            assert_eq!(line["span"]["transport"], transport);
            assert_eq!(line["span"]["meeting"].as_str().unwrap().len(), 32);
        }
        assert_eq!(lines[0]["fields"]["message"], "joined");
        let last = &lines[lines.len() - 1]["fields"];
        assert_eq!(
            (&last["message"], &last["reason"]),
            (&Value::from("closed"), &Value::from("Replaced"))
        );
        let log = server.log();
        let hex: String = ticket.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{:?}", &ticket[..]);
        for secret in ["somebody", "private", &hex, &list[1..list.len() - 1]] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}

#[tokio::test]
async fn people_read_the_same_in_words() {
    let server = Server::start(&[]);
    let ann = Client::websocket(&server, "/lobby/ann/m").await;
    let id = ann.session.to_string();
    ann.vanish();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !server.log().contains("closed") {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = server.log();
    let joined = log.lines().find(|line| line.contains("joined")).unwrap();
    assert!(
        joined.contains(&id) && joined.contains("websocket"),
        "{joined}"
    );
}
