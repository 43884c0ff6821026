//! A camera that gives pictures.

use std::{
    io,
    time::{Duration, Instant},
};

use moq_v4l::{
    Device, Format, Fraction,
    buffer::{Flags, Metadata, Type},
    io::{
        mmap::Stream as MmapStream,
        traits::{CaptureStream as _, Stream as _},
    },
    video::{Capture as _, capture::Parameters},
};
use rustix::time::{ClockId, clock_gettime};
use videocall_codec::yuv::{I420, MjpegDecoder, Plane, nv12_to_i420, yuyv_to_i420};

use crate::{
    error::{CaptureError, Kind, errno},
    offers::{self, PixelFormat},
};

/// Pictures that the kernel keeps at most; more would only be older.
const BUFFERS: u32 = 4;
/// A camera that gives nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// `poll(2)`: there is something to read.
const READABLE: i16 = 1;

/// What is wanted of a camera.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second; what the camera does is the nearest that it can.
    pub fps: u32,
    /// One format only, instead of the one that suits best.
    pub format: Option<PixelFormat>,
}

/// A camera that gives pictures. Dropped, it is free for others.
pub struct Camera {
    device: String,
    bus: String,
    format: PixelFormat,
    size: (u32, u32),
    stride: usize,
    fps: f64,
    stream: MmapStream<'static>,
    mjpeg: MjpegDecoder,
    /// When the last picture came.
    alive: Instant,
}

impl std::fmt::Debug for Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Camera")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Camera {
    /// Opens `/dev/videoN` and starts it. The size must be one that it has; of the rate it gives
    /// what is nearest.
    pub fn open(index: u32, wanted: &Wanted) -> Result<Self, CaptureError> {
        let device = open_device(index)?;
        let path = device_path(index);
        let failed = |step, source| failure(&path, step, source);
        let offered = offers::formats(&device);
        if offered.is_empty() {
            return Err(not_found(index));
        }
        let unsupported = || CaptureError::Unsupported {
            device: path.clone(),
            wanted: wanted.to_string(),
            offers: offers::in_words(&offered),
        };
        let format = offers::choose(&offered, wanted).ok_or_else(unsupported)?;
        let asked = Format::new(wanted.width, wanted.height, format.fourcc());
        let given = device
            .set_format(&asked)
            .map_err(|error| failed("its format", error))?;
        // A driver is free to give what it likes better.
        if (given.width, given.height) != (wanted.width, wanted.height)
            || given.fourcc != format.fourcc()
        {
            return Err(unsupported());
        }
        let fps = set_rate(&device, wanted.fps);
        let stream = start(&device).map_err(|error| failed("starting it", error))?;
        Ok(Self {
            bus: offers::bus(index).unwrap_or_default(),
            device: path,
            format,
            size: (given.width, given.height),
            stride: given.stride as usize,
            fps,
            stream,
            mjpeg: MjpegDecoder::new(given.width, given.height),
            alive: Instant::now(),
        })
    }

    /// The format that was chosen.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Pictures a second, as the camera says.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// Where it is plugged in, for [`offers::find_by_bus`].
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// Waits for the next picture and gives the moment at which it was taken; `None` if there is
    /// none in time, or one that is damaged. `to` becomes as large as the picture.
    pub fn next(&mut self, wait: Duration, to: &mut I420) -> Result<Option<Instant>, CaptureError> {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let ready = match self.stream.handle().poll(READABLE, wait_ms) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(failure(&self.device, "waiting for a picture", error));
            }
            ready => ready.unwrap_or(0) > 0,
        };
        if !ready {
            if self.alive.elapsed() > STUCK {
                return Err(self.gone());
            }
            return Ok(None);
        }
        let (data, about) = match self.stream.next() {
            Ok((data, about)) => (data, *about),
            Err(error) => return Err(failure(&self.device, "taking a picture", error)),
        };
        self.alive = Instant::now();
        if about.flags.contains(Flags::ERROR) {
            return Ok(None);
        }
        let used = about.bytesused as usize;
        let data = data.get(..used).filter(|_| used > 0).unwrap_or(data);
        let taken = convert(
            self.format,
            self.size,
            self.stride,
            &mut self.mjpeg,
            data,
            to,
        );
        Ok(taken.then(|| taken_at(&about)))
    }

    fn gone(&self) -> CaptureError {
        CaptureError::Gone {
            device: self.device.clone(),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)?;
        match self.format {
            Some(format) => write!(f, " in {}", format.name()),
            None => Ok(()),
        }
    }
}

