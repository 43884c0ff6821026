//! Records what connections meet with, and watches the tester itself and the server.
//!
//! [`Recorder`] is what connections record into, [`Snapshot`] what was recorded up to a moment. Both
//! have a fixed bound: a hostile server can make neither grow.

mod figures;
mod kinds;
mod recorder;
mod server;
mod snapshot;
mod watch;

pub use figures::{Figure, Figures, Unit, figures, is_metric};
pub use kinds::{EndReason, ErrorClass, MessageKind, Metric};
pub use recorder::Recorder;
pub use server::{ServerSample, ServerSource, ServerSourceError};
pub use snapshot::{Delivery, LAYERS, MAX_EXAMPLE, Snapshot, Times, Traffic, millis};
pub use watch::{DELAY_LIMIT, TesterState, Watch, watch};
