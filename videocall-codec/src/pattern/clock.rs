//! A time drawn as black and white blocks.
//!
//! Two rows of 32 blocks in the upper third of the picture, each as wide as 1/34 of it. The first
//! 48 bits are milliseconds since the Unix epoch, highest first; the last 16 are their CRC
//! (CRC-16/CCITT-FALSE). White is 1. The rows are drawn in a black frame. Reading takes the middle
//! of each block, so that blurred edges do not matter.

use crate::yuv::I420;

const COLUMNS: u32 = 32;
const ROWS: u32 = 2;
const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// Where the blocks are, in pixels of a picture of some size.
struct Grid {
    width: u32,
    height: u32,
}

impl Grid {
    fn of(picture: &I420) -> Self {
        Self {
            width: picture.width(),
            height: picture.height(),
        }
    }

    /// Left edge of a column; column 32 is the right edge of the last.
    fn x(&self, column: u32) -> u32 {
        self.width * (column + 1) / (COLUMNS + 2)
    }

    /// Upper edge of a row: they lie between 1/24 and 5/24 of the height.
    fn y(&self, row: u32) -> u32 {
        self.height * (1 + 2 * row) / 24
    }
}

fn crc(data: &[u8]) -> u16 {
    data.iter().fold(0xffff, |crc: u16, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

/// The 64 bits that are drawn.
fn code(unix_ms: u64) -> u64 {
    let time = unix_ms & 0xffff_ffff_ffff;
    time << 16 | u64::from(crc(&time.to_be_bytes()[2..]))
}

/// Draws the time, of which the lower 48 bits are kept: until the year 10889.
pub(super) fn draw_clock(picture: &mut I420, unix_ms: u64) {
    let grid = Grid::of(picture);
    let width = grid.width as usize;
    let code = code(unix_ms);
    let [y, u, v] = picture.planes_mut();
    // The frame around the blocks, in full width.
    let frame = (grid.height / 48) as usize;
    let (top, bottom) = (grid.y(0) as usize - frame, grid.y(ROWS) as usize + frame);
    y[top * width..bottom * width].fill(BLACK);
    let chroma_width = width.div_ceil(2);
    for plane in [u, v] {
        plane[top / 2 * chroma_width..bottom.div_ceil(2) * chroma_width].fill(128);
    }
    for row in 0..ROWS {
        let lines = grid.y(row) as usize..grid.y(row + 1) as usize;
        for column in 0..COLUMNS {
            if code >> (63 - (row * COLUMNS + column)) & 1 == 1 {
                for line in lines.clone() {
                    let columns = grid.x(column) as usize..grid.x(column + 1) as usize;
                    y[line * width..][columns].fill(WHITE);
                }
            }
        }
    }
}

/// Reads the time from a picture of any size that shows it whole: milliseconds since the Unix
/// epoch. `None` if there is none that its check digits agree with.
pub fn read_clock(picture: &I420) -> Option<u64> {
    let grid = Grid::of(picture);
    let mut code = 0u64;
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let (left, right) = (grid.x(column), grid.x(column + 1));
            let (top, bottom) = (grid.y(row), grid.y(row + 1));
            // The inner half of the block.
            let (dx, dy) = ((right - left) / 4, (bottom - top) / 4);
            let (mut sum, mut count) = (0u32, 0u32);
            for line in top + dy..bottom - dy {
                let start = line as usize * picture.width() as usize;
                for x in left + dx..right - dx {
                    sum += u32::from(picture.y()[start + x as usize]);
                    count += 1;
                }
            }
            let mean = sum.checked_div(count)?;
            let middle = u32::from(BLACK) / 2 + u32::from(WHITE) / 2;
            code = code << 1 | u64::from(mean > middle);
        }
    }
    let time = code >> 16;
    (code == self::code(time) && time != 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yuv::Scaler;

    #[test]
    fn the_crc_is_the_standard_one() {
        assert_eq!(crc(b"123456789"), 0x29b1);
    }

    #[test]
    fn a_time_is_read_at_any_size() {
        let mut picture = I420::black(1280, 720).unwrap();
        for time in [1, 1_795_000_000_123, 0xffff_ffff_ffff] {
            draw_clock(&mut picture, time);
            assert_eq!(read_clock(&picture), Some(time));
            for size in [(640, 360), (320, 180), (160, 90), (426, 240), (1920, 1080)] {
                let mut scaled = I420::black(1, 1).unwrap();
                let mut scaler = Scaler::new((1280, 720), size).unwrap();
                scaler.scale(&picture, &mut scaled).unwrap();
                assert_eq!(read_clock(&scaled), Some(time), "{size:?}");
            }
        }
    }

    #[test]
    fn every_size_can_be_drawn_on_and_read() {
        for width in 1..80 {
            for height in [1, 2, 3, 23, 24, 25, 60, 61] {
                let mut picture = I420::black(width, height).unwrap();
                draw_clock(&mut picture, 1_234_567);
                let found = read_clock(&picture);
                assert!(found.is_none() || found == Some(1_234_567));
            }
        }
    }

    #[test]
    fn what_is_no_clock_is_none() {
        assert_eq!(read_clock(&I420::black(640, 360).unwrap()), None);
        let mut picture = I420::black(640, 360).unwrap();
        draw_clock(&mut picture, 1_795_000_000_123);
        // One block turned over.
        let grid = Grid::of(&picture);
        let (x, y) = (grid.x(7), grid.y(0));
        let value = if picture.y()[(y * 640 + x + 5) as usize] > 100 {
            BLACK
        } else {
            WHITE
        };
        for line in y..grid.y(1) {
            let start = (line * 640) as usize;
            picture.planes_mut()[0][start + x as usize..start + grid.x(8) as usize].fill(value);
        }
        assert_eq!(read_clock(&picture), None);
    }
}
