//! The thread that encodes pictures.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{Sender, error::TrySendError};
use videocall_client::core::simulcast::LayerPlan;
use videocall_codec::{
    vp9::{Content, EncodedFrame, Encoder, EncoderConfig},
    yuv::{I420, Scaler},
};
use videocall_types::wire::{LayerInfo, MediaPacket, VideoMetadata, video_metadata::Codec};

use super::{
    CODEC, Encoded,
    adaptation::{Adaptation, Demand},
    source::Pictures,
    tracks::Tracks,
};
use crate::{clock::Clock, exit::Failure};

/// Pictures on their way to packets.
pub(super) struct Publisher {
    pictures: Pictures,
    tracks: Tracks,
    layers: Vec<Layer>,
    clock: Clock,
    demand: Arc<Demand>,
    adaptation: Adaptation,
    numbered: u64,
}

struct Layer {
    bit: u32,
    fps: u32,
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
        tracks: Tracks,
        layers: &[LayerInfo],
        speed: u8,
        clock: Clock,
        demand: Arc<Demand>,
    ) -> Result<Self, Failure> {
        let fps = pictures.fps().round() as u32;
        let adaptation = Adaptation::new(layers);
        let layers = layers
            .iter()
            .map(|info| Layer::new(info, tracks, pictures.size(), fps, speed))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            pictures,
            tracks,
            layers,
            clock,
            demand,
            adaptation,
            numbered: 0,
        })
    }

    /// Encodes until the input or the program ends.
    pub(super) fn run(
        mut self,
        packets: &Sender<Encoded>,
        stopped: &Receiver<()>,
    ) -> Result<(), Failure> {
        let (width, height) = self.pictures.size();
        let mut picture = I420::black(width, height).map_err(Failure::other)?;
        let mut due = Instant::now();
        for number in 0.. {
            let taken = match self.pictures.camera() {
                Some(camera) => camera.next(&mut picture, stopped),
                None => self.made(&mut due, number, &mut picture, stopped)?,
            };
            let Some(taken) = taken else { break };
            let capture_us = self.clock.at_us(taken);
            if self.publish(&picture, capture_us, packets).is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The next picture of what has no pace of its own, when it is due.
    fn made(
        &mut self,
        due: &mut Instant,
        number: u64,
        picture: &mut I420,
        stopped: &Receiver<()>,
    ) -> Result<Option<Instant>, Failure> {
        let interval = Duration::from_secs_f64(1.0 / self.pictures.fps());
        let now = Instant::now();
        if now > *due + interval && self.pictures.is_live() {
            // Too slow: leave pictures out instead of falling behind.
            *due = now;
        }
        match stopped.recv_timeout(due.saturating_duration_since(now)) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(None),
        }
        let taken = *due;
        *due += interval;
        let capture_ms = self.clock.at_us(taken) / 1000;
        let made = self.pictures.next(capture_ms, number, picture)?;
        Ok(made.then_some(taken))
    }

    /// `None` when nobody takes packets any more.
    fn publish(
        &mut self,
        picture: &I420,
        capture_us: u64,
        packets: &Sender<Encoded>,
    ) -> Option<()> {
        let start = Instant::now();
        let plan = self.adaptation.plan(self.clock.elapsed(), &self.demand);
        let keyframes = self.demand.take_keyframes();
        self.numbered += 1;
        for layer in &mut self.layers {
            let planned = plan.iter().find(|plan| 1 << plan.spatial == layer.bit);
            let Some(planned) = planned else {
                layer.encoded_before = false;
                continue;
            };
            let keyframe = keyframes & layer.bit != 0 || !layer.encoded_before;
            if keyframe {
                layer.encoder.force_keyframe();
            } else if planned.half_rate && self.numbered.is_multiple_of(2) {
                continue;
            }
            layer.encoded_before = true;
            layer.follow(planned);
            let Some(frame) = layer.encode(picture, capture_us) else {
                continue;
            };
            match packets.try_send(layer.packet(frame, self.tracks)) {
                Ok(()) => {}
                // What follows could not be decoded.
                Err(TrySendError::Full(_)) => layer.encoder.force_keyframe(),
                Err(TrySendError::Closed(_)) => return None,
            }
        }
        let part = start.elapsed().as_secs_f64() * self.pictures.fps();
        self.adaptation.encoded(self.clock.elapsed(), part);
        (!packets.is_closed()).then_some(())
    }
}

impl Layer {
    fn new(
        info: &LayerInfo,
        tracks: Tracks,
        from: (u32, u32),
        fps: u32,
        speed: u8,
    ) -> Result<Self, Failure> {
        let size = (info.width, info.height);
        let config = EncoderConfig {
            temporal_layers: info.temporal_layers as u8,
            content: if tracks.is_screen() {
                Content::Screen
            } else {
                Content::Camera
            },
            speed,
            ..EncoderConfig::new(size.0, size.1, fps.max(1), info.bitrate_bps)
        };
        let scaler = (size != from).then(|| Scaler::new(from, size)).transpose();
        Ok(Self {
            bit: 1 << info.spatial,
            fps: fps.max(1),
            spatial: info.spatial as u8,
            encoder: Encoder::new(config).map_err(Failure::other)?,
            scaler: scaler.map_err(Failure::other)?,
            scaled: I420::black(size.0, size.1).map_err(Failure::other)?,
            encoded_before: false,
        })
    }

    /// Brings the encoder in line with a plan.
    fn follow(&mut self, plan: &LayerPlan) {
        let config = self.encoder.config();
        let fps = if plan.half_rate {
            self.fps.div_ceil(2)
        } else {
            self.fps
        };
        let (before, now) = (config.bitrate_bps, plan.bitrate_bps);
        // Both are within what an encoder takes.
        if fps != config.fps {
            let _ = self.encoder.set_fps(fps);
        }
        if before.abs_diff(now) > before / 20 {
            let _ = self.encoder.set_bitrate(now);
        }
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

    fn packet(&self, frame: EncodedFrame, tracks: Tracks) -> Encoded {
        let wire = tracks.picture(frame.capture_us);
        let routing = frame.routing(wire.kind, wire.stream_id, self.spatial);
        let config = self.encoder.config();
        let metadata = VideoMetadata {
            sequence: frame.frame_number,
            codec: Codec::Vp9Profile0Level108bit.into(),
            codec_string: if frame.keyframe { CODEC } else { "" }.to_owned(),
            width: config.width,
            height: config.height,
        };
        let media = MediaPacket {
            media_type: wire.kind.media_type().into(),
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
