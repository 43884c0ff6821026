//! Follows a scenario.

use std::{sync::Arc, time::Instant};

use super::{Behaviour, Context};
use crate::{
    errors::Failure,
    measure::{ErrorClass, Metric},
    scenario::{Scenario, Step},
    transport::Received,
};

/// A connection that goes through the steps of a script.
#[derive(Debug)]
pub struct Scripted {
    scenario: Arc<Scenario>,
    step: usize,
    round: u64,
    sent: Option<(Instant, Instant)>,
    /// When the step that runs should have begun.
    planned: Instant,
}

impl Scripted {
    /// Follows that script.
    pub fn new(scenario: Arc<Scenario>) -> Self {
        Self {
            scenario,
            step: 0,
            round: 0,
            sent: None,
            planned: Instant::now(),
        }
    }

    /// Goes on until a step has to wait.
    fn go_on(&mut self, context: &mut Context<'_>) {
        // Steps without a wait must not keep the task for ever.
        for _ in 0..=self.scenario.steps.len() {
            let Some(step) = self.scenario.steps.get(self.step) else {
                self.round += 1;
                self.step = 0;
                if self
                    .scenario
                    .repeat
                    .is_some_and(|repeat| self.round >= repeat)
                {
                    return context.close(1000, "the scenario is through");
                }
                continue;
            };
            match step {
                Step::SendText(text) => {
                    let text = text
                        .replace("{connection}", &context.number().to_string())
                        .replace("{round}", &self.round.to_string());
                    context.send_text(text);
                    self.sent = Some((self.planned, context.now()));
                }
                Step::SendBytes(bytes) => {
                    context.send_binary(bytes.clone());
                    self.sent = Some((self.planned, context.now()));
                }
                Step::Wait(pause) => {
                    // From the planned time, so that a late script does not become later.
                    return context.wake_at(self.planned + *pause);
                }
                Step::Expect { timeout, .. } => return context.wake_in(*timeout),
                Step::Close(code) => return context.close(*code, "as the scenario says"),
            }
            self.step += 1;
        }
        context.wake_in(std::time::Duration::from_millis(1));
    }
}

impl Behaviour for Scripted {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
        self.planned = context.now();
        self.go_on(context);
    }

    fn on_message(&mut self, context: &mut Context<'_>, message: Received) {
        let Some(Step::Expect { text, .. }) = self.scenario.steps.get(self.step) else {
            return;
        };
        let wanted = text.as_bytes();
        let found = wanted.is_empty()
            || message
                .payload
                .windows(wanted.len())
                .any(|part| part == wanted);
        if !found {
            return;
        }
        if let Some((planned, sent)) = self.sent.take() {
            context.recorder().latency(
                Metric::RoundTrip,
                message.at.saturating_duration_since(planned),
                message.at.saturating_duration_since(sent),
            );
        }
        self.planned = context.now();
        self.step += 1;
        self.go_on(context);
    }

    fn on_wake(&mut self, context: &mut Context<'_>, planned: Instant) {
        match self.scenario.steps.get(self.step) {
            Some(Step::Expect { text, timeout }) => {
                let waited = timeout.as_secs_f64();
                context.fail(Failure::new(
                    ErrorClass::Timeout,
                    format!("step {}: no `{text}` within {waited} s", self.step + 1),
                ));
            }
            Some(Step::Wait(_)) => {
                self.planned = planned;
                self.step += 1;
                self.go_on(context);
            }
            _ => self.go_on(context),
        }
    }
}
