//! Somebody who receives, as our clients do, and measures what could be seen and heard.

use std::{
    fmt,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time;
use videocall_client::{
    core::{
        session::{Event, MediaIn},
        video::VideoBuffer,
    },
    native::{Client, Handle, JoinOptions},
};
use videocall_types::{
    ids::{MediaKind, SessionId},
    wire::{PublishState, Subscribe},
};

use crate::{network::Namespace, server::Server};

/// A longer time without a new picture is a freeze.
const FREEZE: Duration = Duration::from_millis(200);
/// Sound that comes later than this after the fastest is concealed: as much as a jitter buffer
/// holds back on a bad path.
const PLAYOUT: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    WebTransport,
}

/// What was received while it was judged.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Packets of sound that came, and those that came in time.
    pub(crate) sound: u32,
    heard: u32,
    /// Packets of sound that were made meanwhile.
    made: u32,
    /// Pictures that could be shown, and how late they came: 95th percentile.
    pub(crate) pictures: u32,
    pub(crate) picture_late_ms: u64,
    /// Part of the time in which the picture stood still.
    frozen: f64,
    pub(crate) highest_layer: Option<u8>,
    seconds: f64,
}

impl Figures {
    pub(crate) fn heard_share(&self) -> f64 {
        f64::from(self.heard) / f64::from(self.made.max(1))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sound {:4.1}/s, concealed {:4.1} %; pictures {:4.1}/s, late {} ms (p95), frozen {:4.1} %, layer {:?}",
            f64::from(self.sound) / self.seconds,
            100.0 * (1.0 - self.heard_share()),
            f64::from(self.pictures) / self.seconds,
            self.picture_late_ms,
            100.0 * self.frozen,
            self.highest_layer,
        )
    }
}

/// A receiver that has yet to join.
pub(crate) struct Receiver {
    options: JoinOptions,
    namespace: Option<Namespace>,
    start: Arc<Instant>,
}

impl Receiver {
    pub(crate) fn start(
        server: &Server,
        address: &str,
        transport: Transport,
        namespace: Option<Namespace>,
        start: Arc<Instant>,
    ) -> Self {
        let user = format!("receiver {transport:?} {address}");
        let options = JoinOptions {
            servers: vec![server.at(address, transport)],
            placement: Default::default(),
            meeting: "receivers".into(),
            display_name: user.clone(),
            user,
            token: None,
            program: "test/1".into(),
            publish: PublishState::default(),
            subscribe: Subscribe {
                all: true,
                wants: Vec::new(),
            },
        };
        Self {
            options,
            namespace,
            start,
        }
    }

    /// Receives on a thread of its own, within its namespace.
    pub(crate) fn measure(self, settling: Duration, judged: Duration) -> JoinHandle<Figures> {
        thread::spawn(move || {
            if let Some(namespace) = &self.namespace {
                namespace.enter();
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(receive(self.options, &self.start, settling, judged))
        })
    }
}

async fn receive(
    options: JoinOptions,
    start: &Instant,
    settling: Duration,
    judged: Duration,
) -> Figures {
    let mut client = Client::join(options);
    let handle = client.handle();
    let joined = async {
        loop {
            match client.next_event().await.expect("goes on") {
                Event::Joined(_) => return,
                Event::Closed { text, .. } => panic!("not admitted: {text}"),
                _ => {}
            }
        }
    };
    time::timeout(Duration::from_secs(60), joined)
        .await
        .expect("joins");
    let from = start.elapsed() + settling;
    let mut reception = Reception::new(from, from + judged);
    let mut ticks = time::interval(Duration::from_millis(10));
    while start.elapsed() < reception.to + PLAYOUT {
        tokio::select! {
            event = client.next_event() => {
                if let Event::Media(media) = event.expect("goes on") {
                    reception.take(start.elapsed(), media);
                }
            }
            _ = ticks.tick() => reception.show(start.elapsed(), &handle).await,
        }
    }
    let _ = handle.leave().await;
    reception.figures()
}

struct Reception {
    from: Duration,
    to: Duration,
    publisher: Option<SessionId>,
    buffer: VideoBuffer,
    /// When each packet of sound was made, and how long it took.
    sound: Vec<(Duration, Duration)>,
    shown: Vec<(Duration, Duration)>,
    highest_layer: Option<u8>,
}

impl Reception {
    fn new(from: Duration, to: Duration) -> Self {
        Self {
            from,
            to,
            publisher: None,
            buffer: VideoBuffer::default(),
            sound: Vec::new(),
            shown: Vec::new(),
            highest_layer: None,
        }
    }

    fn take(&mut self, now: Duration, media: MediaIn) {
        self.publisher = Some(media.session);
        let routing = media.routing;
        match routing.kind {
            MediaKind::Audio => {
                let made = Duration::from_micros(routing.capture_us);
                self.sound.push((made, now.saturating_sub(made)));
            }
            MediaKind::Video => self.buffer.push(now, routing, Bytes::new()),
            _ => {}
        }
    }

    async fn show(&mut self, now: Duration, handle: &Handle) {
        while let Some(frame) = self.buffer.pop(now) {
            let made = Duration::from_micros(frame.routing.capture_us);
            self.shown.push((now, now.saturating_sub(made)));
            if let Some(publisher) = self.publisher {
                handle.shown(publisher, &frame.routing);
            }
            if self.judges(now) {
                self.highest_layer = self.highest_layer.max(Some(frame.routing.spatial));
            }
        }
        if let Some(publisher) = self.publisher
            && self.buffer.wants_keyframe(now)
        {
            let _ = handle.request_keyframe(publisher, MediaKind::Video).await;
        }
    }

    fn judges(&self, at: Duration) -> bool {
        (self.from..self.to).contains(&at)
    }

    fn figures(self) -> Figures {
        let sound = || self.sound.iter().filter(|(made, _)| self.judges(*made));
        let fastest = sound().map(|(_, took)| *took).min().unwrap_or_default();
        let heard = sound().filter(|(_, took)| *took <= fastest + PLAYOUT);
        let mut late: Vec<Duration> = Vec::new();
        let (mut last, mut frozen) = (self.from, Duration::ZERO);
        for &(at, took) in self.shown.iter().filter(|(at, _)| self.judges(*at)) {
            late.push(took);
            if at - last > FREEZE {
                frozen += at - last;
            }
            last = at;
        }
        if self.to - last > FREEZE {
            frozen += self.to - last;
        }
        late.sort();
        let p95 = late.get(late.len() * 95 / 100).copied().unwrap_or_default();
        let judged = (self.to - self.from).as_secs_f64();
        Figures {
            sound: sound().count() as u32,
            heard: heard.count() as u32,
            made: (judged * 50.0) as u32,
            pictures: late.len() as u32,
            picture_late_ms: p95.as_millis() as u64,
            frozen: frozen.as_secs_f64() / judged,
            highest_layer: self.highest_layer,
            seconds: judged,
        }
    }
}
