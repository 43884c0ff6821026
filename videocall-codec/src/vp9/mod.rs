//! VP9 encoding for realtime, VP9 and VP8 decoding, by libvpx.
//!
//! ```
//! use videocall_codec::{VideoCodec, vp9, yuv::I420};
//!
//! let mut encoder = vp9::Encoder::new(vp9::EncoderConfig::new(320, 180, 30, 150_000))?;
//! let mut decoder = vp9::Decoder::new(vp9::DecoderConfig::new(VideoCodec::Vp9))?;
//! let picture = I420::black(320, 180)?;
//! let frame = encoder.encode(&picture, 0)?.expect("the first frame is never dropped");
//! assert!(frame.keyframe);
//! let shown = decoder.decode(&frame.data)?.expect("every frame of the encoder is shown");
//! assert_eq!((shown.width(), shown.height()), (320, 180));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decoder;
mod encoder;
mod header;
mod layers;

pub use self::{
    decoder::{DecodeError, Decoder, DecoderConfig},
    encoder::{Content, EncodeError, EncodedFrame, Encoder, EncoderConfig},
    header::{is_keyframe, keyframe_size, vp9_profile},
};
