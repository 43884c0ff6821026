//! Project chores: build the web front end and packages, regenerate code, run suites.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod fuzz;
mod package;
mod proto;
mod toolchain;
mod web;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(about = "Project chores")]
enum Chore {
    /// Build the web front end into dist/.
    Web {
        /// Quickly, and large.
        #[arg(long)]
        dev: bool,
        /// Into this folder, which is emptied, instead of dist/.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Build packages of videocall-cli into target/packages.
    Package(package::Options),
    /// Make sure that WebAssembly can be built, and say how.
    Toolchain,
    /// Check the code that is built for WebAssembly with clippy.
    ClippyWasm,
    /// Regenerate videocall-types/src/generated from its .proto files.
    Proto {
        /// Change nothing; fail if the generated code is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Run the fuzz targets.
    Fuzz {
        /// How long each, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only this one.
        target: Option<String>,
    },
}

fn main() -> Result<()> {
    match Chore::parse() {
        Chore::Web { dev, out } => web::build(dev, out.as_deref()),
        Chore::Package(options) => package::run_chore(&options),
        Chore::Toolchain => toolchain::WASM
            .toolchain()
            .map(|toolchain| println!("{}", toolchain.name())),
        Chore::ClippyWasm => web::clippy(),
        Chore::Proto { check } => proto::run(check),
        Chore::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
    }
}
