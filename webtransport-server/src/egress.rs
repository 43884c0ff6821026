//! What a client is sent.
//!
//! Audio goes as datagrams, control on the control stream, and each frame of a picture on a stream
//! of its own. A stream costs nothing while it waits to be acknowledged: no task, no timer. Whether
//! it was is asked when the next frame comes; what became stale until then is reset. No more is
//! handed to QUIC than it can send now and a little beyond; audio and control always are.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, FusedFuture},
    stream::FuturesUnordered,
};
use tokio::{sync::oneshot, time};
use videocall_node::{Outgoing, Packet, PathEstimate, Room, Session};
use wtransport::{Connection, SendStream, quinn};

/// Streams not yet acknowledged at once. A path that is slower than that backs up into the
/// session's queue, where it is known what to drop.
const STREAMS: usize = 24;
/// Bytes of pictures that may be unacknowledged whatever the path: less than QUIC's first congestion
/// window (RFC 9002, section 7.2).
const ALWAYS: usize = 12_000;
/// Bytes beyond the congestion window that may wait in QUIC, so that it never runs dry.
const UNSENT: usize = 8 << 10;
/// How often the session is told of the path.
const PATH_INTERVAL: Duration = Duration::from_secs(1);
/// Type of a unidirectional stream that belongs to a WebTransport session (draft-ietf-webtrans-http3,
/// section 4.2), as a variable-length integer (RFC 9000, section 16).
const STREAM_TYPE: [u8; 2] = [0x40, 0x54];

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
    let mut sent = Sent::default();
    let mut writing = FuturesUnordered::new();
    let pictures = Pictures::new(connection);
    let mut path = Path::new(connection);
    loop {
        let waiting = writing.len();
        let has_room = sent.has_room(&path, waiting);
        let room = if has_room {
            Room::Any
        } else {
            Room::UrgentOnly
        };
        tokio::select! {
            biased;
            Ok(stream) = &mut opened, if !opened.is_terminated() => control = Some(stream),
            Some(written) = writing.next() => sent.note(session, written),
            () = sent.room(session, &path, waiting), if !has_room && !sent.is_empty() => {}
            more = session.next_batch(room, &mut batch) => {
                if !more {
                    // What was begun is brought to its end.
                    while let Some(written) = writing.next().await {
                        sent.note(session, written);
                    }
                    return sent.acknowledged().await;
                }
                for outgoing in batch.drain(..) {
                    let Some(outgoing) = send(connection, control.as_ref(), &mut buffer, outgoing)
                    else {
                        continue;
                    };
                    match pictures.write(outgoing) {
                        Ok(written) => sent.note(session, written),
                        Err(waiting) => writing.push(waiting),
                    }
                }
                if let Some(control) = control.as_mut().filter(|_| !buffer.is_empty())
                    && control.write_all(&buffer).await.is_err()
                {
                    return;
                }
                buffer.clear();
                path.tell(session);
            }
        }
    }
}

/// What QUIC knows of the path.
struct Path {
    connection: quinn::Connection,
    told: Instant,
}

impl Path {
    fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.quic_connection().clone(),
            told: Instant::now(),
        }
    }

    /// Whether more may be handed over when so many bytes are unacknowledged.
    fn takes_more(&self, unacknowledged: usize) -> bool {
        unacknowledged <= ALWAYS
            || unacknowledged as u64 <= self.connection.stats().path.cwnd + UNSENT as u64
    }

    fn tell(&mut self, session: &Session) {
        let now = Instant::now();
        if now < self.told + PATH_INTERVAL {
            return;
        }
        self.told = now;
        let path = self.connection.stats().path;
        let bps = path.cwnd as f64 * 8.0 / path.rtt.as_secs_f64().max(1e-6);
        session.note_path(PathEstimate {
            bps: bps as u64,
            rtt: path.rtt,
        });
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

/// A stream that is finished, for the packet that it holds; `None` where it could not be written.
type Written = (Outgoing, Option<quinn::SendStream>);

/// Opens streams and writes packets to them.
struct Pictures {
    connection: quinn::Connection,
    /// What each stream begins with.
    head: Bytes,
}

impl Pictures {
    fn new(connection: &Connection) -> Self {
        let mut head = BytesMut::from(&STREAM_TYPE[..]);
        put_varint(&mut head, connection.session_id().into_u64());
        Self {
            connection: connection.quic_connection().clone(),
            head: head.freeze(),
        }
    }

    /// Writes without waiting; what must wait for room comes back as a future.
    fn write(&self, outgoing: Outgoing) -> Result<Written, BoxFuture<'static, Written>> {
        let mut parts = [self.head.clone(), outgoing.packet.bytes().clone()];
        let mut stream = None;
        match self.connection.open_uni().now_or_never() {
            Some(Ok(opened)) => {
                let mut opened = ResetUnlessFinished(Some(opened));
                match opened.write(&mut parts, &outgoing).now_or_never() {
                    Some(Some(())) => return Ok((outgoing, opened.0.take())),
                    Some(None) => return Ok((outgoing, None)),
                    None => stream = Some(opened),
                }
            }
            Some(Err(_)) => return Ok((outgoing, None)),
            None => {}
        }
        let connection = self.connection.clone();
        let wait = async move {
            let write = async {
                let mut stream = match stream {
                    Some(stream) => stream,
                    None => ResetUnlessFinished(Some(connection.open_uni().await.ok()?)),
                };
                stream.write(&mut parts, &outgoing).await?;
                stream.0.take()
            };
            let written = time::timeout_at(outgoing.stale_after.into(), write).await;
            (outgoing, written.ok().flatten())
        };
        Err(wait.boxed())
    }
}

