//! The picture of one participant on its way in: ordered, decoded, and shown at its time.

use std::{cell::RefCell, collections::VecDeque, rc::Weak, time::Duration};

use bytes::Bytes;
use js_sys::Uint8Array;
use videocall_types::{ids::MediaKind, view::Routing};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::{
    Engine, Views, events,
    js::{self, EncodedVideoChunk, Later, VideoDecoder, VideoFrame},
};
use crate::{
    core::{reception::Figures as Received, timing::Timing, video::VideoBuffer},
    web::protocol::{Quality, ReceiveStatistics},
};

/// Decoded frames that wait to be shown; the decoder has few to give.
const DECODED: usize = 12;
/// Frames that a decoder may have before it.
const QUEUE: u32 = 30;
/// Frames within the decoder and behind it.
const DECODING: usize = QUEUE as usize + 2 * DECODED;

pub(super) struct VideoReceiver {
    engine: Weak<RefCell<Engine>>,
    key: (u64, MediaKind),
    buffer: VideoBuffer,
    timing: Timing,
    decoder: Option<Decoder>,
    codec: String,
    /// With their capture times.
    decoded: VecDeque<(u64, VideoFrame)>,
    /// Headers of the frames that were given to the decoder and not shown yet.
    decoding: VecDeque<Routing>,
    shown_at: Option<Duration>,
    size: (u32, u32),
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    frames: u32,
    bytes: usize,
    fps: f64,
    bitrate: f64,
    /// For how long there was a picture, since the start.
    watched: Duration,
    /// As of the last second and of the one before it.
    reception: (Received, Received),
    offset_ms: Option<f32>,
    delay_ms: Option<f64>,
    first_shown: Option<Duration>,
}

/// What came of a tick.
pub(super) struct Ticked {
    /// The frame that is shown from now on.
    pub(super) shown: Option<Routing>,
    pub(super) wants_keyframe: bool,
}

struct Decoder {
    decoder: VideoDecoder,
    _output: Later<Closure<dyn FnMut(JsValue)>>,
    _error: Later<Closure<dyn FnMut(JsValue)>>,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.decoder.close();
    }
}

impl Drop for VideoReceiver {
    fn drop(&mut self) {
        for (_, frame) in &self.decoded {
            frame.close();
        }
    }
}

impl VideoReceiver {
    pub(super) fn new(engine: Weak<RefCell<Engine>>, key: (u64, MediaKind)) -> Self {
        Self {
            engine,
            key,
            buffer: VideoBuffer::default(),
            timing: Timing::default(),
            decoder: None,
            codec: String::new(),
            decoded: VecDeque::new(),
            decoding: VecDeque::new(),
            shown_at: None,
            size: (0, 0),
            figures: Figures::default(),
        }
    }

    pub(super) fn push(&mut self, now: Duration, routing: Routing, payload: Bytes) {
        self.figures.bytes += payload.len();
        self.timing.arrived(now, routing.capture_us);
        self.buffer.push(now, routing, payload);
    }

    pub(super) fn hear(&mut self, heard: Option<(Duration, u64)>) {
        self.timing.heard(heard);
    }

    /// Decodes what can be decoded.
    pub(super) fn decode_ready(&mut self, now: Duration) {
        while self.has_room() {
            let Some(frame) = self.buffer.pop(now) else {
                return;
            };
            if !self.decode(&frame.routing, frame.payload) {
                self.decoder = None;
                self.buffer.restart(now);
            }
        }
    }

    fn has_room(&self) -> bool {
        let queued = self
            .decoder
            .as_ref()
            .map_or(0, |d| d.decoder.decode_queue_size());
        queued < QUEUE && self.decoded.len() < DECODED
    }

    fn decode(&mut self, routing: &Routing, payload: Bytes) -> bool {
        let Ok(media) = events::decode(payload) else {
            return false;
        };
        if routing.keyframe {
            let metadata = media.video_metadata.unwrap_or_default();
            let codec = match metadata.codec_string.is_empty() {
                true => "vp09.00.10.08".to_owned(),
                false => metadata.codec_string,
            };
            if self.decoder.is_none() || codec != self.codec {
                self.decoder = Decoder::new(&self.engine, self.key, &codec);
                self.codec = codec;
            }
        }
        let Some(Decoder { decoder, .. }) = &self.decoder else {
            return false;
        };
        let chunk = EncodedVideoChunk::new(&js::object([
            (
                "type",
                if routing.keyframe { "key" } else { "delta" }.into(),
            ),
            ("timestamp", (routing.capture_us as f64).into()),
            ("data", Uint8Array::from(&media.data[..]).into()),
        ]));
        let given = chunk.and_then(|chunk| decoder.decode(&chunk)).is_ok();
        if given {
            if self.decoding.len() >= DECODING {
                self.decoding.pop_front();
            }
            self.decoding.push_back(*routing);
        }
        given
    }

    fn decoded(&mut self, frame: VideoFrame) {
        self.size = (frame.display_width(), frame.display_height());
        if self.decoded.len() >= 2 * DECODED {
            frame.close();
            return;
        }
        self.decoded.push_back((frame.timestamp() as u64, frame));
    }

    fn failed(&mut self, now: Duration) {
        self.decoder = None;
        self.buffer.restart(now);
    }

    /// Shows what is due, and says what to tell of it.
    pub(super) fn tick(&mut self, now: Duration, views: &mut Views) -> Ticked {
        self.decode_ready(now);
        // Half a tick early is nearer than half a tick late.
        let soon = now + Duration::from_millis(5);
        let mut due = None;
        while let Some((capture_us, _)) = self.decoded.front()
            && self.timing.display_at(*capture_us) <= soon
        {
            if let Some((_, late)) = due.replace(self.decoded.pop_front()).flatten() {
                let late: VideoFrame = late;
                late.close();
            }
        }
        let mut shown = None;
        if let Some((capture_us, frame)) = due.flatten() {
            self.show(now, capture_us, &frame, views);
            shown = self.header(capture_us);
        }
        Ticked {
            shown,
            wants_keyframe: self.buffer.wants_keyframe(now),
        }
    }

