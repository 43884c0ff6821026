//! The picture that pictures are drawn into.

use videocall_codec::yuv::{I420, PictureError, Scaler};

use super::layout::{Area, HEIGHT, WIDTH, fitted};

/// Draws one camera or screen, with what can be used again for its next picture.
#[derive(Default)]
pub(super) struct Brush {
    scaler: Option<Scaler>,
    scaled: Option<I420>,
}

/// One picture of the film.
pub(super) struct Canvas {
    pub(super) picture: I420,
}

impl Canvas {
    pub(super) fn new() -> Result<Self, PictureError> {
        Ok(Self {
            picture: I420::black(WIDTH, HEIGHT)?,
        })
    }

    pub(super) fn clear(&mut self) {
        let [y, u, v] = self.picture.planes_mut();
        y.fill(16);
        u.fill(128);
        v.fill(128);
    }

    /// Draws a picture into the middle of its area.
    pub(super) fn draw(
        &mut self,
        brush: &mut Brush,
        picture: &I420,
        area: Area,
    ) -> Result<(), PictureError> {
        let from = (picture.width(), picture.height());
        let area = fitted(area, from);
        let to = (area.width, area.height);
        let fits = |scaler: &Scaler| scaler.from_size() == from && scaler.to_size() == to;
        if !brush.scaler.as_ref().is_some_and(fits) {
            brush.scaler = Some(Scaler::new(from, to)?);
            brush.scaled = Some(I420::black(to.0, to.1)?);
        }
        if let (Some(scaler), Some(scaled)) = (&mut brush.scaler, &mut brush.scaled) {
            scaler.scale(picture, scaled)?;
            self.copy(scaled, area);
        }
        Ok(())
    }

    fn copy(&mut self, picture: &I420, area: Area) {
        let from = [picture.y(), picture.u(), picture.v()];
        let to = self.picture.planes_mut();
        for (plane, (from, to)) in from.into_iter().zip(to).enumerate() {
            // Colour has half as many columns and rows.
            let half = |pixels: u32| (pixels >> u32::from(plane > 0)) as usize;
            let (width, stride) = (half(area.width), half(WIDTH));
            let rows = to.chunks_exact_mut(stride).skip(half(area.y));
            for (from, to) in from.chunks_exact(width).zip(rows) {
                to[half(area.x)..][..width].copy_from_slice(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_drawn_into_its_area_and_nowhere_else() {
        let mut canvas = Canvas::new().unwrap();
        let mut white = I420::black(64, 36).unwrap();
        white.planes_mut()[0].fill(235);
        white.planes_mut()[1].fill(60);
        let area = Area {
            x: 640,
            y: 360,
            width: 640,
            height: 360,
        };
        canvas.draw(&mut Brush::default(), &white, area).unwrap();
        for (index, luma) in canvas.picture.y().iter().enumerate() {
            let (x, y) = (index as u32 % WIDTH, index as u32 / WIDTH);
            let inside = x >= 640 && y >= 360;
            assert_eq!(*luma, if inside { 235 } else { 16 }, "{x} {y}");
        }
        let coloured = canvas.picture.u().iter().filter(|u| **u == 60);
        assert_eq!(coloured.count(), 320 * 180);
        canvas.clear();
        assert!(canvas.picture.y().iter().all(|luma| *luma == 16));
    }
}
