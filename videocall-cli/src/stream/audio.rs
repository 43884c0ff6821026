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
    view::Routing,
    wire::{AudioMetadata, MediaPacket},
};

use super::{Encoded, source::Sound, tracks::Tracks};
use crate::{clock::Clock, exit::Failure};

const FRAME: Duration = Duration::from_millis(20);

/// Sound on its way to packets.
pub(super) struct Publisher {
    sound: Sound,
    tracks: Tracks,
    encoder: Encoder,
    clock: Clock,
    number: u64,
}

impl Publisher {
    pub(super) fn new(sound: Sound, tracks: Tracks, clock: Clock) -> Result<Self, Failure> {
        let tuning = match sound {
            Sound::Tone(_) => Tuning::Music,
            Sound::Wav(_) | Sound::Microphone(_) => Tuning::Speech,
        };
        let config = EncoderConfig {
            dtx: true,
            ..EncoderConfig::new(Channels::Mono, tuning)
        };
        Ok(Self {
            sound,
            tracks,
            encoder: Encoder::new(&config).map_err(Failure::other)?,
            clock,
            number: 0,
        })
    }

    /// Encodes until the input or the program ends.
    pub(super) fn run(
        mut self,
        packets: &Sender<Encoded>,
        stopped: &Receiver<()>,
    ) -> Result<(), Failure> {
        let mut samples = [0.0; FRAME_SAMPLES];
        let mut due = Instant::now();
        loop {
            let heard = match self.sound.microphone() {
                Some(microphone) => microphone.next(&mut samples, stopped),
                None => self.made(&mut due, &mut samples, stopped)?,
            };
            let Some(heard) = heard else {
                return Ok(());
            };
            let capture_us = self.clock.at_us(heard);
            let Ok(packet) = self.encoder.encode(&samples) else {
                continue;
            };
            // What is not sent has no number: a gap would be taken for a loss.
            if packet.silent {
                continue;
            }
            self.number += 1;
            let packet = self.packet(packet, capture_us, pcm::level(&samples));
            if let Err(TrySendError::Closed(_)) = packets.try_send(packet) {
                return Ok(());
            }
        }
    }

    /// The next sound of what has no pace of its own, when it is due.
    fn made(
        &mut self,
        due: &mut Instant,
        samples: &mut [f32; FRAME_SAMPLES],
        stopped: &Receiver<()>,
    ) -> Result<Option<Instant>, Failure> {
        match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(None),
        }
        let heard = *due;
        *due += FRAME;
        let capture_us = self.clock.at_us(heard);
        Ok(self.sound.next(capture_us, samples)?.then_some(heard))
    }

    fn packet(&self, packet: Packet, capture_us: u64, audio_level: u8) -> Encoded {
        let routing = Routing {
            frame_number: self.number,
            audio_level,
            ..self.tracks.sound(capture_us)
        };
        let media = MediaPacket {
            media_type: routing.kind.media_type().into(),
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
