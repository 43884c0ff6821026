//! Scripts of what a connection says and waits for, in TOML.
//!
//! ```toml
//! repeat = 10
//!
//! [[step]]
//! send = "hello {connection} {round}"
//!
//! [[step]]
//! expect = "hello"
//! timeout = "2s"
//!
//! [[step]]
//! wait = "500ms"
//!
//! [[step]]
//! close = 1000
//! ```

use std::{ops::Range, time::Duration};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::time_text;

/// Steps of one script at most.
const MAX_STEPS: usize = 10_000;
/// How long an answer may take where the step says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// How often the steps are gone through; none: until the connection ends.
    pub repeat: Option<u64>,
    /// In this order.
    pub steps: Vec<Step>,
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Send a text; `{connection}` and `{round}` stand for numbers.
    SendText(String),
    /// Send bytes.
    SendBytes(Vec<u8>),
    /// Wait for a message that contains a text; the time since the last message sent is recorded.
    Expect {
        /// The text.
        text: String,
        /// How long to wait.
        timeout: Duration,
    },
    /// Do nothing for a time.
    Wait(Duration),
    /// Close the connection with a code.
    Close(u16),
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ScenarioError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl ScenarioError {
    /// An error at a place in a text.
    pub fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let start = span.map_or(0, |span| span.start.min(text.len()));
        let before = &text.as_bytes()[..start];
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[line_start..])
            .chars()
            .count()
            + 1;
        Self {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column,
            message: message.into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    repeat: Option<Spanned<i64>>,
    #[serde(default)]
    step: Vec<Spanned<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStep {
    send: Option<String>,
    send_hex: Option<Spanned<String>>,
    expect: Option<String>,
    timeout: Option<Spanned<String>>,
    wait: Option<Spanned<String>>,
    close: Option<Spanned<i64>>,
}

impl Scenario {
    /// Reads a script.
    ///
    /// # Errors
    /// Names what is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ScenarioError::at(text, error.span(), error.message()))?;
        let repeat = match file.repeat {
            None => None,
            Some(count) => match u64::try_from(*count.get_ref()) {
                Ok(count @ 1..) => Some(count),
                _ => {
                    let span = Some(count.span());
                    return Err(ScenarioError::at(text, span, "`repeat` must be at least 1"));
                }
            },
        };
        if file.step.is_empty() {
            return Err(ScenarioError::at(text, None, "there is no `[[step]]`"));
        }
        if file.step.len() > MAX_STEPS {
            let message = format!("there are more than {MAX_STEPS} steps");
            return Err(ScenarioError::at(text, None, message));
        }
        let steps = file.step.into_iter().map(|step| step_of(text, step));
        Ok(Self {
            repeat,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }
}

fn step_of(text: &str, step: Spanned<RawStep>) -> Result<Step, ScenarioError> {
    let span = step.span();
    let wrong = |message: &str| ScenarioError::at(text, Some(span.clone()), message);
    let raw = step.into_inner();
    let duration = |value: &Spanned<String>| {
        time_text::parse(value.get_ref())
            .map_err(|message| ScenarioError::at(text, Some(value.span()), message))
    };
    let timeout = raw.timeout.as_ref().map(duration).transpose()?;
    if timeout.is_some() && raw.expect.is_none() {
        return Err(wrong("`timeout` belongs to `expect`"));
    }
    match (raw.send, raw.send_hex, raw.expect, raw.wait, raw.close) {
        (Some(message), None, None, None, None) => Ok(Step::SendText(message)),
        (None, Some(hex), None, None, None) => match bytes_of(hex.get_ref()) {
            Some(bytes) => Ok(Step::SendBytes(bytes)),
            None => {
                let message = "`send-hex` must be pairs of hexadecimal digits";
                Err(ScenarioError::at(text, Some(hex.span()), message))
            }
        },
        (None, None, Some(expected), None, None) => Ok(Step::Expect {
            text: expected,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        }),
        (None, None, None, Some(pause), None) => Ok(Step::Wait(duration(&pause)?)),
        (None, None, None, None, Some(code)) => match u16::try_from(*code.get_ref()) {
            Ok(code @ 1000..=4999) => Ok(Step::Close(code)),
            _ => {
                let message = "a close code is 1000 to 4999";
                Err(ScenarioError::at(text, Some(code.span()), message))
            }
        },
        (None, None, None, None, None) => Err(wrong(
            "the step does nothing: give `send`, `send-hex`, `expect`, `wait` or `close`",
        )),
        _ => Err(wrong("a step does one thing: make it several steps")),
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pairs = digits.chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (usize, usize, String) {
        let error = Scenario::parse(text).unwrap_err();
        (error.line, error.column, error.message)
    }

    #[test]
    fn a_script_is_read() {
        let text = "repeat = 3\n[[step]]\nsend = \"a {round}\"\n[[step]]\nexpect = \"a\"\n\
                    timeout = \"2s\"\n[[step]]\nsend-hex = \"00 ff\"\n[[step]]\nwait = \"5ms\"\n\
                    [[step]]\nclose = 4001\n";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.repeat, Some(3));
        assert_eq!(
            scenario.steps,
            [
                Step::SendText("a {round}".to_owned()),
                Step::Expect {
                    text: "a".to_owned(),
                    timeout: Duration::from_secs(2)
                },
                Step::SendBytes(vec![0, 255]),
                Step::Wait(Duration::from_millis(5)),
                Step::Close(4001),
            ]
        );
    }

    #[test]
    fn a_typo_is_named_with_its_place() {
        let (line, column, message) = error("[[step]]\nwait = \"1s\"\n[[step]]\n  sned = \"x\"\n");
        assert_eq!((line, column), (4, 3));
        assert!(
            message.contains("sned") && message.contains("send"),
            "{message}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        let (line, column, message) = error("[[step]]\nwait = \"1 parsec\"\n");
        assert_eq!((line, column), (2, 8));
        assert!(message.contains("parsec"), "{message}");
        let (line, _, message) = error("[[step]]\nwait = \"1s\"\n\n[[step]]\nclose = 7\n");
        assert_eq!(line, 5);
        assert!(message.contains("1000 to 4999"), "{message}");
        let (line, _, _) = error("repeat = \n");
        assert_eq!(line, 1);
    }

    #[test]
    fn a_step_does_one_thing() {
        let (line, _, message) = error("[[step]]\nsend = \"a\"\nwait = \"1s\"\n");
        assert_eq!(line, 1);
        assert!(message.contains("one thing"), "{message}");
    }
}
