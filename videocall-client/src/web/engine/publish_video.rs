//! A camera or a screen on its way out: one encoder for each simulcast layer that anybody wants.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    time::Duration,
};

use bytes::Bytes;
use js_sys::Reflect;
use videocall_types::{
    ids::MediaKind,
    view::Routing,
    wire::{LayerInfo, MediaPacket, StreamInfo, VideoMetadata, video_metadata::Codec},
};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::{
    Engine,
    js::{self, Chunk, Later, VideoEncoder, VideoFrame},
    pump, tell,
    track::{CaptureClock, Track},
};
use crate::{
    core::{
        budget::Claim,
        ladder,
        packetizer::Packetizer,
        simulcast::{LayerPlan, Simulcast},
        uplink::FIRST_PICTURES_BPS,
    },
    web::protocol::{Event, PublishStatistics, Source, Warning},
};

/// Frames that an encoder may have before it; more, and it cannot keep up.
const QUEUE: u32 = 2;
/// Frames a second at most.
const MAX_FPS: f64 = 30.0;
/// What a picture counts that an encoder was too busy for, in times between two pictures: more than
/// two in five, and less is tried.
const OVERLOADED: f64 = 2.0;
/// A change of bit rate that is worth telling an encoder, in parts, and how seldom.
const RATE_STEP: u32 = 10;
const RATE_PAUSE: Duration = Duration::from_millis(500);
/// Codecs by preference: what they need of the network, and what encodes quickly.
const CODECS: [&str; 3] = ["vp09.00.31.08", "vp8", "av01.0.05M.08"];

pub(super) struct VideoPublisher {
    engine: Weak<RefCell<Engine>>,
    source: Source,
    track: Track,
    clock: CaptureClock,
    /// Known from the first frame on.
    stream: Option<Encoding>,
    codec: Option<String>,
    asking: bool,
    detail: bool,
    last_capture_us: u64,
    /// Bits a second that this may take.
    budget: u64,
    skipped: u32,
}

/// The encodings of a picture of one size.
struct Encoding {
    id: u32,
    simulcast: Simulcast,
    layers: Vec<Layer>,
    /// Pictures so far.
    pictures: u64,
}

struct Layer {
    info: LayerInfo,
    encoder: Option<Encoder>,
    packetizer: Rc<RefCell<Packetizer>>,
    keyframe: bool,
    frames: u32,
    bytes: usize,
    keyframes: u32,
    shown: (f64, f64),
}

struct Encoder {
    encoder: VideoEncoder,
    /// What it was configured for, and when.
    plan: LayerPlan,
    planned: Duration,
    _output: Later<Closure<dyn FnMut(Chunk, JsValue)>>,
    _error: Later<Closure<dyn FnMut(JsValue)>>,
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.encoder.close();
    }
}

impl VideoPublisher {
    pub(super) fn new(engine: Weak<RefCell<Engine>>, source: Source, detail: bool) -> Self {
        Self {
            engine,
            source,
            track: Track::default(),
            clock: CaptureClock::default(),
            stream: None,
            codec: None,
            asking: false,
            detail,
            last_capture_us: 0,
            budget: FIRST_PICTURES_BPS,
            skipped: 0,
        }
    }

    pub(super) fn kind(&self) -> MediaKind {
        self.source.kind()
    }

    /// Reads another track from now on.
    pub(super) fn read(&mut self, reader: js::Reader) {
        self.clock = CaptureClock::default();
        let source = self.source;
        self.track
            .read(self.engine.clone(), source, reader, move |engine, frame| {
                let frame: VideoFrame = frame.unchecked_into();
                take_frame(engine, source, &frame);
                frame.close();
            });
    }

    pub(super) fn info(&self) -> Option<StreamInfo> {
        let stream = self.stream.as_ref()?;
        Some(StreamInfo {
            kind: self.kind().into(),
            stream_id: stream.id,
            codec: self.codec.clone().unwrap_or_default(),
            layers: stream.simulcast.offered().to_vec(),
            muted: false,
        })
    }

