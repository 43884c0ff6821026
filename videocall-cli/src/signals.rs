//! What ends a command that would go on for ever.

use std::time::Duration;

use tokio::{
    signal::unix::{SignalKind, signal},
    time,
};

/// Waits for an interrupt, a request to terminate, or the end of a duration.
pub(crate) async fn end(duration: Option<Duration>) {
    let signals = async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let timer = async {
        match duration {
            Some(duration) => time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signals => {}
        () = timer => {}
    }
}
