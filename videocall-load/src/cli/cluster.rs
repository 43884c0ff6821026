//! The commands `coordinate` and `work`.
#![allow(clippy::print_stderr)]

use std::{ffi::OsString, process::ExitCode, time::Duration};

use clap::{Args, Parser};
use tokio::sync::watch;

use super::{
    Arguments, PlanRequest, arguments_with_file,
    exit::{INTERNAL, OK, UNREACHABLE},
};
use crate::{
    cluster::{self, CoordinateOptions, WorkOptions},
    output::session::Session,
    plan::Plan,
    program::{about, code, log_to_stderr, refuse, stop_on_signal, unprepared, wrong_usage},
    time_text,
};

/// Where coordinator and workers meet.
#[derive(Args, Clone, Debug)]
struct MeetingPlace {
    /// NATS server: nats://[user:password@]host:port
    #[arg(
        long,
        value_name = "URL",
        env = "VIDEOCALL_LOAD_NATS_URL",
        hide_env_values = true
    )]
    nats_url: String,
    /// Workers of a group serve coordinators of that group
    #[arg(long, value_name = "NAME", default_value = "default")]
    group: String,
}

/// Leads a run of several workers; takes all flags of a run.
#[derive(Parser, Debug)]
#[command(name = "videocall-load coordinate", args_override_self = true)]
struct CoordinateArguments {
    #[command(flatten)]
    place: MeetingPlace,
    /// How many workers share the run
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    workers: u16,
    /// How long to wait for them
    #[arg(long, value_parser = time_text::parse, default_value = "60s", value_name = "TIME")]
    workers_timeout: Duration,
    #[command(flatten)]
    run: Arguments,
}

/// Takes part in runs that a coordinator leads.
#[derive(Parser, Debug)]
#[command(name = "videocall-load work")]
struct WorkArguments {
    #[command(flatten)]
    place: MeetingPlace,
    /// Name in reports [default: the machine's name and the process's number]
    #[arg(long)]
    name: Option<String>,
    /// Take part in one run after another
    #[arg(long)]
    forever: bool,
}

fn runtime() -> Result<tokio::runtime::Runtime, ExitCode> {
    tokio::runtime::Runtime::new().map_err(|error| {
        eprintln!("error: the runtime does not start: {error}");
        ExitCode::from(INTERNAL)
    })
}

pub(crate) fn coordinate(given: Vec<OsString>) -> ExitCode {
    let given = match arguments_with_file(given) {
        Ok(given) => given,
        Err(error) => return refuse(&error),
    };
    let arguments = match CoordinateArguments::try_parse_from(given) {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    log_to_stderr();
    let plan = match arguments.run.plan.plan() {
        Ok(plan) => plan,
        Err(error) => return refuse(&error),
    };
    let session = match Session::prepare(&arguments.run.output) {
        Ok(session) => session,
        Err(error) => return ExitCode::from(unprepared(&error)),
    };
    let options = CoordinateOptions {
        nats_url: arguments.place.nats_url,
        group: arguments.place.group,
        workers: arguments.workers.into(),
        patience: arguments.workers_timeout,
    };
    match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(lead(options, plan, session));
            runtime.shutdown_background();
            ExitCode::from(code)
        }
        Err(code) => code,
    }
}

async fn lead(options: CoordinateOptions, plan: Plan, session: Session) -> u8 {
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(stop_on_signal(stopper.clone()));
    eprintln!("waiting for {} workers", options.workers);
    let mut early = stop.clone();
    let gathered = tokio::select! {
        gathered = cluster::coordinate(&options, &plan) => gathered,
        _ = early.wait_for(|stop| *stop) => return UNREACHABLE,
    };
    let cluster = match gathered {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("error: {error}");
            return UNREACHABLE;
        }
    };
    let about = about(&plan);
    let source = cluster.source();
    match session.run(about, source, cluster.run(stop), stopper).await {
        Ok((Ok(outcomes), result, written)) => {
            let reached = outcomes.attempts == 0 || outcomes.opened > 0;
            code(reached, &result, written)
        }
        Ok((Err(error), ..)) => {
            eprintln!("error: {error}");
            INTERNAL
        }
        Err(error) => unprepared(&error),
    }
}

pub(crate) fn work(given: Vec<OsString>) -> ExitCode {
    let arguments = match WorkArguments::try_parse_from(given) {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    log_to_stderr();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let options = WorkOptions {
        nats_url: arguments.place.nats_url,
        group: arguments.place.group,
        name: arguments.name.unwrap_or_else(default_name),
    };
    let code = runtime.block_on(async {
        loop {
            eprintln!("worker {} waits for a run", options.name);
            let worked = tokio::select! {
                worked = cluster::work(&options) => worked,
                _ = tokio::signal::ctrl_c() => return OK,
            };
            match worked {
                Ok(()) if arguments.forever => {}
                Ok(()) => return OK,
                Err(error) => {
                    eprintln!("error: {error}");
                    if !arguments.forever || matches!(error, cluster::ClusterError::Nats(_)) {
                        return UNREACHABLE;
                    }
                }
            }
        }
    });
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn default_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let good = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let host: String = host.chars().filter(good).take(40).collect();
    format!("{host}-{}", std::process::id())
}
