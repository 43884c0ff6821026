//! One stream on its way from packets to pictures or samples.

use std::time::Duration;

use serde_json::{Value, json};
use videocall_client::{
    core::{
        audio::{AudioBuffer, AudioPacket},
        session::MediaIn,
    },
    native::Handle,
};
use videocall_codec::{
    opus::{self, Channels, packet_samples},
    pattern::read_clock,
    pcm,
    yuv::I420,
};
use videocall_types::{
    ids::{MediaKind, SessionId},
    view::Routing,
    wire::{MediaPacket, Message as _},
};

use super::sinks::Sinks;
use crate::{clock::Clock, exit::Failure, pictures};

/// Longest silence that is written to a file, in microseconds.
const LONGEST_SILENCE: u64 = 60_000_000;
/// What is no gap yet, in microseconds: half a packet.
const NO_GAP: u64 = 10_000;
const RATE: u64 = opus::SAMPLE_RATE as u64;

/// A decoder with its jitter buffer, and what it saw since it was last asked.
pub(super) struct Receiver {
    session: SessionId,
    kind: MediaKind,
    handle: Handle,
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
    pictures: pictures::Pictures,
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
    /// Of lost packets, how many were told.
    lost: u64,
    /// Capture time of what should come next.
    expected_us: Option<u64>,
}

impl Receiver {
    pub(super) fn new(
        (session, kind): (SessionId, MediaKind),
        handle: Handle,
        look_for_clock: bool,
    ) -> Result<Self, Failure> {
        let media = match kind {
            MediaKind::Audio | MediaKind::ScreenAudio => Media::Sound(Box::new(Sound {
                buffer: AudioBuffer::default(),
                ready: Vec::new(),
                decoder: opus::Decoder::new(Channels::Mono).map_err(Failure::other)?,
                samples: Vec::new(),
                loudest: 127,
                lost: 0,
                expected_us: None,
            })),
            _ => Media::Pictures(Box::new(Pictures {
                pictures: pictures::Pictures::default(),
                picture: I420::black(2, 2).map_err(Failure::other)?,
                look_for_clock,
                shown: 0,
                delay_ms: None,
            })),
        };
        Ok(Self {
            session,
            kind,
            handle,
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
            Media::Pictures(it) => it.pictures.push(now, packet.routing, media.data),
            Media::Sound(sound) => {
                let routing: Routing = packet.routing;
                sound.buffer.push(&routing, media.data, &mut sound.ready);
            }
        }
    }

    /// Decodes what can be decoded now. `false`: nobody reads any more what is written.
    pub(super) fn decode(
        &mut self,
        now: Duration,
        clock: &Clock,
        sinks: Option<&mut Sinks>,
    ) -> Result<bool, Failure> {
        let (session, handle) = (self.session, &self.handle);
        match &mut self.media {
            Media::Pictures(pictures) => {
                pictures.decode(now, clock, sinks, |routing| handle.shown(session, routing))
            }
            Media::Sound(sound) => {
                let (concealed, goes_on) = sound.decode(sinks)?;
                if !concealed.is_zero() {
                    handle.concealed(session, self.kind, concealed);
                }
                Ok(goes_on)
            }
        }
    }

    pub(super) fn wants_keyframe(&mut self, now: Duration) -> bool {
        match &mut self.media {
            Media::Pictures(it) => it.pictures.wants_keyframe(now),
            Media::Sound(_) => false,
        }
    }

    /// Whether something came since figures were told.
    pub(super) fn has_news(&self) -> bool {
        self.packets > 0
    }

    /// Figures since the last time; lost, freezes and the like since the beginning.
    pub(super) fn figures(&mut self) -> Value {
        let session = self.session.get();
        let reception = self.handle.reception(self.session, self.kind);
        let reception = reception.unwrap_or_default();
        let mut figures = json!({
            "session": session,
            "kind": self.kind.label(),
            "packets": std::mem::take(&mut self.packets),
            "kbps": std::mem::take(&mut self.bytes) * 8 / 1000,
            "unreadable": self.unreadable,
            "lost": reception.lost,
            "jitter_ms": f64::from(reception.jitter_us / 100) / 10.0,
            "impaired_ms": reception.impaired.as_millis() as u64,
        });
        let more = match &mut self.media {
            Media::Pictures(it) => json!({
                "width": it.picture.width(),
                "height": it.picture.height(),
                "fps": std::mem::take(&mut it.shown),
                "dropped": it.pictures.dropped(),
                "freezes": reception.freezes,
                "delay_ms": it.delay_ms.take(),
            }),
            Media::Sound(sound) => json!({
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
        shown: impl Fn(&Routing),
    ) -> Result<bool, Failure> {
        while let Some(routing) = self.pictures.next(now, &mut self.picture) {
            shown(&routing);
            self.shown += 1;
            if self.look_for_clock
                && let Some(made_ms) = read_clock(&self.picture)
            {
                self.delay_ms = Some((clock.now_us() / 1000) as i64 - made_ms as i64);
            }
            if let Some(sinks) = &mut sinks
                && !sinks.picture(&self.picture)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Sound {
    /// Gives how much had to be made up, and whether somebody reads what is written.
    fn decode(&mut self, mut sinks: Option<&mut Sinks>) -> Result<(Duration, bool), Failure> {
        let mut concealed = Duration::ZERO;
        for packet in self.ready.drain(..) {
            let lost = self.buffer.lost - std::mem::replace(&mut self.lost, self.buffer.lost);
            let length = packet_samples(&packet.data).unwrap_or(0) as u64 * 1_000_000 / RATE;
            concealed += Duration::from_micros(lost.min(50) * length);
            // What was not sent, because it was silence, or lost: a file has it as silence, so that
            // time goes on.
            let expected = self.expected_us.replace(packet.capture_us + length);
            let silence = packet
                .capture_us
                .saturating_sub(expected.unwrap_or(u64::MAX));
            self.samples.clear();
            if silence > NO_GAP {
                let samples = silence.min(LONGEST_SILENCE) * RATE / 1_000_000;
                self.samples.resize(samples as usize, 0.0);
            }
            let decoded = self.samples.len();
            if self
                .decoder
                .decode(&packet.data, &mut self.samples)
                .is_err()
            {
                continue;
            }
            self.loudest = self.loudest.min(pcm::level(&self.samples[decoded..]));
            if let Some(sinks) = &mut sinks
                && !sinks.sound(&self.samples)?
            {
                return Ok((concealed, false));
            }
        }
        Ok((concealed, true))
    }
}
