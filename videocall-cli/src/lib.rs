//! A participant without a browser.
//!
//! - [`args`]: the command line.
//! - [`stream`]: publishes a test pattern, a file or a pipe.
//! - [`watch`]: receives, decodes and measures.
//! - [`record`]: writes what is received as it is, a WebM file for each participant.
//!
//! Codecs run on threads of their own; between them and the network are bounded queues from which
//! media is dropped, never control.
#![forbid(unsafe_code)]

pub mod args;
mod clock;
pub mod exit;
mod participants;
mod progress;
pub mod record;
mod server;
mod signals;
pub mod stream;
mod supervisor;
pub mod watch;
