//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::EXIT_CODES;

/// A participant of videocall meetings without a browser.
///
/// Every setting can also be given in the environment.
#[derive(Debug, Parser)]
#[command(name = "videocall-cli", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a test pattern, a file or a pipe
    Stream(StreamArgs),
    /// Receive and decode, and tell how it goes
    Watch(WatchArgs),
    /// Write each participant to a WebM file, as it was sent
    Record(RecordArgs),
    /// Print completions for a shell
    Completions {
        /// Which one.
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Where to join, and as whom.
#[derive(Clone, Debug, Args)]
pub struct JoinArgs {
    /// Address of the server
    #[arg(
        long,
        env = "VIDEOCALL_SERVER",
        value_name = "URL",
        default_value = "http://localhost:8080"
    )]
    pub server: String,

    /// Name of the meeting
    #[arg(long, env = "VIDEOCALL_MEETING_ID", value_name = "NAME")]
    pub meeting_id: String,

    /// Name that the others see
    #[arg(long, env = "VIDEOCALL_USER_ID", value_name = "NAME")]
    pub user_id: String,

    /// Way to the server [default: the first that works]
    #[arg(long, env = "VIDEOCALL_TRANSPORT", value_enum, default_value_t)]
    pub transport: TransportChoice,

    /// Believe any certificate when asking the server for its addresses
    #[arg(long, env = "VIDEOCALL_INSECURE")]
    pub insecure: bool,

    /// Leave after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
}

/// A way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TransportChoice {
    /// WebTransport, and WebSocket where that does not open.
    #[default]
    Auto,
    /// WebTransport only.
    Webtransport,
    /// WebSocket only.
    Websocket,
}

/// What is published.
#[derive(Clone, Debug, Args)]
pub struct StreamArgs {
    /// Where and as whom.
    #[command(flatten)]
    pub join: JoinArgs,

    /// Y4M or WAV file; `-` reads Y4M from standard input [default: a test pattern with a tone]
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// Sound beside a Y4M input: a WAV file
    #[arg(long, value_name = "FILE", requires = "input")]
    pub sound: Option<PathBuf>,

    /// Begin again at the end of the input
    #[arg(long, requires = "input")]
    pub repeat: bool,

    /// Size of the test pattern
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = size)]
    pub resolution: (u32, u32),

    /// Pictures a second of the test pattern
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

/// What is received.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Where and as whom.
    #[command(flatten)]
    pub join: JoinArgs,

    /// Write the pictures of the first participant that has some as Y4M; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub y4m: Option<PathBuf>,

    /// Write the sound of that participant as WAV
    #[arg(long, value_name = "FILE")]
    pub wav: Option<PathBuf>,

    /// Look for the clock of a test pattern in each picture, and tell the delay
    #[arg(long)]
    pub clock: bool,
}

/// What is recorded.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// Where and as whom.
    #[command(flatten)]
    pub join: JoinArgs,

    /// Folder for the files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub directory: PathBuf,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(width, height)| {
        let side = |text: &str| text.parse().ok().filter(|side| (64..=4096).contains(side));
        Some((side(width)?, side(height)?))
    });
    match sides {
        Some((width, height)) if width % 2 == 0 && height % 2 == 0 => Ok((width, height)),
        _ => Err("two even numbers from 64 to 4096, such as 1280x720".to_owned()),
    }
}

fn hertz(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(hertz) if (0.0..=8000.0).contains(&hertz) => Ok(hertz),
        _ => Err("a number from 0 to 8000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_even_and_bounded() {
        assert_eq!(size("640x360"), Ok((640, 360)));
        for wrong in ["640", "641x360", "0x0", "9999x10", "x"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
