//! A microphone, or the sound of a screen, on its way out.

use std::{cell::RefCell, rc::Weak};

use bytes::Bytes;
use js_sys::Float32Array;
use videocall_types::{
    view::Routing,
    wire::{AudioMetadata, MediaPacket, StreamInfo},
};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};

use super::{
    Engine,
    js::{self, AudioData, AudioEncoder, Chunk, Later},
    pump,
    track::{CaptureClock, Track},
};
use crate::{
    core::timeline::Timeline,
    web::protocol::{PublishStatistics, Source},
};

/// A packet this short says that there is silence (discontinuous transmission).
const SILENCE_BYTES: usize = 3;
/// During silence one packet in so many is sent, so that the others know that we are there: 400 ms.
const KEEPALIVE: u32 = 20;
/// Encoded sound that may wait for its encoder.
const QUEUE: u32 = 20;

pub(super) struct AudioPublisher {
    engine: Weak<RefCell<Engine>>,
    source: Source,
    stream_id: u32,
    track: Track,
    clock: CaptureClock,
    encoder: Option<Encoder>,
    muted: bool,
    /// Loudness of what was encoded since the last packet: sum of squares, and of how many.
    energy: (f64, u32),
    number: u64,
    silent: u32,
    packets: u32,
    bytes: usize,
    shown: (f64, f64),
}

struct Encoder {
    encoder: AudioEncoder,
    channels: u32,
    sample_rate: f64,
    timeline: Timeline,
    _output: Later<Closure<dyn FnMut(Chunk, JsValue)>>,
    _error: Later<Closure<dyn FnMut(JsValue)>>,
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.encoder.close();
    }
}

impl AudioPublisher {
    pub(super) fn new(engine: Weak<RefCell<Engine>>, source: Source, stream_id: u32) -> Self {
        Self {
            engine,
            source,
            stream_id,
            track: Track::default(),
            clock: CaptureClock::default(),
            encoder: None,
            muted: false,
            energy: (0.0, 0),
            number: 0,
            silent: 0,
            packets: 0,
            bytes: 0,
            shown: (0.0, 0.0),
        }
    }

