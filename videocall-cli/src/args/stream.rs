//! What is published.

use std::path::PathBuf;

use clap::Args;

use super::{
    JoinArgs,
    values::{hertz, size},
};
use crate::capture::DeviceArgs;

/// What is published.
#[derive(Clone, Debug, Args)]
pub struct StreamArgs {
    /// Where and as whom.
    #[command(flatten)]
    pub join: JoinArgs,

    /// Camera and microphone.
    #[command(flatten)]
    pub devices: DeviceArgs,

    /// Y4M, IVF, WebM or WAV, recognised by its first bytes; `-` reads standard input [default: a
    /// test pattern with a tone]
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// WAV file with the sound of the input
    #[arg(long, value_name = "FILE")]
    pub sound: Option<PathBuf>,

    /// Share a screen as well: a file or pipe as of --input, or a test pattern without FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "pattern")]
    pub screen: Option<PathBuf>,

    /// WAV file with the sound of the screen
    #[arg(long, value_name = "FILE")]
    pub screen_sound: Option<PathBuf>,

    /// Share the screen alone: no camera, no microphone
    #[arg(long)]
    pub screen_only: bool,

    /// Begin again at the end of the input and of the screen
    #[arg(long)]
    pub repeat: bool,

    /// Size of the picture of a camera or of the test pattern
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = size)]
    pub resolution: (u32, u32),

    /// Pictures a second of a camera, at most, or of the test pattern
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub fps: u32,

    /// Bits a second of the largest layer, in thousands [default: by its size]
    #[arg(long, value_name = "KBPS", value_parser = clap::value_parser!(u32).range(50..=50_000))]
    pub bitrate_kbps: Option<u32>,

    /// Frequency of the test tone in hertz; 0 for no sound
    #[arg(long, value_name = "HERTZ", default_value_t = 1000.0, value_parser = hertz)]
    pub tone: f32,

    /// libvpx's cpu-used: 9 is fastest, for a Raspberry Pi
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(5..=9))]
    pub speed: u8,

    /// One size only, instead of up to three for links that carry less
    #[arg(long)]
    pub no_simulcast: bool,
}
