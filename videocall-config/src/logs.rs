//! The log.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::{Config, LogFormat};

/// Starts logging to standard error.
///
/// # Errors
/// The filter makes no sense.
pub fn init_logs(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| anyhow::anyhow!("--log: `{}` is no filter: {error}", config.log))?;
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Human => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