    pub(super) fn set_demand(&mut self, stream_id: u32, mask: u32) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == stream_id) else {
            return;
        };
        stream.simulcast.set_demand(mask);
        if mask == 0 {
            stream.stop();
        }
    }

    /// What this can use of a bit rate.
    pub(super) fn claim(&self) -> Claim {
        let stream = self.stream.as_ref();
        stream.map_or_else(Claim::default, |stream| stream.simulcast.claim())
    }

    /// Bits a second that this may take from now on.
    pub(super) fn set_budget(&mut self, bps: u64) {
        self.budget = bps;
    }

    pub(super) fn request_keyframe(&mut self, spatial: u32) {
        let layers = self.stream.iter_mut().flat_map(|stream| &mut stream.layers);
        for layer in layers.filter(|layer| layer.info.spatial == spatial) {
            layer.keyframe = true;
        }
    }

    /// The session is a new one: nobody has anything of this yet.
    pub(super) fn restart(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.simulcast.set_demand(0);
            stream.stop();
        }
    }

    pub(super) fn set_detail(&mut self, detail: bool) {
        self.detail = detail;
        for layer in self.stream.iter_mut().flat_map(|stream| &mut stream.layers) {
            // Configured anew with the next frame.
            layer.encoder = None;
        }
    }

    /// Figures since the last call.
    pub(super) fn each_second(&mut self, seconds: f64) {
        for layer in self.stream.iter_mut().flat_map(|stream| &mut stream.layers) {
            let bits = layer.bytes as f64 * 8.0;
            layer.shown = (f64::from(layer.frames) / seconds, bits / seconds);
            (layer.frames, layer.bytes) = (0, 0);
        }
        if std::mem::take(&mut self.skipped) > MAX_FPS as u32 / 2 {
            tell(Event::Warning(Warning::Overloaded));
        }
    }

    pub(super) fn statistics(&self) -> impl Iterator<Item = PublishStatistics> {
        self.stream
            .iter()
            .flat_map(|stream| stream.layers.iter().map(move |layer| (stream, layer)))
            .map(|(stream, layer)| PublishStatistics {
                kind: self.kind().label().to_owned(),
                spatial: layer.info.spatial,
                codec: self.codec.clone().unwrap_or_default(),
                width: layer.info.width,
                height: layer.info.height,
                wanted: stream.simulcast.demand() & 1 << layer.info.spatial != 0,
                fps: layer.shown.0,
                bitrate_bps: layer.shown.1,
                keyframes: layer.keyframes,
            })
    }

    fn layer(&mut self, stream_id: u32, spatial: u32) -> Option<&mut Layer> {
        let stream = self
            .stream
            .as_mut()
            .filter(|stream| stream.id == stream_id)?;
        stream
            .layers
            .iter_mut()
            .find(|layer| layer.info.spatial == spatial)
    }
}

fn take_frame(engine: &mut Engine, source: Source, frame: &VideoFrame) {
    let (width, height) = (frame.display_width(), frame.display_height());
    let Some(camera) = engine.cameras.get_mut(&source) else {
        return;
    };
    let capture_us = camera.clock.capture_us(js::now(), frame.timestamp(), 0.0);
    let spacing = capture_us.saturating_sub(camera.last_capture_us) as f64;
    // A fifth of an interval less: cameras are not even.
    if spacing < 0.8e6 / MAX_FPS {
        return;
    }
    let same_size = camera.stream.as_ref().is_some_and(|stream| {
        stream
            .layers
            .last()
            .is_some_and(|layer| (layer.info.width, layer.info.height) == (width & !1, height & !1))
    });
    if !same_size {
        if camera.codec.is_none() {
            return choose_codec(camera, width, height);
        }
        let id = engine.next_stream_id;
        engine.next_stream_id += 1;
        if let Some(camera) = engine.cameras.get_mut(&source) {
            camera.stream = Some(Encoding::new(id, source, width, height));
        }
        engine.publish_changed();
        return;
    }
    camera.last_capture_us = capture_us;
    let now = js::now();
    let busy = camera.encode(now, frame, capture_us, engine.machine.left_out());
    engine
        .machine
        .encoded(now, if busy { OVERLOADED } else { 0.0 });
}

/// Asks the browser which codec it encodes.
fn choose_codec(camera: &mut VideoPublisher, width: u32, height: u32) {
    if std::mem::replace(&mut camera.asking, true) {
        return;
    }
    let (engine, source) = (camera.engine.clone(), camera.source);
    let temporal = if source == Source::Camera {
        ladder::TEMPORAL_LAYERS
    } else {
        1
    };
    spawn_local(async move {
        let mut chosen = None;
        for codec in CODECS {
            let info = LayerInfo {
                width: width & !1,
                height: height & !1,
                temporal_layers: temporal,
                ..LayerInfo::default()
            };
            let plan = LayerPlan {
                spatial: 0,
                bitrate_bps: 1_000_000,
                half_rate: false,
            };
            let config = config(codec, info, plan, true);
            let Ok(promise) = VideoEncoder::is_config_supported(&config) else {
                continue;
            };
            let Ok(answer) = JsFuture::from(promise).await else {
                continue;
            };
            if js::get(&answer, "supported").is_truthy() {
                chosen = Some(codec);
                break;
            }
        }
        let Some(shared) = engine.upgrade() else {
            return;
        };
        match chosen {
            Some(codec) => {
                if let Some(camera) = shared.borrow_mut().cameras.get_mut(&source) {
                    camera.codec = Some(codec.to_owned());
                }
            }
            None => tell(Event::Warning(Warning::NoVideoEncoder)),
        }
    });
}

