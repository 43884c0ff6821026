//! From the uncompressed formats of cameras to I420.

use super::{I420, PictureError, Plane, check_size, chroma_size};

fn check(plane: Plane<'_>, columns: usize, rows: usize) -> Result<(), PictureError> {
    let needed = plane.stride.max(columns).saturating_mul(rows - 1) + columns;
    if plane.stride < columns || plane.data.len() < needed {
        return Err(PictureError::Plane {
            found: plane.data.len(),
            needed,
        });
    }
    Ok(())
}

/// NV12 (a plane of Y, and one of U and V in turn) to I420. `to` becomes as large as needed.
pub fn nv12_to_i420(
    width: u32,
    height: u32,
    y: Plane<'_>,
    uv: Plane<'_>,
    to: &mut I420,
) -> Result<(), PictureError> {
    check_size(width, height)?;
    let (chroma_width, chroma_height) = chroma_size(width, height);
    let (columns, pairs) = (width as usize, chroma_width as usize);
    check(y, columns, height as usize)?;
    check(uv, 2 * pairs, chroma_height as usize)?;
    to.reshape(width, height)?;
    let [to_y, to_u, to_v] = to.planes_mut();
    for (to, from) in to_y.chunks_exact_mut(columns).zip(y.data.chunks(y.stride)) {
        to.copy_from_slice(&from[..columns]);
    }
    let rows = to_u
        .chunks_exact_mut(pairs)
        .zip(to_v.chunks_exact_mut(pairs))
        .zip(uv.data.chunks(uv.stride));
    for ((to_u, to_v), from) in rows {
        for ((u, v), pair) in to_u.iter_mut().zip(to_v).zip(from.chunks_exact(2)) {
            (*u, *v) = (pair[0], pair[1]);
        }
    }
    Ok(())
}

/// YUYV (YUY2, 4:2:2 in one plane) to I420: the chroma of two rows is averaged. The width must be
/// even. `to` becomes as large as needed.
pub fn yuyv_to_i420(
    width: u32,
    height: u32,
    yuyv: Plane<'_>,
    to: &mut I420,
) -> Result<(), PictureError> {
    check_size(width, height)?;
    if !width.is_multiple_of(2) {
        return Err(PictureError::Size { width, height });
    }
    let columns = width as usize;
    check(yuyv, 2 * columns, height as usize)?;
    to.reshape(width, height)?;
    let [to_y, to_u, to_v] = to.planes_mut();
    for (to, from) in to_y
        .chunks_exact_mut(columns)
        .zip(yuyv.data.chunks(yuyv.stride))
    {
        for (to, from) in to.iter_mut().zip(from.chunks_exact(2)) {
            *to = from[0];
        }
    }
    let row = |index: usize| &yuyv.data[index * yuyv.stride..][..2 * columns];
    let rows = to_u
        .chunks_exact_mut(columns / 2)
        .zip(to_v.chunks_exact_mut(columns / 2));
    for (index, (to_u, to_v)) in rows.enumerate() {
        let upper = row(2 * index);
        // An odd height leaves the last row without a partner.
        let lower = row((2 * index + 1).min(height as usize - 1));
        let quads = upper.chunks_exact(4).zip(lower.chunks_exact(4));
        for ((u, v), (upper, lower)) in to_u.iter_mut().zip(to_v).zip(quads) {
            *u = average(upper[1], lower[1]);
            *v = average(upper[3], lower[3]);
        }
    }
    Ok(())
}

fn average(a: u8, b: u8) -> u8 {
    (u16::from(a) + u16::from(b)).div_ceil(2) as u8
}

/// Where values of full range (0–255 for all) lie in limited range: for brightness, and for chroma.
pub(crate) fn limited_range() -> ([u8; 256], [u8; 256]) {
    let luma = |at: usize| (16.0 + at as f32 * 219.0 / 255.0).round() as u8;
    let chroma = |at: usize| (128.0 + (at as f32 - 128.0) * 224.0 / 255.0).round() as u8;
    (std::array::from_fn(luma), std::array::from_fn(chroma))
}

/// Makes a picture of full range one of limited range.
pub(crate) fn full_to_limited(picture: &mut I420) {
    let (luma, chroma) = limited_range();
    for (plane, table) in picture.planes_mut().into_iter().zip([luma, chroma, chroma]) {
        for value in plane {
            *value = table[usize::from(*value)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plane(data: &[u8], stride: usize) -> Plane<'_> {
        Plane { data, stride }
    }

    #[test]
    fn nv12_splits_chroma() {
        let mut out = I420::black(1, 1).unwrap();
        let y = [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0];
        let uv = [10, 20, 11, 21, 12, 22, 13, 23];
        nv12_to_i420(3, 3, plane(&y, 4), plane(&uv, 4), &mut out).unwrap();
        assert_eq!(out.y(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(out.u(), [10, 11, 12, 13]);
        assert_eq!(out.v(), [20, 21, 22, 23]);
    }

    #[test]
    fn yuyv_averages_two_rows() {
        let mut out = I420::black(1, 1).unwrap();
        let data = [1, 100, 2, 200, 3, 110, 4, 210, 5, 50, 6, 60];
        yuyv_to_i420(2, 3, plane(&data, 4), &mut out).unwrap();
        assert_eq!(out.y(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(out.u(), [105, 50]);
        assert_eq!(out.v(), [205, 60]);
    }

    proptest! {
        #[test]
        fn never_panics(width in 0u32..40, height in 0u32..40, stride in 0usize..100, length in 0usize..4000) {
            let data = vec![7; length];
            let mut out = I420::black(1, 1).unwrap();
            let _ = nv12_to_i420(width, height, plane(&data, stride), plane(&data, stride), &mut out);
            let _ = yuyv_to_i420(width, height, plane(&data, stride), &mut out);
        }
    }
}
