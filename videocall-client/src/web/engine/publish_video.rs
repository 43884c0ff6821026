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
    core::{ladder, packetizer::Packetizer},
    web::protocol::{Event, PublishStatistics, Source, Warning},
};

/// Frames that an encoder may have before it; more, and it cannot keep up.
const QUEUE: u32 = 2;
/// Frames a second at most.
const MAX_FPS: f64 = 30.0;
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
    demand: u32,
    skipped: u32,
}

/// The encodings of a picture of one size.
struct Encoding {
    id: u32,
    layers: Vec<Layer>,
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
            demand: 0,
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
            layers: stream.layers.iter().map(|layer| layer.info).collect(),
            muted: false,
        })
    }

    pub(super) fn set_demand(&mut self, stream_id: u32, mask: u32) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == stream_id) else {
            return;
        };
        self.demand = mask;
        for layer in &mut stream.layers {
            if mask & 1 << layer.info.spatial == 0 {
                layer.encoder = None;
            }
        }
    }

    pub(super) fn request_keyframe(&mut self, spatial: u32) {
        let layers = self.stream.iter_mut().flat_map(|stream| &mut stream.layers);
        for layer in layers.filter(|layer| layer.info.spatial == spatial) {
            layer.keyframe = true;
        }
    }

    /// The session is a new one: nobody has anything of this yet.
    pub(super) fn restart(&mut self) {
        self.demand = 0;
        for layer in self.stream.iter_mut().flat_map(|stream| &mut stream.layers) {
            layer.encoder = None;
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
            .flat_map(|stream| &stream.layers)
            .map(|layer| PublishStatistics {
                kind: self.kind().label().to_owned(),
                spatial: layer.info.spatial,
                codec: self.codec.clone().unwrap_or_default(),
                width: layer.info.width,
                height: layer.info.height,
                wanted: self.demand & 1 << layer.info.spatial != 0,
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
            camera.demand = 0;
        }
        engine.publish_changed();
        return;
    }
    camera.last_capture_us = capture_us;
    camera.encode(frame, capture_us);
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
            let config = config(codec, width & !1, height & !1, 1_000_000, temporal, true);
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

fn config(
    codec: &str,
    width: u32,
    height: u32,
    bitrate: u32,
    temporal_layers: u32,
    motion: bool,
) -> js_sys::Object {
    let config = js::object([
        ("codec", codec.into()),
        ("width", width.into()),
        ("height", height.into()),
        ("bitrate", bitrate.into()),
        ("framerate", MAX_FPS.into()),
        ("latencyMode", "realtime".into()),
        ("bitrateMode", "variable".into()),
        (
            "contentHint",
            if motion { "motion" } else { "detail" }.into(),
        ),
    ]);
    if temporal_layers > 1 {
        let mode = format!("L1T{temporal_layers}");
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
        let layers = infos.into_iter().map(Layer::new).collect();
        Self { id, layers }
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
    fn encode(&mut self, frame: &VideoFrame, capture_us: u64) {
        let Some(codec) = self.codec.clone() else {
            return;
        };
        let (engine, source, demand) = (self.engine.clone(), self.source, self.demand);
        let motion = source == Source::Camera || !self.detail;
        let Some(stream) = &mut self.stream else {
            return;
        };
        for layer in &mut stream.layers {
            if demand & 1 << layer.info.spatial == 0 {
                continue;
            }
            if layer.encoder.is_none() {
                layer.keyframe = true;
                layer.encoder =
                    Encoder::new(&engine, source, stream.id, layer.info, &codec, motion);
            }
            let Some(Encoder { encoder, .. }) = &layer.encoder else {
                continue;
            };
            if encoder.encode_queue_size() > QUEUE {
                self.skipped += 1;
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
            _output: Later::new(output),
            _error: Later::new(error),
        };
        let LayerInfo {
            width,
            height,
            bitrate_bps,
            temporal_layers,
            ..
        } = info;
        let config = config(codec, width, height, bitrate_bps, temporal_layers, motion);
        encoder.encoder.configure(&config).ok()?;
        Some(encoder)
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
