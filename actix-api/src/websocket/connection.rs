//! One connection: reads and writes on one task until one side ends it.
//!
//! What is written is the shared head of each packet and the packet's own bytes, in one system call
//! for all that waits (`docs/decisions/websocket-egress.md`). A connection at rest holds no buffer:
//! those that it needs while it reads or writes belong to its thread.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, ReadBuf},
    time,
};
use tracing::{debug, error, info};
use videocall_node::{Fatal, Outgoing, Packet, Refusal, Room, Session};
use videocall_types::{close::CloseReason, limits::MAX_PACKET_BYTES};

use super::{
    frames::{Event, FrameError, Frames},
    tcp::{KernelRoom, Socket, tune},
    wakes::WriterWaker,
};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Reads in a row; then the others of this thread have their turn, whose packets of sound must not
/// wait until one that sends wildly has been read.
const READS: usize = 8;
/// Parts written at once: heads and packets.
const PARTS: usize = 64;
/// Up to so many bytes, copying them together is cheaper than telling the kernel of several parts:
/// `writev` takes a longer way into the kernel than `send`.
const COPIED_BYTES: usize = 1024;
/// Answers to pings that may wait; a client that sends more does not read them.
const ANSWERS: usize = 4;
/// How long a peer gets to take the last bytes and to close its side.
const LAST_WORDS: Duration = Duration::from_secs(2);

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static BATCH: RefCell<Vec<Outgoing>> = const { RefCell::new(Vec::new()) };
}

/// Runs a session over an upgraded connection. `received` is what came behind the request.
pub(crate) async fn run<T: Socket>(io: T, received: Bytes, session: Session) {
    info!("joined");
    if let Err(error) = tune(&io) {
        debug!(%error, "the kernel's queue has no bound");
    }
    let mut connection = Connection::new(io, session);
    let serving = async {
        if let Err(fatal) = connection.take(&mut &received[..]) {
            return Ended::Fatal(fatal);
        }
        drop(received);
        poll_fn(|cx| connection.poll(cx)).await
    };
    let ended = AssertUnwindSafe(serving).catch_unwind().await;
    // The panic says itself where; the others go on.
    let ended = ended.unwrap_or_else(|_| {
        error!("a fault of the server ends the session");
        Ended::Fatal(Fatal::new(CloseReason::InternalError))
    });
    let is_gone = matches!(ended, Ended::Gone);
    match ended {
        Ended::Over => {}
        Ended::Gone => connection.session.end(Fatal::new(CloseReason::Normal)),
        Ended::Fatal(fatal) => connection.session.end(fatal),
    }
    let fatal = connection.session.close_reason();
    info!(reason = ?fatal.reason, text = fatal.text, "closed");
    if !is_gone {
        let _ = time::timeout(LAST_WORDS, connection.say_good_bye(&fatal)).await;
    }
}

/// Tells somebody who is not let in why, and when to come back if that may help.
pub(crate) async fn refuse<T: Socket>(mut io: T, refusal: &Refusal) -> io::Result<()> {
    let packet = Packet::control(refusal.to_packet());
    let fatal = Fatal::with_text(refusal.reason, refusal.text.as_str());
    let close = close_frame(&fatal);
    let words = [packet.websocket_head(), packet.bytes(), &close].concat();
    io.write_all(&words).await?;
    last_word(&mut io).await
}

/// Nothing more is said; waits for the peer to close its side, so that it reads what was before the
/// connection is gone.
async fn last_word<T: Socket>(io: &mut T) -> io::Result<()> {
    io.shutdown().await?;
    let mut rest = [0; 512];
    loop {
        let mut buffer = ReadBuf::new(&mut rest);
        poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut buffer)).await?;
        if buffer.filled().is_empty() {
            return Ok(());
        }
    }
}

/// Why reading and writing stopped.
enum Ended {
    /// The session is over, by this side.
    Over,
    /// The peer closed, or broke the rules.
    Fatal(Fatal),
    /// The connection broke.
    Gone,
}

struct Connection<T> {
    io: T,
    session: Session,
    frames: Frames,
    unsent: Unsent,
    room: KernelRoom,
    /// Payloads of pings to be answered.
    answers: VecDeque<Bytes>,
    writer: Arc<WriterWaker>,
    /// The same.
    waker: Waker,
}

impl<T: Socket> Connection<T> {
    fn new(io: T, session: Session) -> Self {
        let writer = WriterWaker::new();
        Self {
            io,
            session,
            frames: Frames::new(MAX_PACKET_BYTES),
            unsent: Unsent::default(),
            room: KernelRoom::default(),
            answers: VecDeque::new(),
            waker: writer.clone().into(),
            writer,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.writer.register(cx.waker());
        for _ in 0..READS {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ended::Over),
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::Gone),
                Poll::Pending => {}
            }
            // What is read may want an answer: write again afterwards.
            if let Err(ended) = ready!(self.poll_read(cx)) {
                return Poll::Ready(ended);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what waits; ready when the session is over.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut waiting = Context::from_waker(&self.waker);
            let written = self.unsent.poll_write(&mut self.io, cx);
            let room = match written {
                Poll::Ready(done) => {
                    done?;
                    self.room.poll_some(&self.io, cx)
                }
                Poll::Pending => Poll::Pending,
            };
            let Poll::Ready(room) = room else {
                // The path takes nothing now. That the session is over must be seen all the same.
                ready!(self.session.poll_over(&mut waiting));
                return Poll::Ready(Ok(()));
            };
            if let Some(payload) = self.answers.pop_front() {
                self.unsent.frame = frame(PONG, &payload);
                continue;
            }
            let mut batch = BATCH.take();
            let more = self
                .session
                .poll_batch(&mut waiting, Room::Bytes(room?), &mut batch);
            self.room.use_up(bytes_of(&batch));
            self.unsent.put(batch);
            if !ready!(more) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once, and takes what came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let mut memory = READ_BUFFER.take();
        memory.resize(READ_BYTES, 0);
        let mut buffer = ReadBuf::new(&mut memory);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
        let outcome = read.map(|read| match read {
            Err(_) => Err(Ended::Gone),
            Ok(()) if buffer.filled().is_empty() => Err(Ended::Gone),
            Ok(()) => self.take(&mut buffer.filled()).map_err(Ended::Fatal),
        });
        READ_BUFFER.replace(memory);
        outcome
    }