    fn show(&mut self, now: Duration, capture_us: u64, frame: &VideoFrame, views: &mut Views) {
        for view in views.of(self.key) {
            // A view that does not take frames has enough of them.
            if view.writer.desired_size().unwrap_or(0.0) > 0.0 {
                let copy = js::get(frame, "clone");
                let copy = copy.unchecked_ref::<js_sys::Function>().call0(frame);
                if let Ok(copy) = copy {
                    give(&view.writer, copy.unchecked_into());
                }
            }
        }
        frame.close();
        views.shown(self.key);
        let figures = &mut self.figures;
        figures.frames += 1;
        figures.first_shown.get_or_insert(now);
        figures.offset_ms = self.timing.offset_to_audio_ms(now, capture_us);
        let delay = now.as_micros() as f64 - capture_us as f64;
        figures.delay_ms = (delay.abs() < 10e6).then_some(delay / 1000.0);
        if let Some(before) = self.shown_at {
            figures.watched += now.saturating_sub(before);
        }
        self.shown_at = Some(now);
    }

    /// The header of a frame that is shown now; those before it are not shown any more.
    fn header(&mut self, capture_us: u64) -> Option<Routing> {
        while let Some(routing) = self.decoding.pop_front() {
            if routing.capture_us >= capture_us {
                return (routing.capture_us == capture_us).then_some(routing);
            }
        }
        None
    }

    /// Nothing comes for a while on purpose: that is no freeze.
    pub(super) fn pause(&mut self) {
        self.shown_at = None;
    }

    /// For how long there was a picture, and how long of that it stood still.
    pub(super) fn watched_and_frozen(&self) -> (Duration, Duration) {
        let still = self.figures.reception.0.impaired;
        (self.figures.watched.max(still), still)
    }

    pub(super) fn first_shown(&self) -> Option<Duration> {
        self.figures.first_shown
    }

    pub(super) fn quality(&self) -> Quality {
        let (now, before) = &self.figures.reception;
        match now.freezes.saturating_sub(before.freezes) {
            _ if self.shown_at.is_none() => Quality::Unknown,
            0 => Quality::Good,
            1 => Quality::Fair,
            _ => Quality::Poor,
        }
    }

    pub(super) fn each_second(&mut self, seconds: f64, received: Received) {
        let figures = &mut self.figures;
        figures.fps = f64::from(figures.frames) / seconds;
        figures.bitrate = figures.bytes as f64 * 8.0 / seconds;
        (figures.frames, figures.bytes) = (0, 0);
        figures.reception = (received, figures.reception.0);
    }

    pub(super) fn statistics(&self) -> ReceiveStatistics {
        let received = self.figures.reception.0;
        let (watched, frozen) = self.watched_and_frozen();
        ReceiveStatistics {
            session_id: self.key.0,
            kind: self.key.1.label().to_owned(),
            codec: self.codec.clone(),
            width: self.size.0,
            height: self.size.1,
            spatial: self.buffer.spatial().unwrap_or(0).into(),
            fps: self.figures.fps,
            bitrate_bps: self.figures.bitrate,
            jitter_ms: self.timing.jitter_ms().into(),
            interarrival_jitter_ms: f64::from(received.jitter_us) / 1000.0,
            lost: received.lost,
            freezes: received.freezes,
            impaired_share: share(frozen, watched),
            av_offset_ms: self.figures.offset_ms.map(f64::from),
            capture_to_display_ms: self.figures.delay_ms,
        }
    }
}

/// Gives a frame to a view. One that is gone takes none, and frames are closed by hand.
fn give(writer: &js::Writer, frame: VideoFrame) {
    let written = JsFuture::from(writer.write(&frame));
    spawn_local(async move {
        if written.await.is_err() {
            frame.close();
        }
    });
}

/// A part of a time; 0 before there is any.
pub(super) fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() {
        return 0.0;
    }
    (part.as_secs_f64() / whole.as_secs_f64()).min(1.0)
}

impl Decoder {
    fn new(engine: &Weak<RefCell<Engine>>, key: (u64, MediaKind), codec: &str) -> Option<Self> {
        let output = {
            let engine = engine.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |frame: JsValue| {
                let frame: VideoFrame = frame.unchecked_into();
                let shared = engine.upgrade();
                match shared.as_ref().map(|shared| shared.borrow_mut()) {
                    Some(mut engine) => match engine.pictures.get_mut(&key) {
                        Some(picture) => picture.decoded(frame),
                        None => frame.close(),
                    },
                    None => frame.close(),
                }
            })
        };
        let error = {
            let engine = engine.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
                web_sys::console::warn_2(&"video decoder:".into(), &error);
                let Some(shared) = engine.upgrade() else {
                    return;
                };
                if let Some(picture) = shared.borrow_mut().pictures.get_mut(&key) {
                    picture.failed(js::now());
                }
            })
        };
        let decoder = VideoDecoder::new(&js::object([
            ("output", output.as_ref().clone()),
            ("error", error.as_ref().clone()),
        ]))
        .ok()?;
        let made = Self {
            decoder,
            _output: Later::new(output),
            _error: Later::new(error),
        };
        let config = js::object([("codec", codec.into()), ("optimizeForLatency", true.into())]);
        made.decoder.configure(&config).ok()?;
        Some(made)
    }
}
