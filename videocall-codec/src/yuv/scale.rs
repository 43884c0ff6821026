//! Scaling, with every source pixel counted when it goes down.
//!
//! Halving both sides, which simulcast does twice per picture, averages squares of four pixels.
//! Everything else runs a triangle filter as wide as the step, first down the columns, which
//! compilers vectorise, then along the rows.

use super::{I420, I420View, PictureError, Plane, check_size, chroma_size};

/// Scales pictures of one size to another, keeping its tables and memory.
#[derive(Debug)]
pub struct Scaler {
    from: (u32, u32),
    to: (u32, u32),
    luma: PlaneScaler,
    chroma: PlaneScaler,
}

impl Scaler {
    /// Sizes are width and height in pixels.
    pub fn new(from: (u32, u32), to: (u32, u32)) -> Result<Self, PictureError> {
        check_size(from.0, from.1)?;
        check_size(to.0, to.1)?;
        Ok(Self {
            from,
            to,
            luma: PlaneScaler::new(from, to),
            chroma: PlaneScaler::new(chroma_size(from.0, from.1), chroma_size(to.0, to.1)),
        })
    }

    /// Size taken, width and height in pixels.
    pub fn from_size(&self) -> (u32, u32) {
        self.from
    }

    /// Size given, width and height in pixels.
    pub fn to_size(&self) -> (u32, u32) {
        self.to
    }

    /// Scales one picture into `to`, which becomes as large as needed. The picture must be of the
    /// size that the scaler was made for.
    pub fn scale<'a>(
        &mut self,
        picture: impl Into<I420View<'a>>,
        to: &mut I420,
    ) -> Result<(), PictureError> {
        let picture = picture.into();
        if (picture.width(), picture.height()) != self.from {
            return Err(PictureError::Size {
                width: picture.width(),
                height: picture.height(),
            });
        }
        to.reshape(self.to.0, self.to.1)?;
        let [y, u, v] = picture.planes();
        let [to_y, to_u, to_v] = to.planes_mut();
        self.luma.scale(y, to_y);
        self.chroma.scale(u, to_u);
        self.chroma.scale(v, to_v);
        Ok(())
    }
}

#[derive(Debug)]
struct PlaneScaler {
    to_width: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Copy,
    Halve,
    Filter {
        columns: Taps,
        rows: Taps,
        /// Sums of one row.
        sums: Vec<u32>,
        /// One row after the vertical pass, 8 bits before and 8 behind the point.
        row: Vec<u16>,
    },
}

impl PlaneScaler {
    fn new(from: (u32, u32), to: (u32, u32)) -> Self {
        let kind = if from == to {
            Kind::Copy
        } else if from == (2 * to.0, 2 * to.1) {
            Kind::Halve
        } else {
            Kind::Filter {
                columns: Taps::new(from.0, to.0, 14),
                rows: Taps::new(from.1, to.1, 12),
                sums: vec![0; from.0 as usize],
                row: vec![0; from.0 as usize],
            }
        };
        Self {
            to_width: to.0 as usize,
            kind,
        }
    }

    fn scale(&mut self, from: Plane<'_>, to: &mut [u8]) {
        let to_rows = to.chunks_exact_mut(self.to_width);
        match &mut self.kind {
            Kind::Copy => {
                for (to, from) in to_rows.zip(from.data.chunks(from.stride)) {
                    to.copy_from_slice(&from[..to.len()]);
                }
            }
            Kind::Halve => {
                for (to, band) in to_rows.zip(from.data.chunks(2 * from.stride)) {
                    let upper = &band[..2 * to.len()];
                    let lower = &band[from.stride..][..2 * to.len()];
                    halve(upper, lower, to);
                }
            }
            Kind::Filter {
                columns,
                rows,
                sums,
                row,
            } => {
                for (index, to) in to_rows.enumerate() {
                    let (first, weights) = rows.of(index);
                    sums.fill(1 << 3);
                    for (offset, weight) in weights.iter().enumerate() {
                        let from = &from.data[(first + offset) * from.stride..][..sums.len()];
                        for (sum, from) in sums.iter_mut().zip(from) {
                            *sum += u32::from(*from) * weight;
                        }
                    }
                    for (row, sum) in row.iter_mut().zip(&*sums) {
                        *row = (sum >> 4) as u16;
                    }
                    // Short filters of known length need no loop.
                    match columns.count {
                        3 => columns.along::<3>(row, to),
                        4 => columns.along::<4>(row, to),
                        _ => columns.along_any(row, to),
                    }
                }
            }
        }
    }
}

/// Averages squares of four.
fn halve(upper: &[u8], lower: &[u8], to: &mut [u8]) {
    let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
    for (to, (upper, lower)) in to.iter_mut().zip(pairs) {
        let sum =
            u16::from(upper[0]) + u16::from(upper[1]) + u16::from(lower[0]) + u16::from(lower[1]);
        *to = ((sum + 2) >> 2) as u8;
    }
}

/// For every target sample the source samples that make it, and their weights.
#[derive(Debug)]
struct Taps {
    first: Vec<usize>,
    weights: Vec<u32>,
    /// Weights per sample.
    count: usize,
}

