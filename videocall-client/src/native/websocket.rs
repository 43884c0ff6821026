//! WebSocket: one binary message for each packet.

use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};
use videocall_types::close::CloseReason;

use super::link::{Incoming, Link, MAX_INCOMING, OpenError};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn open(base: &str, path: &str) -> Result<Link, OpenError> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_INCOMING))
        .max_frame_size(Some(MAX_INCOMING));
    // Packets are small and should not wait for each other.
    let (socket, _) = connect_async_with_config(url, Some(config), true)
        .await
        .map_err(refused)?;
    let (mut sink, mut stream) = socket.split();
    let (mut link, mut ends) = Link::new();
    link.spawn(async move {
        while let Some(transmit) = ends.outgoing.recv().await {
            if sink.send(Message::Binary(transmit.bytes)).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    });
    link.spawn(async move {
        loop {
            let incoming = next(&mut stream).await;
            let ended = matches!(incoming, Incoming::Ended(..));
            if ends.incoming.send(incoming).await.is_err() || ended {
                return;
            }
        }
    });
    Ok(link)
}

/// The server tells by the status of its answer whether another try may help.
fn refused(error: Error) -> OpenError {
    match error {
        Error::Http(answer) if matches!(answer.status().as_u16(), 400..=404) => {
            let body = answer.body().as_deref().unwrap_or_default();
            OpenError::Refused {
                reason: CloseReason::Unauthorized,
                text: format!("{}: {}", answer.status(), String::from_utf8_lossy(body)),
            }
        }
        other => OpenError::WebSocket(other.to_string()),
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
