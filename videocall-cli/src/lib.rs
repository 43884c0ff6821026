//! A participant without a browser.
//!
//! - [`args`]: the command line.
//! - [`stream`]: publishes devices, a test pattern, a file or a pipe.
//! - [`watch`]: receives, decodes and measures.
//! - [`devices`]: lists cameras and microphones.
//! - [`doctor`]: looks for what is wrong.
//! - [`record`]: writes what is received to WebM files.
//! - [`profile`]: settings in a file.
//! - [`manual`]: completions and manual pages.
//!
//! Codecs run on threads of their own; between them and the network are bounded queues from which
//! media is dropped, never control.
#![forbid(unsafe_code)]

pub mod args;
pub mod capture;
mod clock;
pub mod devices;
pub mod doctor;
pub mod exit;
mod identity;
pub mod manual;
mod participants;
mod pictures;
pub mod profile;
mod progress;
pub mod record;
mod server;
mod signals;
pub mod stream;
mod supervisor;
pub mod watch;
