//! Where in the picture each camera and screen is.

/// Size of the composed picture.
pub(super) const WIDTH: u32 = 1280;
/// See [`WIDTH`].
pub(super) const HEIGHT: u32 = 720;
/// Cameras beside a screen.
const BESIDE: u32 = 5;

/// A part of the picture, on even pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Areas of the screen, if there is one, and of so many cameras; of those that have no place there
/// is none.
pub(super) fn areas(screen: bool, cameras: usize) -> (Option<Area>, Vec<Area>) {
    let cameras = u32::try_from(cameras).unwrap_or(u32::MAX);
    if !screen {
        return (None, grid(cameras));
    }
    let beside = WIDTH / BESIDE;
    let height = HEIGHT / BESIDE;
    let width = if cameras == 0 { WIDTH } else { WIDTH - beside };
    let large = Area {
        x: 0,
        y: 0,
        width,
        height: HEIGHT,
    };
    let small = (0..cameras.min(BESIDE)).map(|place| Area {
        x: WIDTH - beside,
        y: place * height,
        width: beside,
        height,
    });
    (Some(large), small.collect())
}

/// As square a grid as it gets; rows are filled from the top.
fn grid(count: u32) -> Vec<Area> {
    let columns = (1..).find(|side| side * side >= count).unwrap_or(1);
    let rows = count.div_ceil(columns).max(1);
    let (width, height) = ((WIDTH / columns) & !1, (HEIGHT / rows) & !1);
    (0..count)
        .map(|place| Area {
            x: place % columns * width,
            y: place / columns * height,
            width,
            height,
        })
        .collect()
}

/// The largest area of a picture's shape in the middle of another.
pub(super) fn fitted(area: Area, picture: (u32, u32)) -> Area {
    let (width, height) = (u64::from(picture.0.max(1)), u64::from(picture.1.max(1)));
    let by_height = u64::from(area.height) * width / height;
    let size = if by_height <= u64::from(area.width) {
        (by_height as u32, area.height)
    } else {
        let by_width = u64::from(area.width) * height / width;
        (area.width, by_width as u32)
    };
    let (width, height) = ((size.0 & !1).max(2), (size.1 & !1).max(2));
    Area {
        x: area.x + (((area.width - width) / 2) & !1),
        y: area.y + (((area.height - height) / 2) & !1),
        width,
        height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_covers_anybody() {
        for screen in [false, true] {
            for cameras in 0..=16 {
                let (large, small) = areas(screen, cameras);
                let all: Vec<Area> = large.into_iter().chain(small).collect();
                for (index, a) in all.iter().enumerate() {
                    assert!(a.x + a.width <= WIDTH && a.y + a.height <= HEIGHT, "{a:?}");
                    assert!(a.x % 2 == 0 && a.y % 2 == 0 && a.width >= 256);
                    for b in &all[..index] {
                        let apart = a.x + a.width <= b.x
                            || b.x + b.width <= a.x
                            || a.y + a.height <= b.y
                            || b.y + b.height <= a.y;
                        assert!(apart, "{a:?} {b:?}");
                    }
                }
            }
        }
        assert_eq!(areas(false, 7).1.len(), 7);
        assert_eq!(areas(true, 7).1.len(), 5);
    }

    #[test]
    fn pictures_keep_their_shape() {
        let area = areas(false, 2).1[1];
        let fitted = fitted(area, (320, 180));
        let expected = Area {
            x: 640,
            y: 180,
            width: 640,
            height: 360,
        };
        assert_eq!(fitted, expected);
    }

    #[test]
    fn even_the_thinnest_picture_fits() {
        let area = areas(true, 3).1[2];
        for picture in [(1, 8000), (8000, 1), (3, 2)] {
            let fitted = fitted(area, picture);
            assert!(fitted.x >= area.x && fitted.x + fitted.width <= area.x + area.width);
            assert!(fitted.y >= area.y && fitted.y + fitted.height <= area.y + area.height);
        }
    }
}
