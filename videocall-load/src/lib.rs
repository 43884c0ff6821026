//! Load tester for WebSocket and WebTransport servers, and for meetings of this protocol.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod measure;
pub mod output;
