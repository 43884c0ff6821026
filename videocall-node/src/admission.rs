//! Who may come in, and as whom.

use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use videocall_types::{
    close::CloseReason,
    ids::{MeetingId, NameError, UserId},
    packet,
    token::Token,
    wire::control,
};

use crate::{overload::Resource, tokens::TokenKey};

/// The way by which a participant is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 6455.
    WebSocket,
    /// WebTransport over HTTP/3.
    WebTransport,
}

impl Transport {
    /// A word for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::WebTransport => "webtransport",
        }
    }
}

/// What somebody at the door says.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The meeting's name, percent-decoded.
    pub meeting: String,
    /// The name by which a guest wants to be known, percent-decoded.
    pub user: String,
    /// A token, where the other door was taken. Never logged.
    pub token: Option<Token>,
    /// How the participant is connected.
    pub transport: Transport,
    /// From where.
    pub remote: SocketAddr,
}

/// Who the server says this is.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Which meeting.
    pub meeting: MeetingId,
    /// What packets must claim, or claim nothing.
    pub user_id: UserId,
    /// As others see the person, unless the client asks for another name.
    pub display_name: String,
}

/// Why somebody may not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// As the peer is told it; says whether another try may help.
    pub reason: CloseReason,
    /// What to do about it, for people.
    pub text: String,
    /// Do not ask again before, in seconds.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// A name that cannot be accepted.
    pub fn bad_name(what: &str, error: NameError) -> Self {
        Self {
            reason: CloseReason::ProtocolError,
            text: format!("{what}: {error}"),
            retry_after: None,
        }
    }

    /// A path that leads into no meeting.
    pub fn no_such_door() -> Self {
        Self {
            reason: CloseReason::ProtocolError,
            text: "nobody is met here: join by /lobby/{user}/{meeting}".to_owned(),
            retry_after: None,
        }
    }

    /// Not without credentials.
    pub fn unauthorized(text: impl Into<String>) -> Self {
        Self {
            reason: CloseReason::Unauthorized,
            text: text.into(),
            retry_after: None,
        }
    }

    /// Something is used up.
    pub fn overloaded(resource: Resource, retry_after: u32) -> Self {
        let what = resource.text();
        let text = format!(
            "the server has no {what} left for more people: try again in {retry_after} seconds"
        );
        Self {
            retry_after: Some(retry_after),
            ..Self::unavailable(CloseReason::Full, text)
        }
    }

    /// What tells the peer where the transport lets the server in before it refuses.
    pub fn to_packet(&self) -> Bytes {
        let mut control = self.reason.to_control(self.text.as_str());
        if let Some(control::Message::Close(close)) = &mut control.message {
            close.retry_after_ms = self.retry_after.unwrap_or(0) * 1000;
        }
        packet::from_control(control)
    }

    /// No place left, or none any more.
    pub fn unavailable(reason: CloseReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
            retry_after: Some(5),
        }
    }
}

/// Decides who may come in. Asked before anything is allocated for the participant.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Admits or refuses.
    async fn admit(&self, request: &JoinRequest) -> Result<Admitted, Refusal>;
}

/// Admits everybody under the name that they give, where guests are allowed.
#[derive(Clone, Copy, Debug)]
pub struct GuestAdmission {
    /// Whether guests are.
    pub allowed: bool,
}

#[async_trait]
impl Admission for GuestAdmission {
    async fn admit(&self, request: &JoinRequest) -> Result<Admitted, Refusal> {
        if request.token.is_some() {
            return Err(Refusal::unauthorized(if self.allowed {
                "this server takes no tokens: join as a guest by /lobby/{user}/{meeting}"
            } else {
                "this server takes neither tokens nor guests"
            }));
        }
        if !self.allowed {
            return Err(Refusal::unauthorized(
                "guests are not allowed on this server",
            ));
        }
        let meeting = MeetingId::parse(&request.meeting)
            .map_err(|error| Refusal::bad_name("the meeting's name", error))?;
        let user_id =
            UserId::parse(&request.user).map_err(|error| Refusal::bad_name("your name", error))?;
        let display_name = user_id.as_str().to_owned();
        Ok(Admitted {
            meeting,
            user_id,
            display_name,
        })
    }
}

/// Admits whoever has a token that was signed with the key, and guests where they are allowed.
#[derive(Clone, Debug)]
pub struct Doors {
    /// The door without a token.
    pub guests: GuestAdmission,
    /// What tokens are signed with; without it, none is taken.
    pub tokens: Option<TokenKey>,
}

#[async_trait]
impl Admission for Doors {
    async fn admit(&self, request: &JoinRequest) -> Result<Admitted, Refusal> {
        let (Some(token), Some(key)) = (&request.token, &self.tokens) else {
            return self.guests.admit(request).await;
        };
        let identity = key
            .check(token)
            .map_err(|error| Refusal::unauthorized(error.to_string()))?;
        Ok(Admitted {
            meeting: identity.meeting,
            user_id: identity.user,
            display_name: identity.display_name,
        })
    }
}
