//! Pictures in I420: 8 bits, 4:2:0, in three planes.
//!
//! Colours are BT.601 in limited range (Y 16–235, chroma 16–240), which is what browsers take VP8
//! and VP9 without further signs to be.

mod convert;
mod mjpeg;
mod scale;

pub(crate) use self::convert::full_to_limited;
pub use self::{
    convert::{nv12_to_i420, yuyv_to_i420},
    mjpeg::{MjpegDecoder, MjpegError},
    scale::Scaler,
};

use crate::MAX_SIDE;

/// Why bytes are no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// A side is 0 or above [`MAX_SIDE`].
    #[error("a picture of {width}×{height} pixels; sides must be 1 to {MAX_SIDE}")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// A plane has too few bytes for its rows, or rows overlap.
    #[error("a plane of {found} bytes where {needed} are needed")]
    Plane {
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        needed: usize,
    },
}

/// Size of the chroma planes of a picture, in samples: half, rounded up.
pub fn chroma_size(width: u32, height: u32) -> (u32, u32) {
    (width.div_ceil(2), height.div_ceil(2))
}

/// Bytes of a packed I420 picture.
pub fn i420_bytes(width: u32, height: u32) -> usize {
    let (chroma_width, chroma_height) = chroma_size(width, height);
    width as usize * height as usize + 2 * chroma_width as usize * chroma_height as usize
}

pub(crate) fn check_size(width: u32, height: u32) -> Result<(), PictureError> {
    if (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height) {
        Ok(())
    } else {
        Err(PictureError::Size { width, height })
    }
}

/// One borrowed plane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plane<'a> {
    /// Rows, the last of which may end with its last pixel.
    pub data: &'a [u8],
    /// Bytes from the start of a row to that of the next.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// The rows, each `width` bytes; `width` must not be above the stride.
    pub fn rows(self, width: u32) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.data
            .chunks(self.stride.max(1))
            .map(move |row| &row[..width as usize])
    }
}

/// A borrowed picture with rows at any stride, as cameras and decoders give it.
#[derive(Clone, Copy, Debug)]
pub struct I420View<'a> {
    width: u32,
    height: u32,
    planes: [Plane<'a>; 3],
}

impl<'a> I420View<'a> {
    /// Takes Y, U and V of a picture of `width` by `height` pixels. Bytes behind the last row are
    /// cut off.
    pub fn new(width: u32, height: u32, planes: [Plane<'a>; 3]) -> Result<Self, PictureError> {
        check_size(width, height)?;
        let (chroma_width, chroma_height) = chroma_size(width, height);
        let mut checked = planes;
        for (index, plane) in checked.iter_mut().enumerate() {
            let (columns, rows) = match index {
                0 => (width as usize, height as usize),
                _ => (chroma_width as usize, chroma_height as usize),
            };
            if plane.stride < columns || plane.stride > 1 << 24 {
                return Err(PictureError::Plane {
                    found: plane.stride,
                    needed: columns,
                });
            }
            let needed = plane.stride * (rows - 1) + columns;
            plane.data = plane.data.get(..needed).ok_or(PictureError::Plane {
                found: plane.data.len(),
                needed,
            })?;
        }
        Ok(Self {
            width,
            height,
            planes: checked,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Y, U and V.
    pub fn planes(&self) -> [Plane<'a>; 3] {
        self.planes
    }

    /// Copies the picture into one of its own.
    pub fn to_owned(&self) -> I420 {
        let mut out = I420 {
            width: self.width,
            height: self.height,
            data: Vec::new(),
        };
        self.copy_into(&mut out);
        out
    }

    /// Copies the picture into memory that is there already.
    pub fn copy_into(&self, to: &mut I420) {
        (to.width, to.height) = (self.width, self.height);
        to.data.clear();
        to.data.reserve(i420_bytes(self.width, self.height));
        let (chroma_width, _) = chroma_size(self.width, self.height);
        for (plane, width) in self
            .planes
            .iter()
            .zip([self.width, chroma_width, chroma_width])
        {
            for row in plane.rows(width) {
                to.data.extend_from_slice(row);
            }
        }
    }
}

impl<'a> From<&'a I420> for I420View<'a> {
    fn from(picture: &'a I420) -> Self {
        picture.view()
    }
}

/// A picture in one piece of memory: Y, then U, then V, rows without gaps. This is also how raw
/// I420 lies in pipes and in Y4M files.
#[derive(Clone, PartialEq, Eq)]
pub struct I420 {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl std::fmt::Debug for I420 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "I420({}×{})", self.width, self.height)
    }
}

impl I420 {
    /// A black picture.
    pub fn black(width: u32, height: u32) -> Result<Self, PictureError> {
        check_size(width, height)?;
        let luma = width as usize * height as usize;
        let mut data = vec![16; i420_bytes(width, height)];
        data[luma..].fill(128);
        Ok(Self {
            width,
            height,
            data,
        })
    }

