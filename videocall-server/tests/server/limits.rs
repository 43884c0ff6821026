//! Limits of the session layer, each over both transports: whoever goes beyond is warned and
//! ended, and the others do not notice.

use std::{net::SocketAddr, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpSocket, time::timeout};
use videocall_types::{close::CloseReason, ids::MediaKind};

use crate::{
    bad_input::Talk,
    clients::{BOTH_WAYS, Client, Way, try_connect_from},
    process::Server,
    resume::PATIENCE,
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
async fn when_all_send_too_much_those_who_send_little_are_heard() {
    let mut talk = Talk::start_with(&[
        "--node-messages-per-second=200",
        "--max-messages-per-second=100",
    ])
    .await;
    // Each sends what one may, and together they send more than all may.
    let mut crowd = Vec::new();
    for number in 0..5 {
        let path = format!("/lobby/{number}/elsewhere{number}");
        crowd.push(Client::websocket(&talk.server, &path).await);
    }
    let dropped = "videocall_rate_limited_total{scope=\"node\"}";
    for number in 1..=180 {
        for eve in &mut crowd {
            eve.send(eve.frame(MediaKind::Video, number, b"x")).await;
        }
    }
    talk.goes_on().await;
    talk.server.counts(dropped, 20.0).await;
    let ended = "videocall_rate_limited_total{scope=\"connection\"}";
    assert_eq!(talk.server.metric(ended), 0.0, "nobody is to blame");
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

/// Another address of this machine, so that nobody else is limited with it.
fn from(last: u8) -> SocketAddr {
    ([127, 0, 0, last], 0).into()
}

async fn knock(server: &Server, last: u8) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from(last)).unwrap();
    let address = ([127, 0, 0, 1], server.http).into();
    socket.connect(address).await.unwrap()
}

async fn is_closed(mut stream: tokio::net::TcpStream) -> bool {
    let mut buffer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut buffer))
        .await
        .is_ok()
        && buffer.is_empty()
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_turned_away_and_no_other() {
    // Ten are saved up.
    let server = Server::start(&["--handshakes-per-second=1"]);
    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(knock(&server, 2).await);
    }
    assert!(is_closed(streams.pop().unwrap()).await);
    assert!(server.metric("videocall_handshakes_refused_total") >= 1.0);
    let refused = server.metric("videocall_handshakes_refused_total");
    let mut turned_away = 0;
    for _ in 0..40 {
        let attempt = try_connect_from(&server, "/lobby/eve/m", from(2));
        turned_away += u32::from(attempt.await.is_err());
    }
    assert!(turned_away > 0, "over WebTransport as well");
    assert!(server.metric("videocall_handshakes_refused_total") > refused);
    try_connect_from(&server, "/lobby/ann/m", from(3))
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_takes_for_ever_to_ask_is_cut_off() {
    let server = Server::start(&["--handshake-seconds=1"]);
    let slow: Vec<_> = {
        let mut slow = Vec::new();
        for _ in 0..50 {
            let stream = knock(&server, 2).await;
            stream
                .try_write(b"GET /lobby/eve/m HTTP/1.1\r\nhost: a")
                .unwrap();
            slow.push(stream);
        }
        slow
    };
    let _ann = Client::websocket(&server, "/lobby/ann/m").await;
    for mut stream in slow {
        let mut said = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "cut off");
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 408"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn unfinished_handshakes_give_way_to_others_in_time() {
    let server = Server::start(&["--handshake-seconds=1", "--max-handshakes=2"]);
    // First flights of clients that are never heard of again.
    let mut begun = Vec::new();
    for _ in 0..2 {
        let listener = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connecting = tokio::spawn(async move {
            let from = ([127, 0, 0, 1], 0).into();
            crate::clients::connect_to(port, "/lobby/eve/m", from)
                .await
                .is_ok()
        });
        let mut packet = vec![0; 65_536];
        let (length, _) = listener.recv_from(&mut packet).await.unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], server.media));
        listener.send_to(&packet[..length], to).await.unwrap();
        begun.push((connecting, listener));
    }
    // Finds no room at first; QUIC tries again by itself.
    let ann = timeout(PATIENCE, Client::webtransport(&server, "/lobby/ann/m")).await;
    assert!(ann.is_ok());
    for (connecting, _) in begun {
        connecting.abort();
    }
}

#[tokio::test]
async fn streams_are_limited_and_one_that_ends_makes_room() {
    let mut talk = Talk::start_with(&["--streams-per-session=20"]).await;
    let eve = Client::join(&talk.server, Way::WebTransport, "/lobby/eve/m").await;
    let mut open = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(500), eve.open_stream(b"begun")).await {
        open.push(stream);
        assert!(open.len() <= 20, "more than allowed");
    }
    assert!(open.len() > 8, "only {}", open.len());
    talk.goes_on().await;
    // Room is told of once there is more than a little.
    for mut ended in open.drain(..6) {
        ended.finish().await.unwrap();
    }
    let next = timeout(PATIENCE, eve.open_stream(b"begun")).await;
    assert!(next.is_ok(), "there is room again");
}
