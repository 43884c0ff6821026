//! The thread that encodes sound.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{Sender, error::TrySendError};
use videocall_codec::{
    opus::{Channels, Encoder, EncoderConfig, FRAME_SAMPLES, Packet, Sound as Tuning},
    pcm,
};
use videocall_types::{
    ids::MediaKind,
    view::Routing,
    wire::{AudioMetadata, MediaPacket},
};

use super::{AUDIO_STREAM, Encoded, source::Sound};
use crate::{clock::Clock, exit::Failure};

const FRAME: Duration = Duration::from_millis(20);

/// Sound on its way to packets.
pub(super) struct Publisher {
    sound: Sound,
    encoder: Encoder,
    clock: Clock,
    number: u64,
}

impl Publisher {
    pub(super) fn new(sound: Sound, clock: Clock) -> Result<Self, Failure> {
        let tuning = match sound {
            Sound::Tone(_) => Tuning::Music,
            Sound::Wav(_) => Tuning::Speech,
        };
        let config = EncoderConfig {
            dtx: true,
            ..EncoderConfig::new(Channels::Mono, tuning)
        };
        Ok(Self {
            sound,
            encoder: Encoder::new(&config).map_err(Failure::other)?,
            clock,
            number: 0,
        })
    }

    /// Encodes until the input or the program ends.
    pub(super) fn run(mut self, packets: &Sender<Encoded>, stopped: &Receiver<()>) {
        let mut samples = [0.0; FRAME_SAMPLES];
        let mut due = Instant::now();
        loop {
            match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            let capture_us = self.clock.at_us(due);
            if !self.sound.next(capture_us, &mut samples) {
                return;
            }
            due += FRAME;
            let Ok(packet) = self.encoder.encode(&samples) else {
                continue;
            };
            self.number += 1;
            if packet.silent {
                continue;
            }
            let packet = self.packet(packet, capture_us, pcm::level(&samples));
            if let Err(TrySendError::Closed(_)) = packets.try_send(packet) {
                return;
            }
        }
    }

    fn packet(&self, packet: Packet, capture_us: u64, audio_level: u8) -> Encoded {
        let routing = Routing {
            kind: MediaKind::Audio,
            stream_id: AUDIO_STREAM,
            spatial: 0,
            temporal: 0,
            keyframe: false,
            depends_back: 0,
            frame_number: self.number,
            capture_us,
            audio_level,
            encrypted: false,
        };
        let media = MediaPacket {
            media_type: MediaKind::Audio.media_type().into(),
            data: packet.data,
            frame_type: "key".to_owned(),
            timestamp: capture_us as f64,
            duration: FRAME.as_micros() as f64,
            audio_metadata: Some(AudioMetadata {
                audio_format: "opus".to_owned(),
                audio_number_of_channels: 1,
                audio_sample_rate: 48_000.0,
                sequence: self.number,
                ..AudioMetadata::default()
            }),
            ..MediaPacket::default()
        };
        (routing, media)
    }
}
