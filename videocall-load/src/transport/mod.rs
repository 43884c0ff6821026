//! Connections over WebSocket and WebTransport, polled by the one task that owns each of them.

mod resolver;
mod tls;
mod websocket;
mod webtransport;

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::{
    errors::{Failure, Phase},
    measure::{ErrorClass, MessageKind},
};

/// Largest message taken from a server, in bytes.
const MAX_INCOMING: usize = 16 << 20;
/// Connections from one source address before another one is used. The range of ephemeral ports of
/// Linux has 28,232; finding a free one takes the kernel ever longer when half of them are taken.
const PORTS_OF_AN_ADDRESS: u64 = 8_000;

/// How connections are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransportOptions {
    /// Further servers of the same installation: connections go to all of them in turn.
    pub other_urls: Vec<String>,
    /// Connections that go to one server before it is the next one's turn.
    pub turn: u64,
    /// Believe any certificate.
    pub insecure: bool,
    /// Believe certificates with these SHA-256 hashes only, in hexadecimal or base64.
    pub certificate_hashes: Vec<String>,
    /// Believe what is signed by these certificates, PEM.
    pub ca_file: Option<PathBuf>,
    /// Addresses to connect from, in turn; none: the system chooses, and for a target on the
    /// loopback interface as many of 127.0.0.0/8 are used as the number of connections asks for.
    pub source_addresses: Vec<IpAddr>,
    /// WebTransport connections that share one UDP socket.
    pub connections_per_endpoint: u64,
    /// How long name lookup, connection, TLS and handshake may take together.
    pub connect_timeout: Duration,
    /// Bytes that a WebSocket reads at once.
    pub read_buffer: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            other_urls: Vec::new(),
            turn: 1,
            insecure: false,
            certificate_hashes: Vec::new(),
            ca_file: None,
            source_addresses: Vec::new(),
            connections_per_endpoint: 50,
            connect_timeout: Duration::from_secs(10),
            read_buffer: 4096,
        }
    }
}

/// Options or an address that nothing can be connected with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL.
    #[error("`{0}` is not a URL: {1}")]
    Url(String, url::ParseError),
    /// Servers that cannot be reached alike.
    #[error("`{0}`: all servers of a run must have the same scheme")]
    Schemes(String),
    /// Another scheme.
    #[error("`{0}`: the scheme must be ws, wss or https (WebTransport)")]
    Scheme(String),
    /// No host.
    #[error("`{0}` names no host")]
    Host(String),
    /// Certificates that cannot be used.
    #[error("{0}")]
    Tls(String),
}

/// What a behaviour asks of its connection.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Path and query, instead of those of the URL.
    pub path: Option<String>,
    /// Offered WebSocket subprotocols.
    pub subprotocols: Vec<&'static str>,
    /// Size of the kernel's receive buffer (SO_RCVBUF).
    pub receive_buffer: Option<u32>,
    /// Do without the bidirectional stream that carries messages over WebTransport.
    pub no_control_stream: bool,
}

/// The way that a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Binary message of a WebSocket; over WebTransport on the bidirectional stream behind its
    /// length in 32 bits, big-endian.
    Message,
    /// Text message of a WebSocket; over WebTransport as [`Delivery::Message`].
    Text,
    /// Binary message of a WebSocket; a datagram over WebTransport, or a stream where it is too
    /// long for one.
    Datagram,
    /// Binary message of a WebSocket; over WebTransport a unidirectional stream with a priority.
    Stream {
        /// Higher goes first.
        priority: i32,
    },
    /// Bytes as they are: below the framing of a WebSocket, unframed on WebTransport's
    /// bidirectional stream.
    Raw,
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its bytes.
    pub payload: Bytes,
    /// Its way.
    pub delivery: Delivery,
    /// What it is counted as.
    pub kind: MessageKind,
    /// Which layer it is counted as.
    pub layer: u8,
}

/// A message that has come.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it was read.
    pub at: Instant,
    /// Whether it was a text message.
    pub text: bool,
    /// Its bytes.
    pub payload: Bytes,
}

/// What comes from a connection.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Received),
    /// The peer closed in a regular way; nothing follows.
    Closed,
    /// The connection failed; nothing follows.
    Failed(Failure),
}

/// Where to connect, and how.
#[derive(Debug)]
pub struct Connector {
    /// At least one.
    urls: Vec<Url>,
    options: TransportOptions,
    sources: Vec<IpAddr>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    WebSocket(websocket::Opener),
    WebTransport(Box<webtransport::Opener>),
}

/// An open connection.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    WebSocket(Box<websocket::WebSocket>),
    /// Over QUIC.
    WebTransport(Box<webtransport::WebTransport>),
}

