//! What cameras there are, and what they offer.

use std::{fs, io::ErrorKind, path::Path};

use moq_v4l::{
    Device, FourCC, frameinterval::FrameIntervalEnum, framesize::FrameSizeEnum, video::Capture as _,
};

use crate::{
    camera::{Wanted, device_path, failure},
    error::CaptureError,
};

/// How the pictures of a camera lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// 4:2:0, a plane of Y and one of U and V in turn.
    Nv12,
    /// 4:2:2 in one plane; also called YUY2.
    Yuyv,
    /// A JPEG for each picture.
    Mjpeg,
}

impl PixelFormat {
    /// In the order in which they are taken where there is a choice: by what they cost.
    pub const ALL: [Self; 3] = [Self::Nv12, Self::Yuyv, Self::Mjpeg];

    /// The name that the command line knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nv12 => "NV12",
            Self::Yuyv => "YUYV",
            Self::Mjpeg => "MJPEG",
        }
    }

    pub(crate) fn fourcc(self) -> FourCC {
        FourCC::new(match self {
            Self::Nv12 => b"NV12",
            Self::Yuyv => b"YUYV",
            Self::Mjpeg => b"MJPG",
        })
    }

    fn from_fourcc(fourcc: FourCC) -> Option<Self> {
        // Some drivers call the same thing plain JPEG.
        if &fourcc.repr == b"JPEG" {
            return Some(Self::Mjpeg);
        }
        let mut all = Self::ALL.into_iter();
        all.find(|format| format.fourcc().repr == fourcc.repr)
    }
}

/// A camera, as `/sys` and itself describe it.
#[derive(Debug)]
pub struct CameraInfo {
    /// N in `/dev/videoN`.
    pub index: u32,
    /// What it calls itself.
    pub name: String,
    /// Where it is plugged in, as a path below `/sys/devices`: the same for the same socket.
    pub bus: String,
    /// What it offers, or why that cannot be told.
    pub formats: Result<Vec<Format>, CaptureError>,
}

/// A format of a camera.
#[derive(Clone, Debug)]
pub struct Format {
    /// Four letters by which the kernel knows it.
    pub fourcc: String,
    /// The same, if this program can use it.
    pub format: Option<PixelFormat>,
    /// Sizes, as many as the camera names.
    pub sizes: Vec<Size>,
}

/// A size, or a range of them, with the rates of its smallest.
#[derive(Clone, Debug, PartialEq)]
pub struct Size {
    /// Smallest width and height in pixels.
    pub min: (u32, u32),
    /// Largest width and height in pixels; the same if there is only one.
    pub max: (u32, u32),
    /// Pixels from one to the next.
    pub step: (u32, u32),
    /// Pictures a second, highest first; empty if the camera does not tell. Of a range, its ends.
    pub rates: Vec<f64>,
}

impl Size {
    /// Whether it is, or comprises, this size in pixels.
    pub fn has(&self, width: u32, height: u32) -> bool {
        let fits = |side: u32, min: u32, max: u32, step: u32| {
            (min..=max).contains(&side) && (side - min).is_multiple_of(step.max(1))
        };
        fits(width, self.min.0, self.max.0, self.step.0)
            && fits(height, self.min.1, self.max.1, self.step.1)
    }

    /// Pictures a second at most; a camera that does not tell may do anything.
    fn fastest(&self) -> f64 {
        self.rates.first().copied().unwrap_or(f64::INFINITY)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.min.0, self.min.1)?;
        if self.min != self.max {
            write!(f, " to {}x{}", self.max.0, self.max.1)?;
        }
        Ok(())
    }
}

/// Every camera of the machine, by index. What only describes pictures, or takes them, is left out.
pub fn cameras() -> Vec<CameraInfo> {
    indices().into_iter().filter_map(describe).collect()
}

/// The N of each `/dev/videoN`, be it a camera or not, in order.
fn indices() -> Vec<u32> {
    let entries = fs::read_dir("/sys/class/video4linux").into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    let indices = names.filter_map(|name| name.to_str()?.strip_prefix("video")?.parse().ok());
    let mut indices: Vec<u32> = indices.collect();
    indices.sort_unstable();
    indices
}

fn describe(index: u32) -> Option<CameraInfo> {
    let path = device_path(index);
    let formats = match Device::new(index as usize) {
        Ok(device) => Ok(formats(&device)),
        // The kernel knows it, but it has no file here, as in a container.
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => Err(failure(&path, "opening it", error)),
    };
    if formats.as_ref().is_ok_and(Vec::is_empty) {
        return None;
    }
    Some(CameraInfo {
        index,
        name: name(index),
        bus: bus(index).unwrap_or_default(),
        formats,
    })
}

