//! WAMP against a small router of its own, and against Crossbar where it is installed.

use std::{
    collections::HashMap,
    io::Write,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::broadcast};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};
use videocall_load::{
    behaviour::wamp::{Serializer, WampMode, WampOptions, decode, encode},
    measure::{ErrorClass, Metric},
    plan::BehaviourOptions,
};

use crate::{
    server::{Mischief, Server},
    support::{PATIENCE, Run, Seen, plan},
};

fn options(mode: WampMode, serializer: Serializer) -> WampOptions {
    WampOptions {
        realm: "realm1".to_owned(),
        mode,
        serializer,
        uri: "load.test".to_owned(),
        publishers: None,
        pause: Duration::from_millis(20),
        bytes: 16,
        timeout: Duration::from_secs(5),
    }
}

async fn converse(url: &str, options: WampOptions) -> Seen {
    let sessions = 3;
    let mode = options.mode;
    let run = Run::start(plan(url, sessions, BehaviourOptions::Wamp(options)));
    run.until("answers", |seen| match mode {
        WampMode::Session => seen.latency(Metric::Join).0 == sessions,
        WampMode::Rpc => seen.latency(Metric::RoundTrip).0 >= 60,
        WampMode::Pubsub => {
            seen.latency(Metric::RoundTrip).0 >= 60 && seen.latency(Metric::OneWay).0 >= 150
        }
    })
    .await;
    let seen = run.end().await;
    assert_eq!(seen.errors, []);
    assert_eq!((seen.lost, seen.reordered, seen.duplicated), (0, 0, 0));
    seen
}

async fn all_modes(url: &str) {
    for serializer in [Serializer::Json, Serializer::Msgpack] {
        for mode in [WampMode::Session, WampMode::Pubsub, WampMode::Rpc] {
            converse(url, options(mode, serializer)).await;
        }
    }
}

#[tokio::test]
async fn sessions_topics_and_calls() {
    let url = router(0).await;
    all_modes(&url).await;
}

#[tokio::test]
async fn events_that_the_router_drops_are_lost() {
    let url = router(10).await;
    let behaviour = BehaviourOptions::Wamp(options(WampMode::Pubsub, Serializer::Json));
    let run = Run::start(plan(&url, 2, behaviour));
    run.until("events", |seen| seen.latency(Metric::OneWay).0 >= 200)
        .await;
    assert!(run.end().await.lost >= 10);
}

#[tokio::test]
async fn a_server_without_wamp_is_no_router() {
    let server = Server::start(Mischief::Echo).await;
    let behaviour = BehaviourOptions::Wamp(options(WampMode::Session, Serializer::Json));
    let run = Run::start(plan(&server.url(), 1, behaviour));
    run.until("refusal", |seen| seen.errors_of(ErrorClass::Handshake) > 0)
        .await;
    run.end().await;
}

#[tokio::test]
async fn a_realm_that_does_not_exist_is_an_error() {
    let url = router(0).await;
    let mut options = options(WampMode::Session, Serializer::Msgpack);
    options.realm = "nowhere".to_owned();
    let run = Run::start(plan(&url, 1, BehaviourOptions::Wamp(options)));
    run.until("abort", |seen| seen.errors_of(ErrorClass::Handshake) > 0)
        .await;
    let seen = run.end().await;
    assert!(
        seen.errors[0].2.contains("no_such_realm"),
        "{:?}",
        seen.errors
    );
}