impl Connector {
    /// Checks address and options. `connections` is how many may be open at once.
    pub fn new(
        url: &str,
        options: TransportOptions,
        connections: u64,
    ) -> Result<Self, TargetError> {
        let parsed = parse(url)?;
        let mut urls = vec![parsed.clone()];
        for other in &options.other_urls {
            let other_parsed = parse(other)?;
            if other_parsed.scheme() != parsed.scheme() {
                return Err(TargetError::Schemes(other.clone()));
            }
            urls.push(other_parsed);
        }
        let kind = match parsed.scheme() {
            "ws" => Kind::WebSocket(websocket::Opener::plain()),
            "wss" => Kind::WebSocket(websocket::Opener::encrypted(tls::config(&options, &[])?)),
            "https" => {
                let tls = tls::config(&options, &[b"h3"])?;
                let per_endpoint = options.connections_per_endpoint;
                Kind::WebTransport(Box::new(webtransport::Opener::new(tls, per_endpoint)))
            }
            _ => return Err(TargetError::Scheme(url.to_owned())),
        };
        let sources = sources(&parsed, &options, connections);
        Ok(Self {
            urls,
            options,
            sources,
            kind,
        })
    }

    /// Whether connections go over WebTransport.
    pub fn is_webtransport(&self) -> bool {
        matches!(self.kind, Kind::WebTransport(_))
    }

    /// Opens a connection. `number` chooses server, source address and endpoint.
    pub async fn connect(&self, number: u64, request: Request) -> Result<Socket, Failure> {
        let turn = number / self.options.turn.max(1);
        let mut url = self.urls[(turn % self.urls.len() as u64) as usize].clone();
        if let Some(path) = &request.path {
            let (path, query) = match path.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (path.as_str(), None),
            };
            url.set_path(path);
            url.set_query(query);
        }
        let source = match self.sources.len() as u64 {
            0 => None,
            length => Some(self.sources[(number % length) as usize]),
        };
        let mut phase = Phase::Dns;
        let opening = async {
            match &self.kind {
                Kind::WebSocket(opener) => {
                    let socket = opener
                        .open(&url, source, &request, self.options.read_buffer, &mut phase)
                        .await?;
                    Ok(Socket::WebSocket(Box::new(socket)))
                }
                Kind::WebTransport(opener) => {
                    phase = Phase::Handshake;
                    let socket = opener.open(&url, source, number, &request).await?;
                    Ok(Socket::WebTransport(Box::new(socket)))
                }
            }
        };
        match tokio::time::timeout(self.options.connect_timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::timeout(phase)),
        }
    }
}

impl Socket {
    /// Sends as much of the queue as goes, from its front; `sent` is told of each message that the
    /// socket took. Ready when the queue is empty and everything is with the kernel.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Outgoing>,
        sent: &mut dyn FnMut(&Outgoing),
    ) -> Poll<Result<(), Failure>> {
        match self {
            Self::WebSocket(socket) => socket.poll_send(cx, queue, sent),
            Self::WebTransport(socket) => socket.poll_send(cx, queue, sent),
        }
    }

    /// What comes next.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        match self {
            Self::WebSocket(socket) => socket.poll_receive(cx),
            Self::WebTransport(socket) => socket.poll_receive(cx),
        }
    }

    /// Says good-bye with a code and waits until it is gone. Drop it instead to vanish.
    pub async fn close(&mut self, code: u16, text: &str) {
        match self {
            Self::WebSocket(socket) => socket.close(code, text).await,
            Self::WebTransport(socket) => socket.close(code, text).await,
        }
    }

    /// The subprotocol that the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        match self {
            Self::WebSocket(socket) => socket.subprotocol(),
            Self::WebTransport(_) => None,
        }
    }

    /// Makes dropping the connection reset it, so that the peer sees no regular end.
    pub fn abort(self) {
        match self {
            Self::WebSocket(socket) => socket.abort(),
            Self::WebTransport(socket) => drop(socket),
        }
    }
}

fn parse(url: &str) -> Result<Url, TargetError> {
    let parsed = Url::parse(url).map_err(|error| TargetError::Url(url.to_owned(), error))?;
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(TargetError::Host(url.to_owned()));
    }
    Ok(parsed)
}

/// Whether a close code stands for a regular end: 1000 and 1001 of RFC 6455, 4000 of this protocol.
fn is_regular(code: u16) -> bool {
    matches!(code, 1000 | 1001 | 1005 | 4000)
}

/// The addresses to connect from.
fn sources(url: &Url, options: &TransportOptions, connections: u64) -> Vec<IpAddr> {
    if !options.source_addresses.is_empty() {
        return options.source_addresses.clone();
    }
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        _ => false,
    };
    let needed = connections.div_ceil(PORTS_OF_AN_ADDRESS).min(250);
    // Connections of WebTransport share ports.
    if url.scheme() == "https" || !loopback || needed < 2 {
        return Vec::new();
    }
    (1..=needed)
        .map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last as u8)))
        .collect()
}

/// The address to bind to before connecting to another.
fn local_of(source: Option<IpAddr>, remote: SocketAddr) -> Result<Option<SocketAddr>, Failure> {
    match source {
        None => Ok(None),
        Some(source) if source.is_ipv4() == remote.is_ipv4() => {
            Ok(Some(SocketAddr::new(source, 0)))
        }
        Some(source) => Err(Failure::new(
            ErrorClass::Connect,
            format!("{source} cannot reach {remote}: one is IPv4, the other IPv6"),
        )),
    }
}
