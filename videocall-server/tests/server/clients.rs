//! Minimal participants over both transports.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message},
};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    packet,
    view::{PacketView, Routing},
    wire::{Hello, Pong, Subscribe, Welcome, control, packet_wrapper::PacketType},
};
use wtransport::{
    ClientConfig, Connection, Endpoint, SendStream,
    error::{ConnectingError, ConnectionError},
};

use crate::process::Server;

const PATIENCE: Duration = Duration::from_secs(20);

enum Link {
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    WebTransport {
        connection: Connection,
        /// Kept open: its end would tell the server that no control follows.
        control: SendStream,
        incoming: tokio::sync::mpsc::Receiver<Bytes>,
    },
}

/// Somebody in a meeting.
pub(crate) struct Client {
    link: Link,
    pub(crate) session: SessionId,
    pub(crate) welcome: Welcome,
    /// Sessions of the others, as far as was read.
    roster: HashSet<u64>,
    ticket: Bytes,
}

/// How a connection ended: code by our numbers, and text.
pub(crate) type End = (u32, String);

pub(crate) fn hello() -> Hello {
    Hello {
        protocol_version: 1,
        client: "test/1".into(),
        subscribe: Some(Subscribe {
            all: true,
            wants: Vec::new(),
        }),
        ..Hello::default()
    }
}

/// That of a client that comes back.
pub(crate) fn resuming(ticket: &Bytes) -> Hello {
    Hello {
        ticket: ticket.clone(),
        ..hello()
    }
}

/// The ways to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    WebSocket,
    WebTransport,
}

pub(crate) const BOTH_WAYS: [Way; 2] = [Way::WebSocket, Way::WebTransport];

