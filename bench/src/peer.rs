//! Participants, and the servers they join: the product, or the bare loop that is its floor.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use videocall_types::{
    ids::SessionId,
    packet,
    view::PacketView,
    wire::{Hello, Subscribe, control},
};
use wtransport::{ClientConfig, Connection, Endpoint};

use crate::process::Process;

/// How long anything may take that should take no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

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

/// Something that forwards packets.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: Address,
}

#[derive(Clone, Copy)]
pub(crate) struct Address {
    transport: Transport,
    port: u16,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Product,
    /// A bare loop.
    Floor,
    /// A bare loop behind a WebSocket library.
    Library,
}

impl Address {
    /// A port on which the product listens.
    pub(crate) fn of_product(transport: Transport, port: u16) -> Self {
        Self {
            transport,
            port,
            kind: Kind::Product,
        }
    }

    /// A port of the bare loop over QUIC.
    pub(crate) fn of_floor(port: u16) -> Self {
        Self {
            transport: Transport::WebTransport,
            port,
            kind: Kind::Floor,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where a browser finds the product, which is known by its port of HTTP.
    pub(crate) fn page(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Address {
    /// Where the load tester finds the product.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.transport {
            Transport::WebSocket => "ws",
            Transport::WebTransport => "https",
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }
}

impl Server {
    /// The product.
    pub(crate) async fn product(transport: Transport, more: &[&str]) -> Result<Self> {
        Self::started("videocall-server", &[], transport, more).await
    }

    /// The product in this program, where allocations are counted.
    pub(crate) async fn counted(transport: Transport) -> Result<Self> {
        let before = ["counted-server", "--"];
        Self::started("videocall-bench", &before, transport, &[]).await
    }

    async fn started(
        program: &str,
        before: &[&str],
        transport: Transport,
        more: &[&str],
    ) -> Result<Self> {
        let address = "127.0.0.1:0";
        let listen = [
            "--http-listen",
            address,
            "--webtransport-listen",
            address,
            "--log",
            "off",
        ];
        let args = [before, &listen, more].concat();
        let (process, port) = Process::start(program, &args, "Open http://localhost:")?;
        let http: u16 = port.parse().context("the server's port")?;
        let port = match transport {
            Transport::WebSocket => http,
            Transport::WebTransport => webtransport_port(http).await?,
        };
        let address = Address::of_product(transport, port);
        Ok(Self { process, address })
    }

    /// The bare loop behind a WebSocket library, by its name.
    pub(crate) fn library(name: &str) -> Result<Self> {
        let (process, port) = Process::start("videocall-bench", &["library", name], "ready ")?;
        let address = Address {
            transport: Transport::WebSocket,
            port: port.parse()?,
            kind: Kind::Library,
        };
        Ok(Self { process, address })
    }

    /// The bare loop: its first participant is the publisher.
    pub(crate) fn floor(transport: Transport) -> Result<Self> {
        let mode = format!("floor-{}", transport.label());
        let (process, port) = Process::start("videocall-bench", &[&mode], "ready ")?;
        let address = Address {
            transport,
            port: port.parse()?,
            kind: Kind::Floor,
        };
        Ok(Self { process, address })
    }
}

/// Asks as the page does.
async fn webtransport_port(http: u16) -> Result<u16> {
    let body = get(http, "/config.json").await?;
    let config: serde_json::Value = serde_json::from_str(&body)?;
    let url = config["webtransport"][0]["url"]
        .as_str()
        .context("an address")?;
    Ok(url.rsplit(':').next().context("a port")?.parse()?)
}

/// The body of a response.
pub(crate) async fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (_, body) = response.split_once("\r\n\r\n").context("a response")?;
    Ok(body.to_owned())
}

pub(crate) struct Peer {
    link: Link,
    pub(crate) session: SessionId,
}

enum Link {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketStream<TcpStream>>),
    Quic(Connection),
    WebTransport(Connection, wtransport::SendStream, wtransport::RecvStream),
}

impl Peer {
    /// Connects, and on the product joins a meeting.
    pub(crate) async fn join(address: Address, meeting: &str, name: &str) -> Result<Self> {
        let join = async {
            match (address.transport, address.kind) {
                (_, Kind::Library) => Self::plain_websocket(address.port, name).await,
                (Transport::WebSocket, Kind::Floor) => Self::bare_tcp(address.port).await,
                (Transport::WebTransport, Kind::Floor) => {
                    let url = format!("https://127.0.0.1:{}/", address.port);
                    Self::bare(Link::Quic(connect(&url).await?))
                }
                (Transport::WebSocket, Kind::Product) => {
                    Self::websocket(address.port, meeting, name).await
                }
                (Transport::WebTransport, Kind::Product) => {
                    let url = format!("https://127.0.0.1:{}/lobby/{name}/{meeting}", address.port);
                    Self::webtransport(connect(&url).await?).await
                }
            }
        };
        time::timeout(PATIENCE, join).await.context("no answer")?
    }

