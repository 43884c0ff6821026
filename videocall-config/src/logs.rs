//! The log.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, prelude::*};

use crate::{Config, LogFormat};

/// Starts logging to standard error.
///
/// # Errors
/// The filter makes no sense.
pub fn init_logs(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| anyhow::anyhow!("--log: `{}` is no filter: {error}", config.log))?;
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let layer = match config.log_format {
        LogFormat::Human => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(layer)
        .with(filter)
        .with(filter_fn(is_discreet))
        .init();
    Ok(())
}

/// Not what shows the paths of requests, which hold names and tokens: whatever is asked for, that
/// stays out of the log.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("wtransport") || *metadata.level() <= Level::INFO
}
