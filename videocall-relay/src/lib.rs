//! The core of the meeting relay as state and decisions only: no I/O, no clock.
//!
//! A [`Meeting`] takes packets and messages of its participants and of other nodes, and puts what
//! each receiver wants and can decode into that receiver's [`Egress`] queue. Everything else that
//! has to happen outside comes out of [`Meeting::poll_output`]. The time is an argument of every
//! call, so that each rule can be tested deterministically.
//!
//! # What it does not do
//! It opens no socket, spawns no task, reads no clock and draws no random number.
//!
//! # Concurrency
//! A meeting is driven under one lock, held by its owner. Each [`Egress`] has a small lock of its
//! own, taken for each push and for each batch, so that writers of different receivers never wait
//! for each other and meetings share nothing.
//!
//! # Errors and panics
//! No input of a peer makes a call panic. What breaks the protocol is dropped and counted; what
//! must end a session is returned as [`Fatal`].
#![forbid(unsafe_code)]

mod compression;
mod config;
mod congestion;
mod counters;
mod delays;
mod egress;
mod forward;
mod meeting;
mod packet;
mod queue;
mod remote_demand;
mod reports;
mod speakers;
mod stream;
mod subscribers;
mod subscription;
mod trips;
mod window;

pub use config::RelayConfig;
pub use counters::{Counters, DropReason, KINDS, Violation};
pub use delays::Histogram;
pub use egress::{Batch, BatchLimits, Egress, Outgoing, PathEstimate};
pub use meeting::{Fatal, Joined, Meeting, Output};
pub use packet::{Class, Packet};
