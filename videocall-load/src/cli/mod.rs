//! The command line, and the file that stands for it.

mod build;
pub(crate) mod cluster;
mod config_file;
mod curve;
mod limits;

use std::{net::IpAddr, num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, Parser, ValueEnum};

pub use build::{PlanRequest, UsageError};
pub use config_file::arguments_with_file;
pub use curve::ThenArguments;
pub use limits::{LimitError, ensure_descriptors};

use crate::{
    behaviour::{
        meeting::{Layout, Speech},
        wamp::{Serializer, WampMode},
    },
    output::session::OutputArguments,
    time_text,
};

/// Exit codes of the program.
pub mod exit {
    /// The run went through.
    pub const OK: u8 = 0;
    /// A fault of the tester.
    pub const INTERNAL: u8 = 1;
    /// Flags, files or limits that nothing can be run with.
    pub const USAGE: u8 = 2;
    /// A threshold was missed.
    pub const THRESHOLDS: u8 = 3;
    /// Not one connection came about.
    pub const UNREACHABLE: u8 = 4;
    /// A report could not be written.
    pub const REPORT: u8 = 5;
}

const AFTER_HELP: &str = "\
Exit codes: 0 the run went through; 1 fault of the tester; 2 wrong usage; 3 a threshold was missed; \
4 not one connection came about; 5 a report could not be written.

Other commands, each with its own --help:
  videocall-load compare a.json b.json    what changed from one run to another
  videocall-load coordinate --nats-url URL --workers N <flags of a run>
  videocall-load work --nats-url URL      take part in a run of several machines

Examples:
  videocall-load --url ws://localhost:8080 --behaviour meeting --connection-number 50 \\
      --participants-per-meeting 50 --cameras 5 --speakers 3 --layout grid:9
  videocall-load --url wss://echo.example.org --runner linear --target-connections 1000 \\
      --ramp-duration 1m --behaviour ping-pong --spam-pause 1s
  videocall-load --url https://localhost:4433 --insecure --behaviour meeting";

/// Load tester for WebSocket (ws:, wss:) and WebTransport (https:) servers, and for meetings.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "videocall-load",
    version,
    after_help = AFTER_HELP,
    args_override_self = true
)]
pub struct Arguments {
    /// File with flags, TOML: `url = "ws://localhost:8080"`. Flags of the command line come first
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArguments,
    /// How the run is told of.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Which curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RunnerName {
    /// All connections at once: --connection-number
    #[default]
    Flat,
    /// An even ramp: --target-connections, --ramp-duration
    Linear,
    /// Some more at each step: --target-connections, --step-size, --step-duration
    Steps,
    /// Some times as many at each step: --target-connections, --connection-number at the start,
    /// --growth-factor, --soaking-time
    Exponential,
    /// Up and down: --min-connections, --max-connections, --period
    Sine,
    /// Open model: connections arrive whatever becomes of the others: --arrivals-per-second
    Open,
}

/// What connections do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BehaviourName {
    /// Read and answer pings
    #[default]
    Silent,
    /// Send to a server that echoes, and measure the round trip
    PingPong,
    /// Send without waiting
    Flood,
    /// Read slower than the server sends
    SlowConsumer,
    /// All vanish at the same moments and come back at once
    ReconnectStorm,
    /// Send malformed frames and packets
    Fuzzer,
    /// WAMP version 2
    Wamp,
    /// Follow the script of --scenario
    Scenario,
    /// Take part in meetings
    Meeting,
}

