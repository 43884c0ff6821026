//! Makes frames of the sizes, and at the times, of real encoders, or plays those of a file.

mod camera;
mod microphone;
mod recording;
mod screen;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::Bytes;
use videocall_types::wire::{StreamDemand, video_metadata::Codec};

pub(super) use camera::Camera;
pub(super) use microphone::Microphone;
pub(super) use recording::{Media, RecordedPictures, RecordedSound};
pub(super) use screen::{SCREEN, Screen};

use super::stamp::TEMPORAL_LAYERS;
use crate::measure::MessageKind;

/// Keyframes that are asked for come no more often than this.
const KEYFRAME_SPACING: Duration = Duration::from_millis(300);

/// A frame to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    /// When it should be sent.
    pub(super) planned: Instant,
    /// Audio, video or screen.
    pub(super) kind: MessageKind,
    /// Simulcast layer.
    pub(super) spatial: u8,
    /// Temporal layer.
    pub(super) temporal: u8,
    /// Decodable by itself.
    pub(super) keyframe: bool,
    /// Distance to what it needs.
    pub(super) depends_back: u8,
    /// From 1.
    pub(super) number: u64,
    /// As in the stamp.
    pub(super) counts: [u32; TEMPORAL_LAYERS],
    /// The encoded frame.
    pub(super) content: Content,
    /// What a decoder must know, of a picture.
    pub(super) picture: Option<Picture>,
    /// −dBov, for sound.
    pub(super) level: u8,
    /// When the last silence ended, if there was one.
    pub(super) since: Option<Instant>,
}

/// The bytes of a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// So many, of no meaning.
    Simulated(usize),
    /// Those of a real encoder.
    Recorded(Bytes),
}

impl Content {
    #[cfg(test)]
    fn bytes(&self) -> usize {
        match self {
            Self::Simulated(bytes) => *bytes,
            Self::Recorded(bytes) => bytes.len(),
        }
    }
}

/// Form of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) codec: Codec,
}

/// Something that publishes frames.
pub(super) trait Source: Send {
    /// When the next frame is due.
    fn next_due(&self) -> Instant;

    /// Adds the frames that are due.
    fn poll(&mut self, now: Instant, out: &mut Vec<Frame>);

    /// Leaves out what is due.
    fn skip(&mut self, now: Instant);

    /// The server's wish for layers.
    fn demand(&mut self, _demand: &StreamDemand) {}

    /// Somebody needs a keyframe of a layer.
    fn request_keyframe(&mut self, _spatial: u32) {}
}
