//! How the program ends.

use std::{fmt::Display, process::ExitCode};

use videocall_capture::CaptureError;
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
  6  the server refused: the name or the token, or removed from the meeting
  7  no such camera or microphone
  8  another program has the camera or microphone
  9  no permission for the camera or microphone
 10  the camera does not have that size or format
 11  `doctor` found something that must be mended";

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

    /// A camera or microphone that cannot be opened.
    pub fn device(error: &CaptureError) -> Self {
        let code = match error {
            CaptureError::NotFound { .. } => 7,
            CaptureError::Busy { .. } => 8,
            CaptureError::NoPermission { .. } => 9,
            CaptureError::Unsupported { .. } => 10,
            _ => 3,
        };
        Self::new(code, error.to_string())
    }

    /// The doctor found so many things that must be mended.
    pub fn unwell(checks: u32) -> Self {
        let text = match checks {
            1 => "one check failed".to_owned(),
            checks => format!("{checks} checks failed"),
        };
        Self::new(11, text)
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
