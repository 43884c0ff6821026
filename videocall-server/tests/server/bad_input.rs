//! Participants who do not behave, and the others who must not notice.

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;
use videocall_client::{core::session::Event, native::Client as Native};
use videocall_types::{close::CloseReason, ids::MediaKind};

use crate::{
    clients::{BOTH_WAYS, Client, refusal, websocket},
    overload::close_of,
    process::Server,
    resume::{PATIENCE, options},
};

/// Two who talk while a third does harm.
pub(crate) struct Talk {
    pub(crate) server: Server,
    ann: Client,
    ben: Client,
    number: u64,
}

impl Talk {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let server = Server::start(settings);
        let mut ann = Client::websocket(&server, "/lobby/ann/m").await;
        let ben = Client::webtransport(&server, "/lobby/ben/m").await;
        ann.sees(ben.session).await;
        Self {
            server,
            ann,
            ben,
            number: 0,
        }
    }

    /// Sound still goes both ways, and nothing else comes.
    pub(crate) async fn goes_on(&mut self) {
        self.number += 1;
        let payload = self.number.to_be_bytes();
        let frame = self.ann.frame(MediaKind::Audio, self.number, &payload);
        self.ann.send(frame.clone()).await;
        assert_eq!(self.ben.media().await, frame);
        let frame = self.ben.frame(MediaKind::Audio, self.number, &payload);
        self.ben.send(frame.clone()).await;
        assert_eq!(self.ann.media().await, frame);
    }

    /// The same, where a third one's pictures may come before.
    pub(crate) async fn goes_on_after_video(&mut self) {
        self.number += 1;
        let frame = self.ann.frame(MediaKind::Audio, self.number, b"on and on");
        self.ann.send(frame.clone()).await;
        while self.ben.media().await != frame {}
        let frame = self.ben.frame(MediaKind::Audio, self.number, b"on and on");
        self.ben.send(frame.clone()).await;
        while self.ann.media().await != frame {}
    }

    /// Both get a packet of a third one.
    pub(crate) async fn hears(&mut self, packet: &Bytes) {
        assert_eq!(self.ann.media().await, packet);
        assert_eq!(self.ben.media().await, packet);
    }
}

#[tokio::test]
async fn garbage_is_dropped_and_counted_and_too_much_of_it_ends_the_session() {
    let mut talk = Talk::start().await;
    for path in ["/lobby/eve/m", "/lobby/eva/m"] {
        let mut eve = if path.contains("eve") {
            Client::websocket(&talk.server, path).await
        } else {
            Client::webtransport(&talk.server, path).await
        };
        let whole = eve.frame(MediaKind::Video, 1, &[7; 500]);
        for cut in [1, 5, 40, 300] {
            eve.send(whole.slice(..cut)).await;
        }
        eve.send(Bytes::from_static(&[0xff; 64])).await;
        talk.goes_on().await;
        for n in 0..200u8 {
            eve.send(Bytes::copy_from_slice(&[0x1a, 0xff, n])).await;
        }
        let (code, text) = eve.ended().await;
        assert_eq!(code, CloseReason::ProtocolError.code(), "{text}");
        assert!(!text.is_empty());
        talk.goes_on().await;
    }
    assert!(
        talk.server
            .metric("videocall_violations_total{kind=\"malformed\"}")
            > 50.0
    );
}

#[tokio::test]
async fn a_spoofed_identity_reaches_nobody() {
    let mut talk = Talk::start().await;
    let mut eve = Client::websocket(&talk.server, "/lobby/eve/m").await;
    let as_ann = talk.ann.frame(MediaKind::Audio, 900, b"I am Ann");
    eve.send(as_ann).await;
    let mut as_user = eve.frame(MediaKind::Audio, 1, b"I am Ann");
    // The same session, but another person's name.
    let name = as_user
        .windows(3)
        .position(|window| window == b"eve")
        .unwrap();
    let mut bytes = as_user.to_vec();
    bytes[name..name + 3].copy_from_slice(b"ann");
    as_user = bytes.into();
    eve.send(as_user).await;
    let honest = eve.frame(MediaKind::Audio, 2, b"I am Eve");
    eve.send(honest.clone()).await;
    assert_eq!(talk.ann.media().await, honest);
    assert_eq!(talk.ben.media().await, honest);
    talk.goes_on().await;
    assert_eq!(
        talk.server
            .metric("videocall_violations_total{kind=\"identity\"}"),
        2.0
    );
}