/// The plan as given.
#[derive(Args, Clone, Debug)]
pub struct PlanArguments {
    /// Server: ws://, wss://, or https:// for WebTransport
    #[arg(long)]
    pub url: Option<String>,
    /// How connections come and go
    #[arg(long, value_enum, default_value_t)]
    pub runner: RunnerName,
    /// What connections do
    #[arg(long, value_enum, default_value_t)]
    pub behaviour: BehaviourName,
    /// Another runner behind it, from the connections on that are open then, as NAME:FLAG=VALUE,...;
    /// may be repeated: --then linear:target-connections=0,ramp-duration=30s
    #[arg(long, value_name = "RUNNER", value_parser = curve::parse_then)]
    pub then: Vec<ThenArguments>,
    /// Length of the run; with --waves-number of each wave, with --then of the first runner
    /// [default: the curve's own length, or 30s]
    #[arg(long, value_parser = time_text::parse)]
    pub duration: Option<Duration>,
    /// Makes random choices repeatable
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The curve.
    #[command(flatten)]
    pub curve: CurveArguments,
    /// The life of a connection.
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// How connections are made.
    #[command(flatten)]
    pub transport: TransportArguments,
    /// Messages.
    #[command(flatten)]
    pub message: MessageArguments,
    /// WAMP.
    #[command(flatten)]
    pub wamp: WampArguments,
    /// Meetings.
    #[command(flatten)]
    pub meeting: MeetingArguments,
}

/// The curve.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Runner")]
pub struct CurveArguments {
    /// Connections of `flat` [default: 10]; at the start of `exponential` [default: 1]
    #[arg(long, value_name = "N")]
    pub connection_number: Option<u64>,
    /// Connections that `linear`, `steps` and `exponential` lead to
    #[arg(long, value_name = "N")]
    pub target_connections: Option<u64>,
    /// Length of the ramp of `linear`
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub ramp_duration: Option<Duration>,
    /// Connections added by each step of `steps`
    #[arg(long, value_name = "N")]
    pub step_size: Option<u64>,
    /// Length of each step of `steps`
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub step_duration: Option<Duration>,
    /// Growth of each step of `exponential` [default: 2]
    #[arg(long, value_name = "FACTOR")]
    pub growth_factor: Option<f64>,
    /// Length of each step of `exponential`
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub soaking_time: Option<Duration>,
    /// The fewest connections of `sine` [default: 0]
    #[arg(long, value_name = "N")]
    pub min_connections: Option<u64>,
    /// The most connections of `sine`
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u64>,
    /// From one minimum of `sine` to the next
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub period: Option<Duration>,
    /// Connections of `open` that arrive in a second
    #[arg(long, value_name = "RATE")]
    pub arrivals_per_second: Option<f64>,
    /// Connections of `open` at once; what arrives beyond it waits, and is late
    #[arg(long, value_name = "N")]
    pub connection_limit: Option<NonZeroU64>,
    /// Goes through the curve so often
    #[arg(long, value_name = "N")]
    pub waves_number: Option<u32>,
    /// Time between waves, without connections [default: 0s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub waves_pause: Option<Duration>,
}

/// The life of a connection.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArguments {
    /// How long a connection stays [default: as long as the runner wants it]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub connection_duration: Option<Duration>,
    /// How long after its end a connection is replaced [default: 1s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub connection_pause: Option<Duration>,
}

/// How connections are made.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transport")]
pub struct TransportArguments {
    /// Another server of the same installation; may be repeated. Connections go to all in turn
    #[arg(long, value_name = "URL")]
    pub other_url: Vec<String>,
    /// Connections that go to one server before it is the next one's turn [default: 1]
    #[arg(long, value_name = "N", requires = "other_url")]
    pub turn: Option<NonZeroU64>,
    /// Believe any certificate
    #[arg(long)]
    pub insecure: bool,
    /// Believe the certificate with this SHA-256 hash, hexadecimal or base64; may be repeated
    #[arg(long, value_name = "HASH", conflicts_with = "insecure")]
    pub certificate_hash: Vec<String>,
    /// Believe what is signed by these certificates, PEM [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["insecure", "certificate_hash"])]
    pub ca: Option<PathBuf>,
    /// Connect from this address; may be repeated, then in turn
    #[arg(long, value_name = "ADDRESS")]
    pub source_address: Vec<IpAddr>,
    /// WebTransport connections that share a UDP socket [default: 50]
    #[arg(long, value_name = "N")]
    pub connections_per_endpoint: Option<NonZeroU64>,
    /// How long connecting may take, handshake included [default: 10s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub connect_timeout: Option<Duration>,
    /// Bytes that a WebSocket reads at once [default: 4096]
    #[arg(long, value_name = "BYTES")]
    pub read_buffer: Option<usize>,
}