fn config(codec: &str, info: LayerInfo, plan: LayerPlan, motion: bool) -> js_sys::Object {
    let fps = if plan.half_rate {
        MAX_FPS / 2.0
    } else {
        MAX_FPS
    };
    let config = js::object([
        ("codec", codec.into()),
        ("width", info.width.into()),
        ("height", info.height.into()),
        ("bitrate", plan.bitrate_bps.into()),
        ("framerate", fps.into()),
        ("latencyMode", "realtime".into()),
        ("bitrateMode", "variable".into()),
        (
            "contentHint",
            if motion { "motion" } else { "detail" }.into(),
        ),
    ]);
    if info.temporal_layers > 1 {
        let mode = format!("L1T{}", info.temporal_layers);
        let _ = Reflect::set(&config, &"scalabilityMode".into(), &mode.into());
    }
    config
}

impl Encoding {
    fn new(id: u32, source: Source, width: u32, height: u32) -> Self {
        let infos = match source {
            Source::Screen => ladder::screen(width, height),
            _ => ladder::camera(width, height),
        };
        Self {
            id,
            simulcast: Simulcast::new(infos.clone()),
            layers: infos.into_iter().map(Layer::new).collect(),
            pictures: 0,
        }
    }

    fn stop(&mut self) {
        for layer in &mut self.layers {
            layer.encoder = None;
        }
    }
}

impl Layer {
    fn new(info: LayerInfo) -> Self {
        Self {
            info,
            encoder: None,
            packetizer: Rc::default(),
            keyframe: false,
            frames: 0,
            bytes: 0,
            keyframes: 0,
            shown: (0.0, 0.0),
        }
    }
}

impl VideoPublisher {
    /// Encodes a picture as is planned now; whether an encoder was too busy for it.
    fn encode(&mut self, now: Duration, frame: &VideoFrame, capture_us: u64, left_out: u8) -> bool {
        let Some(codec) = self.codec.clone() else {
            return false;
        };
        let (engine, source) = (self.engine.clone(), self.source);
        let motion = source == Source::Camera || !self.detail;
        let Some(stream) = &mut self.stream else {
            return false;
        };
        stream.pictures += 1;
        let plan = stream.simulcast.plan(now, self.budget, left_out);
        let mut busy = false;
        for layer in &mut stream.layers {
            let planned = plan.iter().find(|plan| plan.spatial == layer.info.spatial);
            let Some(&planned) = planned else {
                layer.encoder = None;
                continue;
            };
            if layer.encoder.is_none() {
                layer.keyframe = true;
                layer.encoder = Encoder::new(
                    &engine, source, stream.id, layer.info, planned, &codec, motion,
                );
            }
            let Some(encoder) = &mut layer.encoder else {
                continue;
            };
            if planned.half_rate && !layer.keyframe && stream.pictures.is_multiple_of(2) {
                continue;
            }
            encoder.follow(now, layer.info, planned, &codec, motion);
            let encoder = &encoder.encoder;
            if encoder.encode_queue_size() > QUEUE {
                busy = true;
                continue;
            }
            // The output carries the frame's timestamp: put the capture time in its place.
            let Some(frame) = with_timestamp(frame, capture_us) else {
                continue;
            };
            let options = js::object([("keyFrame", layer.keyframe.into())]);
            if encoder.encode(&frame, &options).is_ok() {
                layer.keyframe = false;
            } else {
                layer.encoder = None;
            }
            frame.close();
        }
        self.skipped += u32::from(busy);
        busy
    }
}

/// The same picture, not copied, with another timestamp.
fn with_timestamp(frame: &VideoFrame, timestamp_us: u64) -> Option<VideoFrame> {
    let constructor = js::get(&js_sys::global(), "VideoFrame");
    let constructor: &js_sys::Function = constructor.dyn_ref()?;
    let init = js::object([("timestamp", (timestamp_us as f64).into())]);
    let arguments = js_sys::Array::of2(frame, &init);
    Reflect::construct(constructor, &arguments)
        .ok()
        .map(JsCast::unchecked_into)
}

