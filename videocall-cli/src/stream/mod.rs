//! Publishes pictures and sound.

mod adaptation;
mod audio;
mod devices;
mod film;
mod forward;
mod input;
mod source;
mod tracks;
mod video;

use std::{
    sync::{Arc, mpsc as std_mpsc},
    thread,
};

use serde_json::json;
use tokio::sync::{mpsc, watch};
use videocall_client::{
    core::{ladder, session::Event},
    native::Handle,
};
use videocall_types::{
    view::Routing,
    wire::{LayerInfo, MediaPacket, PublishState, StreamInfo, Subscribe},
};

use crate::{
    args::StreamArgs,
    capture::Away,
    clock::Clock,
    exit::Failure,
    identity::Identity,
    participants::{Next, Participant},
    progress::Progress,
    signals,
    stream::{
        adaptation::Demand,
        devices::{Change, Devices},
        source::Source,
        tracks::{CAMERA, SCREEN, Tracks},
    },
    supervisor::Supervisor,
};

/// Packets that wait for the network at most; encoders drop what finds no place.
const QUEUE: usize = 64;
/// VP9 profile 0, level 4.1, 8 bits: up to 1080p60.
const CODEC: &str = "vp09.00.41.08";

/// What encoders make.
type Encoded = (Routing, MediaPacket);

/// Runs the command.
pub async fn run(args: StreamArgs) -> Result<(), Failure> {
    let identity = Identity::of(&args.join)?;
    let (away_sender, away) = watch::channel(Away::default());
    let camera = Origin::new(&args, Source::camera(&args, &away_sender)?, CAMERA);
    let screen = Origin::new(&args, Source::screen(&args)?, SCREEN);
    let publish = PublishState {
        streams: [camera.offered(), screen.offered()].concat(),
    };
    let nothing = Subscribe {
        all: false,
        wants: Vec::new(),
    };
    let participant = Participant::join(&args.join, identity, publish.clone(), nothing).await?;
    let devices = Devices::new(away, publish);
    // Of devices, only those that were opened tell of themselves from here on.
    drop(away_sender);
    Streamer::new(&args, participant, devices, vec![camera, screen])
        .run(&args)
        .await
}

