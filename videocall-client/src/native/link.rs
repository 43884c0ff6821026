//! A connection to a server.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet, time};
use videocall_types::{close::CloseReason, limits::MAX_PACKET_BYTES};

use super::{sending::Sending, websocket, webtransport};

/// How long WebTransport has until WebSocket is tried beside it.
const HEAD_START: Duration = Duration::from_millis(300);
/// How long both have together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Packets on their way between a connection and the session.
const QUEUE: usize = 256;

/// Largest packet that is taken from a server: the protocol's, and room for its framing.
pub(super) const MAX_INCOMING: usize = MAX_PACKET_BYTES + 1024;

/// Whose certificates are believed over WebTransport.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Those that the system's roots vouch for.
    #[default]
    System,
    /// Those with one of these SHA-256 hashes.
    Hashes(Vec<[u8; 32]>),
}

/// Where to join. At least one address is needed.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// Such as `https://example.org`: the address by which all people know this server, so that
    /// those of a meeting choose the same.
    pub origin: Option<String>,
    /// Such as `https://example.org:4433`.
    pub webtransport: Option<String>,
    /// Such as `wss://example.org`.
    pub websocket: Option<String>,
    /// For WebTransport.
    pub trust: Trust,
}

/// No connection came about.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No address was given.
    #[error("no server address is given")]
    NoAddress,
    /// Neither opened nor failed in time.
    #[error("the server does not answer")]
    Timeout,
    /// An end of the connection that the server had a reason for.
    #[error("{text}")]
    Refused {
        /// The reason.
        reason: CloseReason,
        /// In words.
        text: String,
    },
    /// WebTransport did not open.
    #[error("WebTransport: {0}")]
    WebTransport(String),
    /// WebSocket did not open.
    #[error("WebSocket: {0}")]
    WebSocket(String),
}

/// What comes from a connection; nothing comes after its end.
#[derive(Debug)]
pub(super) enum Incoming {
    Packet(Bytes),
    Ended(Option<CloseReason>, String),
}

/// An open connection, closed when dropped. What it sends it takes from a [`Sending`].
pub(super) struct Link {
    incoming: mpsc::Receiver<Incoming>,
    tasks: JoinSet<()>,
}

/// A connection that is open, and does nothing yet.
pub(super) enum Opened {
    WebSocket(Box<websocket::Opened>),
    WebTransport(Box<webtransport::Opened>),
}

impl Opened {
    /// Begins to send what is queued from now on, and to receive.
    pub(super) fn start(self, sending: &Arc<Sending>) -> Link {
        match self {
            Self::WebSocket(opened) => opened.start(sending.clone()),
            Self::WebTransport(opened) => opened.start(sending.clone()),
        }
    }
}

impl Link {
    /// A link without tasks, and where they tell what comes.
    pub(super) fn new() -> (Self, mpsc::Sender<Incoming>) {
        let (received, incoming) = mpsc::channel(QUEUE);
        let link = Self {
            incoming,
            tasks: JoinSet::new(),
        };
        (link, received)
    }

    /// Adds a task that ends with the link.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// What comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Incoming {
        let next = self.incoming.recv().await;
        next.unwrap_or_else(|| Incoming::Ended(None, "the connection is lost".to_owned()))
    }

    /// Sends what is queued, for a moment at most, and closes.
    pub(super) async fn close(mut self, sending: &Sending) {
        sending.end();
        let drained = async {
            // Drop nothing that comes, or the reader would stop and take the writer with it.
            while self.incoming.recv().await.is_some() {}
        };
        let _ = time::timeout(Duration::from_secs(1), drained).await;
    }
}

/// Opens a connection: over WebTransport, and over WebSocket a little later or as soon as
/// WebTransport failed. The first that stands is taken.
pub(super) async fn open(servers: &Servers, path: &str) -> Result<Opened, OpenError> {
    let either = async {
        match (&servers.webtransport, &servers.websocket) {
            (Some(first), Some(second)) => {
                let first = Box::pin(webtransport::open(first, path, &servers.trust));
                race(first, Box::pin(websocket::open(second, path))).await
            }
            (Some(base), None) => Box::pin(webtransport::open(base, path, &servers.trust)).await,
            (None, Some(base)) => Box::pin(websocket::open(base, path)).await,
            (None, None) => Err(OpenError::NoAddress),
        }
    };
    time::timeout(OPEN_TIMEOUT, either)
        .await
        .unwrap_or(Err(OpenError::Timeout))
}

async fn race<T>(
    first: impl Future<Output = Result<T, OpenError>>,
    second: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    match time::timeout(HEAD_START, &mut first).await {
        Ok(Ok(link)) => return Ok(link),
        Ok(Err(_)) => return second.await,
        Err(_) => {}
    }
    tokio::select! {
        link = &mut first => match link {
            Ok(link) => Ok(link),
            Err(_) => second.await,
        },
        link = &mut second => match link {
            Ok(link) => Ok(link),
            Err(_) => first.await,
        },
    }
}
