//! The program around a run: reads the command line, runs the plan, tells how it went. A program with
//! a behaviour of its own calls [`run`] with it, as `examples/custom.rs` does.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use tokio::sync::watch;

use crate::{
    behaviour::Factory,
    cli::{
        Arguments, BehaviourName, PlanRequest, UsageError, arguments_with_file, ensure_descriptors,
        exit::{INTERNAL, OK, REPORT, THRESHOLDS, UNREACHABLE, USAGE},
    },
    engine,
    measure::{self, Recorder},
    output::{
        compare::table,
        frame::{Collected, RunResult, Worker, without_secrets},
        monitor::About,
        session::{PrepareError, Session},
    },
    plan::Plan,
};

/// Runs what the command line asks for, with a behaviour of the caller's own instead of that of
/// `--behaviour` if there is one. Returns the exit code; see [`crate::cli::exit`].
pub fn run(custom: Option<Arc<dyn Factory>>) -> ExitCode {
    let mut given: Vec<OsString> = std::env::args_os().collect();
    if given.get(1).is_some_and(|word| word == "compare") {
        given.remove(1);
        return compare(given);
    }
    if given.get(1).is_some_and(|word| word == "work") {
        given.remove(1);
        return crate::cli::cluster::work(given);
    }
    if given.get(1).is_some_and(|word| word == "coordinate") {
        given.remove(1);
        return crate::cli::cluster::coordinate(given);
    }
    let arguments = match arguments_with_file(given) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            return wrong_usage(&error);
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
    let session = match Session::prepare(&arguments.output) {
        Ok(session) => session,
        Err(error) => return ExitCode::from(unprepared(&error)),
    };
    let factory = custom.unwrap_or_else(|| plan.factory());
    let code = runtime.block_on(go(plan, factory, session));
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

pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("VIDEOCALL_LOAD_LOG");
    // Fails where the caller has a subscriber of its own, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter.unwrap_or_else(|_| "error".into()))
        .try_init();
}

pub(crate) fn refuse(error: &UsageError) -> ExitCode {
    eprintln!("error: {error}\n\nFor more information, try '--help'.");
    ExitCode::from(USAGE)
}

pub(crate) fn unprepared(error: &PrepareError) -> u8 {
    eprintln!("error: {error}");
    if error.is_report() { REPORT } else { USAGE }
}

/// What reports say of a plan.
pub(crate) fn about(plan: &Plan) -> About {
    let behaviour = format!("{:?}", plan.behaviour);
    let name = behaviour.split([' ', '{', '(']).next().unwrap_or_default();
    About {
        target: without_secrets(&plan.url),
        description: format!("{name}, {:?}", plan.runner),
        planned: plan.duration,
    }
}

async fn go(plan: Plan, factory: Arc<dyn Factory>, session: Session) -> u8 {
    let recorder = Recorder::default();
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(stop_on_signal(stopper.clone()));
    let (watched, recorded) = (measure::watch(recorder.clone()), recorder.clone());
    let source = Arc::new(move || {
        let snapshot = recorded.snapshot();
        let tester = watched.sample(&snapshot);
        let workers = vec![Worker {
            tester,
            ..Worker::default()
        }];
        Collected { snapshot, workers }
    });
    let about = about(&plan);
    // In a task of its own, so that taking samples does not delay it.
    let run = tokio::spawn(engine::run(plan, factory, recorder, stop));
    let run = async {
        run.await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    };
    match session.run(about, source, run, stopper).await {
        Ok((Ok(outcomes), result, written)) => {
            let reached = outcomes.attempts == 0 || outcomes.opened > 0;
            code(reached, &result, written)
        }
        Ok((Err(error), ..)) => {
            eprintln!("error: {error}");
            USAGE
        }
        Err(error) => unprepared(&error),
    }
}

/// The worst comes first: a report that is missing cannot be read.
pub(crate) fn code(reached: bool, result: &RunResult, written: bool) -> u8 {
    if !written {
        REPORT
    } else if !reached {
        UNREACHABLE
    } else if result.thresholds.iter().any(|verdict| !verdict.kept) {
        THRESHOLDS
    } else {
        OK
    }
}

/// Compares two results.
#[derive(Parser)]
#[command(name = "videocall-load compare")]
struct CompareArguments {
    /// JSON of the first run
    a: PathBuf,
    /// JSON of the second run
    b: PathBuf,
    /// Show also what did not change
    #[arg(long)]
    all: bool,
}

fn compare(given: Vec<OsString>) -> ExitCode {
    let arguments = match CompareArguments::try_parse_from(given) {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    let read = |path: &PathBuf| -> Result<RunResult, String> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text)
            .map_err(|error| format!("{} is no result of a run: {error}", path.display()))
    };
    match (read(&arguments.a), read(&arguments.b)) {
        (Ok(a), Ok(b)) => {
            print!("{}", table(&a, &b, arguments.all));
            ExitCode::from(OK)
        }
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(USAGE)
        }
    }
}

pub(crate) fn wrong_usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    // Asking for help or the version is no wrong usage.
    ExitCode::from(if error.use_stderr() { USAGE } else { OK })
}

/// The first Ctrl-C ends the run, with its report; the second ends the program.
pub(crate) async fn stop_on_signal(stop: watch::Sender<bool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        eprintln!("ending; once more to end at once");
        let _ = stop.send(true);
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    }
}
