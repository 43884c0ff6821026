//! The protobuf messages. Regenerate with `cargo xtask proto`; shapes and meaning are documented
//! in `proto/packet.proto`, `proto/bus.proto` and `docs/protocol.md`.
#![allow(missing_docs, clippy::doc_markdown)]

pub use prost::{DecodeError, Message};

include!("generated/videocall.rs");

/// What nodes tell each other.
pub mod bus {
    include!("generated/videocall.bus.rs");
}