    /// Takes packed bytes, which must be exactly [`i420_bytes`].
    pub fn from_vec(width: u32, height: u32, data: Vec<u8>) -> Result<Self, PictureError> {
        check_size(width, height)?;
        let needed = i420_bytes(width, height);
        if data.len() != needed {
            return Err(PictureError::Plane {
                found: data.len(),
                needed,
            });
        }
        Ok(Self {
            width,
            height,
            data,
        })
    }

    /// Makes it the given size, keeping the memory where it is large enough. The contents are
    /// then of no meaning.
    pub fn reshape(&mut self, width: u32, height: u32) -> Result<(), PictureError> {
        check_size(width, height)?;
        self.data.resize(i420_bytes(width, height), 0);
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All bytes, packed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    /// All bytes, packed, to be written over.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The memory itself, for another picture.
    pub fn into_vec(self) -> Vec<u8> {
        self.data
    }

    /// Brightness, `width` bytes per row.
    pub fn y(&self) -> &[u8] {
        self.split()[0]
    }

    /// Blue difference; rows as in [`chroma_size`].
    pub fn u(&self) -> &[u8] {
        self.split()[1]
    }

    /// Red difference; rows as in [`chroma_size`].
    pub fn v(&self) -> &[u8] {
        self.split()[2]
    }

    /// Y, U and V, to be written over.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let (luma, chroma) = self.plane_bytes();
        let (y, rest) = self.data.split_at_mut(luma);
        let (u, v) = rest.split_at_mut(chroma);
        [y, u, v]
    }

    /// The picture, borrowed.
    pub fn view(&self) -> I420View<'_> {
        let (chroma_width, _) = chroma_size(self.width, self.height);
        let [y, u, v] = self.split();
        let plane = |data, stride: u32| Plane {
            data,
            stride: stride as usize,
        };
        I420View {
            width: self.width,
            height: self.height,
            planes: [
                plane(y, self.width),
                plane(u, chroma_width),
                plane(v, chroma_width),
            ],
        }
    }

    fn split(&self) -> [&[u8]; 3] {
        let (luma, chroma) = self.plane_bytes();
        let (y, rest) = self.data.split_at(luma);
        let (u, v) = rest.split_at(chroma);
        [y, u, v]
    }

    fn plane_bytes(&self) -> (usize, usize) {
        let (chroma_width, chroma_height) = chroma_size(self.width, self.height);
        (
            self.width as usize * self.height as usize,
            chroma_width as usize * chroma_height as usize,
        )
    }
}

/// Peak signal-to-noise ratio of the brightness of two pictures of one size, in dB: infinite for
/// equal ones, about 30 for visibly coded ones. `None` for pictures of different sizes.
pub fn psnr(a: &I420, b: &I420) -> Option<f64> {
    if (a.width, a.height) != (b.width, b.height) {
        return None;
    }
    let squares: u64 = a
        .y()
        .iter()
        .zip(b.y())
        .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
        .sum();
    let mean = squares as f64 / a.y().len() as f64;
    Some(10.0 * (255.0 * 255.0 / mean).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_chroma_up() {
        let picture = I420::black(5, 3).unwrap();
        assert_eq!(picture.as_bytes().len(), 15 + 2 * 6);
        assert_eq!(picture.u().len(), 6);
        assert_eq!(picture.view().to_owned(), picture);
    }

    #[test]
    fn views_refuse_what_does_not_hold_the_picture() {
        let data = [0; 100];
        let plane = |length: usize, stride| Plane {
            data: &data[..length],
            stride,
        };
        let view = |y, u| I420View::new(8, 8, [y, u, plane(16, 4)]);
        assert!(view(plane(64, 8), plane(16, 4)).is_ok());
        // The last row may be cut after its last pixel.
        assert!(view(plane(78, 10), plane(16, 4)).is_ok());
        assert!(view(plane(77, 10), plane(16, 4)).is_err());
        assert!(view(plane(64, 7), plane(16, 4)).is_err());
        assert!(view(plane(64, 8), plane(15, 4)).is_err());
        assert!(I420View::new(0, 8, [plane(64, 8); 3]).is_err());
        assert!(I420View::new(MAX_SIDE + 1, 1, [plane(64, 8); 3]).is_err());
    }

    #[test]
    fn strides_are_left_out_of_a_copy() {
        let y: Vec<u8> = (0..32).collect();
        let view = I420View::new(
            2,
            2,
            [
                Plane {
                    data: &y,
                    stride: 8,
                },
                Plane {
                    data: &y[20..],
                    stride: 4,
                },
                Plane {
                    data: &y[30..],
                    stride: 1,
                },
            ],
        )
        .unwrap();
        assert_eq!(view.to_owned().as_bytes(), [0, 1, 8, 9, 20, 30]);
    }

    #[test]
    fn psnr_of_a_known_difference() {
        let a = I420::black(16, 16).unwrap();
        let mut b = a.clone();
        assert_eq!(psnr(&a, &b), Some(f64::INFINITY));
        b.planes_mut()[0].fill(17);
        assert!((psnr(&a, &b).unwrap() - 48.13).abs() < 0.01);
        assert_eq!(psnr(&a, &I420::black(16, 8).unwrap()), None);
    }
}