fn class(index: u32) -> String {
    format!("/sys/class/video4linux/video{index}")
}

/// What a camera calls itself. Read from `/sys` because it may be cut off within a letter.
pub(crate) fn name(index: u32) -> String {
    let name = fs::read(Path::new(&class(index)).join("name")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim().to_owned()
}

/// Where a camera is plugged in.
pub(crate) fn bus(index: u32) -> Option<String> {
    let path = fs::canonicalize(Path::new(&class(index)).join("device")).ok()?;
    let path = path.strip_prefix("/sys/devices").unwrap_or(&path);
    Some(path.to_string_lossy().into_owned())
}

/// The camera at a socket, wherever it is counted now. A camera of several parts has several of
/// the same bus: the lowest index that offers pictures.
pub fn find_by_bus(wanted: &str) -> Option<u32> {
    let at_socket = |index: &u32| bus(*index).is_some_and(|bus| bus == wanted);
    let mut indices = indices().into_iter().filter(at_socket);
    indices.find(|&index| describe(index).is_some())
}

/// Names for those who asked for one that is not there.
pub(crate) fn names() -> Vec<String> {
    let named = |camera: CameraInfo| format!("{} ({})", device_path(camera.index), camera.name);
    cameras().into_iter().map(named).collect()
}

/// Sizes and rates of a format that are asked for at most: a driver must not keep this busy for ever.
const MAX_LISTED: usize = 64;

/// What a device offers; nothing if it is no camera.
pub(crate) fn formats(device: &Device) -> Vec<Format> {
    let formats = device.enum_formats().unwrap_or_default();
    let formats = formats.into_iter().take(MAX_LISTED).map(|format| Format {
        fourcc: String::from_utf8_lossy(&format.fourcc.repr)
            .trim_end()
            .to_owned(),
        format: PixelFormat::from_fourcc(format.fourcc),
        sizes: sizes(device, format.fourcc),
    });
    formats.collect()
}

fn sizes(device: &Device, fourcc: FourCC) -> Vec<Size> {
    let sizes = device.enum_framesizes(fourcc).unwrap_or_default();
    let sizes = sizes
        .into_iter()
        .take(MAX_LISTED)
        .map(|size| match size.size {
            FrameSizeEnum::Discrete(size) => {
                let sides = (size.width, size.height);
                (sides, sides, (1, 1))
            }
            FrameSizeEnum::Stepwise(range) => (
                (range.min_width, range.min_height),
                (range.max_width, range.max_height),
                (range.step_width, range.step_height),
            ),
        });
    let sizes = sizes.map(|(min, max, step)| Size {
        min,
        max,
        step,
        rates: rates(device, fourcc, min),
    });
    sizes.collect()
}

fn rates(device: &Device, fourcc: FourCC, (width, height): (u32, u32)) -> Vec<f64> {
    let intervals = device.enum_frameintervals(fourcc, width, height);
    let rate = |numerator: u32, denominator: u32| f64::from(denominator) / f64::from(numerator);
    let mut rates = Vec::new();
    for interval in intervals.unwrap_or_default().into_iter().take(MAX_LISTED) {
        match interval.interval {
            FrameIntervalEnum::Discrete(one) => rates.push(rate(one.numerator, one.denominator)),
            FrameIntervalEnum::Stepwise(range) => {
                rates.push(rate(range.min.numerator, range.min.denominator));
                rates.push(rate(range.max.numerator, range.max.denominator));
            }
        }
    }
    rates.retain(|rate| rate.is_finite() && *rate > 0.0);
    rates.sort_by(|a, b| b.total_cmp(a));
    rates.dedup();
    rates
}

/// The format that suits: the cheapest that is fast enough, else the fastest. `None` if none has
/// the size.
pub(crate) fn choose(offered: &[Format], wanted: &Wanted) -> Option<PixelFormat> {
    let formats = PixelFormat::ALL.into_iter();
    let formats = formats.filter(|format| wanted.format.is_none_or(|only| only == *format));
    let fastest = |format: PixelFormat| {
        let same = offered.iter().filter(|offer| offer.format == Some(format));
        // Of a camera that names no sizes, any may be tried.
        let rates = same.flat_map(|offer| {
            let listed = offer
                .sizes
                .iter()
                .filter(|size| size.has(wanted.width, wanted.height));
            let unlisted = offer.sizes.is_empty().then_some(f64::INFINITY);
            listed.map(Size::fastest).chain(unlisted)
        });
        rates.max_by(f64::total_cmp)
    };
    let able: Vec<_> = formats
        .filter_map(|format| Some((format, fastest(format)?)))
        .collect();
    let enough = able
        .iter()
        .find(|(_, rate)| rate.round() >= f64::from(wanted.fps));
    let most = || able.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
    enough.or_else(most).map(|(format, _)| *format)
}

/// What a camera has, as a sentence.
pub(crate) fn in_words(offered: &[Format]) -> String {
    /// Formats or sizes that are told; the rest is left to the list of devices.
    const TOLD: usize = 8;
    let usable: Vec<_> = offered
        .iter()
        .filter(|offer| offer.format.is_some())
        .collect();
    if usable.is_empty() {
        let known = PixelFormat::ALL.map(PixelFormat::name).join(", ");
        let fourccs: Vec<_> = offered
            .iter()
            .take(TOLD)
            .map(|offer| offer.fourcc.as_str())
            .collect();
        return format!("it has only {}, and usable are {known}", fourccs.join(", "));
    }
    let formats = usable.into_iter().map(|offer| {
        let mut sizes: Vec<_> = offer.sizes.iter().take(TOLD).map(Size::to_string).collect();
        if offer.sizes.len() > TOLD {
            sizes.push("…".to_owned());
        }
        format!(
            "{} {}",
            offer.format.map_or("", PixelFormat::name),
            sizes.join(" ")
        )
    });
    format!("it has {}", formats.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(format: PixelFormat, sizes: &[(u32, u32, f64)]) -> Format {
        let sizes = sizes.iter().map(|&(width, height, rate)| Size {
            min: (width, height),
            max: (width, height),
            step: (1, 1),
            rates: vec![rate],
        });
        Format {
            fourcc: format.name().to_owned(),
            format: Some(format),
            sizes: sizes.collect(),
        }
    }

    /// What most USB cameras offer.
    fn webcam() -> Vec<Format> {
        vec![
            format(PixelFormat::Mjpeg, &[(1280, 720, 30.0), (640, 480, 30.0)]),
            format(PixelFormat::Yuyv, &[(1280, 720, 10.0), (640, 480, 30.0)]),
        ]
    }

    fn wanted(width: u32, height: u32, fps: u32, format: Option<PixelFormat>) -> Wanted {
        Wanted {
            width,
            height,
            fps,
            format,
        }
    }

    #[test]
    fn the_cheapest_that_is_fast_enough_is_taken() {
        let chosen =
            |width, height, fps, format| choose(&webcam(), &wanted(width, height, fps, format));
        assert_eq!(chosen(640, 480, 30, None), Some(PixelFormat::Yuyv));
        assert_eq!(chosen(1280, 720, 30, None), Some(PixelFormat::Mjpeg));
        assert_eq!(chosen(1280, 720, 10, None), Some(PixelFormat::Yuyv));
        // None is fast enough: the fastest.
        assert_eq!(chosen(1280, 720, 60, None), Some(PixelFormat::Mjpeg));
        assert_eq!(
            chosen(1280, 720, 30, Some(PixelFormat::Yuyv)),
            Some(PixelFormat::Yuyv)
        );
        assert_eq!(chosen(1280, 720, 30, Some(PixelFormat::Nv12)), None);
        assert_eq!(chosen(1920, 1080, 30, None), None);
    }

    #[test]
    fn ranges_have_steps() {
        let range = Size {
            min: (32, 32),
            max: (2592, 1944),
            step: (2, 2),
            rates: vec![90.0, 1.0],
        };
        assert!(range.has(1280, 720) && range.has(32, 32) && range.has(2592, 1944));
        assert!(!range.has(1281, 720) && !range.has(16, 32) && !range.has(3000, 720));
        assert_eq!(range.to_string(), "32x32 to 2592x1944");
        let camera = [Format {
            fourcc: "NV12".to_owned(),
            format: Some(PixelFormat::Nv12),
            sizes: vec![range],
        }];
        let chosen = choose(&camera, &wanted(1280, 720, 30, None));
        assert_eq!(chosen, Some(PixelFormat::Nv12));
    }

    #[test]
    fn what_is_offered_is_said() {
        assert_eq!(
            in_words(&webcam()),
            "it has MJPEG 1280x720 640x480; YUYV 1280x720 640x480"
        );
        let depth = [Format {
            fourcc: "Z16".to_owned(),
            format: None,
            sizes: Vec::new(),
        }];
        assert_eq!(
            in_words(&depth),
            "it has only Z16, and usable are NV12, YUYV, MJPEG"
        );
    }
}
