//! What is recorded.

use std::path::PathBuf;

use clap::Args;

use super::JoinArgs;

/// What is recorded.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// Where and as whom.
    #[command(flatten)]
    pub join: JoinArgs,

    /// Folder for the files of participants and screens, as they were sent
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub directory: PathBuf,

    /// Also write one file of the whole meeting, cameras in a grid and sound mixed, encoded anew
    #[arg(long, value_name = "FILE")]
    pub composed: Option<PathBuf>,
}