pub(crate) async fn websocket(
    server: &Server,
    path: &str,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, tungstenite::Error> {
    let url = format!("ws://127.0.0.1:{}{path}", server.http);
    connect_async(url).await.map(|(socket, _)| socket)
}

impl Client {
    pub(crate) async fn websocket(server: &Server, path: &str) -> Self {
        Self::join(server, Way::WebSocket, path).await
    }

    pub(crate) async fn webtransport(server: &Server, path: &str) -> Self {
        Self::join(server, Way::WebTransport, path).await
    }

    pub(crate) async fn join(server: &Server, way: Way, path: &str) -> Self {
        let mut client = Self::saying(server, way, path, hello()).await;
        client.welcomed().await;
        client
    }

    /// Says Hello, and does not wait for an answer.
    pub(crate) async fn saying(server: &Server, way: Way, path: &str, hello: Hello) -> Self {
        let hello = packet::control(control::Message::Hello(hello));
        let link = match way {
            Way::WebSocket => {
                let mut socket = websocket(server, path).await.unwrap();
                socket.send(Message::Binary(hello)).await.unwrap();
                Link::WebSocket(Box::new(socket))
            }
            Way::WebTransport => Self::open_webtransport(server, path, hello).await,
        };
        Self::over(link)
    }

    async fn open_webtransport(server: &Server, path: &str, hello: Bytes) -> Link {
        let connection = connect(server, path).await;
        let (mut control, mut control_in) = connection.open_bi().await.unwrap().await.unwrap();
        let (sender, incoming) = tokio::sync::mpsc::channel(4096);
        {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut length = [0; 4];
                while control_in.read_exact(&mut length).await.is_ok() {
                    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
                    if control_in.read_exact(&mut packet).await.is_err() {
                        return;
                    }
                    let _ = sender.send(packet.into()).await;
                }
            });
        }
        {
            let (sender, connection) = (sender.clone(), connection.clone());
            tokio::spawn(async move {
                while let Ok(datagram) = connection.receive_datagram().await {
                    let _ = sender.send(datagram.payload()).await;
                }
            });
        }
        let streams = connection.clone();
        tokio::spawn(async move {
            while let Ok(mut stream) = streams.accept_uni().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Ok(packet) = stream.quic_stream_mut().read_to_end(2_000_000).await {
                        let _ = sender.send(packet.into()).await;
                    }
                });
            }
        });
        if !hello.is_empty() {
            let length = (hello.len() as u32).to_be_bytes();
            control.write_all(&length).await.unwrap();
            control.write_all(&hello).await.unwrap();
        }
        Link::WebTransport {
            connection,
            control,
            incoming,
        }
    }

    /// As an older client, which says no Hello.
    pub(crate) async fn silent(server: &Server, way: Way, path: &str) -> Self {
        let link = match way {
            Way::WebSocket => Link::WebSocket(Box::new(websocket(server, path).await.unwrap())),
            Way::WebTransport => Self::open_webtransport(server, path, Bytes::new()).await,
        };
        Self::over(link)
    }

    fn over(link: Link) -> Self {
        Self {
            link,
            session: SessionId::new(1).unwrap(),
            welcome: Welcome::default(),
            roster: HashSet::new(),
            ticket: Bytes::new(),
        }
    }

    /// Waits for Welcome.
    pub(crate) async fn welcomed(&mut self) {
        let client = self;
        client.welcome = client
            .control(|message| match message {
                control::Message::Welcome(welcome) => Some(welcome),
                _ => None,
            })
            .await;
        client.session = SessionId::new(client.welcome.session_id).unwrap();
        let listed = client
            .welcome
            .roster
            .clone()
            .unwrap_or_default()
            .participants;
        client.roster = listed
            .iter()
            .map(|participant| participant.session_id)
            .collect();
    }

    /// The newest ticket, waited for if there was none yet.
    pub(crate) async fn ticket(&mut self) -> Bytes {
        while self.ticket.is_empty() {
            self.control(|message| matches!(message, control::Message::Ticket(_)).then_some(()))
                .await;
        }
        self.ticket.clone()
    }

    /// Sends a packet: reliably, or as a datagram.
    pub(crate) async fn send(&mut self, packet: Bytes) {
        match &mut self.link {
            Link::WebSocket(socket) => {
                let _ = socket.send(Message::Binary(packet)).await;
            }
            Link::WebTransport { connection, .. } => {
                // The server may be closing because of an earlier one.
                let Ok(opening) = connection.open_uni().await else {
                    return;
                };
                let Ok(mut stream) = opening.await else {
                    return;
                };
                let _ = stream.write_all(&packet).await;
                let _ = stream.finish().await;
            }
        }
    }

    /// Sends a packet without waiting for the other side.
    pub(crate) async fn post(&mut self, packet: Bytes) {
        match self.link {
            Link::WebSocket(_) => self.send(packet).await,
            Link::WebTransport { .. } => self.datagram(&packet),
        }
    }

    /// Sends a frame that need not be a packet.
    pub(crate) async fn send_frame(&mut self, frame: Message) {
        if let Link::WebSocket(socket) = &mut self.link {
            let _ = socket.send(frame).await;
        }
    }

    /// Sends a control message again and again, and reads nothing.
    pub(crate) async fn repeat(&mut self, message: control::Message, times: usize) {
        let packet = packet::control(message);
        match &mut self.link {
            Link::WebSocket(socket) => {
                for _ in 0..times {
                    let _ = socket.feed(Message::Binary(packet.clone())).await;
                }
                let _ = socket.flush().await;
            }
            Link::WebTransport { control, .. } => {
                let length = (packet.len() as u32).to_be_bytes();
                let many = [&length[..], &packet].concat().repeat(100);
                for _ in 0..times / 100 {
                    let _ = control.write_all(&many).await;
                }
            }
        }
    }

    pub(crate) fn datagram(&self, packet: &Bytes) {
        if let Link::WebTransport { connection, .. } = &self.link {
            connection.send_datagram(packet).unwrap();
        }
    }

    /// A frame of this participant.
    pub(crate) fn frame(&self, kind: MediaKind, number: u64, payload: &[u8]) -> Bytes {
        let audio = matches!(kind, MediaKind::Audio | MediaKind::ScreenAudio);
        let keyframe = !audio && number == 1;
        let routing = Routing {
            kind,
            stream_id: 1,
            spatial: 0,
            temporal: 0,
            keyframe,
            depends_back: u8::from(!audio && !keyframe),
            frame_number: number,
            capture_us: number * 20_000,
            audio_level: 30,
            encrypted: false,
        };
        let payload = Bytes::copy_from_slice(payload);
        packet::sealed_media(self.session, &self.welcome.user_id, routing, payload)
    }

    async fn next(&mut self) -> Option<Bytes> {
        match &mut self.link {
            Link::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(packet))) => return Some(packet),
                    Some(Ok(_)) => {}
                    _ => return None,
                }
            },
            Link::WebTransport { incoming, .. } => incoming.recv().await,
        }
    }

    /// The control message in a packet. Pings are answered.
    async fn understand(&mut self, packet: &Bytes) -> Option<control::Message> {
        let view = PacketView::parse(packet).unwrap();
        view.control.as_ref()?;
        let message = packet::read_control(packet, &view).ok()??;
        self.note(&message);
        if let control::Message::Ping(ping) = message {
            let pong = control::Message::Pong(Pong { token: ping.token });
            self.send(packet::control(pong)).await;
        }
        Some(message)
    }

    /// Waits for a packet.
    pub(crate) async fn packet<T>(&mut self, choose: impl Fn(&Bytes) -> Option<T>) -> T {
        let wait = async {
            loop {
                let packet = self.next().await.expect("the connection goes on");
                if let Some(chosen) = choose(&packet) {
                    return chosen;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("the packet comes")
    }

    /// Waits for a control message; what comes before it is passed over.
    pub(crate) async fn control<T>(
        &mut self,
        mut choose: impl FnMut(control::Message) -> Option<T>,
    ) -> T {
        let wait = async {
            loop {
                let packet = self.next().await.expect("the connection goes on");
                if let Some(message) = self.understand(&packet).await
                    && let Some(chosen) = choose(message)
                {
                    return chosen;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("the message comes")
    }

    /// Whether the server says that too much is sent, before the connection ends.
    pub(crate) async fn is_warned(&mut self) -> bool {
        let wait = async {
            while let Some(packet) = self.next().await {
                match self.understand(&packet).await {
                    Some(control::Message::Warning(warning)) => {
                        return warning.code == CloseReason::RateLimitExceeded.code();
                    }
                    Some(control::Message::Close(_)) => return false,
                    _ => {}
                }
            }
            false
        };
        timeout(PATIENCE, wait).await.expect("a warning or the end")
    }

    fn connection(&self) -> &Connection {
        match &self.link {
            Link::WebTransport { connection, .. } => connection,
            Link::WebSocket(_) => panic!("a WebSocket has no streams"),
        }
    }

    /// Begins a stream, and leaves it open.
    pub(crate) async fn open_stream(&self, bytes: &[u8]) -> SendStream {
        self.try_stream(bytes)
            .await
            .expect("the connection goes on")
    }

    /// The same; `None` if the connection is over.
    pub(crate) async fn try_stream(&self, bytes: &[u8]) -> Option<SendStream> {
        let mut stream = self.connection().open_uni().await.ok()?.await.ok()?;
        stream.write_all(bytes).await.ok()?;
        Some(stream)
    }

    /// Begins a second stream in both directions, of which the server takes no notice.
    pub(crate) async fn ignored_stream(&self) -> SendStream {
        let (stream, _) = self.connection().open_bi().await.unwrap().await.unwrap();
        stream
    }

    /// Waits for a media packet.
    pub(crate) async fn media(&mut self) -> Bytes {
        let wait = async {
            loop {
                let packet = self.next().await.expect("the connection goes on");
                if PacketView::parse(&packet).unwrap().is(PacketType::Media) {
                    return packet;
                }
                self.understand(&packet).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the packet comes")
    }

    fn note(&mut self, message: &control::Message) {
        if let control::Message::Ticket(ticket) = message {
            self.ticket = ticket.ticket.clone();
        }
        if let control::Message::Roster(roster) = message {
            self.roster
                .extend(roster.participants.iter().map(|p| p.session_id));
            self.roster.retain(|session| !roster.left.contains(session));
        }
    }

    /// Waits until another participant is in the roster.
    pub(crate) async fn sees(&mut self, other: SessionId) {
        while !self.roster.contains(&other.get()) {
            self.control(|message| matches!(message, control::Message::Roster(_)).then_some(()))
                .await;
        }
    }

    /// Waits until another participant is gone from the roster.
    pub(crate) async fn misses(&mut self, other: SessionId) {
        while self.roster.contains(&other.get()) {
            self.control(|message| matches!(message, control::Message::Roster(_)).then_some(()))
                .await;
        }
    }

    /// Goes without a word, as a browser whose tab is closed.
    pub(crate) fn vanish(self) {
        if let Link::WebTransport { connection, .. } = self.link {
            connection.close(0u32.into(), b"");
        }
    }

    /// Waits for the end of the connection of one who read nothing: only the last frame counts.
    pub(crate) async fn ended_unread(mut self, reason: CloseReason) {
        let Link::WebSocket(socket) = &mut self.link else {
            assert_eq!(self.ended().await.0, reason.code());
            return;
        };
        let MaybeTlsStream::Plain(stream) = socket.get_mut() else {
            panic!("there is no TLS");
        };
        let mut said = Vec::new();
        let reading = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        reading.expect("the connection ends").unwrap();
        let text = reason.text().as_bytes();
        let head = [0x88, text.len() as u8 + 2];
        let frame = [&head[..], &reason.websocket_code().to_be_bytes(), text].concat();
        assert!(said.ends_with(&frame), "{reason:?}");
    }

    /// Waits for the end of the connection.
    pub(crate) async fn ended(mut self) -> End {
        let wait = async {
            match &mut self.link {
                Link::WebSocket(socket) => loop {
                    match socket.next().await {
                        Some(Ok(Message::Close(Some(frame)))) => {
                            let code = u32::from(u16::from(frame.code));
                            return (code.saturating_sub(4000), frame.reason.to_string());
                        }
                        Some(Ok(_)) => {}
                        other => panic!("no close frame, but {other:?}"),
                    }
                },
                Link::WebTransport { connection, .. } => match connection.closed().await {
                    ConnectionError::ApplicationClosed(close) => {
                        let text = String::from_utf8_lossy(close.reason()).into_owned();
                        (close.code().into_inner() as u32, text)
                    }
                    other => panic!("no close, but {other:?}"),
                },
            }
        };
        timeout(PATIENCE, wait).await.expect("the connection ends")
    }
}

async fn try_connect(server: &Server, path: &str) -> Result<Connection, ConnectingError> {
    try_connect_from(server, path, ([127, 0, 0, 1], 0).into()).await
}

/// From an address of this machine.
pub(crate) async fn try_connect_from(
    server: &Server,
    path: &str,
    from: SocketAddr,
) -> Result<Connection, ConnectingError> {
    connect_to(server.media, path, from).await
}

pub(crate) async fn connect_to(
    port: u16,
    path: &str,
    from: SocketAddr,
) -> Result<Connection, ConnectingError> {
    let config = ClientConfig::builder()
        .with_bind_address(from)
        .with_no_cert_validation()
        .build();
    let url = format!("https://127.0.0.1:{port}{path}");
    Endpoint::client(config).unwrap().connect(url).await
}

pub(crate) async fn connect(server: &Server, path: &str) -> Connection {
    try_connect(server, path).await.unwrap()
}

/// What a client that is not let in over WebTransport is told.
pub(crate) async fn refusal(server: &Server, path: &str) -> String {
    refused(server, path).await.1
}

/// The same with its reason.
pub(crate) async fn refused(server: &Server, path: &str) -> End {
    let end = match try_connect(server, path).await {
        // The end may overtake the answer.
        Err(ConnectingError::ConnectionError(end)) => end,
        Err(other) => panic!("{other}"),
        Ok(connection) => timeout(PATIENCE, connection.closed())
            .await
            .expect("refused"),
    };
    let ConnectionError::ApplicationClosed(close) = end else {
        panic!("{end}")
    };
    let text = String::from_utf8_lossy(close.reason()).into_owned();
    (close.code().into_inner() as u32, text)
}
