//! Names of what is recorded. `Display` gives the name that thresholds, metrics and reports use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Classes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorClass {
    /// The name of the server has no address.
    Dns,
    /// No connection to the address.
    Connect,
    /// TLS, certificates among it.
    Tls,
    /// The handshake of WebSocket, HTTP/3, WebTransport or the application.
    Handshake,
    /// The peer broke a protocol.
    Protocol,
    /// Closed with this code, which is no orderly end.
    CloseCode(u16),
    /// The connection was cut.
    Reset,
    /// Something took longer than allowed.
    Timeout,
    /// A stream or datagram could not be opened or sent.
    Channel,
    /// A limit of the tester or of this machine.
    Limit,
}

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MessageKind {
    /// Of the session: no media.
    Control,
    /// Sound.
    Audio,
    /// A camera.
    Video,
    /// A shared screen.
    Screen,
    /// Anything else.
    Other,
}

impl MessageKind {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] = [
        Self::Control,
        Self::Audio,
        Self::Video,
        Self::Screen,
        Self::Other,
    ];
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Metric {
    /// Until the connection is open.
    Connect,
    /// Until the connection can do its work: admitted, or the session established.
    Join,
    /// From a message to its answer.
    RoundTrip,
    /// From a sender to a receiver, by stamps in the payload.
    OneWay,
}

impl Metric {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Join, Self::RoundTrip, Self::OneWay];
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndReason {
    /// The run wanted it so.
    Stopped,
    /// The server closed it in an orderly way.
    ClosedByServer,
    /// It failed.
    Failed,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns => f.write_str("dns"),
            Self::Connect => f.write_str("connect"),
            Self::Tls => f.write_str("tls"),
            Self::Handshake => f.write_str("handshake"),
            Self::Protocol => f.write_str("protocol"),
            Self::CloseCode(code) => write!(f, "close_code_{code}"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout => f.write_str("timeout"),
            Self::Channel => f.write_str("channel"),
            Self::Limit => f.write_str("limit"),
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Screen => "screen",
            Self::Other => "other",
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Join => "join",
            Self::RoundTrip => "round_trip",
            Self::OneWay => "one_way",
        })
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::ClosedByServer => "closed_by_server",
            Self::Failed => "failed",
        })
    }
}
