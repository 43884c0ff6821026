//! A realtime VP9 encoder.

use bytes::Bytes;
use videocall_types::{view::Routing, wire::MediaKind};

use super::layers::Layers;
use crate::{
    ffi,
    yuv::{I420View, PictureError, check_size},
};

/// Ticks per second of the encoder's own time.
const TICKS: u64 = 90_000;

/// What is filmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// People, rooms, streets.
    #[default]
    Camera,
    /// Text and windows: blocks that were seen before, sharp edges, long stillness.
    Screen,
}

/// Settings of an encoder. Change what [`new`](Self::new) gave where it does not fit.
#[derive(Clone, Debug)]
pub struct EncoderConfig {
    /// Pixels, 1 to [`MAX_SIDE`](crate::MAX_SIDE). Browsers show even sizes best.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames a second that will come, 1 to 240. The bitrate is kept by this, not by a clock.
    pub fps: u32,
    /// Bits a second.
    pub bitrate_bps: u32,
    /// Temporal layers, 1 to 3. Each higher one holds half the frames and can be left out.
    pub temporal_layers: u8,
    /// libvpx's `cpu-used`, 0 to 9: higher is faster and coarser. 7 is what browsers use on large
    /// machines, 8 or 9 is for small ones.
    pub speed: u8,
    /// Threads, 1 to 16. More than one per tile column of 256 pixels is of use only with `row_mt`.
    pub threads: u8,
    /// Threads may share a tile column, row by row.
    pub row_mt: bool,
    /// Tuning.
    pub content: Content,
    /// Frames may be left out where the bitrate does not suffice. Otherwise they get coarser, and
    /// then larger than the bitrate.
    pub drop_frames: bool,
    /// A frame can be decoded even if the entropy state of one before it was lost. Always on with
    /// temporal layers, which need it.
    pub error_resilient: bool,
    /// A keyframe at least after that many frames; `None` for only when asked.
    pub keyframe_interval: Option<u32>,
    /// Finest quantizer, 0 to 63.
    pub min_quantizer: u8,
    /// Coarsest quantizer, `min_quantizer` to 63.
    pub max_quantizer: u8,
    /// Size of a keyframe at most, in percent of the average frame.
    pub max_keyframe_percent: u32,
}

impl EncoderConfig {
    /// For a camera in a meeting: speed 7, one temporal layer, one thread per 640 columns.
    pub fn new(width: u32, height: u32, fps: u32, bitrate_bps: u32) -> Self {
        Self {
            width,
            height,
            fps,
            bitrate_bps,
            temporal_layers: 1,
            speed: 7,
            threads: width.div_ceil(640).clamp(1, 4) as u8,
            row_mt: true,
            content: Content::Camera,
            drop_frames: true,
            error_resilient: false,
            keyframe_interval: None,
            min_quantizer: 2,
            max_quantizer: 56,
            max_keyframe_percent: 900,
        }
    }

    /// Tile columns that fit: each at least 256 pixels wide, and no more than threads.
    fn tile_columns_log2(&self) -> u32 {
        let fitting = (self.width / 256).max(1).ilog2();
        fitting.min(u32::from(self.threads.max(1)).next_power_of_two().ilog2())
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_size(self.width, self.height)?;
        let ranges = [
            ("fps", self.fps, 1, 240),
            ("bitrate_bps", self.bitrate_bps, 1_000, 1_000_000_000),
            ("temporal_layers", self.temporal_layers.into(), 1, 3),
            ("speed", self.speed.into(), 0, 9),
            ("threads", self.threads.into(), 1, 16),
            ("max_quantizer", self.max_quantizer.into(), 0, 63),
            (
                "min_quantizer",
                self.min_quantizer.into(),
                0,
                self.max_quantizer.into(),
            ),
        ];
        for (setting, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(EncodeError::Setting {
                    setting,
                    value,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }
}

/// Why a picture could not be encoded, or an encoder not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A setting is out of its range.
    #[error("{setting} is {value}, and must be {least} to {most}")]
    Setting {
        /// Name of the field.
        setting: &'static str,
        /// Its value.
        value: u32,
        /// Smallest allowed.
        least: u32,
        /// Largest allowed.
        most: u32,
    },
    /// The size is out of bounds.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The picture is not of the size that the encoder was made for: make another one.
    #[error("a picture of {found:?} pixels for an encoder of {expected:?}")]
    Size {
        /// Width and height given.
        found: (u32, u32),
        /// Width and height of the encoder.
        expected: (u32, u32),
    },
    /// libvpx's own words.
    #[error("libvpx: {0}")]
    Library(String),
}

fn library(code: i32) -> EncodeError {
    EncodeError::Library(ffi::error_text(code))
}

/// One encoded frame, with what the routing header of its packet needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    /// The VP9 frame.
    pub data: Bytes,
    /// Decodable without any earlier frame.
    pub keyframe: bool,
    /// Temporal layer, 0 the base.
    pub temporal: u8,
    /// Counts the frames of this encoder, from 1. Frames that were dropped are not counted.
    pub frame_number: u64,
    /// How many frames back the one frame is that this one refers to; 0 for a keyframe.
    pub depends_back: u8,
    /// What [`Encoder::encode`] was given, in microseconds.
    pub capture_us: u64,
}

impl EncodedFrame {
    /// The routing header of the frame's packet, unencrypted.
    pub fn routing(&self, kind: MediaKind, stream_id: u32, spatial: u8) -> Routing {
        Routing {
            kind,
            stream_id,
            spatial,
            temporal: self.temporal,
            keyframe: self.keyframe,
            depends_back: self.depends_back,
            frame_number: self.frame_number,
            capture_us: self.capture_us,
            audio_level: 0,
            encrypted: false,
        }
    }
}

/// Encodes pictures of one size.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    inner: ffi::Encoder,
    layers: Layers,
    ticks: u64,
    keyframe_wanted: bool,
    since_keyframe: u32,
}

