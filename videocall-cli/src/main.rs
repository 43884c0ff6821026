//! The program around the library.

use std::process::ExitCode;

use videocall_cli::{
    args::{Cli, Command},
    devices, doctor,
    exit::Failure,
    manual, profile, record, stream, watch,
};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match profile::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(failure) => return failure.tell(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("VIDEOCALL_LOG")
                .unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Stream(args) => stream::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Record(args) => record::run(args).await,
        Command::Devices => devices::run(),
        Command::Doctor(args) => doctor::run(args).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(directory.as_deref()),
    }
}
