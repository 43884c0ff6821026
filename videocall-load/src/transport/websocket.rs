//! WebSocket over TCP, with TLS or without, with buffers small enough for tens of thousands.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use futures_util::{Sink, SinkExt, Stream};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::AsyncWrite,
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_with_config,
    tungstenite::{
        ClientRequestBuilder, Message,
        protocol::{CloseFrame, WebSocketConfig},
    },
};
use url::Url;

use super::{
    Delivery, Incoming, MAX_INCOMING, Outgoing, Received, Request, is_regular, local_of,
    resolver::Resolver,
};
use crate::{
    errors::{Failure, Phase},
    measure::ErrorClass,
};

/// Bytes that are collected before they are written without being flushed.
const WRITE_BUFFER: usize = 16 << 10;
/// How long the good-bye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Stack = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens WebSockets.
#[derive(Debug)]
pub(super) struct Opener {
    tls: Option<Arc<ClientConfig>>,
    resolver: Resolver,
}

/// A WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    stack: Stack,
    subprotocol: Option<Box<str>>,
    /// Something was handed over since the last flush.
    dirty: bool,
    /// Bytes to be written below the framing.
    raw: Bytes,
}

impl Opener {
    pub(super) fn plain() -> Self {
        Self {
            tls: None,
            resolver: Resolver::default(),
        }
    }

    pub(super) fn encrypted(config: ClientConfig) -> Self {
        Self {
            tls: Some(Arc::new(config)),
            resolver: Resolver::default(),
        }
    }

    /// `phase` tells how far it has come.
    pub(super) async fn open(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        request: &Request,
        read_buffer: usize,
        phase: &mut Phase,
    ) -> Result<WebSocket, Failure> {
        *phase = Phase::Dns;
        let addresses = self.resolver.resolve(url).await?;
        *phase = Phase::Connect;
        let tcp = connect(&addresses, source, request).await?;
        let stream = match &self.tls {
            None => MaybeTlsStream::Plain(tcp),
            Some(config) => {
                *phase = Phase::Tls;
                MaybeTlsStream::Rustls(encrypt(config, url, tcp).await?)
            }
        };
        *phase = Phase::Handshake;
        let uri = url
            .as_str()
            .parse()
            .map_err(|error| Failure::new(ErrorClass::Connect, format!("`{url}`: {error}")))?;
        let mut builder = ClientRequestBuilder::new(uri);
        for name in &request.subprotocols {
            builder = builder.with_sub_protocol(*name);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(read_buffer)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(MAX_INCOMING))
            .max_frame_size(Some(MAX_INCOMING));
        let (stack, answer) = client_async_with_config(builder, stream, Some(config))
            .await
            .map_err(|error| Failure::websocket(Phase::Handshake, &error))?;
        let subprotocol = answer
            .headers()
            .get("sec-websocket-protocol")
            .and_then(|value| value.to_str().ok())
            .map(Box::from);
        *phase = Phase::Open;
        Ok(WebSocket {
            stack,
            subprotocol,
            dirty: false,
            raw: Bytes::new(),
        })
    }
}

/// Tries one address after the other.
async fn connect(
    addresses: &[SocketAddr],
    source: Option<IpAddr>,
    request: &Request,
) -> Result<TcpStream, Failure> {
    let mut last = Failure::new(ErrorClass::Dns, "the name has no address");
    for address in addresses {
        match connect_to(*address, source, request).await {
            Ok(stream) => return Ok(stream),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn connect_to(
    remote: SocketAddr,
    source: Option<IpAddr>,
    request: &Request,
) -> Result<TcpStream, Failure> {
    let local = local_of(source, remote)?;
    let open = async {
        let socket = if remote.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(bytes) = request.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(local) = local {
            socket.bind(local)?;
        }
        let stream = socket.connect(remote).await?;
        // Packets are small and should not wait for each other.
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    open.await
        .map_err(|error: std::io::Error| Failure::io(Phase::Connect, &error))
}

async fn encrypt(
    config: &Arc<ClientConfig>,
    url: &Url,
    tcp: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Failure::new(ErrorClass::Tls, format!("{host}: {error}")))?;
    TlsConnector::from(config.clone())
        .connect(name, tcp)
        .await
        .map_err(|error| Failure::io(Phase::Tls, &error))
}

impl WebSocket {
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Outgoing>,
        sent: &mut dyn FnMut(&Outgoing),
    ) -> Poll<Result<(), Failure>> {
        loop {
            if !self.raw.is_empty() {
                ready!(self.poll_flush(cx))?;
                ready!(self.poll_raw(cx))?;
            }
            if queue.is_empty() {
                if self.dirty {
                    ready!(self.poll_flush(cx))?;
                    self.dirty = false;
                }
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut self.stack).poll_ready(cx)).map_err(|error| open_error(&error))?;
            let Some(outgoing) = queue.pop_front() else {
                continue;
            };
            match outgoing.delivery {
                Delivery::Raw => self.raw = outgoing.payload.clone(),
                _ => {
                    let message = message_of(&outgoing)?;
                    Pin::new(&mut self.stack)
                        .start_send(message)
                        .map_err(|error| open_error(&error))?;
                    self.dirty = true;
                }
            }
            sent(&outgoing);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Pin::new(&mut self.stack)
            .poll_flush(cx)
            .map_err(|error| open_error(&error))
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !self.raw.is_empty() {
            let stream = Pin::new(self.stack.get_mut());
            let written = ready!(stream.poll_write(cx, &self.raw))
                .map_err(|error| Failure::io(Phase::Open, &error))?;
            self.raw.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            let incoming = match ready!(Pin::new(&mut self.stack).poll_next(cx)) {
                Some(Ok(Message::Binary(payload))) => received(false, payload),
                Some(Ok(Message::Text(text))) => received(true, text.into()),
                Some(Ok(Message::Close(Some(frame)))) if !is_regular(frame.code.into()) => {
                    Incoming::Failed(Failure::closed(frame.code.into(), &frame.reason))
                }
                Some(Ok(Message::Close(_))) | None => Incoming::Closed,
                // Pings are answered below.
                Some(Ok(_)) => continue,
                Some(Err(error)) => Incoming::Failed(open_error(&error)),
            };
            return Poll::Ready(incoming);
        }
    }

    pub(super) async fn close(&mut self, code: u16, text: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: text.to_owned().into(),
        };
        let bye = async {
            let _ = self.stack.send(Message::Close(Some(frame))).await;
            // The server ends the connection when it has answered (RFC 6455, section 7.1.1).
            while let Some(Ok(_)) = futures_util::StreamExt::next(&mut self.stack).await {}
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, bye).await;
    }

    pub(super) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    pub(super) fn abort(self) {
        let tcp = match self.stack.get_ref() {
            MaybeTlsStream::Plain(tcp) => tcp,
            MaybeTlsStream::Rustls(tls) => tls.get_ref().0,
            _ => return,
        };
        let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    }
}

fn message_of(outgoing: &Outgoing) -> Result<Message, Failure> {
    if outgoing.delivery != Delivery::Text {
        return Ok(Message::Binary(outgoing.payload.clone()));
    }
    let text = outgoing.payload.clone().try_into().map_err(|_| {
        Failure::new(
            ErrorClass::Protocol,
            "a text message that is not UTF-8 was to be sent",
        )
    })?;
    Ok(Message::Text(text))
}

fn received(text: bool, payload: Bytes) -> Incoming {
    Incoming::Message(Received {
        at: Instant::now(),
        text,
        payload,
    })
}

fn open_error(error: &tokio_tungstenite::tungstenite::Error) -> Failure {
    Failure::websocket(Phase::Open, error)
}
