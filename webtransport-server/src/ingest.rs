//! What a client sends.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::oneshot, time};
use videocall_node::{Fatal, Session};
use videocall_types::{close::CloseReason, limits::MAX_PACKET_BYTES};
use wtransport::{Connection, RecvStream, SendStream};

use crate::session::Ended;

/// A frame that takes longer to arrive is of no use.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// Unidirectional streams that a client may have open before it publishes pictures, three of them
/// HTTP/3's own.
pub(crate) const FIRST_STREAMS: u32 = 16;
/// Bytes of a session's frames that may be read and not complete: what three layers and a screen
/// bring in some seconds.
const UNFINISHED_BYTES: usize = 4_000_000;
/// Room that a stream gets at first.
const FIRST_READ: usize = 4096;

/// Forwards datagrams.
pub(crate) async fn datagrams(connection: &Connection, session: &Session) -> Ended {
    loop {
        let Ok(datagram) = connection.receive_datagram().await else {
            return Ended::Connection;
        };
        if let Err(fatal) = session.receive(datagram.payload()) {
            return Ended::Fatal(fatal);
        }
    }
}

/// Forwards streams that hold one packet each.
///
/// Each frame is a stream of its own: three layers and a screen at 30 frames a second on a path of
/// half a second's round trip need about 60; `max_streams` that are not yet read block the sender,
/// until one is. A frame counts when it is complete, and one that never will be when that is known:
/// until then `UNFINISHED_BYTES` bound what it can cost.
pub(crate) async fn streams(connection: &Connection, session: &Session, max_streams: u32) -> Ended {
    let most = max_streams as usize;
    let unfinished = AtomicUsize::new(0);
    let mut reading = FuturesUnordered::new();
    let mut publishes = false;
    loop {
        tokio::select! {
            stream = connection.accept_uni(), if reading.len() < most => match stream {
                Ok(stream) => {
                    if !std::mem::replace(&mut publishes, true) {
                        let quic = connection.quic_connection();
                        quic.set_max_concurrent_uni_streams(max_streams.into());
                    }
                    reading.push(read_packet(stream, &unfinished));
                }
                Err(_) => return Ended::Connection,
            },
            Some(packet) = reading.next() => {
                let taken = match packet {
                    Ok(packet) => session.receive(packet),
                    Err(Unread::Lost(bytes)) => session.charge(bytes),
                    Err(Unread::TooLong) => return Ended::protocol("a packet is too long"),
                    Err(Unread::TooMuch) => Err(Fatal::new(CloseReason::RateLimitExceeded)),
                };
                if let Err(fatal) = taken {
                    return Ended::Fatal(fatal);
                }
            },
        }
    }
}

/// Why a stream brought no packet.
enum Unread {
    /// Reset by its sender, or too slow, after so many bytes: a lost frame.
    Lost(usize),
    TooLong,
    /// The unfinished streams of the session hold too much together.
    TooMuch,
}

/// Reads a stream to its end.
async fn read_packet(mut stream: RecvStream, unfinished: &AtomicUsize) -> Result<Bytes, Unread> {
    let mut packet = BytesMut::with_capacity(FIRST_READ);
    let reading = fill(&mut packet, &mut stream, unfinished);
    let read = time::timeout(STREAM_TIMEOUT, reading).await;
    unfinished.fetch_sub(packet.len(), Relaxed);
    match read {
        Ok(Ok(())) => Ok(packet.freeze()),
        Ok(Err(Unread::Lost(_))) | Err(_) => Err(Unread::Lost(packet.len())),
        Ok(Err(unread)) => Err(unread),
    }
}

async fn fill(
    packet: &mut BytesMut,
    stream: &mut RecvStream,
    unfinished: &AtomicUsize,
) -> Result<(), Unread> {
    loop {
        match stream.quic_stream_mut().read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => {
                let bytes = chunk.bytes.len();
                if packet.len() + bytes > MAX_PACKET_BYTES {
                    return Err(Unread::TooLong);
                }
                packet.extend_from_slice(&chunk.bytes);
                if unfinished.fetch_add(bytes, Relaxed) + bytes > UNFINISHED_BYTES {
                    return Err(Unread::TooMuch);
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => return Err(Unread::Lost(packet.len())),
        }
    }
}

/// Forwards the packets of the control stream, each behind its length, and hands its other
/// direction to the writer.
pub(crate) async fn control(
    connection: &Connection,
    session: &Session,
    writer: oneshot::Sender<SendStream>,
) -> Ended {
    let Ok((send, mut receive)) = connection.accept_bi().await else {
        return Ended::Connection;
    };
    // Control goes before everything else.
    send.set_priority(1000);
    let _ = writer.send(send);
    loop {
        let mut length = [0; 4];
        if receive.read_exact(&mut length).await.is_err() {
            // Only the end of the connection ends a session; without this stream it goes on.
            let _ = connection.closed().await;
            return Ended::Connection;
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_PACKET_BYTES {
            return Ended::protocol("a control packet is too long");
        }
        let Ok(packet) = read_exactly(&mut receive, length).await else {
            return Ended::Connection;
        };
        if let Err(fatal) = session.receive(packet) {
            return Ended::Fatal(fatal);
        }
    }
}

/// Takes memory only as bytes arrive, not as many as a peer announces.
async fn read_exactly(stream: &mut RecvStream, length: usize) -> Result<Bytes, ()> {
    let mut packet = BytesMut::with_capacity(length.min(FIRST_READ));
    while packet.len() < length {
        let rest = length - packet.len();
        match stream.quic_stream_mut().read_chunk(rest, true).await {
            Ok(Some(chunk)) => packet.extend_from_slice(&chunk.bytes),
            _ => return Err(()),
        }
    }
    Ok(packet.freeze())
}
