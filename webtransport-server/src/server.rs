//! Endpoints, and who is let in.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use percent_encoding::percent_decode_str;
use socket2::{Domain, Socket, Type};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time,
};
use tracing::{Instrument, debug};
use videocall_config::Certificates;
use videocall_node::{JoinRequest, Limits, Node, Refusal, RelayConfig, Session, Transport};
use videocall_types::token::Token;
use wtransport::{
    Connection, Endpoint, ServerConfig, VarInt,
    config::QuicTransportConfig,
    endpoint::{IncomingSession, SessionRequest, endpoint_side},
    quinn,
};

use crate::{ingest, pace::Pace, session};

/// Bytes that a UDP socket may hold in each direction.
const SOCKET_BUFFER: usize = 4 << 20;
/// Packets that a receiver acknowledges together, where it can (draft-ietf-quic-ack-frequency); it
/// waits no longer than 25 ms.
const ACKNOWLEDGED: u32 = 10;
/// A path is kept alive at least so often: browsers give one up on which nothing comes for 30 s.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("--webtransport-listen: cannot listen on {address} (UDP): {error}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub error: std::io::Error,
}

/// A server that listens, and takes sessions once it [`run`](Self::run)s.
pub struct WebTransportServer {
    endpoints: Vec<Endpoint<endpoint_side::Server>>,
    node: Node,
}

impl WebTransportServer {
    /// Opens the sockets.
    ///
    /// # Errors
    /// An address cannot be used.
    pub fn bind(
        listen: &[SocketAddr],
        certificates: &Arc<Certificates>,
        node: Node,
    ) -> Result<Self, BindError> {
        let endpoints = listen
            .iter()
            .map(|&address| {
                let socket = open(address).map_err(|error| BindError { address, error })?;
                let config = ServerConfig::builder()
                    .with_bind_socket(socket)
                    .with_custom_tls_and_transport(
                        certificates.server_config(&[wtransport::tls::WEBTRANSPORT_ALPN]),
                        transport_config(node.limits(), node.relay()),
                    )
                    .build();
                Endpoint::server(config).map_err(|error| BindError { address, error })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { endpoints, node })
    }

    /// Where the sockets are.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.endpoints
            .iter()
            .filter_map(|endpoint| endpoint.local_addr().ok())
            .collect()
    }

    /// Takes sessions until dropped. Sessions end with it.
    pub async fn run(self) {
        let mut acceptors = JoinSet::new();
        let handshakes = Arc::new(Semaphore::new(self.node.limits().max_handshakes));
        let pace = Arc::new(Pace::of_machine());
        for endpoint in self.endpoints {
            let door = Door {
                handshakes: handshakes.clone(),
                pace: pace.clone(),
            };
            acceptors.spawn(accept(endpoint, self.node.clone(), door));
        }
        acceptors.join_all().await;
    }
}

/// All sessions of an endpoint share its socket: with the kernel's usual 200 KB, a burst of many
/// publishers finds no room. The kernel grants less than this where `net.core.rmem_max` is lower.
fn open(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn transport_config(limits: &Limits, relay: &RelayConfig) -> QuicTransportConfig {
    let mut config = QuicTransportConfig::default();
    // QUIC keeps room for each stream that it allows: one that publishes pictures gets more.
    config.max_concurrent_uni_streams(ingest::FIRST_STREAMS.into());
    // That of the session, and that of control messages.
    config.max_concurrent_bidi_streams(4u32.into());
    config.stream_receive_window(limits.stream_window.into());
    config.receive_window(limits.stream_window.saturating_mul(4).into());
    // What waits longer waits in the session's own queue, which knows what to drop.
    config.send_window(1_048_576);
    // Sound that waits longer than half a second on a path of 256 kbit/s is of no use.
    config.datagram_send_buffer_size(16 * 1024);
    config.datagram_receive_buffer_size(Some(256 * 1024));
    // An acknowledgement is a packet too, to be taken in and decrypted: without this extension of
    // QUIC a receiver sends one for every second packet.
    let mut acknowledgements = quinn::AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(ACKNOWLEDGED.into());
    config.ack_frequency_config(Some(acknowledgements));
    let interval = relay.heartbeat_interval;
    config.keep_alive_interval(Some(interval.min(MAX_KEEP_ALIVE)));
    // The session ends first, by its own rules, and whoever still hears is told. A time that is too
    // long for QUIC is none.
    let idle = relay.session_timeout.saturating_add(interval);
    config.max_idle_timeout(idle.try_into().ok());
    config
}

/// How many handshakes there may be, and when they begin.
struct Door {
    handshakes: Arc<Semaphore>,
    pace: Arc<Pace>,
}

async fn accept(endpoint: Endpoint<endpoint_side::Server>, node: Node, door: Door) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                // A full house answers nothing: the client's QUIC tries again by itself.
                let Ok(permit) = door.handshakes.clone().try_acquire_owned() else {
                    incoming.ignore();
                    continue;
                };
                if let Some(incoming) = at_the_door(incoming, &node) {
                    let (node, pace) = (node.clone(), door.pace.clone());
                    sessions.spawn(async move {
                        pace.turn().await;
                        handle(incoming, node, permit).await;
                    });
                }
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}

