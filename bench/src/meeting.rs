//! One publisher and its receivers in a meeting on the real server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, task::JoinSet, time};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use videocall_types::{
    ids::{MediaKind, SessionId},
    packet,
    view::{PacketView, Routing},
    wire::{Hello, Subscribe, control, packet_wrapper::PacketType},
};
use wtransport::{ClientConfig, Connection, Endpoint};

use crate::{
    per_delivery,
    process::{Process, beside},
};

/// How long stragglers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Transport {
    WebSocket,
    WebTransport,
}

impl Transport {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::WebTransport => "webtransport",
        }
    }
}

pub(crate) struct Load {
    pub(crate) receivers: usize,
    /// Of the payload.
    pub(crate) bytes: usize,
    pub(crate) per_second: u32,
    pub(crate) packets: u32,
    pub(crate) audio: bool,
}

/// Microseconds of the server's time for each delivered packet.
pub(crate) async fn measure(transport: Transport, load: &Load) -> Result<f64> {
    let args = [
        "--http-listen",
        "127.0.0.1:0",
        "--webtransport-listen",
        "127.0.0.1:0",
        "--log",
        "off",
    ];
    let (server, address) =
        Process::start(beside("videocall-server")?, &args, "Open http://localhost:")?;
    let http: u16 = address.parse().context("the server's port")?;
    let media = webtransport_port(http).await?;
    let port = if transport == Transport::WebSocket {
        http
    } else {
        media
    };

    let received = Arc::new(AtomicU64::new(0));
    let mut receivers = JoinSet::new();
    for n in 0..load.receivers {
        let member = Member::join(transport, port, &format!("r{n}")).await?;
        receivers.spawn(member.count(received.clone()));
    }
    let mut publisher = Member::join(transport, port, "publisher").await?;
    // One packet for the paths to be known, and everybody to be there.
    publisher.publish(load, 1).await?;
    wait_for(&received, load.receivers as u64).await?;
    let (before, already) = (server.cpu_seconds()?, received.load(Relaxed));
    let mut pace = time::interval(Duration::from_secs(1) / load.per_second);
    for number in 2..load.packets + 2 {
        pace.tick().await;
        publisher.publish(load, number.into()).await?;
    }
    let sent = u64::from(load.packets) * load.receivers as u64;
    // Datagrams may be lost, also on loopback; what was delivered is what counts.
    let _ = wait_for(&received, already + sent).await;
    let delivered = received.load(Relaxed) - already;
    ensure!(
        delivered * 100 >= sent * 95,
        "only {delivered} of {sent} were delivered"
    );
    per_delivery(&server, before, delivered)
}

pub(crate) async fn wait_for(received: &AtomicU64, count: u64) -> Result<()> {
    let wait = async {
        while received.load(Relaxed) < count {
            time::sleep(Duration::from_millis(2)).await;
        }
    };
    time::timeout(PATIENCE, wait)
        .await
        .context("packets did not arrive")
}

/// Asks the server's own page.
async fn webtransport_port(http: u16) -> Result<u16> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(("127.0.0.1", http)).await?;
    let request = "GET /config.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let body = response.split_once("\r\n\r\n").context("a response")?.1;
    let config: serde_json::Value = serde_json::from_str(body)?;
    let url = config["webtransport"][0]["url"]
        .as_str()
        .context("an address")?;
    Ok(url.rsplit(':').next().context("a port")?.parse()?)
}

struct Member {
    link: Link,
    session: SessionId,
}

enum Link {
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    WebTransport(Connection, wtransport::SendStream, wtransport::RecvStream),
}