/// A stream whose writing is given up must not look like a whole packet to the peer.
struct ResetUnlessFinished(Option<quinn::SendStream>);

impl ResetUnlessFinished {
    /// Writes what is left of the parts and finishes. Can be dropped and begun again.
    async fn write(&mut self, parts: &mut [Bytes; 2], outgoing: &Outgoing) -> Option<()> {
        let stream = self.0.as_mut()?;
        let _ = stream.set_priority(outgoing.priority());
        let written = parts.iter().take_while(|part| part.is_empty()).count();
        stream.write_all_chunks(&mut parts[written..]).await.ok()?;
        stream.finish().ok()
    }
}

impl Drop for ResetUnlessFinished {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            let _ = stream.reset(quinn::VarInt::from_u32(0));
        }
    }
}

/// Streams that are written and perhaps not yet acknowledged, oldest first.
#[derive(Default)]
struct Sent {
    streams: VecDeque<(Outgoing, quinn::SendStream)>,
    /// Of all of them.
    bytes: usize,
}

impl Sent {
    fn note(&mut self, session: &Session, (outgoing, stream): Written) {
        match stream {
            Some(stream) => {
                self.bytes += outgoing.packet.bytes().len();
                self.streams.push_back((outgoing, stream));
            }
            None => session.report_lost(&outgoing),
        }
        let now = Instant::now();
        while let Some((oldest, stream)) = self.streams.front_mut() {
            if is_acknowledged(stream) || reset_if_stale(session, oldest, stream, now) {
                self.forget_oldest();
            } else {
                return;
            }
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((oldest, _)) = self.streams.pop_front() {
            self.bytes -= oldest.packet.bytes().len();
        }
    }

    fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether there is room for another, beside so many that wait to be written.
    fn has_room(&self, path: &Path, waiting: usize) -> bool {
        self.streams.len() + waiting < STREAMS && path.takes_more(self.bytes)
    }

    /// Waits until one of them is acknowledged or stale, if there is no room before.
    async fn room(&mut self, session: &Session, path: &Path, waiting: usize) {
        let bytes = &mut self.bytes;
        self.streams.retain(|(outgoing, stream)| {
            let waits = !is_acknowledged(stream);
            if !waits {
                *bytes -= outgoing.packet.bytes().len();
            }
            waits
        });
        if !self.has_room(path, waiting)
            && let Some((oldest, stream)) = self.streams.front_mut()
        {
            let _ = time::timeout_at(oldest.stale_after.into(), stream.stopped()).await;
            reset_if_stale(session, oldest, stream, Instant::now());
            self.forget_oldest();
        }
    }

    /// Waits until each of them is acknowledged, or stale.
    async fn acknowledged(self) {
        for (outgoing, stream) in self.streams {
            let _ = time::timeout_at(outgoing.stale_after.into(), stream.stopped()).await;
        }
    }
}

/// QUIC forgets a stream when all of it was acknowledged, or the peer does not want it.
fn is_acknowledged(stream: &quinn::SendStream) -> bool {
    stream.priority().is_err()
}

/// A frame that came too late is of no use, and what depends on it neither.
fn reset_if_stale(
    session: &Session,
    outgoing: &Outgoing,
    stream: &mut quinn::SendStream,
    now: Instant,
) -> bool {
    let is_stale = now >= outgoing.stale_after;
    if is_stale && stream.reset(quinn::VarInt::from_u32(0)).is_ok() {
        session.report_lost(outgoing);
    }
    is_stale
}

/// RFC 9000, section 16.
fn put_varint(buffer: &mut BytesMut, value: u64) {
    match value {
        0..=0x3f => buffer.put_u8(value as u8),
        0x40..=0x3fff => buffer.put_u16(0x4000 | value as u16),
        0x4000..=0x3fff_ffff => buffer.put_u32(0x8000_0000 | value as u32),
        _ => buffer.put_u64(0xc000_0000_0000_0000 | value),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::put_varint;

    #[test]
    fn integers_have_the_four_lengths_of_the_rfc() {
        // The examples of RFC 9000, appendix A.1.
        let examples: [(u64, &[u8]); 4] = [
            (37, &[0x25]),
            (15_293, &[0x7b, 0xbd]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (
                151_288_809_941_952_652,
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
            ),
        ];
        for (value, bytes) in examples {
            let mut buffer = BytesMut::new();
            put_varint(&mut buffer, value);
            assert_eq!(buffer, bytes);
        }
    }
}
