//! What is received.

use std::path::PathBuf;

use clap::Args;

use super::JoinArgs;

/// What is received.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Where and as whom.
    #[command(flatten)]
    pub join: JoinArgs,

    /// Write the pictures of the first camera that comes as Y4M; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub y4m: Option<PathBuf>,

    /// Write the sound of that participant, or of the first, as WAV; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub wav: Option<PathBuf>,

    /// Look for the clock of a test pattern in each picture, and tell the delay
    #[arg(long)]
    pub clock: bool,
}