impl Member {
    async fn join(transport: Transport, port: u16, name: &str) -> Result<Self> {
        let hello = packet::control(control::Message::Hello(Hello {
            protocol_version: 1,
            subscribe: Some(Subscribe {
                all: true,
                wants: Vec::new(),
            }),
            ..Hello::default()
        }));
        match transport {
            Transport::WebSocket => {
                let url = format!("ws://127.0.0.1:{port}/lobby/{name}/bench");
                let (mut socket, _) = connect_async(url).await?;
                socket.send(Message::Binary(hello)).await?;
                let session = loop {
                    if let Message::Binary(packet) = socket.next().await.context("an answer")??
                        && let Some(session) = assigned(&packet)
                    {
                        break session;
                    }
                };
                Ok(Self {
                    link: Link::WebSocket(Box::new(socket)),
                    session,
                })
            }
            Transport::WebTransport => {
                let config = ClientConfig::builder()
                    .with_bind_default()
                    .with_no_cert_validation()
                    .build();
                let url = format!("https://127.0.0.1:{port}/lobby/{name}/bench");
                let connection = Endpoint::client(config)?.connect(url).await?;
                let (mut send, mut receive) = connection.open_bi().await?.await?;
                send.write_all(&(hello.len() as u32).to_be_bytes()).await?;
                send.write_all(&hello).await?;
                let session = loop {
                    let mut length = [0; 4];
                    receive.read_exact(&mut length).await?;
                    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
                    receive.read_exact(&mut packet).await?;
                    if let Some(session) = assigned(&packet.into()) {
                        break session;
                    }
                };
                Ok(Self {
                    link: Link::WebTransport(connection, send, receive),
                    session,
                })
            }
        }
    }

    async fn publish(&mut self, load: &Load, number: u64) -> Result<()> {
        let routing = Routing {
            kind: if load.audio {
                MediaKind::Audio
            } else {
                MediaKind::Video
            },
            stream_id: 1,
            spatial: 0,
            temporal: 0,
            keyframe: !load.audio && number == 1,
            depends_back: u8::from(!load.audio && number > 1),
            frame_number: number,
            capture_us: number * 20_000,
            audio_level: 30,
            encrypted: false,
        };
        let payload = Bytes::from(vec![7; load.bytes]);
        let packet = packet::sealed_media(self.session, &Bytes::new(), routing, payload);
        match &mut self.link {
            Link::WebSocket(socket) => socket.send(Message::Binary(packet)).await?,
            Link::WebTransport(connection, ..) if load.audio => connection.send_datagram(packet)?,
            Link::WebTransport(connection, ..) => {
                let mut stream = connection.open_uni().await?.await?;
                stream.write_all(&packet).await?;
                stream.quic_stream_mut().finish()?;
            }
        }
        Ok(())
    }

    /// Counts the media that comes, for ever.
    async fn count(self, received: Arc<AtomicU64>) {
        match self.link {
            Link::WebSocket(mut socket) => {
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Binary(packet) = message {
                        note(&packet, &received);
                    }
                }
            }
            Link::WebTransport(connection, _send, mut control) => {
                let datagrams = async {
                    while let Ok(datagram) = connection.receive_datagram().await {
                        note(&datagram.payload(), &received);
                    }
                };
                let streams = async {
                    while let Ok(mut stream) = connection.accept_uni().await {
                        if let Ok(packet) = stream.quic_stream_mut().read_to_end(1 << 20).await {
                            note(&packet, &received);
                        }
                    }
                };
                let messages = async {
                    let mut buffer = [0; 4096];
                    while matches!(control.read(&mut buffer).await, Ok(Some(_))) {}
                };
                tokio::join!(datagrams, streams, messages);
            }
        }
    }
}

fn note(packet: &[u8], received: &AtomicU64) {
    if PacketView::parse(packet).is_ok_and(|view| view.is(PacketType::Media)) {
        received.fetch_add(1, Relaxed);
    }
}

/// The session in a `Welcome`.
fn assigned(packet: &Bytes) -> Option<SessionId> {
    let view = PacketView::parse(packet).ok()?;
    match packet::read_control(packet, &view).ok()?? {
        control::Message::Welcome(welcome) => SessionId::new(welcome.session_id),
        _ => None,
    }
}
