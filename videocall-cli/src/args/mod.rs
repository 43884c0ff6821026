//! The command line, one file for each command.

mod join;
mod record;
mod stream;
mod values;
mod watch;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use self::{
    join::{JoinArgs, TokenArgs, TransportChoice},
    record::RecordArgs,
    stream::StreamArgs,
    watch::WatchArgs,
};
pub(crate) use values::size;

use crate::{doctor::DoctorArgs, exit::EXIT_CODES};

/// A participant of videocall meetings without a browser.
///
/// Settings of joining can also be given in the environment, and all of them in a profile.
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
    /// Publish a camera and a microphone, a test pattern, a file or a pipe
    Stream(StreamArgs),
    /// Receive and decode, and tell how it goes
    Watch(WatchArgs),
    /// Write a meeting to WebM files
    Record(RecordArgs),
    /// List cameras with what they offer, and microphones
    Devices,
    /// Look for what is wrong with the server, the network and the devices, and say what to do
    Doctor(DoctorArgs),
    /// Print completions for a shell
    Completions {
        /// Which one.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command
    Man {
        /// Write all pages to this folder, such as /usr/local/share/man/man1
        #[arg(long, value_name = "FOLDER")]
        directory: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
