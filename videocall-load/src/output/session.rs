//! The outputs that the command line asks for, around one run.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use tokio::sync::watch;

use super::{
    files::{Pending, WriteError},
    frame::{Frame, RunResult},
    html,
    monitor::{About, Monitor, Source},
    pdf::{self, PdfError},
    terminal, text,
    threshold::{Guard, Threshold},
    web,
};
use crate::{
    measure::{ServerSource, ServerSourceError},
    summary, time_text,
};

/// How a run is told of.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// Write the result as JSON, which `compare` reads
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report with plots, one HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the same report as PDF; needs Chromium or Chrome
    #[arg(long, value_name = "FILE")]
    pub pdf: Option<PathBuf>,
    /// Serve a live page at `/` and Prometheus' metrics at `/metrics`
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub web_listen: Option<SocketAddr>,
    /// Limit that the run must keep, such as 'p99<50ms', 'lost.audio<0.1%' or 'errors<1'; may be
    /// repeated
    #[arg(long, value_name = "LIMIT")]
    pub threshold: Vec<Threshold>,
    /// How long a limit may be exceeded that can still be kept at the end, before the run ends
    /// early [default: 10s]
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub abort_grace: Option<Duration>,
    /// Go on to the end of the plan when a limit is exceeded
    #[arg(long, conflicts_with = "abort_grace")]
    pub keep_going: bool,
    /// Watch CPU and memory of the server: a process of this machine
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Watch CPU and memory of the server by its metrics in Prometheus' form
    #[arg(long, value_name = "URL", conflicts_with = "server_pid")]
    pub server_metrics: Option<String>,
    /// Leave messages of the beginning out of the result, as while people are still joining
    #[arg(long, value_parser = time_text::parse, value_name = "TIME")]
    pub warm_up: Option<Duration>,
    /// Lines of progress instead of the live view, also on a terminal
    #[arg(long)]
    pub plain: bool,
}

/// Outputs that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The server cannot be watched.
    #[error(transparent)]
    Server(#[from] ServerSourceError),
    /// The live page cannot be served.
    #[error("--web-listen {0}: {1}")]
    Web(SocketAddr, std::io::Error),
    /// A flag that would do nothing.
    #[error("{0} needs --threshold, and would do nothing here")]
    Idle(&'static str),
    /// A report could not be written.
    #[error("the report cannot be written: {0}")]
    File(#[from] WriteError),
    /// A PDF could not be printed.
    #[error("--pdf: {0}")]
    Pdf(#[from] PdfError),
}

impl PrepareError {
    /// Whether this is about a report, which has an exit code of its own.
    pub fn is_report(&self) -> bool {
        matches!(self, Self::File(_) | Self::Pdf(_))
    }
}

/// Outputs that are ready for a run.
#[derive(Debug)]
pub struct Session {
    arguments: OutputArguments,
    json: Option<Pending>,
    html: Option<Pending>,
    pdf: Option<(Pending, PathBuf)>,
    server: Option<ServerSource>,
}

impl Session {
    /// Finds out before the run what cannot be.
    ///
    /// # Errors
    /// Files that cannot be written, a server that cannot be watched, flags that do nothing.
    pub fn prepare(arguments: &OutputArguments) -> Result<Self, PrepareError> {
        if arguments.threshold.is_empty() {
            if arguments.abort_grace.is_some() {
                return Err(PrepareError::Idle("--abort-grace"));
            }
            if arguments.keep_going {
                return Err(PrepareError::Idle("--keep-going"));
            }
        }
        let pending = |path: &Option<PathBuf>| path.as_deref().map(Pending::new).transpose();
        let pdf = match &arguments.pdf {
            Some(path) => Some((Pending::new(path)?, pdf::browser()?)),
            None => None,
        };
        let server = match (arguments.server_pid, &arguments.server_metrics) {
            (Some(pid), _) => Some(ServerSource::process(pid)?),
            (None, Some(url)) => Some(ServerSource::metrics(url)?),
            (None, None) => None,
        };
        Ok(Self {
            json: pending(&arguments.json)?,
            html: pending(&arguments.html)?,
            pdf,
            server,
            arguments: arguments.clone(),
        })
    }

    /// Shows a run until `ended` resolves, and writes its reports. Returns what `ended` did, the
    /// result, and whether all reports were written.
    ///
    /// # Errors
    /// When the live page cannot be served.
    pub async fn run<T>(
        self,
        about: About,
        source: Source,
        ended: impl Future<Output = T>,
        stop: watch::Sender<bool>,
    ) -> Result<(T, RunResult, bool), PrepareError> {
        let a = &self.arguments;
        let grace = a.abort_grace.unwrap_or(Duration::from_secs(10));
        let guard = Guard::new(a.threshold.clone(), grace);
        let title = format!("{} at {}", about.description, about.target);
        let warm_up = a.warm_up.unwrap_or_default();
        let monitor = Monitor::new(source, self.server, guard, !a.keep_going, about, warm_up);
        let web = match a.web_listen {
            Some(address) => {
                let web = web::serve(address, monitor.frames()).await;
                let web = web.map_err(|error| PrepareError::Web(address, error))?;
                eprintln!("live page: http://{}/", web.address);
                Some(web)
            }
            None => None,
        };
        let live = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        let view = if live && !a.plain {
            let (frames, stop) = (monitor.frames(), stop.clone());
            tokio::task::spawn_blocking(move || {
                if let Err(error) = terminal::show(frames, &stop, &title) {
                    eprintln!("no live view: {error}");
                }
            })
        } else {
            tokio::spawn(lines(monitor.frames()))
        };
        let (outcome, result) = monitor.follow(ended, &stop).await;
        let _ = view.await;
        drop(web);
        print!("{}{}", summary::of(&result.snapshot), text::ending(&result));
        let mut written = true;
        if let Some(file) = self.json {
            written &= save(file, json(&result).as_bytes(), || json(&result));
        }
        let page = html::report(&result);
        if let Some(file) = self.html {
            written &= save(file, page.as_bytes(), String::new);
        }
        if let Some((file, browser)) = self.pdf {
            match pdf::print(&browser, &page).await {
                Ok(bytes) => written &= save(file, &bytes, String::new),
                Err(error) => {
                    eprintln!("error: the report cannot be written: {error}");
                    written = false;
                }
            }
        }
        Ok((outcome, result, written))
    }
}

/// The result as JSON.
pub fn json(result: &RunResult) -> String {
    // Its maps have texts as keys and its numbers are finite.
    serde_json::to_string_pretty(result).unwrap_or_default() + "\n"
}

/// Writes a report; one that cannot be written goes to the terminal, as far as it is text.
fn save(file: Pending, content: &[u8], instead: impl Fn() -> String) -> bool {
    let path = file.path().display().to_string();
    match file.write(content) {
        Ok(()) => {
            eprintln!("written: {path}");
            true
        }
        Err(error) => {
            print!("{}", instead());
            eprintln!("error: the report cannot be written: {error}");
            false
        }
    }
}

/// Lines of progress.
async fn lines(mut frames: watch::Receiver<Arc<Frame>>) {
    while frames.changed().await.is_ok() {
        let frame = frames.borrow_and_update().clone();
        eprintln!("{}", text::progress(&frame));
        if frame.last {
            return;
        }
    }
}
