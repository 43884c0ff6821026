//! Limits of the session layer, each over both transports: whoever goes beyond is warned and
//! ended, and the others do not notice.

use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};
use videocall_types::{
    close::CloseReason,
    ids::MediaKind,
    wire::{Hello, Ping, control},
};

use crate::{
    bad_input::Talk,
    clients::{BOTH_WAYS, Client, hello},
    process::Server,
};

/// Sends until the server ends it; returns whether it was warned before.
async fn flood(mut eve: Client, packets: usize, bytes: usize) -> (bool, u32) {
    let payload = vec![7; bytes];
    for number in 1..=packets as u64 {
        eve.send(eve.frame(MediaKind::Video, number, &payload))
            .await;
    }
    let warned = eve.is_warned().await;
    (warned, eve.ended().await.0)
}

#[tokio::test]
async fn a_flood_of_packets_or_bytes_is_dropped_warned_of_and_ended() {
    let limits = [
        // A stream is not done before it is acknowledged, 40 times a second at most.
        ("--max-messages-per-second=5", 100, 10),
        ("--max-bytes-per-second=100000", 100, 20_000),
    ];
    for (limit, packets, bytes) in limits {
        let mut talk = Talk::start_with(&[limit]).await;
        for way in BOTH_WAYS {
            let eve = Client::join(&talk.server, way, "/lobby/eve/m").await;
            let (warned, code) = flood(eve, packets, bytes).await;
            assert!(warned, "{way:?} {limit}");
            assert_eq!(
                code,
                CloseReason::RateLimitExceeded.code(),
                "{way:?} {limit}"
            );
        }
        talk.goes_on_after_video().await;
        let dropped = "videocall_rate_limited_total{scope=\"connection\"}";
        assert!(talk.server.metric(dropped) > 10.0);
    }
}

#[tokio::test]
async fn frames_without_a_message_are_counted_like_packets() {
    let empty = |data, is_final| Frame::message(&b""[..], OpCode::Data(data), is_final);
    let floods = [
        ("pings", vec![], Message::Ping("x".into())),
        ("pongs", vec![], Message::Pong("x".into())),
        (
            "fragments",
            vec![Message::Frame(empty(Data::Binary, false))],
            Message::Frame(empty(Data::Continue, false)),
        ),
    ];
    let mut talk = Talk::start_with(&["--max-messages-per-second=5"]).await;
    for (what, first, frame) in floods {
        let mut eve = Client::websocket(&talk.server, "/lobby/eve/m").await;
        for frame in first.into_iter().chain(vec![frame; 100]) {
            eve.send_frame(frame).await;
        }
        let code = eve.ended().await.0;
        assert_eq!(code, CloseReason::RateLimitExceeded.code(), "{what}");
        talk.goes_on().await;
    }
}

#[tokio::test]
async fn when_all_send_too_much_those_who_send_little_are_heard() {
    let limits = [
        (
            [
                "--node-messages-per-second=200",
                "--max-messages-per-second=100",
            ],
            10,
        ),
        (
            [
                "--node-bytes-per-second=200000",
                "--max-bytes-per-second=100000",
            ],
            900,
        ),
    ];
    for (settings, bytes) in limits {
        for way in BOTH_WAYS {
            let mut talk = Talk::start_with(&settings).await;
            // Each sends what one may, and together they send more than all may.
            let mut crowd = Vec::new();
            for number in 0..7 {
                let path = format!("/lobby/{number}/elsewhere{number}");
                crowd.push(Client::join(&talk.server, way, &path).await);
            }
            let dropped = "videocall_rate_limited_total{scope=\"node\"}";
            for number in 1..=180 {
                for eve in &mut crowd {
                    let packet = eve.frame(MediaKind::Audio, number, &vec![7; bytes]);
                    eve.post(packet).await;
                }
            }
            talk.goes_on().await;
            talk.server.counts(dropped, 20.0).await;
            let ended = "videocall_rate_limited_total{scope=\"connection\"}";
            assert_eq!(
                talk.server.metric(ended),
                0.0,
                "{way:?}: nobody is to blame"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_ended_and_the_others_are_told() {
    let server = Server::start(&["--heartbeat-seconds=1", "--heartbeat-missed=2"]);
    for way in BOTH_WAYS {
        let mut ann = Client::join(&server, way, "/lobby/ann/m").await;
        let silent = Client::join(&server, way, "/lobby/ben/m").await;
        ann.sees(silent.session).await;
        // Ann answers each ping while she waits.
        ann.misses(silent.session).await;
        assert_eq!(
            silent.ended().await.0,
            CloseReason::Timeout.code(),
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn an_older_client_that_says_nothing_is_ended_too() {
    let server = Server::start(&["--heartbeat-seconds=1", "--session-timeout-seconds=2"]);
    for way in BOTH_WAYS {
        let silent = Client::silent(&server, way, "/lobby/ben/m").await;
        assert_eq!(
            silent.ended().await.0,
            CloseReason::Timeout.code(),
            "{way:?}"
        );
    }
    // As many sessions as there are participants, after as many ended.
    assert_eq!(
        server.metric("videocall_sessions{transport=\"websocket\"}"),
        0.0
    );
}

#[tokio::test]
async fn whoever_does_not_read_is_told_why_it_ends() {
    let server = Server::start(&[
        "--heartbeat-seconds=1",
        "--max-messages-per-second=0",
        "--max-bytes-per-second=0",
    ]);
    let mut ann = Client::websocket(&server, "/lobby/ann/m").await;
    for way in BOTH_WAYS {
        let mut eve = Client::join(&server, way, "/lobby/eve/m").await;
        let session = eve.session;
        ann.sees(session).await;
        // Each is answered, and no answer is read.
        let ping = control::Message::Ping(Ping { token: u64::MAX });
        tokio::select! {
            () = eve.repeat(ping, 1_000_000) => ann.misses(session).await,
            () = ann.misses(session) => {}
        }
        eve.ended_unread(CloseReason::SlowConsumer).await;
    }
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_on_both_transports() {
    let server = Server::start(&[]);
    for way in BOTH_WAYS {
        let hello = Hello {
            protocol_version: 99,
            ..hello()
        };
        let old = Client::saying(&server, way, "/lobby/ann/m", hello).await;
        let (code, text) = old.ended().await;
        assert_eq!(code, CloseReason::Unsupported.code(), "{way:?}");
        assert!(text.contains("99"), "{text}");
    }
}