    fn take(&mut self, input: &mut &[u8]) -> Result<(), Fatal> {
        let refused =
            |error: FrameError| Fatal::with_text(CloseReason::ProtocolError, error.to_string());
        while let Some(event) = self.frames.next(input).map_err(refused)? {
            match event {
                Event::Message(packet) => self.session.receive(packet)?,
                Event::Nothing => self.session.charge(0)?,
                Event::Ping(payload) => {
                    self.session.charge(payload.len())?;
                    // One that does not read its answers gets none.
                    if self.answers.len() < ANSWERS {
                        self.answers.push_back(payload);
                    }
                }
                Event::Close => return Err(Fatal::new(CloseReason::Normal)),
            }
        }
        Ok(())
    }

    /// Sends what was begun, the last control messages and the close frame.
    async fn say_good_bye(&mut self, fatal: &Fatal) -> io::Result<()> {
        loop {
            poll_fn(|cx| self.unsent.poll_write(&mut self.io, cx)).await?;
            let mut batch = BATCH.take();
            let more = poll_fn(|cx| self.session.poll_batch(cx, Room::Any, &mut batch)).await;
            self.unsent.put(batch);
            if !more {
                break;
            }
        }
        self.io.write_all(&close_frame(fatal)).await?;
        last_word(&mut self.io).await
    }
}

fn bytes_of(batch: &[Outgoing]) -> usize {
    let length = |outgoing: &Outgoing| outgoing.packet.bytes().len();
    batch.iter().map(length).sum()
}

/// What was taken from the session's queue and not yet by the kernel.
#[derive(Default)]
struct Unsent {
    /// Goes first: a frame of our own.
    frame: Bytes,
    packets: Vec<Outgoing>,
    /// Packets that are sent.
    done: usize,
    /// Bytes of the next one, with its head, that are sent.
    offset: usize,
}

impl Unsent {
    /// Packets to be sent, once those before are.
    fn put(&mut self, packets: Vec<Outgoing>) {
        if packets.is_empty() {
            BATCH.replace(packets);
        } else {
            self.packets = packets;
        }
    }

    fn poll_write<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        T: AsyncWrite + Unpin,
    {
        while !self.frame.is_empty() || self.done < self.packets.len() {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let count = self.parts(&mut parts);
            let parts = &parts[..count];
            let mut io = Pin::new(&mut *io);
            let mut copy = [0; COPIED_BYTES];
            let written = ready!(match copied(parts, &mut copy) {
                Some(bytes) => io.as_mut().poll_write(cx, bytes),
                None => io.as_mut().poll_write_vectored(cx, parts),
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if self.packets.capacity() > 0 {
            let mut packets = std::mem::take(&mut self.packets);
            packets.clear();
            self.done = 0;
            BATCH.replace(packets);
        }
        // Bytes that a TLS connection holds back.
        Pin::new(io).poll_flush(cx)
    }

    fn parts<'a>(&'a self, parts: &mut [IoSlice<'a>; PARTS]) -> usize {
        let mut count = 0;
        let mut add = |bytes: &'a [u8]| {
            if !bytes.is_empty() && count < PARTS {
                parts[count] = IoSlice::new(bytes);
                count += 1;
            }
        };
        add(&self.frame);
        let mut skip = self.offset;
        for outgoing in self.packets[self.done..].iter().take(PARTS) {
            let packet = &outgoing.packet;
            for bytes in [packet.websocket_head(), packet.bytes()] {
                let skipped = skip.min(bytes.len());
                skip -= skipped;
                add(&bytes[skipped..]);
            }
        }
        count
    }

    fn advance(&mut self, written: usize) {
        let of_frame = written.min(self.frame.len());
        self.frame.advance(of_frame);
        self.offset += written - of_frame;
        while let Some(outgoing) = self.packets.get(self.done) {
            let packet = &outgoing.packet;
            let length = packet.websocket_head().len() + packet.bytes().len();
            if self.offset < length {
                return;
            }
            self.offset -= length;
            self.done += 1;
        }
    }
}

/// All the parts in one, if they are short.
fn copied<'a>(parts: &[IoSlice<'_>], copy: &'a mut [u8; COPIED_BYTES]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        copy.get_mut(length..length + part.len())?
            .copy_from_slice(part);
        length += part.len();
    }
    Some(&copy[..length])
}

const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8a;

/// A control frame, of at most 125 bytes of payload.
fn frame(first: u8, payload: &[u8]) -> Bytes {
    let head = [first, payload.len() as u8];
    [&head, payload].concat().into()
}

fn close_frame(fatal: &Fatal) -> Bytes {
    // A close frame holds 125 bytes, two of them the code.
    let mut text = fatal.text.as_str();
    while text.len() > 123 {
        let mut shorter = text.chars();
        shorter.next_back();
        text = shorter.as_str();
    }
    let code = fatal.reason.websocket_code().to_be_bytes();
    frame(CLOSE, &[&code, text.as_bytes()].concat())
}
