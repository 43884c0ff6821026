//! The load tester's program: reads the command line, runs the plan, tells how it went.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod summary;

use std::process::ExitCode;

use clap::Parser;
use tokio::sync::watch;
use videocall_load::{
    behaviour::Factory,
    cli::{
        Arguments, PlanRequest, UsageError, arguments_with_file, ensure_descriptors,
        exit::{INTERNAL, OK, UNREACHABLE, USAGE},
    },
    engine,
    measure::Recorder,
    plan::Plan,
};

fn main() -> ExitCode {
    let arguments = match arguments_with_file(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            // Asking for help or the version is no wrong usage.
            return ExitCode::from(if error.use_stderr() { USAGE } else { OK });
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("VIDEOCALL_LOAD_LOG")
                .unwrap_or_else(|_| "error".into()),
        )
        .init();
    let plan = match arguments.plan.plan() {
        Ok(plan) => plan,
        Err(error) => return refuse(&error),
    };
    if let Err(error) = ensure_descriptors(plan.peak()) {
        eprintln!("error: {error}");
        return ExitCode::from(USAGE);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            return ExitCode::from(INTERNAL);
        }
    };
    let factory = plan.factory();
    let code = runtime.block_on(run(plan, factory));
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn refuse(error: &UsageError) -> ExitCode {
    eprintln!("error: {error}\n\nFor more information, try '--help'.");
    ExitCode::from(USAGE)
}

async fn run(plan: Plan, factory: std::sync::Arc<dyn Factory>) -> u8 {
    let recorder = Recorder::default();
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(stop_on_signal(stopper));
    let ended = engine::run(plan, factory, recorder.clone(), stop).await;
    if ended.is_ok() {
        print!("{}", summary::of(&recorder.snapshot()));
    }
    match ended {
        Ok(outcomes) if outcomes.attempts > 0 && outcomes.opened == 0 => UNREACHABLE,
        Ok(_) => OK,
        Err(error) => {
            eprintln!("error: {error}");
            USAGE
        }
    }
}

/// The first Ctrl-C ends the run, with its report; the second ends the program.
async fn stop_on_signal(stop: watch::Sender<bool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        eprintln!("ending; once more to end at once");
        let _ = stop.send(true);
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    }
}
