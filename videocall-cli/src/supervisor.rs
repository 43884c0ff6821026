//! Tells systemd how it goes, where systemd started the program (`sd_notify(3)`).

use sd_notify::NotifyState;

/// The one who started this program, if that one listens.
#[derive(Default)]
pub(crate) struct Supervisor {
    ready: bool,
}

impl Supervisor {
    /// In the meeting: started, as far as systemd is concerned.
    pub(crate) fn ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            tell(NotifyState::Ready);
        }
    }

    /// In words, for `systemctl status`.
    pub(crate) fn status(&self, text: &str) {
        tell(NotifyState::Status(text.lines().next().unwrap_or_default()));
    }

    /// The program is not stuck.
    pub(crate) fn alive(&self) {
        tell(NotifyState::Watchdog);
    }

    /// Ends as asked.
    pub(crate) fn stopping(&self) {
        tell(NotifyState::Stopping);
    }
}

fn tell(state: NotifyState<'_>) {
    // Nobody there: nothing to be done about it.
    let _ = sd_notify::notify(&[state]);
}
