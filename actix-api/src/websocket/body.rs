//! The body of the upgraded response: frames to the client.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_http::ws::{CloseCode, CloseReason, Codec, Message};
use actix_web::body::{BodySize, MessageBody};
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio_util::codec::Encoder;
use videocall_node::{Outgoing, Session};

/// Answers to pings that may wait; a client that sends more does not read them.
const ANSWERS: usize = 4;

/// Frames to the client, until the session is over.
pub(crate) struct EgressBody {
    session: Arc<Session>,
    answers: mpsc::Receiver<Bytes>,
    batch: Vec<Outgoing>,
    frames: VecDeque<Bytes>,
    closed: bool,
}

impl EgressBody {
    /// The body, and where the reader puts pings that are to be answered.
    pub(crate) fn new(session: Arc<Session>) -> (Self, mpsc::Sender<Bytes>) {
        let (sender, answers) = mpsc::channel(ANSWERS);
        let body = Self {
            session,
            answers,
            batch: Vec::new(),
            frames: VecDeque::new(),
            closed: false,
        };
        (body, sender)
    }

    fn close_frame(&self) -> Bytes {
        let fatal = self.session.close_reason();
        // A close frame holds 125 bytes, two of them the code.
        let mut text = fatal.text;
        while text.len() > 123 {
            text.pop();
        }
        let code = CloseCode::Other(fatal.reason.websocket_code());
        frame(Message::Close(Some(CloseReason {
            code,
            description: Some(text),
        })))
    }
}

fn frame(message: Message) -> Bytes {
    let mut buffer = BytesMut::new();
    // Fails only for fragments out of order, of which we send none.
    let _ = Codec::new().encode(message, &mut buffer);
    buffer.freeze()
}

impl MessageBody for EgressBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        if let Some(bytes) = this.frames.pop_front() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if this.closed {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some(ping)) = this.answers.poll_recv(cx) {
            return Poll::Ready(Some(Ok(frame(Message::Pong(ping)))));
        }
        if !ready!(this.session.poll_batch(cx, &mut this.batch)) {
            this.closed = true;
            return Poll::Ready(Some(Ok(this.close_frame())));
        }
        for Outgoing { packet, .. } in this.batch.drain(..) {
            this.frames.push_back(packet.websocket_head().clone());
            if !packet.bytes().is_empty() {
                this.frames.push_back(packet.bytes().clone());
            }
        }
        Poll::Ready(this.frames.pop_front().map(Ok))
    }
}
