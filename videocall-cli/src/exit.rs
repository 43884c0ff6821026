//! How the program ends.

use std::{fmt::Display, process::ExitCode};

use videocall_types::close::CloseReason;

/// Table of exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  ended as asked: by a signal, at the end of the input or of --duration
  1  something else
  2  the command line makes no sense
  3  the input or the device cannot be read
  4  the output cannot be written
  5  the server cannot be reached (only at the start: later on, it is tried again for ever)
  6  the server refused: name, token, or removed from the meeting";

/// Why the program could not do what it was asked to, in words for people.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn new(code: u8, text: String) -> Self {
        Self { code, text }
    }

    /// Anything that has no code of its own.
    pub fn other(error: impl Display) -> Self {
        Self::new(1, error.to_string())
    }

    /// Settings that contradict each other or make no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(2, text.into())
    }

    /// What is to be streamed cannot be read.
    pub fn input(what: &str, error: impl Display) -> Self {
        Self::new(3, format!("{what}: {error}"))
    }

    /// What is received cannot be written.
    pub fn output(what: &str, error: impl Display) -> Self {
        Self::new(4, format!("{what}: {error}"))
    }

    /// No server.
    pub fn unreachable(url: &str, error: impl Display) -> Self {
        let advice = "is the server running, and the address right?";
        Self::new(5, format!("{url}: {error}; {advice}"))
    }

    /// The server ended the session for good.
    pub fn refused(reason: Option<CloseReason>, text: &str) -> Self {
        let text = match reason {
            _ if !text.is_empty() => text.to_owned(),
            Some(reason) => reason.text().to_owned(),
            None => "the server refused".to_owned(),
        };
        Self::new(6, text)
    }

    /// Tells it, and gives its code.
    #[allow(clippy::print_stderr)]
    pub fn tell(&self) -> ExitCode {
        eprintln!("error: {}", self.text);
        ExitCode::from(self.code)
    }
}
