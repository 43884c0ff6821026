//! How it goes: lines for people on a terminal, JSON lines otherwise.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};
use videocall_client::core::session::Event;

/// Tells on standard error, so that standard output is free for media.
pub(crate) struct Progress {
    for_people: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            for_people: std::io::stderr().is_terminal(),
        }
    }

    /// Tells an event with its figures.
    pub(crate) fn tell(&self, event: &str, figures: &Value) {
        let mut out = std::io::stderr().lock();
        let _ = if self.for_people {
            let figures = figures.as_object().into_iter().flatten();
            let words: Vec<String> = figures
                .map(|(name, value)| match value {
                    Value::String(text) => format!("{name} {text}"),
                    other => format!("{name} {other}"),
                })
                .collect();
            writeln!(out, "{event}: {}", words.join(", "))
        } else {
            let mut line = json!({ "event": event });
            if let (Some(line), Some(figures)) = (line.as_object_mut(), figures.as_object()) {
                line.extend(figures.clone());
            }
            writeln!(out, "{line}")
        };
    }

    /// Tells what concerns the session itself.
    pub(crate) fn session(&self, event: &Event) {
        match event {
            Event::Joined(session) => self.tell("joined", &json!({ "session": session.get() })),
            Event::Reconnecting {
                attempt,
                wait,
                reason,
                ..
            } => self.tell(
                "reconnecting",
                &json!({ "attempt": attempt, "wait_ms": wait.as_millis() as u64, "reason": reason }),
            ),
            Event::Closed { text, .. } => self.tell("closed", &json!({ "reason": text })),
            _ => {}
        }
    }
}
