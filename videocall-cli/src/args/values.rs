//! Values that are more than a text or a number.

use std::time::Duration;

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub(crate) fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(width, height)| {
        let side = |text: &str| text.parse().ok().filter(|side| (64..=4096).contains(side));
        Some((side(width)?, side(height)?))
    });
    match sides {
        Some((width, height)) if width % 2 == 0 && height % 2 == 0 => Ok((width, height)),
        _ => Err("two even numbers from 64 to 4096, such as 1280x720".to_owned()),
    }
}

pub(super) fn hertz(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(hertz) if (0.0..=8000.0).contains(&hertz) => Ok(hertz),
        _ => Err("a number from 0 to 8000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_and_bounded() {
        assert_eq!(size("640x360"), Ok((640, 360)));
        for wrong in ["640", "641x360", "0x0", "9999x10", "x"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
