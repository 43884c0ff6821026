//! One stream on its way from packets to pictures or samples.

use std::time::Duration;

use serde_json::{Value, json};
use videocall_client::core::{
    audio::{AudioBuffer, AudioPacket},
    session::MediaIn,
    video::VideoBuffer,
};
use videocall_codec::{
    VideoCodec,
    opus::{self, Channels},
    pattern::read_clock,
    pcm,
    vp9::{Decoder, DecoderConfig},
    yuv::I420,
};
use videocall_types::{
    ids::MediaKind,
    view::Routing,
    wire::{MediaPacket, Message as _},
};

use super::sinks::Sinks;
use crate::{clock::Clock, exit::Failure};

/// A decoder with its jitter buffer, and what it saw since it was last asked.
pub(super) struct Receiver {
    media: Media,
    packets: u64,
    bytes: u64,
    unreadable: u64,
}

enum Media {
    Pictures(Box<Pictures>),
    Sound(Box<Sound>),
}

struct Pictures {
    buffer: VideoBuffer,
    decoder: Decoder,
    picture: I420,
    look_for_clock: bool,
    shown: u64,
    delay_ms: Option<i64>,
}

struct Sound {
    buffer: AudioBuffer,
    ready: Vec<AudioPacket>,
    decoder: opus::Decoder,
    samples: Vec<f32>,
    loudest: u8,
}

impl Receiver {
    pub(super) fn new(kind: MediaKind, look_for_clock: bool) -> Result<Self, Failure> {
        let media = match kind {
            MediaKind::Audio | MediaKind::ScreenAudio => Media::Sound(Box::new(Sound {
                buffer: AudioBuffer::default(),
                ready: Vec::new(),
                decoder: opus::Decoder::new(Channels::Mono).map_err(Failure::other)?,
                samples: Vec::new(),
                loudest: 127,
            })),
            _ => Media::Pictures(Box::new(Pictures {
                buffer: VideoBuffer::default(),
                decoder: Decoder::new(DecoderConfig::new(VideoCodec::Vp9))
                    .map_err(Failure::other)?,
                picture: I420::black(2, 2).map_err(Failure::other)?,
                look_for_clock,
                shown: 0,
                delay_ms: None,
            })),
        };
        Ok(Self {
            media,
            packets: 0,
            bytes: 0,
            unreadable: 0,
        })
    }

    /// Takes a packet.
    pub(super) fn take(&mut self, now: Duration, packet: MediaIn) {
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        let Ok(media) = MediaPacket::decode(packet.payload) else {
            self.unreadable += 1;
            return;
        };
        match &mut self.media {
            Media::Pictures(pictures) => pictures.buffer.push(now, packet.routing, media.data),
            Media::Sound(sound) => {
                let routing: Routing = packet.routing;
                sound.buffer.push(&routing, media.data, &mut sound.ready);
            }
        }
    }

    /// Decodes what can be decoded now.
    pub(super) fn decode(
        &mut self,
        now: Duration,
        clock: &Clock,
        sinks: Option<&mut Sinks>,
    ) -> Result<(), Failure> {
        match &mut self.media {
            Media::Pictures(pictures) => pictures.decode(now, clock, sinks),
            Media::Sound(sound) => sound.decode(sinks),
        }
    }

    pub(super) fn wants_keyframe(&mut self, now: Duration) -> bool {
        match &mut self.media {
            Media::Pictures(pictures) => pictures.buffer.wants_keyframe(now),
            Media::Sound(_) => false,
        }
    }

    /// Figures since the last time.
    pub(super) fn figures(&mut self, session: u64, kind: &str) -> Value {
        let mut figures = json!({
            "session": session,
            "kind": kind,
            "packets": std::mem::take(&mut self.packets),
            "kbps": std::mem::take(&mut self.bytes) * 8 / 1000,
            "unreadable": self.unreadable,
        });
        let more = match &mut self.media {
            Media::Pictures(pictures) => json!({
                "width": pictures.picture.width(),
                "height": pictures.picture.height(),
                "fps": std::mem::take(&mut pictures.shown),
                "dropped": pictures.buffer.dropped,
                "delay_ms": pictures.delay_ms.take(),
            }),
            Media::Sound(sound) => json!({
                "lost": sound.buffer.lost,
                "level_dbov": -i32::from(std::mem::replace(&mut sound.loudest, 127)),
            }),
        };
        if let (Some(figures), Some(more)) = (figures.as_object_mut(), more.as_object()) {
            figures.extend(more.clone());
        }
        figures
    }
}

impl Pictures {
    fn decode(
        &mut self,
        now: Duration,
        clock: &Clock,
        mut sinks: Option<&mut Sinks>,
    ) -> Result<(), Failure> {
        while let Some(frame) = self.buffer.pop(now) {
            let decoded = self.decoder.decode_into(&frame.payload, &mut self.picture);
            if !matches!(decoded, Ok(true)) {
                self.buffer.restart(now);
                continue;
            }
            self.shown += 1;
            if self.look_for_clock
                && let Some(made_ms) = read_clock(&self.picture)
            {
                self.delay_ms = Some((clock.now_us() / 1000) as i64 - made_ms as i64);
            }
            if let Some(sinks) = &mut sinks {
                sinks.picture(&self.picture)?;
            }
        }
        Ok(())
    }
}

impl Sound {
    fn decode(&mut self, mut sinks: Option<&mut Sinks>) -> Result<(), Failure> {
        for packet in self.ready.drain(..) {
            self.samples.clear();
            if self
                .decoder
                .decode(&packet.data, &mut self.samples)
                .is_err()
            {
                continue;
            }
            self.loudest = self.loudest.min(pcm::level(&self.samples));
            if let Some(sinks) = &mut sinks {
                sinks.sound(&self.samples)?;
            }
        }
        Ok(())
    }
}
