//! Decisions without I/O: each takes the time as a [`Duration`](std::time::Duration) since some
//! start, so that the same code runs in a browser, natively and in a test.

pub mod audio;
pub mod backoff;
pub mod budget;
pub mod ladder;
pub mod outbox;
pub mod packetizer;
pub mod reception;
mod rendezvous;
pub mod select;
pub mod session;
pub mod simulcast;
pub mod timeline;
pub mod timing;
pub mod uplink;
pub mod video;
