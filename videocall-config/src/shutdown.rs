//! When to stop.

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Waits for SIGTERM or SIGINT. A second one ends the process at once.
///
/// # Errors
/// Signals cannot be received.
pub async fn shutdown_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: draining"),
        _ = interrupt.recv() => info!("interrupted: draining; once more to stop at once"),
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}
