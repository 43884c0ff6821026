//! Why a session ends, as told to the peer on both transports.

use crate::wire::{Close, Control, control};

/// Reason for the end of a session. The number goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u32)]
pub enum CloseReason {
    /// The person left.
    Normal = 0,
    /// The server shuts down or restarts; other servers take the session at once.
    GoingAway = 1,
    /// The peer sent what the protocol does not allow.
    ProtocolError = 2,
    /// Nothing was heard of the peer for too long.
    Timeout = 3,
    /// The peer sent more than it may.
    RateLimitExceeded = 4,
    /// A fault of the server.
    InternalError = 5,
    /// Not admitted: no or wrong credentials.
    Unauthorized = 16,
    /// A host removed the person from the meeting.
    Removed = 17,
    /// A host ended the meeting for all.
    MeetingEnded = 18,
    /// The same client came back over a new connection.
    Replaced = 19,
    /// The meeting or the server has no place left.
    Full = 20,
    /// The protocol version is not spoken here.
    Unsupported = 21,
    /// The peer did not read what was sent to it.
    SlowConsumer = 22,
    /// The resume ticket is not valid, or no longer: come back without it.
    TicketRefused = 23,
}

impl CloseReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [CloseReason; 14] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::Timeout,
        Self::RateLimitExceeded,
        Self::InternalError,
        Self::Unauthorized,
        Self::Removed,
        Self::MeetingEnded,
        Self::Replaced,
        Self::Full,
        Self::Unsupported,
        Self::SlowConsumer,
        Self::TicketRefused,
    ];

    /// The number on the wire, also the error code of a closed WebTransport session.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The reason behind a number, if there is one.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Close code of a WebSocket, in the range for private use (RFC 6455, section 7.4.2).
    pub const fn websocket_code(self) -> u16 {
        4000 + self as u16
    }

    /// The reason behind a WebSocket close code; `None` for codes that are not ours.
    pub fn from_websocket_code(code: u16) -> Option<Self> {
        code.checked_sub(4000)
            .and_then(|code| Self::from_code(u32::from(code)))
    }

    /// Whether a client should come back by itself.
    pub const fn may_retry(self) -> bool {
        matches!(
            self,
            Self::GoingAway
                | Self::Timeout
                | Self::InternalError
                | Self::Full
                | Self::SlowConsumer
                | Self::TicketRefused
        )
    }

    /// English text for logs and for clients that have no words of their own.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Normal => "left the meeting",
            Self::GoingAway => "the server is going away",
            Self::ProtocolError => "the client broke the protocol",
            Self::Timeout => "nothing was heard of the client for too long",
            Self::RateLimitExceeded => "the client sent more than it may",
            Self::InternalError => "the server failed",
            Self::Unauthorized => "not admitted",
            Self::Removed => "removed from the meeting",
            Self::MeetingEnded => "the meeting was ended",
            Self::Replaced => "replaced by a newer connection of the same client",
            Self::Full => "no place left",
            Self::Unsupported => "this protocol version is not supported",
            Self::SlowConsumer => "the client did not read what was sent to it",
            Self::TicketRefused => "the resume ticket is not valid",
        }
    }

    /// The control message that tells a peer.
    pub fn to_control(self, text: impl Into<String>) -> Control {
        Control {
            message: Some(control::Message::Close(Close {
                code: self.code(),
                text: text.into(),
                ..Close::default()
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CloseReason;

    #[test]
    fn codes_are_unique_and_reversible() {
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_code(reason.code()), Some(reason));
            assert_eq!(
                CloseReason::from_websocket_code(reason.websocket_code()),
                Some(reason)
            );
        }
        assert_eq!(CloseReason::from_code(6), None);
        assert_eq!(CloseReason::from_websocket_code(1000), None);
    }
}
