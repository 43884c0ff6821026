//! The browser: the engine, which runs in a worker of its own, and the page's side of it.
//!
//! Nothing on the page's thread happens per packet or per frame. Tracks of the page's devices are
//! turned into streams of frames (W3C mediacapture-transform), which move to the worker; the worker
//! hands back frames through streams that feed tracks of the page, and sound through shared memory
//! to an AudioWorklet.

pub mod engine;
mod js;
mod page;
pub mod protocol;

pub use page::{
    Call, JoinError, JoinOptions, View,
    devices::{self, Device, DeviceError, DeviceKind},
    meter::Meter,
};
pub use protocol::{
    Connection, ContentHint, Event, Participant, Participants, Quality, ReceiveStatistics, Source,
    Statistics, StreamState, Transport, TransportPreference, Warning,
};
