//! What a client is sent.

use bytes::{BufMut, BytesMut};
use futures_util::{StreamExt, future::FusedFuture, stream::FuturesUnordered};
use tokio::{sync::oneshot, time};
use videocall_node::{Outgoing, Packet, Session};
use wtransport::{Connection, SendStream, VarInt};

/// Streams not yet acknowledged at once. A path that is slower than that backs up into the
/// session's queue, where it is known what to drop.
const STREAMS: usize = 24;

/// Writes until the session is over or the connection is gone.
pub(crate) async fn run(
    connection: &Connection,
    session: &Session,
    opened: impl FusedFuture<Output = Result<SendStream, oneshot::error::RecvError>>,
) {
    let mut opened = std::pin::pin!(opened);
    let mut control: Option<SendStream> = None;
    let mut batch = Vec::new();
    let mut buffer = BytesMut::new();
    let mut pictures = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Ok(stream) = &mut opened, if !opened.is_terminated() => control = Some(stream),
            Some(()) = pictures.next() => {}
            more = session.next_batch(&mut batch), if pictures.len() < STREAMS => {
                if !more {
                    // What was begun is brought to its end.
                    while pictures.next().await.is_some() {}
                    return;
                }
                for outgoing in batch.drain(..) {
                    if let Some(outgoing) = send(connection, control.as_ref(), &mut buffer, outgoing) {
                        pictures.push(send_on_stream(connection, session, outgoing));
                    }
                }
                if let Some(control) = control.as_mut().filter(|_| !buffer.is_empty())
                    && control.write_all(&buffer).await.is_err()
                {
                    return;
                }
                buffer.clear();
            }
        }
    }
}

/// Sends what goes without waiting, gathers control in `buffer`, and gives back what needs a
/// stream of its own.
fn send(
    connection: &Connection,
    control: Option<&SendStream>,
    buffer: &mut BytesMut,
    outgoing: Outgoing,
) -> Option<Outgoing> {
    let packet: &Packet = &outgoing.packet;
    if packet.is_control() {
        // An older client, or one that has not opened its stream yet.
        if control.is_none() {
            return Some(outgoing);
        }
        buffer.put_u32(packet.bytes().len() as u32);
        buffer.extend_from_slice(packet.bytes());
        return None;
    }
    if packet.is_audio() && connection.send_datagram(packet.bytes()).is_ok() {
        return None;
    }
    Some(outgoing)
}

async fn send_on_stream(connection: &Connection, session: &Session, outgoing: Outgoing) {
    let sent = time::timeout_at(outgoing.stale_after.into(), write(connection, &outgoing)).await;
    if !matches!(sent, Ok(Some(()))) {
        session.report_lost(&outgoing);
    }
}

async fn write(connection: &Connection, outgoing: &Outgoing) -> Option<()> {
    let stream = connection.open_uni().await.ok()?.await.ok()?;
    stream.set_priority(outgoing.priority());
    let mut stream = ResetUnlessFinished(stream);
    stream
        .0
        .quic_stream_mut()
        .write_chunk(outgoing.packet.bytes().clone())
        .await
        .ok()?;
    // Returns when all of it has been acknowledged.
    stream.0.finish().await.ok()
}

/// A stream whose writing is given up must not look like a whole packet to the peer.
struct ResetUnlessFinished(SendStream);

impl Drop for ResetUnlessFinished {
    fn drop(&mut self) {
        // Fails on one that is finished and acknowledged, which is as it should be.
        let _ = self.0.reset(VarInt::from_u32(0));
    }
}
