//! Motion JPEG, as most USB cameras give it, to I420.

use std::io::Cursor;

use zune_core::{colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

use super::{I420, PictureError, convert::limited_range};

/// Why a frame is no JPEG that can be shown.
#[derive(Debug, thiserror::Error)]
pub enum MjpegError {
    /// The JPEG decoder's own words.
    #[error("not a readable JPEG: {0:?}")]
    Decode(DecodeErrors),
    /// Its size is out of bounds.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// Decodes frames, keeping its memory from one to the next.
#[derive(Debug)]
pub struct MjpegDecoder {
    options: DecoderOptions,
    pixels: Vec<u8>,
    luma: [u8; 256],
    chroma: [u8; 256],
}

impl MjpegDecoder {
    /// A decoder of frames up to `max_width` by `max_height` pixels; larger ones are errors.
    pub fn new(max_width: u32, max_height: u32) -> Self {
        let options = DecoderOptions::default()
            .set_max_width(max_width as usize)
            .set_max_height(max_height as usize)
            .jpeg_set_out_colorspace(ColorSpace::YCbCr)
            // Cameras cut frames short when the bus is busy: half a picture is better than none.
            .set_strict_mode(false);
        // JPEG uses all of 0–255.
        let (luma, chroma) = limited_range();
        Self {
            options,
            pixels: Vec::new(),
            luma,
            chroma,
        }
    }

    /// Decodes one frame. `to` becomes as large as the frame.
    pub fn decode(&mut self, jpeg: &[u8], to: &mut I420) -> Result<(), MjpegError> {
        let mut decoder = JpegDecoder::new_with_options(Cursor::new(jpeg), self.options);
        decoder.decode_headers().map_err(MjpegError::Decode)?;
        let (width, height) = decoder.dimensions().unwrap_or_default();
        super::check_size(width as u32, height as u32)?;
        // What the decoder will write: it may have kept grey pictures grey.
        let colour = decoder.output_colorspace().unwrap_or(ColorSpace::YCbCr);
        let bytes = decoder.output_buffer_size().unwrap_or_default();
        self.pixels.clear();
        self.pixels.resize(bytes, 0);
        decoder
            .decode_into(&mut self.pixels)
            .map_err(MjpegError::Decode)?;
        to.reshape(width as u32, height as u32)?;
        let pixels = width * height;
        if colour.num_components() == 3 && bytes >= 3 * pixels {
            self.take_colour(width, to);
        } else if colour.num_components() == 1 && bytes >= pixels {
            let [y, u, v] = to.planes_mut();
            for (to, from) in y.iter_mut().zip(&self.pixels) {
                *to = self.luma[usize::from(*from)];
            }
            u.fill(128);
            v.fill(128);
        } else {
            return Err(PictureError::Plane {
                found: bytes,
                needed: 3 * pixels,
            }
            .into());
        }
        Ok(())
    }

    /// Halves the chroma of interleaved YCbCr both ways by averaging.
    fn take_colour(&self, width: usize, to: &mut I420) {
        let stride = 3 * width;
        let chroma_width = width.div_ceil(2);
        let [to_y, to_u, to_v] = to.planes_mut();
        for (to, from) in to_y.iter_mut().zip(self.pixels.chunks_exact(3)) {
            *to = self.luma[usize::from(from[0])];
        }
        let bands = self.pixels.chunks(2 * stride);
        let rows = to_u
            .chunks_exact_mut(chroma_width)
            .zip(to_v.chunks_exact_mut(chroma_width))
            .zip(bands);
        for ((to_u, to_v), band) in rows {
            let upper = &band[..stride];
            let lower = band.get(stride..2 * stride).unwrap_or(upper);
            let pairs = upper.chunks(6).zip(lower.chunks(6));
            for ((u, v), (upper, lower)) in to_u.iter_mut().zip(to_v).zip(pairs) {
                // An odd width leaves the last pixel without a partner.
                let second = upper.len() - 3;
                let mean = |part: usize| {
                    let sum = [
                        upper[part],
                        upper[second + part],
                        lower[part],
                        lower[second + part],
                    ]
                    .map(u16::from)
                    .iter()
                    .sum::<u16>();
                    self.chroma[usize::from((sum + 2) / 4)]
                };
                (*u, *v) = (mean(1), mean(2));
            }
        }
    }
}