#[tokio::test]
async fn crossbar() {
    let Some(program) = crossbar_program() else {
        // Not by a macro: what those print is not shown of tests that pass.
        let told = b"\nSKIPPED: WAMP against Crossbar: `scripts/setup test` installs it, \
                     or CROSSBAR names the program\n";
        std::io::stderr().write_all(told).unwrap();
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = json!({
        "version": 2,
        "workers": [{
            "type": "router",
            "realms": [{
                "name": "realm1",
                "roles": [{
                    "name": "anonymous",
                    "permissions": [{
                        "uri": "", "match": "prefix",
                        "allow": {"call": true, "register": true, "publish": true, "subscribe": true}
                    }]
                }]
            }],
            "transports": [{
                "type": "websocket",
                "endpoint": {"type": "tcp", "port": port, "interface": "127.0.0.1"},
                "url": format!("ws://127.0.0.1:{port}/ws"),
                "serializers": ["json", "msgpack"]
            }]
        }]
    });
    let node = folder.path().join(".crossbar");
    std::fs::create_dir(&node).unwrap();
    std::fs::write(node.join("config.json"), config.to_string()).unwrap();
    let child = Command::new(program)
        .args(["start", "--cbdir"])
        .arg(&node)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("crossbar starts");
    let _crossbar = Killed(child);
    let deadline = Instant::now() + 3 * PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "crossbar does not listen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    all_modes(&format!("ws://127.0.0.1:{port}/ws")).await;
}

/// What `CROSSBAR` names, what `scripts/setup test` has installed, or what is on the path.
fn crossbar_program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CROSSBAR") {
        return Some(named.into());
    }
    let cache = (std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from))
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let installed = cache.map(|cache| cache.join("videocall/tools/crossbar"));
    if let Some(installed) = installed.filter(|folder| folder.join("installed").exists()) {
        return Some(installed.join("bin/crossbar"));
    }
    let path = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("crossbar"));
    programs.find(|program| program.is_file())
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Crossbar ends its workers when it is asked to end.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::TERM,
        );
        let _ = self.0.wait();
    }
}

/// A router that drops each n-th event.
async fn router(drop_each: u64) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let events = broadcast::channel(4096).0;
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(session(stream, events.clone(), count.clone(), drop_each));
        }
    });
    url
}

async fn session(
    stream: TcpStream,
    events: broadcast::Sender<Value>,
    count: Arc<AtomicU64>,
    drop_each: u64,
) {
    let mut serializer = Serializer::Json;
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let offered = request.headers()["sec-websocket-protocol"].clone();
        if offered == Serializer::Msgpack.subprotocol() {
            serializer = Serializer::Msgpack;
        }
        response
            .headers_mut()
            .insert("sec-websocket-protocol", offered);
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, choose).await else {
        return;
    };
    let mut incoming = events.subscribe();
    let (mut subscribed, mut calls) = (false, HashMap::new());
    let mut next_id = 100;
    loop {
        let mut answers = Vec::new();
        tokio::select! {
            message = socket.next() => {
                let Some(Ok(message)) = message else { return };
                if !message.is_text() && !message.is_binary() {
                    continue;
                }
                assert_eq!(message.is_text(), serializer == Serializer::Json);
                let (kind, list) = decode(serializer, &message.into_data()).expect("a message");
                next_id += 1;
                match kind {
                    1 if list[1] == "realm1" => {
                        answers.push(json!([2, next_id, {"roles": {"broker": {}, "dealer": {}}}]));
                    }
                    1 => answers.push(json!([3, {}, "wamp.error.no_such_realm"])),
                    16 => {
                        answers.push(json!([17, list[1], next_id]));
                        let number = count.fetch_add(1, Relaxed) + 1;
                        if !number.is_multiple_of(drop_each) {
                            let _ = events.send(json!([36, 7, next_id, {}, list[4]]));
                        }
                    }
                    32 => {
                        subscribed = true;
                        answers.push(json!([33, list[1], 7]));
                    }
                    64 => answers.push(json!([65, list[1], next_id])),
                    48 => {
                        calls.insert(next_id, list[1].clone());
                        answers.push(json!([68, next_id, 8, {}, list[4]]));
                    }
                    70 => {
                        let call = calls.remove(&list[1].as_u64().unwrap()).expect("a call");
                        answers.push(json!([50, call, {}, list[3]]));
                    }
                    other => panic!("a message of type {other}"),
                }
            }
            event = incoming.recv() => {
                if subscribed {
                    answers.push(event.expect("not too many events"));
                }
            }
        }
        for answer in answers {
            let bytes = encode(serializer, &answer);
            let message = match serializer {
                Serializer::Json => Message::Text(bytes.try_into().expect("UTF-8")),
                Serializer::Msgpack => Message::Binary(bytes),
            };
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }
}
