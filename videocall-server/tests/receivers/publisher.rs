//! A camera with three layers and a voice, as bytes that say when they were made.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    time::{self, MissedTickBehavior},
};
use videocall_client::{
    core::session::Event,
    native::{Client, Handle, JoinOptions},
};
use videocall_types::{
    ids::MediaKind,
    view::Routing,
    wire::{LayerInfo, MediaPacket, PublishState, StreamInfo, Subscribe},
};

use crate::{receiver::Transport, server::Server};

/// Width, height, and bytes of a frame: at 25 a second 110, 400 and 1,400 kbit/s.
const LAYERS: [(u32, u32, usize); 3] = [(320, 180, 550), (640, 360, 2_000), (1280, 720, 7_000)];
/// How much larger a keyframe is.
const KEYFRAME: usize = 4;
const VOICE: Duration = Duration::from_millis(20);
/// A frame with every second packet of the voice.
const FRAME_EVERY: u64 = 2;
/// 32 kbit/s.
const VOICE_BYTES: usize = 80;

/// Publishes until dropped.
pub(crate) struct Publisher {
    _stop: oneshot::Sender<()>,
    _thread: JoinHandle<()>,
}

impl Publisher {
    pub(crate) fn start(server: &Server, address: &str, start: Arc<Instant>) -> Self {
        let servers = server.at(address, Transport::WebSocket);
        let (stop, stopped) = oneshot::channel();
        let (joined, join) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut client = Client::join(options(servers));
                let mut camera = Camera::new(client.handle(), start);
                let mut ticks = time::interval(VOICE);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                let mut stopped = std::pin::pin!(stopped);
                loop {
                    tokio::select! {
                        event = client.next_event() => match event {
                            Some(Event::Joined(_)) => joined.send(()).unwrap(),
                            Some(event) => camera.note(&event),
                            None => return,
                        },
                        _ = ticks.tick() => camera.tick().await,
                        _ = &mut stopped => return,
                    }
                }
            });
        });
        join.recv_timeout(Duration::from_secs(60)).expect("joins");
        Self {
            _stop: stop,
            _thread: thread,
        }
    }
}

fn options(servers: videocall_client::native::Servers) -> JoinOptions {
    let layers = (0..)
        .zip(LAYERS)
        .map(|(spatial, (width, height, bytes))| LayerInfo {
            spatial,
            width,
            height,
            bitrate_bps: bytes as u32 * 8 * 25,
            temporal_layers: 2,
        });
    JoinOptions {
        servers: vec![servers],
        placement: Default::default(),
        meeting: "receivers".into(),
        user: "publisher".into(),
        token: None,
        display_name: "publisher".into(),
        program: "test/1".into(),
        publish: PublishState {
            streams: vec![
                StreamInfo {
                    kind: MediaKind::Video.into(),
                    stream_id: 1,
                    codec: "vp09.00.30.08".into(),
                    layers: layers.collect(),
                    muted: false,
                },
                StreamInfo {
                    kind: MediaKind::Audio.into(),
                    stream_id: 1,
                    codec: "opus".into(),
                    layers: Vec::new(),
                    muted: false,
                },
            ],
        },
        subscribe: Subscribe {
            all: false,
            wants: Vec::new(),
        },
    }
}

struct Camera {
    handle: Handle,
    start: Arc<Instant>,
    tick: u64,
    /// Last frame, and last one of the base, of each layer.
    frames: [(u64, u64); 3],
    wanted: u32,
    keyframe: [bool; 3],
}

impl Camera {
    fn new(handle: Handle, start: Arc<Instant>) -> Self {
        Self {
            handle,
            start,
            tick: 0,
            frames: [(0, 0); 3],
            wanted: 7,
            keyframe: [true; 3],
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Demand(demand) => {
                for stream in &demand.streams {
                    if stream.kind() == MediaKind::Video {
                        self.wanted = stream.spatial_mask;
                    }
                }
            }
            Event::KeyframeWanted(request) => {
                if let Some(keyframe) = self.keyframe.get_mut(request.spatial as usize) {
                    *keyframe = true;
                }
            }
            _ => {}
        }
    }

    async fn tick(&mut self) {
        self.tick += 1;
        let voice = Routing {
            kind: MediaKind::Audio,
            stream_id: 1,
            spatial: 0,
            temporal: 0,
            keyframe: false,
            depends_back: 0,
            frame_number: self.tick,
            capture_us: self.now_us(),
            audio_level: 20,
            encrypted: false,
        };
        self.send(voice, VOICE_BYTES).await;
        if !self.tick.is_multiple_of(FRAME_EVERY) {
            return;
        }
        for (spatial, (_, _, bytes)) in LAYERS.into_iter().enumerate() {
            if self.wanted >> spatial & 1 == 0 {
                // An encoder that starts again begins with a keyframe.
                self.keyframe[spatial] = true;
                continue;
            }
            let routing = self.next_frame(spatial);
            let factor = if routing.keyframe { KEYFRAME } else { 1 };
            self.send(routing, bytes * factor).await;
        }
    }

    /// Two temporal layers: every second frame is needed by none.
    fn next_frame(&mut self, spatial: usize) -> Routing {
        let (last, base) = self.frames[spatial];
        let number = last + 1;
        let keyframe = std::mem::take(&mut self.keyframe[spatial]);
        let temporal = u8::from(!keyframe && last == base);
        self.frames[spatial] = (number, if temporal == 0 { number } else { base });
        Routing {
            kind: MediaKind::Video,
            stream_id: 1,
            spatial: spatial as u8,
            temporal,
            keyframe,
            depends_back: if keyframe { 0 } else { (number - base) as u8 },
            frame_number: number,
            capture_us: self.now_us(),
            audio_level: 0,
            encrypted: false,
        }
    }

    fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    async fn send(&self, routing: Routing, bytes: usize) {
        let media = MediaPacket {
            data: vec![7; bytes].into(),
            ..MediaPacket::default()
        };
        let _ = self.handle.send_media(routing, media).await;
    }
}
