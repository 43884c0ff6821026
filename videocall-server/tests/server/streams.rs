//! Limits of the streams of a WebTransport session. A WebSocket has one stream for all.

use std::{sync::Arc, sync::mpsc, thread, time::Duration};

use tokio::time::timeout;
use videocall_types::{close::CloseReason, ids::MediaKind, packet, wire::control};
use wtransport::{ClientConfig, Endpoint, VarInt, quinn};

use crate::{
    bad_input::Talk,
    clients::{Client, Way, hello},
    process::Server,
    resume::PATIENCE,
};

/// How long somebody waits who waits in vain.
const IN_VAIN: Duration = Duration::from_millis(500);

#[tokio::test]
async fn streams_are_limited_and_one_that_ends_makes_room() {
    let mut talk = Talk::start_with(&["--streams-per-session=40"]).await;
    let eve = Client::join(&talk.server, Way::WebTransport, "/lobby/eve/m").await;
    let mut open = Vec::new();
    // More than before the first one came.
    while open.len() <= 20 {
        let next = timeout(PATIENCE, eve.open_stream(b"begun")).await;
        open.push(next.expect("there is room"));
    }
    while let Ok(stream) = timeout(IN_VAIN, eve.open_stream(b"begun")).await {
        open.push(stream);
        assert!(open.len() <= 40, "more than allowed");
    }
    talk.goes_on().await;
    // Room is told of once there is more than a little.
    for mut ended in open.drain(..10) {
        ended.finish().await.unwrap();
    }
    let next = timeout(PATIENCE, eve.open_stream(b"begun")).await;
    assert!(next.is_ok(), "there is room again");
}

#[tokio::test]
async fn a_stream_that_is_not_read_blocks_its_sender_and_no_other_stream() {
    let window = 64 << 10;
    let mut talk = Talk::start_with(&["--stream-window-bytes=65536"]).await;
    let mut eve = Client::join(&talk.server, Way::WebTransport, "/lobby/eve/m").await;
    let mut blocked = eve.ignored_stream().await;
    let mut written = 0;
    while let Ok(more) = timeout(IN_VAIN, blocked.write(&[7; 1024])).await {
        written += more.unwrap();
        assert!(written <= window, "more than the credit");
    }
    assert!(written > window / 2, "only {written}");
    // What is read gives new credit: several times the window passes.
    let frame = eve.frame(MediaKind::Video, 1, &vec![7; 5 * window]);
    eve.send(frame.clone()).await;
    talk.hears(&frame).await;
    let more = timeout(IN_VAIN, blocked.write(&[7; 1024])).await;
    assert!(more.is_err(), "the other one is still blocked");
    talk.goes_on_after_video().await;
}

/// Begins streams with so many bytes, and does with them as told, until the server ends it.
async fn begins(eve: &Client, bytes: usize, mut then: impl FnMut(wtransport::SendStream)) {
    let payload = vec![7; bytes];
    for _ in 0..60 {
        let Ok(Some(stream)) = timeout(PATIENCE, eve.try_stream(&payload)).await else {
            return;
        };
        then(stream);
    }
}

#[tokio::test]
async fn streams_that_are_given_up_cost_what_they_brought() {
    let mut talk = Talk::start_with(&[
        "--max-bytes-per-second=100000",
        // Whoever wrote more than this was read.
        "--stream-window-bytes=65536",
    ])
    .await;
    let eve = Client::join(&talk.server, Way::WebTransport, "/lobby/eve/m").await;
    begins(&eve, 200_000, |mut stream| {
        let _ = stream.reset(VarInt::from_u32(0));
    })
    .await;
    assert_eq!(eve.ended().await.0, CloseReason::RateLimitExceeded.code());
    talk.goes_on().await;
}

#[tokio::test]
async fn streams_that_are_never_finished_are_bounded_together() {
    let mut talk = Talk::start_with(&["--max-bytes-per-second=0"]).await;
    let eve = Client::join(&talk.server, Way::WebTransport, "/lobby/eve/m").await;
    let mut open = Vec::new();
    begins(&eve, 900_000, |stream| open.push(stream)).await;
    assert_eq!(eve.ended().await.0, CloseReason::RateLimitExceeded.code());
    talk.goes_on().await;
}

/// Somebody who joined, gives the server room for a few streams, and then does nothing any more: it
/// does not even acknowledge what comes. Ends with this.
struct Frozen {
    _end: mpsc::Sender<()>,
}

impl Frozen {
    fn join(url: String) -> Self {
        let (end, ends) = mpsc::channel::<()>();
        let (joined, is_joined) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let connection = runtime.block_on(Self::connect(url));
            joined.send(()).unwrap();
            // Nothing runs in here meanwhile.
            let _ = ends.recv();
            drop(connection);
        });
        is_joined.recv_timeout(PATIENCE).expect("it joined");
        Self { _end: end }
    }

    async fn connect(url: String) -> (wtransport::Connection, wtransport::SendStream) {
        let mut config = ClientConfig::builder()
            .with_bind_default()
            .with_no_cert_validation()
            .build();
        let mut transport = quinn::TransportConfig::default();
        transport.max_concurrent_uni_streams(quinn::VarInt::from_u32(13));
        config
            .quic_config_mut()
            .transport_config(Arc::new(transport));
        let endpoint = Endpoint::client(config).unwrap();
        let connection = endpoint.connect(url).await.unwrap();
        let (mut control, mut answers) = connection.open_bi().await.unwrap().await.unwrap();
        let hello = packet::control(control::Message::Hello(hello()));
        let length = (hello.len() as u32).to_be_bytes();
        control.write_all(&length).await.unwrap();
        control.write_all(&hello).await.unwrap();
        answers.read_exact(&mut [0; 4]).await.unwrap();
        (connection, control)
    }
}

#[tokio::test]
async fn who_takes_no_streams_and_acknowledges_nothing_holds_up_nobody() {
    let server = Server::start_on_one_thread(&[]);
    let mut ann = Client::join(&server, Way::WebSocket, "/lobby/ann/m").await;
    let mut ben = Client::join(&server, Way::WebTransport, "/lobby/ben/m").await;
    ann.sees(ben.session).await;
    let _eve = Frozen::join(format!("https://127.0.0.1:{}/lobby/eve/m", server.media));
    for number in 1..=100 {
        let frame = ann.frame(MediaKind::Video, number, &[7; 200]);
        ann.send(frame.clone()).await;
        assert_eq!(ben.media().await, frame);
    }
}
