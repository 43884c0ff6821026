//! WebSocket: one binary message for each packet.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};
use videocall_types::close::CloseReason;

use super::{
    link::{self, Incoming, Link, MAX_INCOMING, OpenError},
    sending::Sending,
};
use crate::core::outbox::Waits;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Bytes that the system may hold before they are sent: some packets of the network.
const UNSENT: u32 = 8 * 1024;

pub(super) async fn open(base: &str, path: &str) -> Result<link::Opened, OpenError> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_INCOMING))
        .max_frame_size(Some(MAX_INCOMING));
    // Packets are small and should not wait for each other.
    let (socket, _) = connect_async_with_config(url, Some(config), true)
        .await
        .map_err(refused)?;
    keep_little_unsent(&socket);
    Ok(link::Opened::WebSocket(Box::new(Opened(socket))))
}

/// What the system holds cannot be overtaken: sound would wait behind it, and nobody see that the
/// path is slow.
fn keep_little_unsent(socket: &Socket) {
    let stream = match socket.get_ref() {
        MaybeTlsStream::Plain(stream) => stream,
        MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
        _ => return,
    };
    // Where a system cannot, more waits in it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = SockRef::from(stream).set_send_buffer_size(UNSENT as usize * 4);
}

/// A connection that nothing was sent on.
pub(super) struct Opened(Socket);

impl Opened {
    pub(super) fn start(self, sending: Arc<Sending>) -> Link {
        let (mut sink, mut stream) = self.0.split();
        let (mut link, incoming) = Link::new();
        let connection = sending.begin(Waits::RoundTrips);
        link.spawn(async move {
            while let Some(outgoing) = sending.next(connection).await {
                let message = Message::Binary(outgoing.transmit.bytes);
                if sink.send(message).await.is_err() {
                    return;
                }
                sending.finished(connection, outgoing.picture, true);
            }
            let _ = sink.close().await;
        });
        link.spawn(async move {
            loop {
                let next = next(&mut stream).await;
                let ended = matches!(next, Incoming::Ended(..));
                if incoming.send(next).await.is_err() || ended {
                    return;
                }
            }
        });
        link
    }
}

/// A server says why it refuses once the connection is open. A status comes from what stands before
/// it, or where there is none; some tell that another try is in vain.
fn refused(error: Error) -> OpenError {
    let Error::Http(answer) = &error else {
        return OpenError::WebSocket(error.to_string());
    };
    let reason = match answer.status().as_u16() {
        400 => CloseReason::ProtocolError,
        401 | 403 => CloseReason::Unauthorized,
        404 => CloseReason::Unsupported,
        _ => return OpenError::WebSocket(error.to_string()),
    };
    let body = answer.body().as_deref().unwrap_or_default();
    OpenError::Refused {
        reason,
        text: format!("{}: {}", answer.status(), String::from_utf8_lossy(body)),
    }
}

async fn next(stream: &mut SplitStream<Socket>) -> Incoming {
    loop {
        match stream.next().await {
            Some(Ok(Message::Binary(packet))) => return Incoming::Packet(packet),
            Some(Ok(Message::Close(frame))) => {
                let reason = frame
                    .as_ref()
                    .and_then(|frame| CloseReason::from_websocket_code(frame.code.into()));
                let text = frame.map_or_else(String::new, |frame| frame.reason.to_string());
                return Incoming::Ended(reason, text);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Incoming::Ended(None, error.to_string()),
            None => return Incoming::Ended(None, "the connection is lost".to_owned()),
        }
    }
}
