//! Publishes pictures and sound.

mod audio;
mod source;
mod video;

use std::{
    sync::{Arc, mpsc as std_mpsc},
    thread,
};

use serde_json::json;
use tokio::sync::mpsc;
use videocall_client::{
    core::{ladder, session::Event},
    native::Handle,
};
use videocall_types::{
    ids::MediaKind,
    view::Routing,
    wire::{LayerInfo, MediaPacket, PublishState, StreamInfo, Subscribe},
};

use crate::{
    args::StreamArgs,
    clock::Clock,
    exit::Failure,
    participants::{Next, Participant},
    progress::Progress,
    signals,
    stream::{source::Source, video::Demand},
    supervisor::Supervisor,
};

/// Packets that wait for the network at most; encoders drop what finds no place.
const QUEUE: usize = 64;
const VIDEO_STREAM: u32 = 1;
const AUDIO_STREAM: u32 = 2;
/// VP9 profile 0, level 4.1, 8 bits: up to 1080p60.
const CODEC: &str = "vp09.00.41.08";

/// What encoders make.
type Encoded = (Routing, MediaPacket);

/// Runs the command.
pub async fn run(args: StreamArgs) -> Result<(), Failure> {
    let source = Source::open(&args)?;
    let layers = layers(&args, &source);
    let publish = PublishState {
        streams: offered(&source, &layers),
    };
    let nothing = Subscribe {
        all: false,
        wants: Vec::new(),
    };
    let participant = Participant::join(&args.join, publish, nothing).await?;
    Streamer::start(&args, source, &layers, participant)?
        .run(&args)
        .await
}

fn layers(args: &StreamArgs, source: &Source) -> Vec<LayerInfo> {
    let Some(pictures) = &source.pictures else {
        return Vec::new();
    };
    let (width, height) = pictures.size();
    let mut layers = ladder::camera(width, height);
    if args.no_simulcast {
        layers.drain(..layers.len() - 1);
        layers[0].spatial = 0;
    }
    if let (Some(kbps), Some(largest)) = (args.bitrate_kbps, layers.last()) {
        let scale = f64::from(kbps * 1000) / f64::from(largest.bitrate_bps);
        for layer in &mut layers {
            layer.bitrate_bps = (f64::from(layer.bitrate_bps) * scale) as u32;
        }
    }
    layers
}

fn offered(source: &Source, layers: &[LayerInfo]) -> Vec<StreamInfo> {
    let mut streams = Vec::new();
    if source.pictures.is_some() {
        streams.push(StreamInfo {
            kind: MediaKind::Video.into(),
            stream_id: VIDEO_STREAM,
            codec: CODEC.to_owned(),
            layers: layers.to_vec(),
            muted: false,
        });
    }
    if source.sound.is_some() {
        streams.push(StreamInfo {
            kind: MediaKind::Audio.into(),
            stream_id: AUDIO_STREAM,
            codec: "opus".to_owned(),
            layers: Vec::new(),
            muted: false,
        });
    }
    streams
}

/// A participant that publishes, and the threads that encode for it.
struct Streamer {
    participant: Participant,
    demand: Arc<Demand>,
    packets: mpsc::Receiver<Encoded>,
    /// Each thread ends when its end is dropped.
    _stop: Vec<std_mpsc::Sender<()>>,
    progress: Progress,
    supervisor: Supervisor,
    sent: Sent,
}

#[derive(Default)]
struct Sent {
    frames: u64,
    packets: u64,
    bytes: u64,
}

impl Streamer {
    fn start(
        args: &StreamArgs,
        source: Source,
        layers: &[LayerInfo],
        participant: Participant,
    ) -> Result<Self, Failure> {
        let (sender, packets) = mpsc::channel(QUEUE);
        let demand = Arc::new(Demand::default());
        let clock = Clock::new();
        let mut stop = Vec::new();
        if let Some(pictures) = source.pictures {
            let (keep, stopped) = std_mpsc::channel();
            let publisher =
                video::Publisher::new(pictures, layers, args.speed, clock, demand.clone())?;
            let sender = sender.clone();
            spawn("video", move || publisher.run(&sender, &stopped))?;
            stop.push(keep);
        }
        if let Some(sound) = source.sound {
            let (keep, stopped) = std_mpsc::channel();
            let publisher = audio::Publisher::new(sound, clock)?;
            spawn("audio", move || publisher.run(&sender, &stopped))?;
            stop.push(keep);
        }
        Ok(Self {
            participant,
            demand,
            packets,
            _stop: stop,
            progress: Progress::new(),
            supervisor: Supervisor::default(),
            sent: Sent::default(),
        })
    }

    /// Until a signal, the end of the duration or the input, or of the session.
    async fn run(mut self, args: &StreamArgs) -> Result<(), Failure> {
        let handle = self.participant.client.handle();
        let mut end = std::pin::pin!(signals::end(args.join.duration));
        let mut each_second = tokio::time::interval(std::time::Duration::from_secs(1));
        let mut leaving = false;
        loop {
            tokio::select! {
                next = self.participant.next() => match next? {
                    Next::Event(event) => self.happened(&event),
                    Next::Over => return Ok(()),
                },
                packet = self.packets.recv(), if !leaving => match packet {
                    Some(packet) => self.send(&handle, packet).await,
                    None => leaving = true,
                },
                () = &mut end, if !leaving => {
                    self.supervisor.stopping();
                    leaving = true;
                }
                _ = each_second.tick() => {
                    self.supervisor.alive();
                    self.tell();
                }
            }
            if leaving && handle.leave().await.is_err() {
                return Ok(());
            }
        }
    }

    fn happened(&mut self, event: &Event) {
        self.progress.session(event);
        match event {
            Event::Joined(_) => {
                self.supervisor.ready();
                self.supervisor.status("in the meeting");
                // Nobody there knows what was sent before.
                self.demand.want_keyframes(u32::MAX);
            }
            Event::Reconnecting { reason, .. } => {
                self.supervisor.status(&format!("reconnecting: {reason}"));
            }
            Event::Demand(demand) => {
                for stream in &demand.streams {
                    if stream.stream_id == VIDEO_STREAM {
                        self.demand.set_layers(stream.spatial_mask);
                    }
                }
            }
            Event::KeyframeWanted(request) if request.stream_id == VIDEO_STREAM => {
                self.demand.want_keyframes(1 << request.spatial.min(31));
            }
            _ => {}
        }
    }

    async fn send(&mut self, handle: &Handle, (routing, media): Encoded) {
        self.sent.bytes += media.data.len() as u64;
        if routing.is_audio() {
            self.sent.packets += 1;
        } else {
            self.sent.frames += 1;
        }
        // Fails only after the end, which is told as an event.
        let _ = handle.send_media(routing, media).await;
    }

    fn tell(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        self.progress.tell(
            "sent",
            &json!({
                "frames": sent.frames,
                "audio_packets": sent.packets,
                "kbps": sent.bytes * 8 / 1000,
                "layers": self.demand.layers().count_ones(),
            }),
        );
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(Failure::other)?;
    Ok(())
}
