//! The sound of one participant on its way in.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    time::Duration,
};

use bytes::Bytes;
use js_sys::{Float32Array, Uint8Array};
use videocall_types::{ids::MediaKind, view::Routing};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};

use super::{
    Engine,
    js::{self, AudioData, AudioDecoder, EncodedAudioChunk, Later},
    receive_video::share,
};
use crate::{
    core::{audio::AudioBuffer, reception::Figures as Received, timeline::Timeline},
    web::protocol::ReceiveStatistics,
};

/// Sound in a packet.
const PACKET: Duration = Duration::from_millis(20);

pub(super) struct AudioReceiver {
    engine: Weak<RefCell<Engine>>,
    key: (u64, MediaKind),
    slot: u32,
    buffer: AudioBuffer,
    decoder: Option<Decoder>,
    ready: Vec<crate::core::audio::AudioPacket>,
    packets: u32,
    bytes: usize,
    /// Samples that the voice had made up before it was ours.
    concealed_before: u32,
    /// How much sound was made up or missing as of the last second.
    told: Duration,
    received: Received,
    shown: (f64, f64),
}

struct Decoder {
    decoder: AudioDecoder,
    timeline: Rc<RefCell<Timeline>>,
    _output: Later<Closure<dyn FnMut(JsValue)>>,
    _error: Later<Closure<dyn FnMut(JsValue)>>,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.decoder.close();
    }
}

impl AudioReceiver {
    pub(super) fn new(
        engine: Weak<RefCell<Engine>>,
        key: (u64, MediaKind),
        slot: u32,
        concealed_before: u32,
    ) -> Self {
        Self {
            engine,
            key,
            slot,
            concealed_before,
            told: Duration::ZERO,
            received: Received::default(),
            buffer: AudioBuffer::default(),
            decoder: None,
            ready: Vec::new(),
            packets: 0,
            bytes: 0,
            shown: (0.0, 0.0),
        }
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// Takes a packet and decodes what is in order.
    pub(super) fn push(&mut self, routing: &Routing, data: Bytes) {
        self.packets += 1;
        self.bytes += data.len();
        let mut ready = std::mem::take(&mut self.ready);
        self.buffer.push(routing, data, &mut ready);
        for packet in ready.drain(..) {
            self.decode(packet.capture_us, &packet.data);
        }
        self.ready = ready;
    }

    fn decode(&mut self, capture_us: u64, data: &Bytes) {
        if self.decoder.is_none() {
            self.decoder = Decoder::new(&self.engine, self.key, self.slot);
        }
        let Some(Decoder {
            decoder, timeline, ..
        }) = &self.decoder
        else {
            return;
        };
        let samples = PACKET.as_millis() as u32 * 48;
        let timestamp = timeline.borrow_mut().give(capture_us, samples, 48_000.0);
        let chunk = EncodedAudioChunk::new(&js::object([
            ("type", "key".into()),
            ("timestamp", (timestamp as f64).into()),
            ("duration", 20_000.into()),
            ("data", Uint8Array::from(&data[..]).into()),
        ]));
        if chunk.and_then(|chunk| decoder.decode(&chunk)).is_err() {
            self.decoder = None;
        }
    }

    /// How much sound was made up or missing since the last call.
    pub(super) fn newly_concealed(&mut self, concealed: u32) -> Duration {
        let (_, made_up) = self.played_and_concealed(concealed);
        let before = std::mem::replace(&mut self.told, made_up);
        made_up.saturating_sub(before)
    }

    pub(super) fn each_second(&mut self, seconds: f64, received: Received) {
        self.received = received;
        self.shown = (
            f64::from(self.packets) / seconds,
            self.bytes as f64 * 8.0 / seconds,
        );
        (self.packets, self.bytes) = (0, 0);
    }

    /// For how long there was sound, and how long of that it was made up or missing. `concealed` is
    /// the voice's count of samples.
    pub(super) fn played_and_concealed(&self, concealed: u32) -> (Duration, Duration) {
        let packets = |count: u64| PACKET * u32::try_from(count).unwrap_or(u32::MAX);
        let samples = concealed.saturating_sub(self.concealed_before);
        let made_up = Duration::from_micros(u64::from(samples) * 1000 / 48);
        let missing = packets(self.buffer.lost);
        (
            packets(self.buffer.received) + missing + made_up,
            made_up + missing,
        )
    }

    pub(super) fn statistics(&self, delay_ms: f64, concealed: u32) -> ReceiveStatistics {
        let (played, made_up) = self.played_and_concealed(concealed);
        ReceiveStatistics {
            session_id: self.key.0,
            kind: self.key.1.label().to_owned(),
            codec: "opus".to_owned(),
            fps: self.shown.0,
            bitrate_bps: self.shown.1,
            jitter_ms: delay_ms,
            interarrival_jitter_ms: f64::from(self.received.jitter_us) / 1000.0,
            lost: self.received.lost,
            impaired_share: share(made_up, played),
            ..ReceiveStatistics::default()
        }
    }
}

impl Decoder {
    fn new(engine: &Weak<RefCell<Engine>>, key: (u64, MediaKind), slot: u32) -> Option<Self> {
        let timeline = Rc::<RefCell<Timeline>>::default();
        let output = {
            let (engine, timeline) = (engine.clone(), timeline.clone());
            Closure::<dyn FnMut(JsValue)>::new(move |data: JsValue| {
                let data: AudioData = data.unchecked_into();
                let captured = timeline.borrow_mut().capture_us(data.timestamp());
                if let (Some(engine), Some(capture_us)) = (engine.upgrade(), captured) {
                    let samples = Float32Array::new_with_length(data.number_of_frames());
                    let options =
                        js::object([("planeIndex", 0.into()), ("format", "f32-planar".into())]);
                    if data.copy_to(&samples, &options).is_ok() {
                        engine
                            .borrow()
                            .voices
                            .write(slot, capture_us as f64, &samples.to_vec());
                    }
                }
                data.close();
            })
        };
        let error = {
            let engine = engine.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
                web_sys::console::warn_2(&"audio decoder:".into(), &error);
                let Some(shared) = engine.upgrade() else {
                    return;
                };
                if let Some(sound) = shared.borrow_mut().heard.get_mut(&key) {
                    sound.decoder = None;
                }
            })
        };
        let decoder = AudioDecoder::new(&js::object([
            ("output", output.as_ref().clone()),
            ("error", error.as_ref().clone()),
        ]))
        .ok()?;
        let made = Self {
            decoder,
            timeline,
            _output: Later::new(output),
            _error: Later::new(error),
        };
        let config = js::object([
            ("codec", "opus".into()),
            ("sampleRate", 48_000.into()),
            ("numberOfChannels", 1.into()),
        ]);
        made.decoder.configure(&config).ok()?;
        Some(made)
    }
}