impl Encoder {
    /// Makes an encoder, whose first frame will be a keyframe.
    pub fn new(config: EncoderConfig) -> Result<Self, EncodeError> {
        config.check()?;
        let inner = ffi::Encoder::new(&ffi::EncoderConfig {
            width: config.width,
            height: config.height,
            bitrate_kbps: config.bitrate_bps / 1000,
            temporal_layers: config.temporal_layers.into(),
            speed: config.speed.into(),
            threads: config.threads.into(),
            tile_columns_log2: config.tile_columns_log2(),
            row_mt: config.row_mt.into(),
            screen: (config.content == Content::Screen).into(),
            drop_frames: config.drop_frames.into(),
            error_resilient: config.error_resilient.into(),
            min_quantizer: config.min_quantizer.into(),
            max_quantizer: config.max_quantizer.into(),
            max_keyframe_percent: config.max_keyframe_percent,
        })
        .map_err(library)?;
        Ok(Self {
            layers: Layers::new(config.temporal_layers),
            config,
            inner,
            ticks: 0,
            keyframe_wanted: true,
            since_keyframe: 0,
        })
    }

    /// The settings, as changed since.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Makes the next frame a keyframe.
    pub fn force_keyframe(&mut self) {
        self.keyframe_wanted = true;
    }

    /// Changes the bitrate from the next frame on, in bits a second; no keyframe is needed.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), EncodeError> {
        let config = EncoderConfig {
            bitrate_bps,
            ..self.config.clone()
        };
        config.check()?;
        self.inner
            .set_bitrate(bitrate_bps / 1000)
            .map_err(library)?;
        self.config = config;
        Ok(())
    }

    /// Says how many frames a second come from now on, so that each gets its share of the bitrate.
    pub fn set_fps(&mut self, fps: u32) -> Result<(), EncodeError> {
        let config = EncoderConfig {
            fps,
            ..self.config.clone()
        };
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Encodes one picture of the configured size. `capture_us` is carried along only. `None` if
    /// the frame was dropped to keep the bitrate.
    ///
    /// There is no delay: what comes out is the picture that went in.
    pub fn encode<'a>(
        &mut self,
        picture: impl Into<I420View<'a>>,
        capture_us: u64,
    ) -> Result<Option<EncodedFrame>, EncodeError> {
        let picture = picture.into();
        let found = (picture.width(), picture.height());
        let expected = (self.config.width, self.config.height);
        if found != expected {
            return Err(EncodeError::Size { found, expected });
        }
        let due = self
            .config
            .keyframe_interval
            .is_some_and(|frames| self.since_keyframe >= frames);
        let wanted = self.keyframe_wanted || due;
        let next = self.layers.next(wanted);
        let duration = TICKS / u64::from(self.config.fps);
        let frame = ffi::EncoderFrame {
            pts: self.ticks as i64,
            duration,
            keyframe: wanted.into(),
            temporal: next.temporal.into(),
            reference_slot: next.reference_slot.into(),
            update_slot: next.update_slot.map_or(-1, i32::from),
        };
        self.ticks += duration;
        let (data, keyframe) = self.inner.encode(picture, &frame).map_err(library)?;
        self.since_keyframe = self.since_keyframe.saturating_add(1);
        if data.is_empty() {
            return Ok(None);
        }
        let data = Bytes::copy_from_slice(data);
        if keyframe {
            self.keyframe_wanted = false;
            self.since_keyframe = 1;
        }
        let frame_number = self.layers.made(next, keyframe);
        Ok(Some(EncodedFrame {
            data,
            keyframe,
            temporal: if keyframe { 0 } else { next.temporal },
            frame_number,
            depends_back: if keyframe { 0 } else { next.depends_back },
            capture_us,
        }))
    }
}
