//! The test picture: colour bars, the clock in blocks and digits, something that moves, the flash.

use super::{
    FLASH_MS,
    clock::draw_clock,
    digits::{draw_text, fill, text_width},
};
use crate::yuv::{I420, PictureError};

/// Y, U and V of eight bars at 75 %, BT.601.
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];

/// Draws test pictures of one size.
#[derive(Clone, Debug)]
pub struct TestPicture {
    background: I420,
}

impl TestPicture {
    /// Sizes in pixels; the clock can be read from 160×90 on.
    pub fn new(width: u32, height: u32) -> Result<Self, PictureError> {
        let mut background = I420::black(width, height)?;
        let columns = width as usize;
        let chroma_columns = columns.div_ceil(2);
        for (part, plane) in background.planes_mut().into_iter().enumerate() {
            let columns = if part == 0 { columns } else { chroma_columns };
            for row in plane.chunks_exact_mut(columns) {
                for (x, value) in row.iter_mut().enumerate() {
                    *value = BARS[x * BARS.len() / columns][part];
                }
            }
        }
        Ok(Self { background })
    }

    /// Draws the picture of a time, in milliseconds since the Unix epoch, with a number beside it.
    /// The same arguments give the same picture. `to` becomes as large as needed.
    pub fn draw(&self, unix_ms: u64, number: u64, to: &mut I420) {
        self.background.view().copy_into(to);
        let (width, height) = (to.width(), to.height());
        // A white block that crosses the picture once in two seconds, left to right and back.
        let phase = unix_ms % 2_000;
        let way = if phase < 1_000 { phase } else { 2_000 - phase };
        let side = height / 6;
        let x = u64::from(width - side.min(width)) * way / 1_000;
        fill(to, (x as u32, height * 3 / 4), (side, side), 235);

        let cell = (width / 80).max(1);
        let seconds = unix_ms / 1_000;
        let text = format!(
            "{:02}:{:02}:{:02}.{:03}",
            seconds / 3_600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            unix_ms % 1_000
        );
        let mut line = |text: &str, y: u32, cell: u32| {
            let text_width = text_width(text, cell);
            let x = width.saturating_sub(text_width) / 2;
            let box_corner = (x.saturating_sub(cell), y.saturating_sub(cell));
            fill(to, box_corner, (text_width + 2 * cell, 7 * cell), 16);
            draw_text(to, x, y, cell, text);
        };
        line(&text, height * 3 / 10, cell);
        line(&format!("#{number}"), height * 11 / 20, cell.div_ceil(2));
        if unix_ms % 1_000 < FLASH_MS {
            let (corner, size) = flash_area(width, height);
            fill(to, corner, size, 235);
        } else {
            let (corner, size) = flash_area(width, height);
            fill(to, corner, size, 16);
        }
        draw_clock(to, unix_ms);
    }
}

/// Corner and size of the part that flashes: a stripe at the bottom.
fn flash_area(width: u32, height: u32) -> ((u32, u32), (u32, u32)) {
    let top = height * 22 / 24;
    ((0, top), (width, height - top))
}

/// Whether a test picture is one of the first [`FLASH_MS`] of its second, told by its brightness
/// alone.
pub fn is_flash(picture: &I420) -> bool {
    let ((_, top), (width, rows)) = flash_area(picture.width(), picture.height());
    let bytes = &picture.y()[(top * width) as usize..];
    // The upper edge of the stripe may be blurred.
    let bytes = &bytes[(rows / 4 * width) as usize..];
    let sum: u64 = bytes.iter().map(|value| u64::from(*value)).sum();
    sum / bytes.len().max(1) as u64 > 125
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::read_clock;

    #[test]
    fn it_carries_its_time_and_flashes() {
        let mut picture = I420::black(1, 1).unwrap();
        for (width, height) in [(1280, 720), (640, 480), (160, 90), (720, 1280)] {
            let pattern = TestPicture::new(width, height).unwrap();
            for time in [1_795_000_000_000, 1_795_000_000_099, 1_795_000_000_100] {
                pattern.draw(time, 7, &mut picture);
                assert_eq!(read_clock(&picture), Some(time), "{width}×{height}");
                assert_eq!(is_flash(&picture), time % 1_000 < 100);
            }
        }
    }

    #[test]
    fn something_moves() {
        let pattern = TestPicture::new(640, 360).unwrap();
        let (mut a, mut b) = (I420::black(1, 1).unwrap(), I420::black(1, 1).unwrap());
        pattern.draw(500, 0, &mut a);
        pattern.draw(533, 0, &mut b);
        let row = |picture: &I420| picture.y()[640 * 300..640 * 301].to_vec();
        assert_ne!(row(&a), row(&b));
    }

    #[test]
    fn no_size_panics() {
        let mut picture = I420::black(1, 1).unwrap();
        for (width, height) in [(1, 1), (2, 2), (3, 1), (1, 40), (40, 1), (31, 33)] {
            let pattern = TestPicture::new(width, height).unwrap();
            pattern.draw(u64::MAX, u64::MAX, &mut picture);
            pattern.draw(50, 0, &mut picture);
            let _ = is_flash(&picture);
        }
    }
}