impl Taps {
    /// Weights of each sample sum up to `1 << bits`.
    fn new(from: u32, to: u32, bits: u32) -> Self {
        let step = f64::from(from) / f64::from(to);
        // Half the width of the triangle: one source sample when it goes up.
        let reach = step.max(1.0);
        let count = ((2.0 * reach).ceil() as usize + 1).min(from as usize);
        let mut taps = Self {
            first: Vec::with_capacity(to as usize),
            weights: Vec::with_capacity(to as usize * count),
            count,
        };
        for index in 0..to {
            let centre = (f64::from(index) + 0.5) * step - 0.5;
            let first =
                ((centre - reach).floor() as i64 + 1).clamp(0, i64::from(from) - count as i64);
            let shares: Vec<f64> = (0..count)
                .map(|offset| {
                    let at = (first + offset as i64) as f64;
                    (1.0 - (at - centre).abs() / reach).max(0.0)
                })
                .collect();
            let whole: f64 = shares.iter().sum();
            let scale = f64::from(1u32 << bits) / whole;
            let mut rounded: Vec<u32> = shares.iter().map(|s| (s * scale).round() as u32).collect();
            // Rounding must not change the brightness: the largest weight takes the difference.
            let sum: u32 = rounded.iter().sum();
            if let Some(largest) = rounded.iter_mut().max() {
                *largest = (*largest + (1 << bits)).saturating_sub(sum);
            }
            taps.first.push(first as usize);
            taps.weights.extend(rounded);
        }
        taps
    }

    /// Filters one row of 16 bits with weights of 14 bits.
    fn along<const COUNT: usize>(&self, row: &[u16], to: &mut [u8]) {
        let (weights, _) = self.weights.as_chunks::<COUNT>();
        for (to, (first, weights)) in to.iter_mut().zip(self.first.iter().zip(weights)) {
            if let Some(values) = row[*first..].first_chunk::<COUNT>() {
                let mut sum = 1 << 21;
                for (value, weight) in values.iter().zip(weights) {
                    sum += u32::from(*value) * weight;
                }
                *to = (sum >> 22) as u8;
            }
        }
    }

    /// As [`along`](Self::along), of any length.
    fn along_any(&self, row: &[u16], to: &mut [u8]) {
        for (index, to) in to.iter_mut().enumerate() {
            let (first, weights) = self.of(index);
            let values = row[first..][..weights.len()].iter().zip(weights);
            let sum: u32 = values
                .map(|(value, weight)| u32::from(*value) * weight)
                .sum();
            *to = ((sum + (1 << 21)) >> 22) as u8;
        }
    }

    fn of(&self, index: usize) -> (usize, &[u32]) {
        let weights = &self.weights[index * self.count..][..self.count];
        (self.first[index], weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yuv::psnr;
    use proptest::prelude::*;

    fn scaled(picture: &I420, width: u32, height: u32) -> I420 {
        let mut out = I420::black(1, 1).unwrap();
        Scaler::new((picture.width(), picture.height()), (width, height))
            .unwrap()
            .scale(picture, &mut out)
            .unwrap();
        out
    }

    /// Waves that are smooth enough for every size used here.
    fn waves(width: u32, height: u32) -> I420 {
        let mut picture = I420::black(width, height).unwrap();
        let columns = width as usize;
        for (at, value) in picture.planes_mut()[0].iter_mut().enumerate() {
            let x = ((at % columns) as f64 + 0.5) / f64::from(width);
            let y = ((at / columns) as f64 + 0.5) / f64::from(height);
            *value = (128.0 + 60.0 * (x * 20.0).sin() + 50.0 * (y * 15.0).cos()) as u8;
        }
        picture
    }

    #[test]
    fn the_same_scene_at_every_size() {
        let picture = waves(640, 360);
        for (width, height) in [(320, 180), (480, 270), (214, 120), (1280, 720), (333, 77)] {
            let found = psnr(&scaled(&picture, width, height), &waves(width, height)).unwrap();
            assert!(found > 40.0, "{found} dB at {width}×{height}");
        }
    }

    #[test]
    fn fine_stripes_become_grey_and_not_other_stripes() {
        let mut picture = I420::black(300, 200).unwrap();
        for (at, value) in picture.planes_mut()[0].iter_mut().enumerate() {
            *value = if at % 2 == 0 { 0 } else { 200 };
        }
        for (width, height) in [(150, 100), (130, 90), (75, 50)] {
            let small = scaled(&picture, width, height);
            let columns = width as usize;
            for row in small.y().chunks(columns) {
                for value in &row[2..columns - 2] {
                    assert!((70..=130).contains(value), "{value} at {width}×{height}");
                }
            }
        }
    }

    #[test]
    fn another_size_than_announced_is_refused() {
        let mut scaler = Scaler::new((64, 64), (32, 32)).unwrap();
        let mut out = I420::black(1, 1).unwrap();
        assert!(
            scaler
                .scale(&I420::black(64, 62).unwrap(), &mut out)
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn a_flat_picture_stays_flat(
            width in 1u32..70, height in 1u32..70, to_width in 1u32..70, to_height in 1u32..70,
            value in any::<u8>(),
        ) {
            let mut picture = I420::black(width, height).unwrap();
            picture.as_bytes_mut().fill(value);
            let out = scaled(&picture, to_width, to_height);
            prop_assert!(out.as_bytes().iter().all(|found| *found == value));
        }
    }
}
