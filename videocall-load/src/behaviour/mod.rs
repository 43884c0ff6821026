//! What connections do.
//!
//! A [`Behaviour`] is told what happens to its one connection and answers through the [`Context`]:
//! send, ask to be woken, record, close. It is plain code without `async`; the engine does the
//! waiting. `examples/custom.rs` shows one of a few lines.

mod context;
mod flood;
mod fuzzer;
pub mod meeting;
mod ping_pong;
mod scripted;
mod silent;
mod slow_consumer;
mod storm;
pub mod wamp;

use std::time::Instant;

pub(crate) use context::Ending;
pub use context::{Commands, Context};
pub use flood::Flood;
pub use fuzzer::Fuzzer;
pub use ping_pong::PingPong;
pub use scripted::Scripted;
pub use silent::Silent;
pub use slow_consumer::SlowConsumer;
pub use storm::ReconnectStorm;

use crate::{
    errors::Failure,
    transport::{Received, Request},
};

/// What one connection does. All hooks but [`on_message`](Self::on_message) may be left out.
pub trait Behaviour: Send {
    /// The connection is open.
    fn on_open(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// A message has come. Pings of a WebSocket are answered without the behaviour.
    fn on_message(&mut self, context: &mut Context<'_>, message: Received);

    /// The time that [`Context::wake_at`] asked for has come; `planned` is that time, and
    /// [`Context::now`] may be later.
    fn on_wake(&mut self, context: &mut Context<'_>, planned: Instant) {
        let _ = (context, planned);
    }

    /// The connection has ended: by a failure, or regularly.
    fn on_close(&mut self, context: &mut Context<'_>, failure: Option<&Failure>) {
        let _ = (context, failure);
    }
}

/// Makes the behaviours of a run.
pub trait Factory: Send + Sync {
    /// What the connection is to be like. `number` counts the places of a run over all workers.
    fn request(&self, number: u64) -> Request {
        let _ = number;
        Request::default()
    }

    /// The behaviour for a new connection.
    fn behaviour(&self, number: u64) -> Box<dyn Behaviour>;
}

/// A function that makes behaviours is a factory.
impl<F> Factory for F
where
    F: Fn(u64) -> Box<dyn Behaviour> + Send + Sync,
{
    fn behaviour(&self, number: u64) -> Box<dyn Behaviour> {
        self(number)
    }
}