fn layers(args: &StreamArgs, source: &Source, tracks: Tracks) -> Vec<LayerInfo> {
    if let Some(picture) = source.film.as_ref().and_then(|film| film.picture()) {
        let (width, height) = picture.size;
        let mut layers = ladder::screen(width, height);
        layers[0].bitrate_bps = ladder::camera(width, height)
            .last()
            .map_or(0, |layer| layer.bitrate_bps);
        return layers;
    }
    let Some(pictures) = &source.pictures else {
        return Vec::new();
    };
    let (width, height) = pictures.size();
    if tracks.is_screen() {
        return ladder::screen(width, height);
    }
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

/// One source with what is told of it.
struct Origin {
    /// Until it starts.
    source: Source,
    tracks: Tracks,
    layers: Vec<LayerInfo>,
    demand: Arc<Demand>,
}

impl Origin {
    fn new(args: &StreamArgs, source: Source, tracks: Tracks) -> Self {
        let demand = Arc::<Demand>::default();
        if source.film.is_some() {
            // A film may have one keyframe only: it is sent until the server says that nobody
            // wants it.
            demand.set_layers(1);
        }
        Self {
            layers: layers(args, &source, tracks),
            source,
            tracks,
            demand,
        }
    }

    fn offered(&self) -> Vec<StreamInfo> {
        let film = self.source.film.as_ref();
        let codec = film
            .and_then(|film| film.picture())
            .map_or(CODEC, |picture| forward::codec_string(picture.codec));
        let sound = self.source.sound.is_some() || film.is_some_and(|film| film.has_sound());
        let mut streams = Vec::new();
        if !self.layers.is_empty() {
            streams.push(StreamInfo {
                kind: self.tracks.picture(0).kind.into(),
                stream_id: self.tracks.picture_id(),
                codec: codec.to_owned(),
                layers: self.layers.clone(),
                muted: false,
            });
        }
        if sound {
            streams.push(StreamInfo {
                kind: self.tracks.sound(0).kind.into(),
                stream_id: self.tracks.sound_id(),
                codec: "opus".to_owned(),
                layers: Vec::new(),
                muted: false,
            });
        }
        streams
    }
}

/// A participant that publishes, and the threads that encode for it.
struct Streamer {
    participant: Participant,
    origins: Vec<Origin>,
    speed: u8,
    /// To give to threads, which start when the meeting is joined: until then nobody would take
    /// what they make. Nobody holds it afterwards, so that the end of the threads is seen.
    for_threads: Option<mpsc::Sender<Encoded>>,
    packets: mpsc::Receiver<Encoded>,
    tell_failure: mpsc::Sender<Failure>,
    failures: mpsc::Receiver<Failure>,
    /// Each thread ends when its end is dropped.
    stop: Vec<std_mpsc::Sender<()>>,
    progress: Progress,
    supervisor: Supervisor,
    devices: Devices,
    sent: Sent,
}

#[derive(Default)]
struct Sent {
    frames: u64,
    packets: u64,
    bytes: u64,
}

impl Streamer {
    fn new(
        args: &StreamArgs,
        participant: Participant,
        devices: Devices,
        origins: Vec<Origin>,
    ) -> Self {
        let (sender, packets) = mpsc::channel(QUEUE);
        let (tell_failure, failures) = mpsc::channel(1);
        Self {
            participant,
            origins,
            speed: args.speed,
            for_threads: Some(sender),
            packets,
            tell_failure,
            failures,
            stop: Vec::new(),
            progress: Progress::new(),
            supervisor: Supervisor::default(),
            devices,
            sent: Sent::default(),
        }
    }

    /// Begins to read and encode, once.
    fn start(&mut self) -> Result<(), Failure> {
        let Some(packets) = self.for_threads.take() else {
            return Ok(());
        };
        let clock = Clock::new();
        let (speed, failures) = (self.speed, self.tell_failure.clone());
        let mut spawn = |name: &str, work: Work| {
            let (keep, stopped) = std_mpsc::channel();
            self.stop.push(keep);
            spawn(name, work, packets.clone(), stopped, failures.clone())
        };
        for origin in &mut self.origins {
            let (tracks, demand) = (origin.tracks, origin.demand.clone());
            let source = std::mem::take(&mut origin.source);
            if let Some(pictures) = source.pictures {
                let layers = &origin.layers;
                let demand = demand.clone();
                let publisher =
                    video::Publisher::new(pictures, tracks, layers, speed, clock, demand)?;
                spawn("video", Box::new(|to, stop| publisher.run(to, stop)))?;
            }
            if let Some(sound) = source.sound {
                let publisher = audio::Publisher::new(sound, tracks, clock)?;
                spawn("audio", Box::new(|to, stop| publisher.run(to, stop)))?;
            }
            if let Some(film) = source.film {
                let forwarder = forward::Forwarder::new(film, tracks, clock, demand)?;
                spawn("film", Box::new(|to, stop| forwarder.run(to, stop)))?;
            }
        }
        Ok(())
    }

    /// Until a signal, the end of the duration or the input, or of the session.
    async fn run(mut self, args: &StreamArgs) -> Result<(), Failure> {
        let handle = self.participant.client.handle();
        let mut end = std::pin::pin!(signals::end(args.join.duration));
        let mut each_second = tokio::time::interval(std::time::Duration::from_secs(1));
        let mut leaving = false;
        let mut failed = None;
        loop {
            tokio::select! {
                next = self.participant.next() => match next? {
                    Next::Event(event) => self.happened(&event)?,
                    Next::Over => return self.end(failed),
                },
                Some(failure) = self.failures.recv() => {
                    failed.get_or_insert(failure);
                    leaving = true;
                }
                packet = self.packets.recv(), if !leaving => match packet {
                    Some(packet) => self.send(&handle, packet).await,
                    None => leaving = true,
                },
                () = &mut end, if !leaving => {
                    self.supervisor.stopping();
                    leaving = true;
                }
                change = self.devices.changed(), if !leaving => self.device(&handle, change).await,
                _ = each_second.tick() => {
                    self.supervisor.alive();
                    self.tell();
                    self.offer(&handle).await;
                }
            }
            if leaving && handle.leave().await.is_err() {
                return self.end(failed);
            }
        }
    }

    fn end(mut self, failed: Option<Failure>) -> Result<(), Failure> {
        let failed = failed.or_else(|| self.failures.try_recv().ok());
        failed.map_or(Ok(()), Err)
    }

    fn happened(&mut self, event: &Event) -> Result<(), Failure> {
        self.progress.session(event);
        match event {
            Event::Joined(_) => {
                self.supervisor.ready();
                self.supervisor.status("in the meeting");
                self.start()?;
                // Nobody there knows what was sent before.
                for origin in &self.origins {
                    origin.demand.want_keyframes(u32::MAX);
                }
            }
            Event::Reconnecting { reason, .. } => {
                self.supervisor.status(&format!("reconnecting: {reason}"));
            }
            Event::Demand(demand) => {
                for stream in &demand.streams {
                    if let Some(demand) = self.demand(stream.stream_id) {
                        demand.set_layers(stream.spatial_mask);
                    }
                }
            }
            Event::Budget(bps) => {
                // Pictures share what the path carries.
                let origins = self.origins.iter();
                let origins: Vec<_> = origins.filter(|origin| !origin.layers.is_empty()).collect();
                for origin in &origins {
                    origin.demand.set_budget(*bps / origins.len() as u64);
                }
            }
            Event::KeyframeWanted(request) => {
                if let Some(demand) = self.demand(request.stream_id) {
                    demand.want_keyframes(1 << request.spatial.min(31));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells the others which layers of the camera are on offer, where that changes.
    async fn offer(&mut self, handle: &Handle) {
        let camera = CAMERA.picture_id();
        let mut origins = self.origins.iter();
        let Some(origin) = origins.find(|origin| origin.tracks.picture_id() == camera) else {
            return;
        };
        origin.demand.feel_temperature();
        let layers = &origin.layers[..origin.demand.offered(origin.layers.len())];
        if let Some(publish) = self.devices.offer(layers) {
            let _ = handle.set_publish(publish).await;
        }
    }

    /// What is wanted of a picture.
    fn demand(&self, stream_id: u32) -> Option<&Demand> {
        let mut origins = self.origins.iter();
        let origin = origins.find(|origin| origin.tracks.picture_id() == stream_id);
        origin.map(|origin| &*origin.demand)
    }

    /// A device has gone, or is back: the others are told, and the call goes on.
    async fn device(&mut self, handle: &Handle, change: Change) {
        let event = if change.reason.is_some() {
            "gone"
        } else {
            "back"
        };
        let reason = change.reason.unwrap_or_default();
        self.progress
            .tell(event, &json!({ "device": change.device, "reason": reason }));
        self.supervisor
            .status(&format!("{} is {event}", change.device));
        let _ = handle.set_publish(change.publish).await;
        if event == "back"
            && let Some(demand) = self.demand(CAMERA.picture_id())
        {
            demand.want_keyframes(u32::MAX);
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
        let layers = self.origins.iter();
        let layers = layers.map(|origin| origin.demand.encoded().count_ones());
        let budget = self
            .origins
            .iter()
            .filter(|origin| !origin.layers.is_empty());
        let budget: u64 = budget.map(|origin| origin.demand.budget()).sum();
        self.progress.tell(
            "sent",
            &json!({
                "frames": sent.frames,
                "audio_packets": sent.packets,
                "kbps": sent.bytes * 8 / 1000,
                "layers": layers.sum::<u32>(),
                "pictures_may_take_kbps": budget / 1000,
            }),
        );
    }
}

/// What a thread does until its end.
type Work =
    Box<dyn FnOnce(&mpsc::Sender<Encoded>, &std_mpsc::Receiver<()>) -> Result<(), Failure> + Send>;

fn spawn(
    name: &str,
    work: Work,
    packets: mpsc::Sender<Encoded>,
    stopped: std_mpsc::Receiver<()>,
    failures: mpsc::Sender<Failure>,
) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.to_owned());
    let run = move || {
        if let Err(failure) = work(&packets, &stopped) {
            // One that is told is enough.
            let _ = failures.try_send(failure);
        }
    };
    thread.spawn(run).map_err(Failure::other)?;
    Ok(())
}
