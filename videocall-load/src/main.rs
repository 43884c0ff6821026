//! The load tester's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    videocall_load::program::run(None)
}
