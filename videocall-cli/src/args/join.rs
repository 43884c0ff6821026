//! Where to join, and as whom.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::values::seconds;

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

    /// Name of the meeting; not needed with a token
    #[arg(long, env = "VIDEOCALL_MEETING_ID", value_name = "NAME")]
    pub meeting_id: Option<String>,

    /// Name that the others see; not needed with a token
    #[arg(long, env = "VIDEOCALL_USER_ID", value_name = "NAME")]
    pub user_id: Option<String>,

    /// What lets in without being a guest.
    #[command(flatten)]
    pub token: TokenArgs,

    /// Way to the server [default: the first that works]
    #[arg(long, env = "VIDEOCALL_TRANSPORT", value_enum, default_value_t)]
    pub transport: TransportChoice,

    /// Believe any certificate when asking the server for its addresses
    #[arg(long, env = "VIDEOCALL_INSECURE")]
    pub insecure: bool,

    /// Leave after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// TOML file with settings, such as `user-id = "pi"`; flags and the environment win over it
    #[arg(long, env = "VIDEOCALL_PROFILE", value_name = "FILE")]
    pub profile: Option<PathBuf>,
}

/// A token, never as an argument: other users of the machine see those.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// File with a token of the server's operator, which names meeting and user; a token can also
    /// be given in the environment, as VIDEOCALL_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
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
