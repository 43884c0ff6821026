//! The thread that sends a film as it is: nothing is encoded, so that a streamer costs next to
//! nothing.
//!
//! The film's own keyframes are the only places where somebody can begin to watch: one every other
//! second is good. Pictures that find no place on the way are left out up to the next keyframe.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::mpsc::{Sender, error::TrySendError};
use videocall_codec::{
    VideoCodec,
    opus::{self, Channels, packet_samples},
    pcm,
    vp9::keyframe_size,
};
use videocall_types::{
    limits::MAX_PACKET_BYTES,
    view::Routing,
    wire::{AudioMetadata, MediaPacket, VideoMetadata, video_metadata},
};

use super::{
    CODEC, Encoded,
    adaptation::Demand,
    film::{Film, Frame},
    tracks::Tracks,
};
use crate::{clock::Clock, exit::Failure};

/// How long a frame lasts where the file does not tell.
const FRAME: Duration = Duration::from_millis(40);
/// Room for what a packet holds beside its frame.
const HEADERS: usize = 4096;

/// A film on its way to packets.
pub(super) struct Forwarder {
    film: Film,
    tracks: Tracks,
    clock: Clock,
    demand: Arc<Demand>,
    pictures: u64,
    sounds: u64,
    /// What comes before the next keyframe could not be decoded.
    waits_for_keyframe: bool,
    /// Only to know how loud it is: the relay forwards the loudest.
    decoder: opus::Decoder,
    samples: Vec<f32>,
}

/// Nobody takes packets any more.
struct Closed;

impl Forwarder {
    pub(super) fn new(
        film: Film,
        tracks: Tracks,
        clock: Clock,
        demand: Arc<Demand>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            film,
            tracks,
            clock,
            demand,
            pictures: 0,
            sounds: 0,
            waits_for_keyframe: true,
            decoder: opus::Decoder::new(Channels::Mono).map_err(Failure::other)?,
            samples: Vec::new(),
        })
    }

    /// Sends each frame at its time until the film or the program ends.
    pub(super) fn run(
        mut self,
        packets: &Sender<Encoded>,
        stopped: &Receiver<()>,
    ) -> Result<(), Failure> {
        let mut begin = Instant::now();
        // Of the film's own time, how far it was shown.
        let mut end = Duration::ZERO;
        let mut last = None;
        loop {
            let Some(frame) = self.film.next()? else {
                if !self.film.rewind()? {
                    return Ok(());
                }
                begin += end.max(FRAME);
                (end, last) = (Duration::ZERO, None);
                continue;
            };
            let at = Duration::from_micros(frame.pts_us);
            let due = begin + at;
            match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return Ok(()),
            }
            let lasts = if frame.is_picture {
                let before = last.replace(at);
                before.map_or(FRAME, |before| at.saturating_sub(before).min(FRAME * 25))
            } else {
                let samples = packet_samples(&frame.data).unwrap_or(0) as u64;
                Duration::from_micros(samples * 1_000_000 / u64::from(opus::SAMPLE_RATE))
            };
            end = end.max(at + lasts);
            let capture_us = self.clock.at_us(due);
            let sent = if frame.is_picture {
                self.picture(frame, capture_us, packets)
            } else {
                self.sound(frame.data, capture_us, packets)
            };
            if sent.is_err() {
                return Ok(());
            }
        }
    }

    fn picture(
        &mut self,
        frame: Frame,
        capture_us: u64,
        packets: &Sender<Encoded>,
    ) -> Result<(), Closed> {
        let wanted = self.demand.layers() & 1 == 1;
        self.demand.set_encoded(u32::from(wanted));
        let fits = frame.data.len() + HEADERS <= MAX_PACKET_BYTES;
        if !fits {
            let bytes = frame.data.len();
            tracing::warn!(bytes, "a frame is too large to be sent");
        }
        if !wanted || !fits || (self.waits_for_keyframe && !frame.keyframe) {
            self.waits_for_keyframe = true;
            return Ok(());
        }
        let packet = self.picture_packet(frame, capture_us);
        match packets.try_send(packet) {
            Ok(()) => {
                self.pictures += 1;
                self.waits_for_keyframe = false;
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                self.waits_for_keyframe = true;
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(Closed),
        }
    }

    fn picture_packet(&self, frame: Frame, capture_us: u64) -> Encoded {
        let codec = self
            .film
            .picture()
            .map_or(VideoCodec::Vp9, |picture| picture.codec);
        let routing = Routing {
            keyframe: frame.keyframe,
            // Each may need the one before it; the file does not tell.
            depends_back: u8::from(!frame.keyframe),
            frame_number: self.pictures + 1,
            ..self.tracks.picture(capture_us)
        };
        let mut metadata = VideoMetadata {
            sequence: routing.frame_number,
            ..VideoMetadata::default()
        };
        metadata.set_codec(match codec {
            VideoCodec::Vp8 => video_metadata::Codec::Vp8,
            VideoCodec::Vp9 => video_metadata::Codec::Vp9Profile0Level108bit,
        });
        if let Some(size) = keyframe_size(codec, &frame.data) {
            metadata.codec_string = codec_string(codec).to_owned();
            (metadata.width, metadata.height) = size;
        }
        let media = MediaPacket {
            media_type: routing.kind.media_type().into(),
            data: frame.data,
            frame_type: if frame.keyframe { "key" } else { "delta" }.to_owned(),
            timestamp: capture_us as f64,
            video_metadata: Some(metadata),
            ..MediaPacket::default()
        };
        (routing, media)
    }

    fn sound(
        &mut self,
        data: Bytes,
        capture_us: u64,
        packets: &Sender<Encoded>,
    ) -> Result<(), Closed> {
        self.samples.clear();
        // One that cannot be decoded here cannot be decoded anywhere.
        let Ok(samples) = self.decoder.decode(&data, &mut self.samples) else {
            return Ok(());
        };
        self.sounds += 1;
        let routing = Routing {
            frame_number: self.sounds,
            audio_level: pcm::level(&self.samples),
            ..self.tracks.sound(capture_us)
        };
        let media = MediaPacket {
            media_type: routing.kind.media_type().into(),
            data,
            frame_type: "key".to_owned(),
            timestamp: capture_us as f64,
            duration: samples as f64 * 1e6 / f64::from(opus::SAMPLE_RATE),
            audio_metadata: Some(AudioMetadata {
                audio_format: "opus".to_owned(),
                audio_number_of_channels: 1,
                audio_sample_rate: opus::SAMPLE_RATE as f32,
                sequence: self.sounds,
                ..AudioMetadata::default()
            }),
            ..MediaPacket::default()
        };
        match packets.try_send((routing, media)) {
            Err(TrySendError::Closed(_)) => Err(Closed),
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
        }
    }
}

/// As the WebCodecs registry has it.
pub(super) fn codec_string(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::Vp8 => "vp8",
        VideoCodec::Vp9 => CODEC,
    }
}
