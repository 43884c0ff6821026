//! WebTransport over QUIC; several connections share one UDP socket.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesUnordered},
};
use parking_lot::Mutex;
use rustls::ClientConfig as TlsConfig;
use socket2::{Domain, Socket, Type};
use url::{Host, Url};
use wtransport::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, VarInt,
    config::QuicTransportConfig, endpoint::endpoint_side::Client,
};

use super::{
    Delivery, Incoming, MAX_INCOMING, Outgoing, Received, Request, is_regular, resolver::Resolver,
};
use crate::{
    errors::{Failure, Phase},
    measure::ErrorClass,
};

/// Frames sent, or received, at once.
const STREAMS: usize = 64;
/// A frame that is not through by then is given up.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// Keeps idle connections from being given up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes that wait in the kernel for the shared socket to be read.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes that wait to be sent.
const SEND_BUFFER: usize = 1 << 20;
/// H3_NO_ERROR (RFC 9114, section 8.1).
const H3_NO_ERROR: u64 = 0x100;

type Group = (Option<IpAddr>, u64);

/// Opens WebTransport sessions.
pub(super) struct Opener {
    tls: TlsConfig,
    per_endpoint: u64,
    resolver: Resolver,
    /// By source address and number of the group.
    endpoints: Mutex<HashMap<Group, Arc<Endpoint<Client>>>>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

/// A WebTransport session.
pub struct WebTransport {
    connection: Connection,
    incoming: BoxStream<'static, Received>,
    control: Option<SendStream>,
    /// Bytes for the bidirectional stream that wait for credit.
    unwritten: BytesMut,
    frames: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Keeps the UDP socket.
    _endpoint: Arc<Endpoint<Client>>,
}

impl fmt::Debug for WebTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebTransport").finish_non_exhaustive()
    }
}

impl Opener {
    pub(super) fn new(tls: TlsConfig, per_endpoint: u64) -> Self {
        Self {
            tls,
            per_endpoint: per_endpoint.max(1),
            resolver: Resolver::default(),
            endpoints: Mutex::new(HashMap::new()),
        }
    }

    pub(super) async fn open(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        number: u64,
        request: &Request,
    ) -> Result<WebTransport, Failure> {
        let endpoint = self
            .endpoint(url, source, number)
            .map_err(|error| Failure::io(Phase::Connect, &error))?;
        let connection = endpoint
            .connect(url.as_str())
            .await
            .map_err(|error| Failure::connecting(&error))?;
        let (control, control_in) = if request.no_control_stream {
            (None, None)
        } else {
            let opening = connection
                .open_bi()
                .await
                .map_err(|end| Failure::quic(Phase::Handshake, &end))?;
            let (send, receive) = opening
                .await
                .map_err(|error| Failure::new(ErrorClass::Handshake, error.to_string()))?;
            (Some(send), Some(receive))
        };
        Ok(WebTransport {
            incoming: incoming(&connection, control_in),
            connection,
            control,
            unwritten: BytesMut::new(),
            frames: FuturesUnordered::new(),
            _endpoint: endpoint,
        })
    }

    fn endpoint(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        number: u64,
    ) -> std::io::Result<Arc<Endpoint<Client>>> {
        let key = (source, number / self.per_endpoint);
        let mut endpoints = self.endpoints.lock();
        if let Some(endpoint) = endpoints.get(&key) {
            return Ok(endpoint.clone());
        }
        let builder = ClientConfig::builder().with_bind_socket(bind(url, source)?);
        let mut transport = QuicTransportConfig::default();
        transport.keep_alive_interval(Some(KEEP_ALIVE));
        let config = builder
            .with_custom_tls_and_transport(self.tls.clone(), transport)
            .dns_resolver(self.resolver.clone())
            .build();
        let endpoint = Arc::new(Endpoint::client(config)?);
        endpoints.insert(key, endpoint.clone());
        Ok(endpoint)
    }
}