/// Messages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Messages")]
pub struct MessageArguments {
    /// Between messages that a connection sends, or reads as a slow consumer [default: 1s; `flood`:
    /// 0s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub spam_pause: Option<Duration>,
    /// Size of a message [default: 64]
    #[arg(long, value_name = "BYTES")]
    pub message_bytes: Option<usize>,
    /// How long an answer may take [default: 10s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub reply_timeout: Option<Duration>,
    /// Receive buffer of a slow consumer in the kernel [default: 4096]
    #[arg(long, value_name = "BYTES")]
    pub receive_buffer: Option<u32>,
    /// From one storm of `reconnect-storm` to the next [default: 5s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub storm_period: Option<Duration>,
    /// Script of `scenario`, TOML
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
}

/// WAMP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "WAMP")]
pub struct WampArguments {
    /// Realm [default: realm1]
    #[arg(long)]
    pub wamp_realm: Option<String>,
    /// What sessions do [default: pubsub]
    #[arg(long, value_enum)]
    pub wamp_mode: Option<WampMode>,
    /// Serialization [default: json]
    #[arg(long, value_enum)]
    pub wamp_serializer: Option<Serializer>,
    /// Topic, or beginning of the names of procedures [default: load.test]
    #[arg(long, value_name = "URI")]
    pub wamp_uri: Option<String>,
    /// Sessions that publish or call [default: all]
    #[arg(long, value_name = "N")]
    pub wamp_publishers: Option<u64>,
}

/// Meetings.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Meetings")]
pub struct MeetingArguments {
    /// Connections that share a meeting [default: 10]
    #[arg(long, value_name = "N")]
    pub participants_per_meeting: Option<u64>,
    /// Participants of a meeting with their camera on [default: 3, or all if there are fewer]
    #[arg(long, value_name = "N")]
    pub cameras: Option<u64>,
    /// Participants of a meeting with their microphone on [default: 3, or all if there are fewer]
    #[arg(long, value_name = "N")]
    pub speakers: Option<u64>,
    /// Participants of a meeting who share their screen [default: 0]
    #[arg(long, value_name = "N")]
    pub screens: Option<u64>,
    /// IVF or WebM file that cameras and microphones play at its own pace, again and again, instead of
    /// simulated media
    #[arg(long, value_name = "FILE")]
    pub media: Option<PathBuf>,
    /// When they speak [default: steady]
    #[arg(long, value_enum)]
    pub speech: Option<Speech>,
    /// What everybody looks at: everything, speaker, audio, or grid:N [default: everything]
    #[arg(long)]
    pub layout: Option<Layout>,
    /// Highest temporal layer that everybody wants, 0 to 2 [default: all]
    #[arg(long, value_name = "LAYER")]
    pub max_temporal: Option<u32>,
    /// Speak as older clients of videocall.rs do: no Hello, no routing header, one layer
    #[arg(long)]
    pub legacy: bool,
    /// Simulcast layers of a camera, 1 to 3 [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub layers: Option<u8>,
    /// Pictures a second [default: 30]
    #[arg(long, value_name = "N")]
    pub fps: Option<u32>,
    /// A keyframe comes at least this often [default: 10s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub keyframe_interval: Option<Duration>,
    /// Speakers that the server forwards at once; with more of them, gaps of sound are not counted
    /// as loss [default: 5]
    #[arg(long, value_name = "N")]
    pub loudest: Option<u64>,
    /// Begins the names of meetings and participants [default: load]
    #[arg(long, value_name = "NAME")]
    pub meeting_name: Option<String>,
}
