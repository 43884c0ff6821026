//! A server that misbehaves as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Message, protocol::CloseFrame},
};
use videocall_types::{
    ids::SessionId,
    packet,
    view::PacketView,
    wire::{Welcome, control, packet_wrapper::PacketType},
};

/// What is done to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mischief {
    /// Nothing is answered, ever.
    Mute,
    /// The request is answered with this.
    Answer(&'static str),
    /// The connection is reset before the handshake.
    ResetAtOnce,
    /// After the handshake these bytes come, below the framing.
    Raw(&'static [u8]),
    /// After the handshake it is closed with this code.
    Close(u16),
    /// After the handshake it is reset.
    Reset,
    /// The handshake goes through, and nothing is read.
    Deaf,
    /// Everything comes back.
    Echo,
    /// Everything comes back, but message `at` is held back for a while, and all behind it.
    StallingEcho {
        /// From 1.
        at: u64,
        /// How long.
        stall: Duration,
    },
    /// Everything comes back twice.
    DoublingEcho,
    /// Media goes to all others; faults are counted per publisher.
    Relay(Faults),
}

/// Of the media of each publisher, counted from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Each n-th packet is dropped.
    pub(crate) drop_each: u64,
    /// Each n-th comes twice.
    pub(crate) double_each: u64,
    /// Each n-th comes after the one behind it.
    pub(crate) swap_each: u64,
    /// Picture n is dropped, unless it is a keyframe.
    pub(crate) drop_picture: u64,
    /// Packet n, and all behind it, waits so long.
    pub(crate) stall: Option<(u64, Duration)>,
}

/// What a relay has done on purpose.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) handshakes: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) swapped: AtomicU64,
    pub(crate) keyframe_requests: AtomicU64,
}

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) done: Arc<Done>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(mischief: Mischief) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let done = Arc::new(Done::default());
        let shared = Arc::new(Meeting {
            packets: broadcast::channel(4096).0,
            sessions: AtomicU64::new(1),
            done: done.clone(),
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, mischief, shared.clone()));
            }
        });
        Self {
            address,
            done,
            task,
        }
    }

    /// Waits for so many handshakes.
    pub(crate) async fn connected(&self, count: u64) {
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        while self.done.handshakes.load(Relaxed) < count {
            assert!(std::time::Instant::now() < deadline, "nobody connects");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Meeting {
    packets: broadcast::Sender<(u64, Bytes)>,
    sessions: AtomicU64,
    done: Arc<Done>,
}

impl Meeting {
    /// The answer to a control message.
    fn control(&self, session: u64, message: control::Message) -> Option<Bytes> {
        match message {
            control::Message::Hello(_) => {
                Some(packet::control(control::Message::Welcome(Welcome {
                    session_id: session,
                    ..Welcome::default()
                })))
            }
            control::Message::KeyframeRequest(mut request) => {
                self.done.keyframe_requests.fetch_add(1, Relaxed);
                request.session_id = 0;
                let request = packet::control(control::Message::KeyframeRequest(request));
                let _ = self.packets.send((session, request));
                None
            }
            _ => None,
        }
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn serve(mut stream: TcpStream, mischief: Mischief, meeting: Arc<Meeting>) {
    match mischief {
        Mischief::Mute => return std::future::pending().await,
        Mischief::ResetAtOnce => return reset(&stream),
        Mischief::Answer(answer) => {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            return;
        }
        _ => {}
    }
    let Ok(mut socket) = accept_async(stream).await else {
        return;
    };
    meeting.done.handshakes.fetch_add(1, Relaxed);
    match mischief {
        Mischief::Raw(bytes) => {
            let _ = socket.get_mut().write_all(bytes).await;
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
        }
        Mischief::Close(code) => {
            let frame = CloseFrame {
                code: code.into(),
                reason: "because".into(),
            };
            let _ = socket.send(Message::Close(Some(frame))).await;
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
        }
        Mischief::Reset => reset(socket.get_ref()),
        Mischief::Deaf => std::future::pending().await,
        Mischief::Relay(faults) => relay(socket, faults, &meeting).await,
        _ => echo(socket, mischief).await,
    }
}

fn reset(stream: &TcpStream) {
    // Dropped behind this with nothing to linger for: RST instead of FIN.
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .expect("linger");
}

async fn echo(mut socket: Socket, mischief: Mischief) {
    let mut count = 0;
    while let Some(Ok(message)) = socket.next().await {
        if !message.is_binary() && !message.is_text() {
            continue;
        }
        count += 1;
        if let Mischief::StallingEcho { at, stall } = mischief
            && count == at
        {
            tokio::time::sleep(stall).await;
        }
        if matches!(mischief, Mischief::DoublingEcho) {
            let _ = socket.send(message.clone()).await;
        }
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A meeting. Who says Hello gets a Welcome; requests for keyframes go to everybody else.
async fn relay(socket: Socket, faults: Faults, meeting: &Meeting) {
    let session = meeting.sessions.fetch_add(1, Relaxed);
    let mut others = meeting.packets.subscribe();
    let (mut sink, mut stream) = socket.split();
    let id = SessionId::new(session).expect("a session");
    if sink
        .send(Message::Binary(packet::session_assigned(id)))
        .await
        .is_err()
    {
        return;
    }
    let (mut count, mut pictures, mut held) = (0, 0, None);
    let is = |each: u64, count: u64| each > 0 && count.is_multiple_of(each);
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Binary(packet) = message else { continue };
                let view = PacketView::parse(&packet).expect("a sound packet");
                if let Ok(Some(message)) = packet::read_control(&packet, &view) {
                    if let Some(answer) = meeting.control(session, message)
                        && sink.send(Message::Binary(answer)).await.is_err()
                    {
                        return;
                    }
                    continue;
                }
                if !view.is(PacketType::Media) || view.data.len() < 60 {
                    continue;
                }
                count += 1;
                if view.routing.is_some_and(|routing| !routing.is_audio()) {
                    pictures += 1;
                    if pictures == faults.drop_picture && view.routing.is_some_and(|r| !r.keyframe) {
                        meeting.done.dropped.fetch_add(1, Relaxed);
                        continue;
                    }
                }
                if let Some((at, stall)) = faults.stall
                    && count == at
                {
                    tokio::time::sleep(stall).await;
                }
                if is(faults.drop_each, count) {
                    meeting.done.dropped.fetch_add(1, Relaxed);
                    continue;
                }
                if is(faults.swap_each, count) && held.is_none() {
                    held = Some(packet);
                    continue;
                }
                meeting.done.forwarded.fetch_add(1, Relaxed);
                let _ = meeting.packets.send((session, packet.clone()));
                if is(faults.double_each, count) {
                    meeting.done.doubled.fetch_add(1, Relaxed);
                    let _ = meeting.packets.send((session, packet));
                }
                if let Some(late) = held.take() {
                    meeting.done.forwarded.fetch_add(1, Relaxed);
                    meeting.done.swapped.fetch_add(1, Relaxed);
                    let _ = meeting.packets.send((session, late));
                }
            }
            packet = others.recv() => {
                let Ok((from, packet)) = packet else { return };
                if from != session && sink.send(Message::Binary(packet)).await.is_err() {
                    return;
                }
            }
        }
    }
}
