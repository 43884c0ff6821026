//! Digits of 3 by 5 cells, drawn as large as wanted.

use crate::yuv::I420;

/// Rows of each glyph from the top, three bits each, highest left.
const GLYPHS: [(char, [u8; 5]); 13] = [
    ('0', [0b111, 0b101, 0b101, 0b101, 0b111]),
    ('1', [0b010, 0b110, 0b010, 0b010, 0b111]),
    ('2', [0b111, 0b001, 0b111, 0b100, 0b111]),
    ('3', [0b111, 0b001, 0b111, 0b001, 0b111]),
    ('4', [0b101, 0b101, 0b111, 0b001, 0b001]),
    ('5', [0b111, 0b100, 0b111, 0b001, 0b111]),
    ('6', [0b111, 0b100, 0b111, 0b101, 0b111]),
    ('7', [0b111, 0b001, 0b010, 0b010, 0b010]),
    ('8', [0b111, 0b101, 0b111, 0b101, 0b111]),
    ('9', [0b111, 0b101, 0b111, 0b001, 0b111]),
    (':', [0b000, 0b010, 0b000, 0b010, 0b000]),
    ('.', [0b000, 0b000, 0b000, 0b000, 0b010]),
    ('#', [0b101, 0b111, 0b101, 0b111, 0b101]),
];

/// Width of a text in pixels, where a cell is `cell` pixels.
pub(super) fn text_width(text: &str, cell: u32) -> u32 {
    (text.chars().count() as u32 * 4).saturating_sub(1) * cell
}

/// Draws a text in white, its upper left corner at `x`, `y`; what does not fit is cut off, and
/// characters without a glyph are left blank.
pub(super) fn draw_text(picture: &mut I420, x: u32, y: u32, cell: u32, text: &str) {
    for (index, character) in text.chars().enumerate() {
        let Some((_, rows)) = GLYPHS.iter().find(|(known, _)| *known == character) else {
            continue;
        };
        let left = x + index as u32 * 4 * cell;
        for (row, bits) in rows.iter().enumerate() {
            for column in 0..3 {
                if bits >> (2 - column) & 1 == 1 {
                    let corner = (left + column * cell, y + row as u32 * cell);
                    fill(picture, corner, (cell, cell), 235);
                }
            }
        }
    }
}

/// Fills a rectangle of the brightness, cut off at the edges.
pub(super) fn fill(picture: &mut I420, corner: (u32, u32), size: (u32, u32), value: u8) {
    let (width, height) = (picture.width(), picture.height());
    let columns = corner.0.min(width) as usize..corner.0.saturating_add(size.0).min(width) as usize;
    let lines = corner.1.min(height)..corner.1.saturating_add(size.1).min(height);
    let [y, ..] = picture.planes_mut();
    for line in lines {
        y[line as usize * width as usize..][columns.clone()].fill(value);
    }
}