/// Whether the data was a whole picture of the size.
fn convert(
    format: PixelFormat,
    size: (u32, u32),
    stride: usize,
    mjpeg: &mut MjpegDecoder,
    data: &[u8],
    to: &mut I420,
) -> bool {
    let (width, height) = size;
    match format {
        PixelFormat::Nv12 => {
            let stride = stride.max(width as usize);
            let Some((y, uv)) = data.split_at_checked(stride.saturating_mul(height as usize))
            else {
                return false;
            };
            let (y, uv) = (Plane { data: y, stride }, Plane { data: uv, stride });
            nv12_to_i420(width, height, y, uv, to).is_ok()
        }
        PixelFormat::Yuyv => {
            let stride = stride.max(2 * width as usize);
            yuyv_to_i420(width, height, Plane { data, stride }, to).is_ok()
        }
        PixelFormat::Mjpeg => mjpeg.decode(data, to).is_ok() && (to.width(), to.height()) == size,
    }
}

/// The moment at which a picture was taken. Drivers stamp pictures with the monotonic clock, which
/// is also that of [`Instant`].
fn taken_at(about: &Metadata) -> Instant {
    let now = Instant::now();
    if !about.flags.contains(Flags::TIMESTAMP_MONOTONIC) {
        return now;
    }
    let monotonic = clock_gettime(ClockId::Monotonic);
    let us = |seconds: i64, microseconds: i64| seconds * 1_000_000 + microseconds;
    let age = us(monotonic.tv_sec, monotonic.tv_nsec / 1_000)
        - us(about.timestamp.sec, about.timestamp.usec);
    // No picture waits for seconds: such a stamp is of another clock.
    match u64::try_from(age) {
        Ok(age) if age < 2_000_000 => now.checked_sub(Duration::from_micros(age)).unwrap_or(now),
        _ => now,
    }
}

/// Starts a device. The buffer that the stream queues by itself, the first, is left to it.
fn start(device: &Device) -> io::Result<MmapStream<'static>> {
    let mut stream = MmapStream::with_buffers(device, Type::VideoCapture, BUFFERS)?;
    for index in 1..BUFFERS as usize {
        // The driver may have given fewer.
        if index > 1 && stream.queue(index).is_err() {
            break;
        } else if index == 1 {
            stream.queue(index)?;
        }
    }
    stream.start()?;
    Ok(stream)
}

/// Pictures a second that the device will give.
fn set_rate(device: &Device, fps: u32) -> f64 {
    let wanted = Parameters::new(Fraction::new(1, fps.max(1)));
    // Some have one rate only, and no way to set it.
    let given = device.set_params(&wanted).or_else(|_| device.params());
    let rate = given
        .map(|given| f64::from(given.interval.denominator) / f64::from(given.interval.numerator));
    match rate {
        Ok(rate) if rate.is_finite() && rate > 0.0 => rate.clamp(1.0, 240.0),
        _ => f64::from(fps.max(1)),
    }
}

pub(crate) fn device_path(index: u32) -> String {
    format!("/dev/video{index}")
}

fn open_device(index: u32) -> Result<Device, CaptureError> {
    Device::new(index as usize).map_err(|error| match error.raw_os_error() {
        Some(errno::NO_ENTRY | errno::NO_DEVICE | errno::NO_ADDRESS) => not_found(index),
        _ => failure(&device_path(index), "opening it", error),
    })
}

fn not_found(index: u32) -> CaptureError {
    CaptureError::NotFound {
        device: device_path(index),
        kind: Kind::Camera,
        found: offers::names(),
    }
}

pub(crate) fn failure(path: &str, step: &'static str, source: io::Error) -> CaptureError {
    let device = path.to_owned();
    match source.raw_os_error() {
        Some(errno::NO_DEVICE) => CaptureError::Gone { device },
        Some(errno::BUSY) => CaptureError::Busy {
            path: device.clone(),
            device,
        },
        Some(errno::ACCESS | errno::NOT_PERMITTED) => CaptureError::NoPermission {
            device,
            group: "video",
        },
        Some(errno::NO_SPACE) => CaptureError::NoBandwidth { device },
        _ => CaptureError::Other {
            device,
            step,
            source,
        },
    }
}