/// Lets through whose address does not come too often, before any cryptography. An address may be
/// forged: whoever comes too often must first prove that it is theirs (RFC 9000, section 8.1.2),
/// so that nobody can shut out another.
fn at_the_door(incoming: IncomingSession, node: &Node) -> Option<IncomingSession> {
    let address = incoming.remote_address();
    if node.may_connect(address.ip()) {
        return Some(incoming);
    }
    debug!(%address, "too many connections from there");
    if incoming.remote_address_validated() {
        incoming.refuse();
    } else {
        incoming.retry();
    }
    None
}

async fn handle(incoming: IncomingSession, node: Node, permit: OwnedSemaphorePermit) {
    let max_streams = node.limits().max_streams;
    // Boxed, both: what a handshake needs is not kept for as long as its session lasts.
    if let Some((connection, session)) = Box::pin(handshake(incoming, node, permit)).await {
        let span = session.span();
        let run = async move { session::run(&connection, session, max_streams).await };
        Box::pin(run).instrument(span).await;
    }
}

async fn handshake(
    incoming: IncomingSession,
    node: Node,
    _permit: OwnedSemaphorePermit,
) -> Option<(Connection, Session)> {
    let timeout = node.limits().handshake_timeout;
    let request = match time::timeout(timeout, incoming).await {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => {
            debug!(%error, "handshake failed");
            return None;
        }
        Err(_) => {
            debug!("handshake timed out");
            return None;
        }
    };
    let Some(join) = join_request(&request) else {
        request.not_found().await;
        return None;
    };
    let remote = join.remote;
    match node.join(join).await {
        Ok(session) => {
            let accepted = time::timeout(timeout, request.accept()).await;
            accepted.ok()?.ok().map(|connection| (connection, session))
        }
        Err(refusal) => {
            refuse(request, &refusal, remote, timeout).await;
            None
        }
    }
}

/// A browser does not let its page see the status of a refused session, so that the reason can only
/// be told by accepting the session and closing it.
async fn refuse(request: SessionRequest, refusal: &Refusal, remote: SocketAddr, timeout: Duration) {
    debug!(%remote, reason = %refusal.text, "refused");
    if let Ok(Ok(connection)) = time::timeout(timeout, request.accept()).await {
        // The end of the connection may overtake the answer, and browsers then tell a page nothing
        // of it; and it does not say when to come back.
        let packet = refusal.to_packet();
        let told = tell(&connection, &packet);
        let _ = time::timeout(Duration::from_secs(2), told).await;
        // Who has read it ends the connection; an end from here would take it from who has not.
        let _ = time::timeout(Duration::from_secs(2), connection.closed()).await;
        let code = VarInt::from_u32(refusal.reason.code());
        connection.close(code, refusal.text.as_bytes());
        let _ = time::timeout(Duration::from_secs(2), connection.closed()).await;
    }
}

/// Sends one packet on a stream of its own, and waits until it has arrived.
async fn tell(connection: &Connection, packet: &[u8]) -> Option<()> {
    let mut stream = connection.open_uni().await.ok()?.await.ok()?;
    stream.write_all(packet).await.ok()?;
    stream.finish().await.ok()?;
    stream.quic_stream_mut().stopped().await.ok().map(drop)
}

/// `/lobby/{user}/{meeting}` or `/lobby?token=…`.
fn join_request(request: &SessionRequest) -> Option<JoinRequest> {
    let (path, query) = request
        .path()
        .split_once('?')
        .unwrap_or((request.path(), ""));
    let mut segments = path.strip_prefix("/lobby")?.split('/').skip(1);
    let mut next = || {
        let segment = segments.next().unwrap_or_default();
        // What is no UTF-8 is no name; the door says so.
        percent_decode_str(segment).decode_utf8_lossy().into_owned()
    };
    let (user, meeting) = (next(), next());
    // The door for guests has segments behind it.
    let token = (path == "/lobby").then(|| {
        let mut pairs = query.split('&');
        let token = pairs.find_map(|pair| pair.strip_prefix("token="));
        Token::new(percent_decode_str(token.unwrap_or_default()).decode_utf8_lossy())
    });
    Some(JoinRequest {
        meeting,
        user,
        token,
        transport: Transport::WebTransport,
        remote: request.remote_address(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_outlives_the_silence_that_its_session_may_keep() {
        for (timeout, heartbeat, expected) in [
            (
                60,
                5,
                [
                    "max_idle_timeout: Some(65000)",
                    "keep_alive_interval: Some(5s)",
                ],
            ),
            (
                600,
                90,
                [
                    "max_idle_timeout: Some(690000)",
                    "keep_alive_interval: Some(10s)",
                ],
            ),
            (
                u64::MAX,
                5,
                ["max_idle_timeout: None", "keep_alive_interval: Some(5s)"],
            ),
        ] {
            let relay = RelayConfig {
                session_timeout: Duration::from_secs(timeout),
                heartbeat_interval: Duration::from_secs(heartbeat),
                ..RelayConfig::default()
            };
            // Its fields can be seen in no other way.
            let config = format!("{:?}", transport_config(&Limits::default(), &relay));
            for field in expected {
                assert!(config.contains(field), "{field} in {config}");
            }
        }
    }
}
