//! Frames from the client.

use std::sync::Arc;

use actix_http::ws::{Codec, Frame, Item, ProtocolError};
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::codec::Decoder;
use tracing::info;
use videocall_node::{Fatal, Session};
use videocall_types::{close::CloseReason, limits::MAX_PACKET_BYTES};

/// Reads until the client closes, breaks the protocol, or is gone.
pub(crate) async fn run(
    mut payload: web::Payload,
    session: Arc<Session>,
    answers: mpsc::Sender<Bytes>,
) {
    info!("joined");
    let mut codec = Codec::new().max_size(MAX_PACKET_BYTES);
    let mut buffer = BytesMut::new();
    let mut message = BytesMut::new();
    let fatal = 'reading: loop {
        let Some(Ok(chunk)) = payload.next().await else {
            break Fatal::new(CloseReason::Normal);
        };
        buffer.extend_from_slice(&chunk);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    if let Err(fatal) = take(frame, &session, &answers, &mut message) {
                        break 'reading fatal;
                    }
                }
                Ok(None) => break,
                Err(error) => break 'reading protocol_error(&error),
            }
        }
    };
    session.end(fatal);
    let fatal = session.close_reason();
    info!(reason = ?fatal.reason, text = fatal.text, "closed");
}

fn take(
    frame: Frame,
    session: &Session,
    answers: &mpsc::Sender<Bytes>,
    message: &mut BytesMut,
) -> Result<(), Fatal> {
    match frame {
        Frame::Binary(packet) => session.receive(packet),
        Frame::Continuation(Item::FirstBinary(part)) => {
            message.clear();
            append(message, &part)
        }
        Frame::Continuation(Item::Continue(part)) => append(message, &part),
        Frame::Continuation(Item::Last(part)) => {
            append(message, &part)?;
            session.receive(message.split().freeze())
        }
        Frame::Ping(data) => {
            // One that does not read its answers gets none.
            let _ = answers.try_send(data);
            Ok(())
        }
        Frame::Pong(_) => Ok(()),
        Frame::Close(_) => Err(Fatal::new(CloseReason::Normal)),
        Frame::Text(_) | Frame::Continuation(Item::FirstText(_)) => Err(Fatal::with_text(
            CloseReason::ProtocolError,
            "a text message came where packets are binary messages",
        )),
    }
}

/// The codec bounds each frame; this bounds their sum.
fn append(message: &mut BytesMut, part: &[u8]) -> Result<(), Fatal> {
    if message.len() + part.len() > MAX_PACKET_BYTES {
        return Err(Fatal::with_text(
            CloseReason::ProtocolError,
            "a packet is too long",
        ));
    }
    message.extend_from_slice(part);
    Ok(())
}

fn protocol_error(error: &ProtocolError) -> Fatal {
    let text = match error {
        ProtocolError::Overflow => "a packet is too long".to_owned(),
        other => format!("not a WebSocket frame: {other}"),
    };
    Fatal::with_text(CloseReason::ProtocolError, text)
}
