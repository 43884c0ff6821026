//! The async shell around the relay that both ingress servers share.
//!
//! A [`Node`] admits people into meetings and gives each a [`Session`]: packets go in by
//! [`Session::receive`], which forwards them in the caller's own task, and come out in batches by
//! [`Session::next_batch`]. Beside that there is one task per meeting, for its timers and for what
//! other nodes send over the [`Bus`](bus::Bus).
//!
//! # Concurrency
//! Each meeting is behind one lock, never held across an await; meetings share no lock but that of
//! the map in which they are found when somebody joins. Every task ends with its meeting.
#![forbid(unsafe_code)]

mod admission;
pub mod bus;
mod limits;
mod meeting;
mod metrics;
mod node;
mod overload;
mod peers;
mod session;
mod tickets;
mod tokens;

pub use admission::{Admission, Admitted, Doors, GuestAdmission, JoinRequest, Refusal, Transport};
pub use limits::{Limits, Rate};
pub use node::{Health, Node, NodeConfig};
pub use overload::{Budgets, Resource};
pub use session::{Room, Session};
pub use tickets::{TicketError, TicketKeys};
pub use tokens::{TokenError, TokenKey, TokenKeyError};
pub use videocall_relay::{Fatal, Outgoing, Packet, PathEstimate, RelayConfig};