    /// Reads another track from now on.
    pub(super) fn read(&mut self, reader: js::Reader) {
        self.clock = CaptureClock::default();
        let source = self.source;
        self.track
            .read(self.engine.clone(), source, reader, move |engine, data| {
                let data: AudioData = data.unchecked_into();
                if let Some(sound) = engine.sounds.get_mut(&source) {
                    let level = sound.take(&data);
                    if source == Source::Microphone {
                        engine.voices.set_own_level(level);
                    }
                }
                data.close();
            });
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    pub(super) fn info(&self) -> StreamInfo {
        StreamInfo {
            kind: self.source.kind().into(),
            stream_id: self.stream_id,
            codec: "opus".to_owned(),
            layers: Vec::new(),
            muted: self.muted,
        }
    }

    pub(super) fn each_second(&mut self, seconds: f64) {
        self.shown = (
            f64::from(self.packets) / seconds,
            self.bytes as f64 * 8.0 / seconds,
        );
        (self.packets, self.bytes) = (0, 0);
    }

    pub(super) fn statistics(&self) -> PublishStatistics {
        PublishStatistics {
            kind: self.source.kind().label().to_owned(),
            codec: "opus".to_owned(),
            wanted: true,
            fps: self.shown.0,
            bitrate_bps: self.shown.1,
            ..PublishStatistics::default()
        }
    }

    /// Encodes some sound; returns its loudness, 0 to 1.
    fn take(&mut self, data: &AudioData) -> f32 {
        if self.muted {
            return 0.0;
        }
        let (channels, sample_rate) = (data.number_of_channels().min(2), data.sample_rate());
        let capture_us = self
            .clock
            .capture_us(js::now(), data.timestamp(), data.duration());
        let fits = self.encoder.as_ref().is_some_and(|encoder| {
            encoder.channels == channels && encoder.sample_rate == sample_rate
        });
        if !fits {
            self.encoder = Encoder::new(&self.engine, self.source, channels, sample_rate);
        }
        let samples = samples_of(data);
        let sum: f64 = samples
            .iter()
            .map(|sample| f64::from(*sample).powi(2))
            .sum();
        self.energy.0 += sum;
        self.energy.1 += samples.len() as u32;
        if let Some(encoder) = &mut self.encoder
            && encoder.encoder.encode_queue_size() < QUEUE
        {
            encoder.encode(&samples, capture_us);
        }
        (sum / samples.len().max(1) as f64).sqrt() as f32
    }

    /// −dBov of what was encoded since the last packet (RFC 6464).
    fn take_level(&mut self) -> u8 {
        let (sum, count) = std::mem::take(&mut self.energy);
        let decibel = 10.0 * (sum / f64::from(count.max(1))).max(1e-13).log10();
        (-decibel).clamp(0.0, 127.0) as u8
    }

    /// Number and level of the packet to send now; `None` for one that need not be sent.
    fn next_packet(&mut self, bytes: usize) -> Option<(u64, u8)> {
        let level = self.take_level();
        if bytes <= SILENCE_BYTES {
            self.silent += 1;
            if !self.silent.is_multiple_of(KEEPALIVE) {
                return None;
            }
        } else {
            self.silent = 0;
        }
        self.number += 1;
        self.packets += 1;
        self.bytes += bytes;
        Some((self.number, level))
    }
}

/// All channels as one.
fn samples_of(data: &AudioData) -> Vec<f32> {
    let frames = data.number_of_frames();
    let channels = data.number_of_channels();
    let mut sum = vec![0.0f32; frames as usize];
    let plane = Float32Array::new_with_length(frames);
    for channel in 0..channels.min(2) {
        let options = js::object([
            ("planeIndex", channel.into()),
            ("format", "f32-planar".into()),
        ]);
        if data.copy_to(&plane, &options).is_err() {
            continue;
        }
        for (sum, sample) in sum.iter_mut().zip(plane.to_vec()) {
            *sum += sample / channels.min(2) as f32;
        }
    }
    sum
}

impl Encoder {
    fn new(
        engine: &Weak<RefCell<Engine>>,
        source: Source,
        channels: u32,
        sample_rate: f64,
    ) -> Option<Self> {
        let output = {
            let engine = engine.clone();
            Closure::<dyn FnMut(Chunk, JsValue)>::new(move |chunk: Chunk, _: JsValue| {
                let Some(shared) = engine.upgrade() else {
                    return;
                };
                send(&mut shared.borrow_mut(), source, &chunk);
                pump(&shared);
            })
        };
        let error = {
            let engine = engine.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
                web_sys::console::warn_2(&"audio encoder:".into(), &error);
                let Some(shared) = engine.upgrade() else {
                    return;
                };
                if let Some(sound) = shared.borrow_mut().sounds.get_mut(&source) {
                    // Made anew with the next sound.
                    sound.encoder = None;
                }
            })
        };
        let encoder = AudioEncoder::new(&js::object([
            ("output", output.as_ref().clone()),
            ("error", error.as_ref().clone()),
        ]))
        .ok()?;
        let voice = source == Source::Microphone;
        let opus = js::object([
            ("application", if voice { "voip" } else { "audio" }.into()),
            ("signal", if voice { "voice" } else { "auto" }.into()),
            ("frameDuration", 20_000.into()),
            ("usedtx", voice.into()),
            ("useinbandfec", true.into()),
            ("packetlossperc", 10.into()),
        ]);
        let config = js::object([
            ("codec", "opus".into()),
            ("sampleRate", sample_rate.into()),
            ("numberOfChannels", 1.into()),
            ("bitrate", if voice { 32_000 } else { 96_000 }.into()),
            ("opus", opus.into()),
        ]);
        let made = Self {
            encoder,
            channels,
            sample_rate,
            timeline: Timeline::default(),
            _output: Later::new(output),
            _error: Later::new(error),
        };
        made.encoder.configure(&config).ok()?;
        Some(made)
    }

    /// Encodes sound of one channel.
    fn encode(&mut self, samples: &[f32], capture_us: u64) {
        let frames = samples.len() as u32;
        let timestamp = self.timeline.give(capture_us, frames, self.sample_rate);
        let constructor = js::get(&js_sys::global(), "AudioData");
        let Some(constructor) = constructor.dyn_ref::<js_sys::Function>() else {
            return;
        };
        let init = js::object([
            ("format", "f32-planar".into()),
            ("sampleRate", self.sample_rate.into()),
            ("numberOfFrames", frames.into()),
            ("numberOfChannels", 1.into()),
            ("timestamp", (timestamp as f64).into()),
            ("data", Float32Array::from(samples).into()),
        ]);
        let arguments = js_sys::Array::of1(&init);
        if let Ok(data) = js_sys::Reflect::construct(constructor, &arguments) {
            let data: AudioData = data.unchecked_into();
            let _ = self.encoder.encode(&data);
            data.close();
        }
    }
}

fn send(engine: &mut Engine, source: Source, chunk: &Chunk) {
    let Some(sound) = engine.sounds.get_mut(&source) else {
        return;
    };
    let Some(data) = js::chunk_bytes(chunk) else {
        return;
    };
    let encoder = sound.encoder.as_mut();
    let captured = encoder.and_then(|encoder| encoder.timeline.capture_us(chunk.timestamp()));
    let Some(capture_us) = captured else {
        return;
    };
    let Some((frame_number, audio_level)) = sound.next_packet(data.len()) else {
        return;
    };
    let routing = Routing {
        kind: source.kind(),
        stream_id: sound.stream_id,
        spatial: 0,
        temporal: 0,
        keyframe: false,
        depends_back: 0,
        frame_number,
        capture_us,
        audio_level,
        encrypted: false,
    };
    let media = MediaPacket {
        media_type: source.kind().media_type().into(),
        data: Bytes::from(data),
        frame_type: "key".to_owned(),
        timestamp: capture_us as f64,
        duration: 20_000.0,
        audio_metadata: Some(AudioMetadata {
            audio_format: "opus".to_owned(),
            audio_number_of_channels: 1,
            audio_sample_rate: 48_000.0,
            sequence: frame_number,
            ..AudioMetadata::default()
        }),
        ..MediaPacket::default()
    };
    engine.session.send_media(routing, &media);
}
