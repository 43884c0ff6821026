//! Cameras and microphones as a source: opened once, and looked for again when they are gone.

mod backoff;
mod camera;
mod microphone;

use clap::{Args, ValueEnum};
use videocall_capture::PixelFormat;

pub(crate) use self::{camera::CameraSource, microphone::MicrophoneSource};

/// Devices that are streamed.
#[derive(Clone, Debug, Args)]
pub struct DeviceArgs {
    /// Camera to stream: N of /dev/videoN, as `videocall-cli devices` lists them
    #[arg(long, value_name = "N", conflicts_with = "input")]
    pub video_device_index: Option<u32>,

    /// Format of the camera's pictures [default: the cheapest that is fast enough]
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        ignore_case = true,
        requires = "video_device_index"
    )]
    pub frame_format: Option<FrameFormat>,

    /// Microphone to stream: ALSA's name, such as `default` or `hw:1,0`
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    pub audio_device: Option<String>,
}

/// A format of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FrameFormat {
    /// 4:2:0 in two planes.
    #[value(name = "NV12")]
    Nv12,
    /// 4:2:2 in one plane.
    #[value(name = "YUYV")]
    Yuyv,
    /// A JPEG for each picture.
    #[value(name = "MJPEG")]
    Mjpeg,
}

impl From<FrameFormat> for PixelFormat {
    fn from(format: FrameFormat) -> Self {
        match format {
            FrameFormat::Nv12 => Self::Nv12,
            FrameFormat::Yuyv => Self::Yuyv,
            FrameFormat::Mjpeg => Self::Mjpeg,
        }
    }
}

/// Which devices are away now, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Away {
    pub(crate) camera: Option<String>,
    pub(crate) microphone: Option<String>,
}
