//! What a check found, and how it is told.

use std::io::{IsTerminal, Write};

use serde_json::json;

use crate::exit::Failure;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Calls work, but not as well as they could.
    Warn,
    /// Must be mended.
    Fail,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What is.
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            advice: None,
        }
    }

    pub(super) fn warn(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    pub(super) fn fail(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, found, advice)
        }
    }
}

/// Tells findings one by one: lines for people on a terminal, JSON lines otherwise.
pub(super) struct Report {
    for_people: bool,
    failed: u32,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            for_people: std::io::stdout().is_terminal(),
            failed: 0,
        }
    }

    pub(super) fn tell(&mut self, finding: &Finding) -> Result<(), Failure> {
        self.failed += u32::from(finding.verdict == Verdict::Fail);
        let mut out = std::io::stdout().lock();
        let written = if self.for_people {
            let name = finding.verdict.name();
            let advice = finding
                .advice
                .iter()
                .map(|advice| format!("\n{:19}{advice}", ""));
            let advice: String = advice.collect();
            writeln!(
                out,
                "{name:4}  {:12} {}{advice}",
                finding.check, finding.found
            )
        } else {
            let mut line = json!({
                "check": finding.check,
                "verdict": finding.verdict.name(),
                "found": finding.found,
            });
            if let Some(advice) = &finding.advice {
                line["advice"] = advice.as_str().into();
            }
            writeln!(out, "{line}")
        };
        let flushed = written.and_then(|()| out.flush());
        flushed.map_err(|error| Failure::output("standard output", error))
    }

    /// A failure if any check failed.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::unwell(failed)),
        }
    }
}
