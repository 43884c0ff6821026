//! A participant on tokio: runs a [`Session`](crate::core::session::Session) over WebTransport, or
//! over WebSocket where that does not open, and comes back by itself after a lost connection.
//!
//! One task holds the session; the tasks of a connection die with it. Every queue is bounded: of
//! what the program does not read in time media is dropped, of what the path does not carry
//! pictures and sound.

mod client;
mod link;
mod sending;
mod servers;
mod token;
mod websocket;
mod webtransport;

pub use client::{Client, Handle, JoinOptions, Stopped};
pub use link::{OpenError, Servers, Trust};
pub use token::unverified_claims;

pub use crate::core::select::Placement;
