//! What goes wrong with a connection, and to which class it belongs.

use std::io;

use tokio_tungstenite::tungstenite;
use wtransport::error::{ConnectingError, ConnectionError};

use crate::measure::ErrorClass;

/// A failure of one connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What kind it is.
    pub class: ErrorClass,
    /// What happened, in words.
    pub text: String,
}

/// How far an attempt to connect had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the name.
    Dns,
    /// Opening the connection.
    Connect,
    /// Negotiating encryption.
    Tls,
    /// Upgrading to WebSocket, or opening the WebTransport session.
    Handshake,
    /// Open.
    Open,
}

impl Failure {
    /// A failure of a class.
    pub fn new(class: ErrorClass, text: impl Into<String>) -> Self {
        Self {
            class,
            text: text.into(),
        }
    }

    /// An error of the operating system.
    pub fn io(phase: Phase, error: &io::Error) -> Self {
        let class = match error.kind() {
            _ if is_limit(error) => ErrorClass::Limit,
            // What rustls says comes wrapped into an io::Error.
            io::ErrorKind::InvalidData if phase == Phase::Tls => ErrorClass::Tls,
            io::ErrorKind::TimedOut => ErrorClass::Timeout,
            io::ErrorKind::ConnectionReset if phase != Phase::Connect => ErrorClass::Reset,
            _ => match phase {
                Phase::Dns => ErrorClass::Dns,
                Phase::Connect => ErrorClass::Connect,
                Phase::Tls => ErrorClass::Tls,
                Phase::Handshake => ErrorClass::Handshake,
                Phase::Open => ErrorClass::Reset,
            },
        };
        Self::new(class, error.to_string())
    }

    /// Nothing came in time.
    pub fn timeout(phase: Phase) -> Self {
        let what = match phase {
            Phase::Dns => "the name was not resolved in time",
            Phase::Connect => "the server did not accept the connection in time",
            Phase::Tls => "the TLS handshake was not through in time",
            Phase::Handshake => "the server did not answer the handshake in time",
            Phase::Open => "the server was silent for too long",
        };
        Self::new(ErrorClass::Timeout, what)
    }

    /// The peer closed with a code that stands for an error.
    pub fn closed(code: u16, text: &str) -> Self {
        let text = if text.is_empty() {
            format!("closed with code {code}")
        } else {
            format!("closed with code {code}: {text}")
        };
        Self::new(ErrorClass::CloseCode(code), text)
    }

    /// An error of a WebSocket.
    pub fn websocket(phase: Phase, error: &tungstenite::Error) -> Self {
        use tungstenite::{Error, error::ProtocolError};
        match error {
            Error::Io(error) => Self::io(phase, error),
            Error::Tls(error) => Self::new(ErrorClass::Tls, error.to_string()),
            Error::Http(answer) => {
                let body = answer.body().as_deref().unwrap_or_default();
                let body = String::from_utf8_lossy(&body[..body.len().min(200)]);
                let text = format!("HTTP {}: {}", answer.status(), body.trim());
                let text = text.trim_end_matches([' ', ':']);
                Self::new(ErrorClass::Handshake, text)
            }
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::new(
                ErrorClass::Reset,
                "the connection ended without a close frame",
            ),
            other if phase == Phase::Handshake => {
                Self::new(ErrorClass::Handshake, other.to_string())
            }
            other => Self::new(ErrorClass::Protocol, other.to_string()),
        }
    }

    /// No WebTransport session came about.
    pub fn connecting(error: &ConnectingError) -> Self {
        let text = error.to_string();
        let class = match error {
            ConnectingError::DnsLookup(_) | ConnectingError::DnsNotFound => ErrorClass::Dns,
            ConnectingError::ConnectionError(ended) => return Self::quic(Phase::Handshake, ended),
            ConnectingError::SessionRejected => ErrorClass::Handshake,
            ConnectingError::EndpointStopping | ConnectingError::CidsExhausted => ErrorClass::Limit,
            _ => ErrorClass::Connect,
        };
        Self::new(class, text)
    }

    /// A QUIC connection ended.
    pub fn quic(phase: Phase, error: &ConnectionError) -> Self {
        let text = error.to_string();
        let class = match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = close.code().into_inner();
                if let Some(name) = http3_error(code) {
                    let class = match phase {
                        Phase::Open => ErrorClass::Protocol,
                        _ => ErrorClass::Handshake,
                    };
                    return Self::new(class, format!("the server ended HTTP/3 with {name}"));
                }
                return match u16::try_from(code) {
                    Ok(code) => Self::closed(code, &String::from_utf8_lossy(close.reason())),
                    // Larger ones are nobody's.
                    Err(_) => Self::new(ErrorClass::Protocol, text),
                };
            }
            // CRYPTO_ERROR, RFC 9000, section 20.1: the codes 0x0100 to 0x01ff carry a TLS alert.
            _ if is_tls_alert(&text) => ErrorClass::Tls,
            ConnectionError::TimedOut if phase == Phase::Handshake => {
                return Self::new(ErrorClass::Timeout, "the server did not answer over UDP");
            }
            ConnectionError::TimedOut => ErrorClass::Timeout,
            ConnectionError::ConnectionClosed(_) if phase == Phase::Handshake => {
                ErrorClass::Handshake
            }
            ConnectionError::ConnectionClosed(_) | ConnectionError::LocallyClosed => {
                ErrorClass::Reset
            }
            ConnectionError::LocalH3Error(_) | ConnectionError::QuicProto(_) => {
                ErrorClass::Protocol
            }
            ConnectionError::CidsExhausted => ErrorClass::Limit,
        };
        Self::new(class, text)
    }
}

/// Whether the machine has no file descriptors, ports or memory left.
fn is_limit(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRINUSE,
        Errno::ADDRNOTAVAIL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}

/// The errors of HTTP/3 (RFC 9114, section 8.1).
const fn http3_error(code: u64) -> Option<&'static str> {
    Some(match code {
        0x101 => "H3_GENERAL_PROTOCOL_ERROR",
        0x102 => "H3_INTERNAL_ERROR",
        0x103 => "H3_STREAM_CREATION_ERROR",
        0x104 => "H3_CLOSED_CRITICAL_STREAM",
        0x105 => "H3_FRAME_UNEXPECTED",
        0x106 => "H3_FRAME_ERROR",
        0x107 => "H3_EXCESSIVE_LOAD",
        0x108 => "H3_ID_ERROR",
        0x109 => "H3_SETTINGS_ERROR",
        0x10a => "H3_MISSING_SETTINGS",
        0x10b => "H3_REQUEST_REJECTED",
        0x10c => "H3_REQUEST_CANCELLED",
        0x10d => "H3_REQUEST_INCOMPLETE",
        0x10e => "H3_MESSAGE_ERROR",
        0x10f => "H3_CONNECT_ERROR",
        0x110 => "H3_VERSION_FALLBACK",
        _ => return None,
    })
}

fn is_tls_alert(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("cryptographic handshake") || text.contains("certificate")
}