/// A UDP socket with large buffers: several connections share it, and what finds no room in it would
/// look like loss by the server. The kernel grants less where `net.core.rmem_max` is lower.
fn bind(url: &Url, source: Option<IpAddr>) -> std::io::Result<UdpSocket> {
    let address = match (source, url.host()) {
        (Some(source), _) => source,
        (None, Some(Host::Ipv4(_))) => Ipv4Addr::UNSPECIFIED.into(),
        (None, _) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    if address.is_ipv6() {
        // A name may turn out to be an IPv4 address.
        socket.set_only_v6(source.is_some())?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&SocketAddr::new(address, 0).into())?;
    Ok(socket.into())
}

impl WebTransport {
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Outgoing>,
        sent: &mut dyn FnMut(&Outgoing),
    ) -> Poll<Result<(), Failure>> {
        loop {
            while let Poll::Ready(Some(())) = self.frames.poll_next_unpin(cx) {}
            ready!(self.poll_control(cx))?;
            let Some(next) = queue.front() else {
                return if self.frames.is_empty() {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Pending
                };
            };
            let frame = match next.delivery {
                Delivery::Message | Delivery::Text => {
                    let length = next.payload.len() as u32;
                    self.unwritten.extend_from_slice(&length.to_be_bytes());
                    self.unwritten.extend_from_slice(&next.payload);
                    None
                }
                Delivery::Raw => {
                    self.unwritten.extend_from_slice(&next.payload);
                    None
                }
                Delivery::Datagram => {
                    let refused = self.connection.send_datagram(&next.payload).is_err();
                    refused.then_some(0)
                }
                Delivery::Stream { priority } => Some(priority),
            };
            if let Some(priority) = frame {
                if self.frames.len() >= STREAMS {
                    return Poll::Pending;
                }
                let sending = send_frame(self.connection.clone(), next.payload.clone(), priority);
                self.frames.push(sending.boxed());
            }
            if let Some(outgoing) = queue.pop_front() {
                sent(&outgoing);
            }
        }
    }

    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(control) = &mut self.control else {
            // Without the stream there is no way for such messages.
            self.unwritten.clear();
            return Poll::Ready(Ok(()));
        };
        while !self.unwritten.is_empty() {
            let stream = Pin::new(control.quic_stream_mut());
            let written = ready!(stream.poll_write(cx, &self.unwritten))
                .map_err(|error| Failure::new(ErrorClass::Reset, error.to_string()))?;
            self.unwritten.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        Poll::Ready(match ready!(self.incoming.poll_next_unpin(cx)) {
            Some(received) => Incoming::Message(received),
            None => match self.connection.quic_connection().close_reason() {
                Some(end) => ended(end.into()),
                None => Incoming::Failed(Failure::new(
                    ErrorClass::Protocol,
                    "the server ended the WebTransport session",
                )),
            },
        })
    }

    pub(super) async fn close(&mut self, code: u16, text: &str) {
        if let Some(control) = &mut self.control {
            // Resolves when the server has all of it.
            let _ = tokio::time::timeout(Duration::from_millis(200), control.finish()).await;
        }
        // 1000 of a WebSocket is 0 here, and 4000 + n is n.
        let code = match code {
            1000 => 0,
            4000.. => code - 4000,
            other => other,
        };
        self.connection
            .close(VarInt::from_u32(code.into()), text.as_bytes());
    }
}

fn ended(end: wtransport::error::ConnectionError) -> Incoming {
    use wtransport::error::ConnectionError::{ApplicationClosed, LocallyClosed};
    let code = match &end {
        ApplicationClosed(close) => Some(close.code().into_inner()),
        _ => None,
    };
    let regular = match code {
        Some(0 | H3_NO_ERROR) => true,
        Some(code) => u16::try_from(code).is_ok_and(is_regular),
        None => matches!(end, LocallyClosed),
    };
    if regular {
        Incoming::Closed
    } else {
        Incoming::Failed(Failure::quic(Phase::Open, &end))
    }
}

/// Everything that comes, from wherever; ends with the connection.
fn incoming(connection: &Connection, control: Option<RecvStream>) -> BoxStream<'static, Received> {
    let both = stream::select(datagrams(connection.clone()), frames(connection.clone()));
    match control {
        Some(control) => stream::select(both, messages(control)).boxed(),
        None => both.boxed(),
    }
}

fn datagrams(connection: Connection) -> impl Stream<Item = Received> + Send {
    stream::unfold(connection, |connection| async {
        let datagram = connection.receive_datagram().await.ok()?;
        Some((received(datagram.payload()), connection))
    })
}

fn frames(connection: Connection) -> impl Stream<Item = Received> + Send {
    stream::unfold(connection, |connection| async {
        let stream = connection.accept_uni().await.ok()?;
        Some((stream, connection))
    })
    .map(|mut stream| async move {
        // One that is reset was given up by the server.
        let whole = stream.quic_stream_mut().read_to_end(MAX_INCOMING).await;
        whole.ok().map(|payload| received(payload.into()))
    })
    .buffer_unordered(STREAMS)
    .filter_map(std::future::ready)
}

fn messages(control: RecvStream) -> impl Stream<Item = Received> + Send {
    stream::unfold(control, |mut control| async {
        let mut length = [0; 4];
        control.read_exact(&mut length).await.ok()?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_INCOMING {
            return None;
        }
        let mut payload = BytesMut::zeroed(length);
        control.read_exact(&mut payload).await.ok()?;
        Some((received(payload.freeze()), control))
    })
}

fn received(payload: Bytes) -> Received {
    Received {
        at: Instant::now(),
        text: false,
        payload,
    }
}

async fn send_frame(connection: Connection, payload: Bytes, priority: i32) {
    let Ok(Ok(opening)) = tokio::time::timeout(STALE_AFTER, connection.open_uni()).await else {
        return;
    };
    let Ok(mut stream) = opening.await else {
        return;
    };
    stream.set_priority(priority);
    let written =
        tokio::time::timeout(STALE_AFTER, stream.quic_stream_mut().write_chunk(payload)).await;
    if matches!(written, Ok(Ok(()))) {
        let _ = stream.quic_stream_mut().finish();
    } else {
        // Half a frame must not look whole to the server, as it would when the stream is dropped.
        let _ = stream.reset(VarInt::from_u32(0));
    }
}
