//! Project chores: build the web front end, regenerate code, run suites.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod proto;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(about = "Project chores")]
enum Chore {
    /// Regenerate videocall-types/src/generated from its .proto files.
    Proto {
        /// Change nothing; fail if the generated code is not up to date.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Chore::parse() {
        Chore::Proto { check } => proto::run(check),
    }
}