impl Encoder {
    fn new(
        engine: &Weak<RefCell<Engine>>,
        source: Source,
        stream_id: u32,
        info: LayerInfo,
        plan: LayerPlan,
        codec: &str,
        motion: bool,
    ) -> Option<Self> {
        let spatial = info.spatial;
        let output = {
            let engine = engine.clone();
            Closure::<dyn FnMut(Chunk, JsValue)>::new(move |chunk: Chunk, metadata: JsValue| {
                let Some(shared) = engine.upgrade() else {
                    return;
                };
                send(
                    &mut shared.borrow_mut(),
                    source,
                    stream_id,
                    spatial,
                    &chunk,
                    &metadata,
                );
                pump(&shared);
            })
        };
        let error = {
            let engine = engine.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
                web_sys::console::warn_2(&"video encoder:".into(), &error);
                let Some(shared) = engine.upgrade() else {
                    return;
                };
                let mut engine = shared.borrow_mut();
                let camera = engine.cameras.get_mut(&source);
                if let Some(layer) = camera.and_then(|camera| camera.layer(stream_id, spatial)) {
                    layer.encoder = None;
                }
            })
        };
        let encoder = VideoEncoder::new(&js::object([
            ("output", output.as_ref().clone()),
            ("error", error.as_ref().clone()),
        ]))
        .ok()?;
        let encoder = Self {
            encoder,
            plan,
            planned: js::now(),
            _output: Later::new(output),
            _error: Later::new(error),
        };
        let config = config(codec, info, plan, motion);
        encoder.encoder.configure(&config).ok()?;
        Some(encoder)
    }

    /// Brings it in line with another plan; no keyframe is needed for that.
    fn follow(
        &mut self,
        now: Duration,
        info: LayerInfo,
        plan: LayerPlan,
        codec: &str,
        motion: bool,
    ) {
        let before = self.plan.bitrate_bps;
        let differs = plan.half_rate != self.plan.half_rate
            || plan.bitrate_bps.abs_diff(before) > before / RATE_STEP;
        // Too much is taken back at once.
        let due = now >= self.planned + RATE_PAUSE || plan.bitrate_bps < before / 2;
        if differs && due {
            (self.plan, self.planned) = (plan, now);
            let _ = self.encoder.configure(&config(codec, info, plan, motion));
        }
    }
}

fn send(
    engine: &mut Engine,
    source: Source,
    stream_id: u32,
    spatial: u32,
    chunk: &Chunk,
    metadata: &JsValue,
) {
    let Some(camera) = engine.cameras.get_mut(&source) else {
        return;
    };
    let kind = camera.kind();
    let codec = camera.codec.clone().unwrap_or_default();
    let Some(layer) = camera.layer(stream_id, spatial) else {
        return;
    };
    let Some(data) = js::chunk_bytes(chunk) else {
        return;
    };
    let keyframe = chunk.chunk_type() == "key";
    let temporal = js::get(&js::get(metadata, "svc"), "temporalLayerId")
        .as_f64()
        .unwrap_or(0.0);
    let Some(numbered) = layer.packetizer.borrow_mut().next(keyframe, temporal as u8) else {
        layer.keyframe = true;
        return;
    };
    layer.frames += 1;
    layer.bytes += data.len();
    layer.keyframes += u32::from(keyframe);
    let routing = Routing {
        kind,
        stream_id,
        spatial: spatial as u8,
        temporal: temporal as u8,
        keyframe,
        depends_back: numbered.depends_back,
        frame_number: numbered.frame_number,
        capture_us: chunk.timestamp() as u64,
        audio_level: 0,
        encrypted: false,
    };
    let video_metadata = VideoMetadata {
        sequence: numbered.frame_number,
        codec: known_codec(&codec).into(),
        codec_string: if keyframe { codec } else { String::new() },
        width: layer.info.width,
        height: layer.info.height,
    };
    let media = MediaPacket {
        media_type: kind.media_type().into(),
        data: Bytes::from(data),
        frame_type: if keyframe { "key" } else { "delta" }.to_owned(),
        timestamp: chunk.timestamp(),
        duration: Duration::from_secs(1).as_micros() as f64 / MAX_FPS,
        video_metadata: Some(video_metadata),
        ..MediaPacket::default()
    };
    engine.session.send_media(routing, &media);
}

fn known_codec(codec: &str) -> Codec {
    match codec.split('.').next() {
        Some("vp8") => Codec::Vp8,
        Some("vp09") => Codec::Vp9Profile0Level108bit,
        _ => Codec::Other,
    }
}