#[tokio::test]
async fn an_oversized_packet_ends_its_session_alone() {
    let mut talk = Talk::start().await;
    let large = Bytes::from(vec![0x1a; 1_100_000]);
    let mut eve = Client::websocket(&talk.server, "/lobby/eve/m").await;
    eve.send(large.clone()).await;
    assert_eq!(eve.ended().await.0, CloseReason::ProtocolError.code());
    let mut eva = Client::webtransport(&talk.server, "/lobby/eva/m").await;
    eva.send(large).await;
    assert_eq!(eva.ended().await.0, CloseReason::ProtocolError.code());
    talk.goes_on().await;
}

/// What a WebSocket that asks for a path is told before it is closed.
pub(crate) async fn refused_over_websocket(
    server: &Server,
    path: &str,
) -> (Option<CloseReason>, String) {
    let wait = async {
        let mut socket = websocket(server, path)
            .await
            .expect("is opened all the same");
        let Some(Ok(Message::Binary(packet))) = socket.next().await else {
            panic!("{path}: the packet comes first");
        };
        let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else {
            panic!("{path}: then the close frame");
        };
        let close = close_of(&packet);
        assert_eq!(
            (close.retry_after_ms, close.text.as_str()),
            (0, &*frame.reason)
        );
        let reason = CloseReason::from_websocket_code(frame.code.into());
        assert_eq!(CloseReason::from_code(close.code), reason);
        (reason, close.text)
    };
    timeout(PATIENCE, wait).await.expect("is refused")
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_in_words() {
    let server = Server::start(&[]);
    let long = "x".repeat(300);
    for (path, word) in [
        ("/lobby/%20/m", "empty"),
        ("/lobby/ann/%0a", "empty"),
        ("/lobby/a%0ab/m", "U+000A"),
        (&format!("/lobby/ann/{long}"), "256"),
    ] {
        let (reason, text) = refused_over_websocket(&server, path).await;
        assert_eq!(reason, Some(CloseReason::ProtocolError), "{path}");
        assert!(text.contains(word), "{path}: {text}");

        let text = refusal(&server, path).await;
        assert!(text.contains(word), "{path}: {text}");
    }
}

#[tokio::test]
async fn without_guests_nobody_comes_in_and_is_told_why() {
    let server = Server::start(&["--guests", "false"]);
    let (reason, text) = refused_over_websocket(&server, "/lobby/ann/m").await;
    assert_eq!(reason, Some(CloseReason::Unauthorized));
    assert!(text.contains("guests"), "{text}");
    let text = refusal(&server, "/lobby/ann/m").await;
    assert!(text.contains("guests"), "{text}");
    let (reason, text) = refused_over_websocket(&server, "/lobby?token=abc").await;
    assert_eq!(reason, Some(CloseReason::Unauthorized));
    assert!(text.contains("tokens"), "{text}");
    assert_eq!(
        server.metric("videocall_joins_total{result=\"refused\"}"),
        3.0
    );
    assert_eq!(server.metric("videocall_meetings"), 0.0);
}

#[tokio::test]
async fn a_client_that_is_refused_learns_the_reason_and_gives_up() {
    let guests = Server::start(&[]);
    let nobody = Server::start(&["--guests", "false"]);
    for way in BOTH_WAYS {
        for (server, user, expected) in [
            (&nobody, "ann", CloseReason::Unauthorized),
            (&guests, "a\nb", CloseReason::ProtocolError),
        ] {
            let mut client = Native::join(options(server, way, user));
            let wait = async {
                match client.next_event().await {
                    Some(Event::Closed { reason, text }) => (reason, text),
                    other => panic!("not the end at once, but {other:?}"),
                }
            };
            let (reason, text) = timeout(PATIENCE, wait).await.expect("is refused");
            assert_eq!(reason, Some(expected), "{text}");
            assert!(!text.is_empty());
        }
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_answered_as_it_was_asked() {
    let server = Server::start(&[]);
    let (reason, text) = refused_over_websocket(&server, "/lobby/ann").await;
    assert_eq!(reason, Some(CloseReason::ProtocolError));
    assert!(text.contains("/lobby/{user}/{meeting}"), "{text}");
    // No WebSocket: the handshake lacks its key.
    for (path, status) in [("/lobby/ann", 404), ("/lobby/ann/m", 400)] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.http))
            .await
            .unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        timeout(PATIENCE, read).await.expect("answers").unwrap();
        let start = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&start), "{path}: {answer}");
    }
}
