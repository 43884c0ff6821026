//! A decoder of VP9 and VP8.

use super::header;
use crate::{
    VideoCodec, ffi,
    yuv::{I420, i420_bytes},
};

/// Settings of a decoder.
#[derive(Clone, Debug)]
pub struct DecoderConfig {
    /// What comes.
    pub codec: VideoCodec,
    /// Threads, 1 to 16.
    pub threads: u8,
    /// Largest width, in pixels. Frames of a larger one are errors.
    pub max_width: u32,
    /// Largest height, in pixels.
    pub max_height: u32,
}

impl DecoderConfig {
    /// Two threads, pictures up to 4096×2304 (or upright).
    pub fn new(codec: VideoCodec) -> Self {
        Self {
            codec,
            threads: 2,
            max_width: 4096,
            max_height: 4096,
        }
    }
}

/// Why a frame could not be decoded. After any of these the decoder can be used further; pictures
/// are whole again from the next keyframe on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame is larger than the settings allow.
    #[error("a frame larger than {max_width}×{max_height} pixels")]
    TooLarge {
        /// Pixels allowed.
        max_width: u32,
        /// Pixels allowed.
        max_height: u32,
    },
    /// Not 8 bits or not 4:2:0.
    #[error("not an 8-bit 4:2:0 frame")]
    Format,
    /// libvpx's own words on damaged frames, and on frames without their reference.
    #[error("libvpx: {0}")]
    Library(String),
}

/// Decodes the frames of one stream, in order.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    inner: ffi::Decoder,
}

fn open(config: &DecoderConfig) -> Result<ffi::Decoder, DecodeError> {
    // libvpx rounds sides up to 64 and adds a border of 160 pixels on each side.
    let side = |pixels: u32| pixels.next_multiple_of(64).saturating_add(2 * 160);
    let bytes = i420_bytes(side(config.max_width), side(config.max_height)) as u64 + 4096;
    ffi::Decoder::new(
        config.codec == VideoCodec::Vp9,
        config.threads.clamp(1, 16).into(),
        bytes,
    )
    .map_err(|code| DecodeError::Library(ffi::error_text(code)))
}

impl Decoder {
    /// Makes a decoder, which waits for a keyframe.
    pub fn new(config: DecoderConfig) -> Result<Self, DecodeError> {
        Ok(Self {
            inner: open(&config)?,
            config,
        })
    }

    /// Decodes one frame. `None` if it shows no picture, as an invisible reference does.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Option<I420>, DecodeError> {
        let mut picture = None;
        self.decode_with(frame, &mut |view| picture = Some(view.to_owned()))?;
        Ok(picture)
    }

    /// As [`decode`](Self::decode), into memory that is there already; tells whether a picture was
    /// shown.
    pub fn decode_into(&mut self, frame: &[u8], to: &mut I420) -> Result<bool, DecodeError> {
        let mut shown = false;
        self.decode_with(frame, &mut |view| {
            shown = true;
            view.copy_into(to);
        })?;
        Ok(shown)
    }

    fn decode_with(
        &mut self,
        frame: &[u8],
        show: &mut dyn FnMut(crate::yuv::I420View<'_>),
    ) -> Result<(), DecodeError> {
        let (max_width, max_height) = (self.config.max_width, self.config.max_height);
        let too_large = DecodeError::TooLarge {
            max_width,
            max_height,
        };
        if frame.is_empty() {
            // libvpx would take it for a flush.
            return Err(DecodeError::Library("an empty frame".to_owned()));
        }
        if header::largest_size(self.config.codec, frame)
            .is_some_and(|(width, height)| width > max_width || height > max_height)
        {
            return Err(too_large);
        }
        match self.inner.decode(frame) {
            Ok(()) => {}
            Err(ffi::TOO_LARGE) => {
                // Its tables may have grown before its picture was refused: begin anew.
                self.inner = open(&self.config)?;
                return Err(too_large);
            }
            Err(code) => return Err(DecodeError::Library(ffi::error_text(code))),
        }
        match self.inner.picture() {
            Ok(Some(view)) if view.width() > max_width || view.height() > max_height => {
                Err(too_large)
            }
            Ok(Some(view)) => {
                show(view);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(ffi::NOT_420) => Err(DecodeError::Format),
            Err(code) => Err(DecodeError::Library(ffi::error_text(code))),
        }
    }
}
