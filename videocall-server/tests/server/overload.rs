//! A server that has no room says so, and when to come back; whoever is there stays.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use videocall_types::{
    close::CloseReason,
    ids::MediaKind,
    packet,
    view::PacketView,
    wire::{Close, control},
};

use crate::{
    clients::{BOTH_WAYS, Client, connect, websocket},
    process::Server,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn close_of(packet: &Bytes) -> Close {
    let view = PacketView::parse(packet).unwrap();
    match packet::read_control(packet, &view) {
        Ok(Some(control::Message::Close(close))) => close,
        other => panic!("no Close but {other:?}"),
    }
}

fn says_when_to_come_back(close: &Close, what: &str) {
    assert_eq!(close.code, CloseReason::Full.code());
    assert!(
        (5_000..15_000).contains(&close.retry_after_ms),
        "{}",
        close.retry_after_ms
    );
    assert!(close.text.contains(what), "{}", close.text);
}

async fn refused_over_websocket(server: &Server) -> Close {
    let wait = async {
        let mut socket = websocket(server, "/lobby/late/full").await.unwrap();
        let Some(Ok(Message::Binary(packet))) = socket.next().await else {
            panic!("the packet comes first");
        };
        let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else {
            panic!("then the close frame");
        };
        assert_eq!(u16::from(frame.code), CloseReason::Full.websocket_code());
        close_of(&packet)
    };
    timeout(PATIENCE, wait).await.expect("is refused")
}

async fn refused_over_webtransport(server: &Server) -> Close {
    let wait = async {
        let connection = connect(server, "/lobby/late/full").await;
        let mut stream = connection.accept_uni().await.unwrap();
        let read = stream.quic_stream_mut().read_to_end(10_000).await;
        connection.closed().await;
        close_of(&read.unwrap().into())
    };
    timeout(PATIENCE, wait).await.expect("is refused")
}

#[tokio::test]
async fn without_memory_nobody_is_let_in_over_either_transport() {
    let server = Server::start(&["--max-memory-mib", "1"]);
    says_when_to_come_back(&refused_over_websocket(&server).await, "memory");
    says_when_to_come_back(&refused_over_webtransport(&server).await, "memory");
    let (status, body) = server.get("/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("overloaded: no memory"), "{body}");
    assert_eq!(
        server.metric("videocall_joins_total{result=\"overloaded\"}"),
        2.0
    );
    assert_eq!(server.get("/healthz").0, 200, "it lives all the same");
}

/// Sound from one to the other, until twice the budget is used: it takes a while to be free again.
async fn fill(server: &Server, resource: &str, speaker: &mut Client, listener: &mut Client) {
    let load = format!("videocall_load_ratio{{resource=\"{resource}\"}}");
    let fill = async {
        let mut number = 0;
        // Sound: it is never reduced for being too much.
        while server.metric(&load) < 2.0 {
            for _ in 0..100 {
                number += 1;
                let packet = speaker.frame(MediaKind::Audio, number, &[7; 1000]);
                speaker.post(packet).await;
                listener.media().await;
            }
        }
    };
    timeout(PATIENCE, fill).await.expect("gets full");
}

/// New people are refused, and whoever is there goes on.
async fn is_full(server: &Server, what: &str, speaker: &mut Client, listener: &mut Client) {
    says_when_to_come_back(&refused_over_websocket(server).await, what);
    says_when_to_come_back(&refused_over_webtransport(server).await, what);
    let packet = speaker.frame(MediaKind::Audio, 1_000_000, b"still here");
    speaker.post(packet.clone()).await;
    assert_eq!(listener.media().await, packet);
}

async fn has_room(server: &Server) {
    let quiet = async {
        while server.get("/readyz").0 != 200 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, quiet).await.expect("has room again");
}

#[tokio::test]
async fn whoever_is_there_stays_when_the_bandwidth_is_used_up() {
    for way in BOTH_WAYS {
        let server = Server::start(&["--max-egress-mbps=1", "--max-messages-per-second=0"]);
        let mut speaker = Client::join(&server, way, "/lobby/speaker/full").await;
        let mut listener = Client::join(&server, way, "/lobby/listener/full").await;
        listener.sees(speaker.session).await;
        assert_eq!(server.get("/readyz").0, 200);
        fill(&server, "egress", &mut speaker, &mut listener).await;
        is_full(&server, "bandwidth", &mut speaker, &mut listener).await;
        // When it is quieter, others may come again.
        has_room(&server).await;
        Client::join(&server, way, "/lobby/late/full").await;
    }
}

#[tokio::test]
async fn whoever_is_there_stays_when_the_processors_have_enough_to_do() {
    let server = Server::start(&["--max-cpu-percent=1", "--max-messages-per-second=0"]);
    let mut speaker = Client::websocket(&server, "/lobby/speaker/full").await;
    // To join takes processor time as well.
    has_room(&server).await;
    let mut listener = Client::webtransport(&server, "/lobby/listener/full").await;
    listener.sees(speaker.session).await;
    fill(&server, "cpu", &mut speaker, &mut listener).await;
    is_full(&server, "processor time", &mut speaker, &mut listener).await;
}
