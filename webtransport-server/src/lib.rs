//! WebTransport ingress.
//!
//! Each session runs in one task: what the client sends is forwarded as it arrives, and what waits
//! for the client is written in batches. Audio goes as datagrams, each frame of a picture on a
//! stream of its own with a priority, and control on the bidirectional stream that the client
//! opened. A picture that could not be delivered before it is stale is reset, and the relay told,
//! so that nothing follows that depends on it.
#![forbid(unsafe_code)]

mod egress;
mod ingest;
mod pace;
mod server;
mod session;

pub use server::{BindError, WebTransportServer};
