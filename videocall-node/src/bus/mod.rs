//! What nodes tell each other: the trait, and its two implementations.

mod embedded;
mod interest;
mod nats;
mod nats_tickets;
mod queue;

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    wire::bus::{BusControl, NodeRoster},
};

use crate::tickets::{TicketError, TicketKeys};

pub use embedded::{EmbeddedBus, EmbeddedHub};
pub use nats::{NatsBus, NatsConfig};

/// Something from another node, about one meeting.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// A media packet.
    Media(Bytes),
    /// A message.
    Control(BusControl),
    /// What a node keeps in the roster, told when the subscription begins.
    RosterShard(NodeId, NodeRoster),
    /// The bus was lost and is back: ask everybody for what was missed.
    Reconnected,
}

/// Events of one meeting until it is dropped.
pub type BusSubscription = Pin<Box<dyn Stream<Item = BusEvent> + Send>>;

/// The bus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The address of the NATS server makes no sense.
    #[error("cannot use `{url}` as a NATS address: {error}")]
    Address {
        /// As it was given, without password.
        url: String,
        /// What is wrong with it.
        error: String,
    },
    /// Not connected at the moment.
    #[error("not connected to NATS: {0}")]
    Disconnected(String),
}

/// How the bus is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusHealth {
    /// Whether other nodes can be heard, as far as is known.
    pub connected: bool,
    /// What is wrong, for people; empty if nothing is.
    pub problems: Vec<String>,
    /// Messages that could not be sent or received since the start.
    pub dropped: u64,
    /// How long a message took last from here through the bus and back, or has been under way now.
    pub lag: Duration,
}

/// Where a media packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaSubject {
    /// Its publisher.
    pub session: SessionId,
    /// Its kind.
    pub kind: MediaKind,
    /// Its simulcast layer.
    pub layer: u8,
}

/// Carries packets and messages between nodes. Nothing a node sends comes back to itself. Sending
/// never waits: what cannot be taken is dropped and counted.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Everything about one meeting; `meeting` is [`MeetingId::token`]. A node subscribes once.
    ///
    /// # Errors
    /// The bus is not connected.
    ///
    /// [`MeetingId::token`]: videocall_types::ids::MeetingId::token
    async fn subscribe(&self, meeting: &str) -> Result<BusSubscription, BusError>;

    /// Sends a media packet to the nodes that take part in the meeting.
    fn publish_media(&self, meeting: &str, subject: MediaSubject, bytes: Bytes);

    /// Sends a message to the nodes that take part in the meeting.
    fn publish_control(&self, meeting: &str, message: BusControl);

    /// Keeps this node's participants of the meeting for nodes that come later. Expires if it is
    /// not repeated.
    fn put_roster(&self, meeting: &str, node: &NodeId, roster: NodeRoster);

    /// The keys of resume tickets, shared by all nodes.
    fn ticket_keys(&self) -> TicketKeys;

    /// Notes that a ticket of that session is used now.
    ///
    /// # Errors
    /// One was used before, on whichever node; or that cannot be known.
    async fn spend_ticket(&self, session: SessionId) -> Result<(), TicketError>;

    /// How the bus is now.
    fn health(&self) -> BusHealth;
}
