//! The program around a run: reads the command line, runs the plan, tells how it went. A program with
//! a behaviour of its own calls [`run`] with it, as `examples/custom.rs` does.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use tokio::sync::watch;

use crate::{
    behaviour::Factory,
    cli::{
        Arguments, BehaviourName, PlanRequest, UsageError, arguments_with_file, ensure_descriptors,
        exit::{INTERNAL, OK, UNREACHABLE, USAGE},
    },
    engine,
    measure::Recorder,
    plan::{Plan, PlanError},
    summary,
};

/// Runs what the command line asks for, with a behaviour of the caller's own instead of that of
/// `--behaviour` if there is one. Returns the exit code; see [`crate::cli::exit`].
pub fn run(custom: Option<Arc<dyn Factory>>) -> ExitCode {
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
    log_to_stderr();
    let plan = match plan(&arguments, custom.is_some()) {
        Ok(plan) => plan,
        Err(error) => return refuse(&error),
    };
    if let Err(error) = ensure_descriptors(plan.sockets()) {
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
    let factory = custom.unwrap_or_else(|| plan.factory());
    let code = runtime.block_on(go(plan, factory));
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn plan(arguments: &Arguments, custom: bool) -> Result<Plan, UsageError> {
    if custom && arguments.plan.behaviour != BehaviourName::Silent {
        let text = "this program has a behaviour of its own: leave out --behaviour".to_owned();
        return Err(UsageError::Contradiction(text));
    }
    arguments.plan.plan()
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("VIDEOCALL_LOAD_LOG");
    // Fails where the caller has a subscriber of its own, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter.unwrap_or_else(|_| "error".into()))
        .try_init();
}

fn refuse(error: &UsageError) -> ExitCode {
    eprintln!("error: {error}\n\nFor more information, try '--help'.");
    ExitCode::from(USAGE)
}

async fn go(plan: Plan, factory: Arc<dyn Factory>) -> u8 {
    let recorder = Recorder::default();
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(stop_on_signal(stopper));
    let ended: Result<_, PlanError> = engine::run(plan, factory, recorder.clone(), stop).await;
    match ended {
        Ok(outcomes) => {
            print!("{}", summary::of(&recorder.snapshot()));
            if outcomes.attempts > 0 && outcomes.opened == 0 {
                UNREACHABLE
            } else {
                OK
            }
        }
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
