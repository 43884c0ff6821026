//! The thread that encodes pictures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{Sender, error::TrySendError};
use videocall_codec::{
    vp9::{EncodedFrame, Encoder, EncoderConfig},
    yuv::{I420, Scaler},
};
use videocall_types::{
    ids::MediaKind,
    wire::{LayerInfo, MediaPacket, VideoMetadata, video_metadata::Codec},
};

use super::{CODEC, Encoded, VIDEO_STREAM, source::Pictures};
use crate::{clock::Clock, exit::Failure};

/// What receivers want now: one bit for each simulcast layer.
#[derive(Default)]
pub(super) struct Demand {
    layers: AtomicU32,
    keyframes: AtomicU32,
}

impl Demand {
    pub(super) fn layers(&self) -> u32 {
        self.layers.load(Relaxed)
    }

    pub(super) fn set_layers(&self, mask: u32) {
        self.layers.store(mask, Relaxed);
    }

    pub(super) fn want_keyframes(&self, mask: u32) {
        self.keyframes.fetch_or(mask, Relaxed);
    }

    fn take_keyframes(&self) -> u32 {
        self.keyframes.swap(0, Relaxed)
    }
}

/// Pictures on their way to packets.
pub(super) struct Publisher {
    pictures: Pictures,
    layers: Vec<Layer>,
    clock: Clock,
    demand: Arc<Demand>,
}

struct Layer {
    bit: u32,
    spatial: u8,
    encoder: Encoder,
    /// To its size, unless that is the source's own.
    scaler: Option<Scaler>,
    scaled: I420,
    encoded_before: bool,
}

impl Publisher {
    pub(super) fn new(
        pictures: Pictures,
        layers: &[LayerInfo],
        speed: u8,
        clock: Clock,
        demand: Arc<Demand>,
    ) -> Result<Self, Failure> {
        let fps = pictures.fps().round() as u32;
        let layers = layers
            .iter()
            .map(|info| Layer::new(info, pictures.size(), fps, speed))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            pictures,
            layers,
            clock,
            demand,
        })
    }

    /// Encodes until the input or the program ends.
    pub(super) fn run(mut self, packets: &Sender<Encoded>, stopped: &Receiver<()>) {
        let (width, height) = self.pictures.size();
        let Ok(mut picture) = I420::black(width, height) else {
            return;
        };
        let interval = Duration::from_secs_f64(1.0 / self.pictures.fps());
        let mut due = Instant::now();
        for number in 0.. {
            match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            let capture_us = self.clock.at_us(due);
            if !self.pictures.next(capture_us / 1000, number, &mut picture) {
                return;
            }
            if self.publish(&picture, capture_us, packets).is_none() {
                return;
            }
            due += interval;
            let now = Instant::now();
            if now > due + interval && self.pictures.is_live() {
                // Too slow: leave pictures out instead of falling behind.
                due = now;
            }
        }
    }

    /// `None` when nobody takes packets any more.
    fn publish(
        &mut self,
        picture: &I420,
        capture_us: u64,
        packets: &Sender<Encoded>,
    ) -> Option<()> {
        let wanted = self.demand.layers();
        let keyframes = self.demand.take_keyframes();
        for layer in &mut self.layers {
            if wanted & layer.bit == 0 {
                layer.encoded_before = false;
                continue;
            }
            if keyframes & layer.bit != 0 || !layer.encoded_before {
                layer.encoder.force_keyframe();
            }
            layer.encoded_before = true;
            let Some(frame) = layer.encode(picture, capture_us) else {
                continue;
            };
            match packets.try_send(layer.packet(frame)) {
                Ok(()) => {}
                // What follows could not be decoded.
                Err(TrySendError::Full(_)) => layer.encoder.force_keyframe(),
                Err(TrySendError::Closed(_)) => return None,
            }
        }
        (!packets.is_closed()).then_some(())
    }
}

impl Layer {
    fn new(info: &LayerInfo, from: (u32, u32), fps: u32, speed: u8) -> Result<Self, Failure> {
        let size = (info.width, info.height);
        let config = EncoderConfig {
            temporal_layers: info.temporal_layers as u8,
            speed,
            ..EncoderConfig::new(size.0, size.1, fps.max(1), info.bitrate_bps)
        };
        let scaler = (size != from).then(|| Scaler::new(from, size)).transpose();
        Ok(Self {
            bit: 1 << info.spatial,
            spatial: info.spatial as u8,
            encoder: Encoder::new(config).map_err(Failure::other)?,
            scaler: scaler.map_err(Failure::other)?,
            scaled: I420::black(size.0, size.1).map_err(Failure::other)?,
            encoded_before: false,
        })
    }

    fn encode(&mut self, picture: &I420, capture_us: u64) -> Option<EncodedFrame> {
        let picture = match &mut self.scaler {
            Some(scaler) => {
                scaler.scale(picture, &mut self.scaled).ok()?;
                &self.scaled
            }
            None => picture,
        };
        self.encoder.encode(picture, capture_us).ok()?
    }

    fn packet(&self, frame: EncodedFrame) -> Encoded {
        let routing = frame.routing(MediaKind::Video, VIDEO_STREAM, self.spatial);
        let config = self.encoder.config();
        let metadata = VideoMetadata {
            sequence: frame.frame_number,
            codec: Codec::Vp9Profile0Level108bit.into(),
            codec_string: if frame.keyframe { CODEC } else { "" }.to_owned(),
            width: config.width,
            height: config.height,
        };
        let media = MediaPacket {
            media_type: MediaKind::Video.media_type().into(),
            data: frame.data,
            frame_type: if frame.keyframe { "key" } else { "delta" }.to_owned(),
            timestamp: frame.capture_us as f64,
            duration: 1e6 / f64::from(config.fps),
            video_metadata: Some(metadata),
            ..MediaPacket::default()
        };
        (routing, media)
    }
}
