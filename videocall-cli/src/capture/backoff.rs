//! How often a device that is away is looked for.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits between attempts, each twice as long as the last.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(SHORTEST)
    }

    /// Waits; `false` if the program ends meanwhile.
    pub(super) fn wait(&mut self, stopped: &Receiver<()>) -> bool {
        let wait = self.0;
        self.0 = (2 * wait).min(LONGEST);
        matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

/// Whether the program ends.
pub(super) fn is_over(stopped: &Receiver<()>) -> bool {
    use std::sync::mpsc::TryRecvError;
    !matches!(stopped.try_recv(), Err(TryRecvError::Empty))
}
