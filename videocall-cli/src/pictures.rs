//! Pictures on their way from packets to what can be seen.

use std::time::Duration;

use bytes::Bytes;
use videocall_client::core::video::VideoBuffer;
use videocall_codec::{
    VideoCodec,
    vp9::{Decoder, DecoderConfig, keyframe_size},
    yuv::I420,
};
use videocall_types::view::Routing;

/// Codec and size of a keyframe, read from the frame itself: what its packet says of it may come
/// from a client that says something else.
pub(crate) fn keyframe(frame: &[u8]) -> Option<(VideoCodec, (u32, u32))> {
    [VideoCodec::Vp9, VideoCodec::Vp8]
        .into_iter()
        .find_map(|codec| Some((codec, keyframe_size(codec, frame)?)))
}

/// A jitter buffer with the decoder behind it.
#[derive(Default)]
pub(crate) struct Pictures {
    buffer: VideoBuffer,
    decoder: Option<(VideoCodec, Decoder)>,
}

impl Pictures {
    pub(crate) fn push(&mut self, now: Duration, routing: Routing, frame: Bytes) {
        self.buffer.push(now, routing, frame);
    }

    /// Decodes the next frame that shows something.
    pub(crate) fn next(&mut self, now: Duration, to: &mut I420) -> Option<Routing> {
        while let Some(frame) = self.buffer.pop(now) {
            if frame.routing.keyframe {
                self.fit(&frame.payload);
            }
            match &mut self.decoder {
                Some((_, decoder)) => match decoder.decode_into(&frame.payload, to) {
                    Ok(true) => return Some(frame.routing),
                    // A frame that only others refer to.
                    Ok(false) => {}
                    Err(_) => self.buffer.restart(now),
                },
                None => self.buffer.restart(now),
            }
        }
        None
    }

    /// A decoder of the keyframe's codec.
    fn fit(&mut self, frame: &[u8]) {
        let Some((codec, _)) = keyframe(frame) else {
            return;
        };
        if self.decoder.as_ref().is_none_or(|(of, _)| *of != codec) {
            let decoder = Decoder::new(DecoderConfig::new(codec));
            self.decoder = decoder.ok().map(|decoder| (codec, decoder));
        }
    }

    pub(crate) fn wants_keyframe(&mut self, now: Duration) -> bool {
        self.buffer.wants_keyframe(now)
    }

    /// Frames that came in vain.
    pub(crate) fn dropped(&self) -> u64 {
        self.buffer.dropped
    }
}
