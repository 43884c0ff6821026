//! What a session gives to send, and what it tells.

use std::time::Duration;

use bytes::Bytes;
use videocall_types::{
    close::CloseReason,
    ids::SessionId,
    view::Routing,
    wire::{ForwardState, KeyframeRequest, LayerDemand},
};

/// How a packet is to travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Reliable and in order.
    Control,
    /// May be lost.
    Datagram,
    /// Alone on a stream; higher first.
    Stream {
        /// Order among streams.
        priority: i32,
    },
}

/// A packet to send.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// The packet.
    pub bytes: Bytes,
    /// How.
    pub delivery: Delivery,
    /// Of media.
    pub routing: Option<Routing>,
}

/// A media packet of another participant.
#[derive(Clone, Debug)]
pub struct MediaIn {
    /// Its publisher.
    pub session: SessionId,
    /// Its routing header.
    pub routing: Routing,
    /// A `MediaPacket`, perhaps encrypted.
    pub payload: Bytes,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Open a connection now.
    Connect,
    /// Admitted.
    Joined(SessionId),
    /// The connection is lost; [`Event::Connect`] follows by itself.
    Reconnecting {
        /// Failures in a row.
        attempt: u32,
        /// Until the next try.
        wait: Duration,
        /// What the server said, if it said why.
        close: Option<CloseReason>,
        /// Why, for people.
        reason: String,
        /// How long the server wants to be left alone.
        retry_after: Duration,
        /// Origins of servers that it names instead.
        servers: Vec<String>,
    },
    /// The server will end the session if this goes on.
    Warned {
        /// For what; `None` if we do not know the reason.
        reason: Option<CloseReason>,
        /// For people.
        text: String,
    },
    /// Over for good.
    Closed {
        /// Why; `None` if the server refused without a reason that we know.
        reason: Option<CloseReason>,
        /// Why, for people.
        text: String,
    },
    /// Somebody came, changed or left.
    Roster,
    /// Who speaks, loudest first.
    Speakers(Vec<u64>),
    /// Media came.
    Media(MediaIn),
    /// Which layers to encode.
    Demand(LayerDemand),
    /// Encode a keyframe.
    KeyframeWanted(KeyframeRequest),
    /// Which layer of a picture comes, or that the path to here carries none.
    Forwarding(ForwardState),
    /// Bits a second that pictures may take from now on.
    Budget(u64),
}