    fn bare(link: Link) -> Result<Self> {
        let session = SessionId::new(1).context("a session")?;
        Ok(Self { link, session })
    }

    async fn bare_tcp(port: u16) -> Result<Self> {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        // The greeting: the loop knows of this participant.
        socket.read_u8().await?;
        Self::bare(Link::Tcp(socket))
    }

    async fn websocket(port: u16, meeting: &str, name: &str) -> Result<Self> {
        let url = format!("ws://127.0.0.1:{port}/lobby/{name}/{meeting}");
        let socket = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        socket.set_nodelay(true)?;
        let (mut socket, _) = client_async(url, socket).await?;
        socket.send(Message::Binary(hello())).await?;
        loop {
            if let Message::Binary(packet) = socket.next().await.context("an answer")??
                && let Some(session) = assigned(&packet)
            {
                let link = Link::WebSocket(Box::new(socket));
                return Ok(Self { link, session });
            }
        }
    }

    async fn plain_websocket(port: u16, name: &str) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let url = format!("ws://127.0.0.1:{port}/{name}");
        let (mut socket, _) = client_async(url, socket).await?;
        // The greeting.
        socket.next().await.context("an answer")??;
        Self::bare(Link::WebSocket(Box::new(socket)))
    }

    async fn webtransport(connection: Connection) -> Result<Self> {
        let (mut send, mut receive) = connection.open_bi().await?.await?;
        let hello = hello();
        send.write_all(&(hello.len() as u32).to_be_bytes()).await?;
        send.write_all(&hello).await?;
        loop {
            let mut length = [0; 4];
            receive.read_exact(&mut length).await?;
            let mut packet = vec![0; u32::from_be_bytes(length) as usize];
            receive.read_exact(&mut packet).await?;
            if let Some(session) = assigned(&packet.into()) {
                let link = Link::WebTransport(connection, send, receive);
                return Ok(Self { link, session });
            }
        }
    }

    /// Sends a packet on the way that its kind takes.
    pub(crate) async fn publish(&mut self, packet: Bytes, losable: bool) -> Result<()> {
        match &mut self.link {
            Link::Tcp(socket) => {
                let mut framed = (packet.len() as u32).to_be_bytes().to_vec();
                framed.extend_from_slice(&packet);
                socket.write_all(&framed).await?;
            }
            Link::WebSocket(socket) => socket.send(Message::Binary(packet)).await?,
            Link::Quic(connection) | Link::WebTransport(connection, ..) => {
                if losable {
                    return connection.send_datagram(packet).context("send");
                }
                let mut stream = connection.open_uni().await?.await?;
                stream.quic_stream_mut().write_chunk(packet).await?;
                stream.quic_stream_mut().finish()?;
            }
        }
        Ok(())
    }

    /// Reads all that comes until the connection ends.
    pub(crate) async fn receive(self, mut each: impl FnMut(&[u8])) {
        match self.link {
            Link::Tcp(mut socket) => {
                let mut length = [0; 4];
                let mut packet = Vec::new();
                while socket.read_exact(&mut length).await.is_ok() {
                    packet.resize(u32::from_be_bytes(length) as usize, 0);
                    if socket.read_exact(&mut packet).await.is_err() {
                        return;
                    }
                    each(&packet);
                }
            }
            Link::WebSocket(mut socket) => {
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Binary(packet) = message {
                        each(&packet);
                    }
                }
            }
            Link::Quic(connection) => receive_quic(&connection, each).await,
            Link::WebTransport(connection, _send, mut control) => {
                let messages = async {
                    let mut buffer = [0; 4096];
                    while matches!(control.read(&mut buffer).await, Ok(Some(_))) {}
                };
                tokio::join!(receive_quic(&connection, each), messages);
            }
        }
    }
}

async fn receive_quic(connection: &Connection, mut each: impl FnMut(&[u8])) {
    loop {
        tokio::select! {
            datagram = connection.receive_datagram() => match datagram {
                Ok(datagram) => each(&datagram),
                Err(_) => return,
            },
            stream = connection.accept_uni() => match stream {
                Ok(mut stream) => {
                    if let Ok(packet) = stream.quic_stream_mut().read_to_end(1 << 20).await {
                        each(&packet);
                    }
                }
                Err(_) => return,
            },
        }
    }
}

async fn connect(url: &str) -> Result<Connection> {
    let config = ClientConfig::builder()
        .with_bind_default()
        .with_no_cert_validation()
        .build();
    Endpoint::client(config)?
        .connect(url)
        .await
        .context("connect")
}

fn hello() -> Bytes {
    packet::control(control::Message::Hello(Hello {
        protocol_version: 1,
        subscribe: Some(Subscribe {
            all: true,
            wants: Vec::new(),
        }),
        ..Hello::default()
    }))
}

/// The session in a `Welcome`.
fn assigned(packet: &Bytes) -> Option<SessionId> {
    let view = PacketView::parse(packet).ok()?;
    match packet::read_control(packet, &view).ok()?? {
        control::Message::Welcome(welcome) => SessionId::new(welcome.session_id),
        _ => None,
    }
}
