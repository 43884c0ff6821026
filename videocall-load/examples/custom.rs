//! A load test with a behaviour of one's own: each connection sends a line of a poem every second
//! to a server that echoes, and takes the round trip.
//!
//! ```sh
//! cargo run --example custom -- --url ws://localhost:9000 --connection-number 100 --duration 30s
//! ```

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use videocall_load::{
    behaviour::{Behaviour, Context},
    measure::Metric,
    program,
    transport::Received,
};

const POEM: [&str; 2] = ["The fog comes", "on little cat feet."];
const PAUSE: Duration = Duration::from_secs(1);

struct Reciter {
    line: usize,
    /// The line on its way: when it should have been sent, and when it was.
    sent: Option<(Instant, Instant)>,
}

impl Behaviour for Reciter {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
        context.wake_in(PAUSE);
    }

    fn on_wake(&mut self, context: &mut Context<'_>, planned: Instant) {
        context.send_text(POEM[self.line % POEM.len()]);
        self.sent = Some((planned, context.now()));
        // From the planned time: a late line does not make the next one late.
        context.wake_at(planned + PAUSE);
    }

    fn on_message(&mut self, context: &mut Context<'_>, message: Received) {
        if message.payload != POEM[self.line % POEM.len()] {
            return;
        }
        if let Some((planned, sent)) = self.sent.take() {
            let (corrected, raw) = (message.at - planned, message.at - sent);
            context
                .recorder()
                .latency(Metric::RoundTrip, corrected, raw);
        }
        self.line += 1;
        if self.line == 2 * POEM.len() {
            context.close(1000, "the end");
        }
    }
}

fn main() -> ExitCode {
    let reciter = |_number| -> Box<dyn Behaviour> {
        Box::new(Reciter {
            line: 0,
            sent: None,
        })
    };
    program::run(Some(Arc::new(reciter)))
}
