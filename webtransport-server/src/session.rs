//! One session: its streams and datagrams until one side ends it.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::{sync::oneshot, time};
use tracing::{debug, error, info};
use videocall_node::{Fatal, Session};
use videocall_types::close::CloseReason;
use wtransport::{Connection, VarInt};

use crate::{egress, ingest};

/// How long a peer gets to receive the last messages.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a peer gets to close by itself after it was told to.
const FAREWELL: Duration = Duration::from_millis(500);

/// Runs a session to its end.
pub(crate) async fn run(connection: &Connection, session: Session, max_streams: u32) {
    info!("joined");
    let (control, opened) = oneshot::channel();
    let incoming = async {
        tokio::select! {
            end = ingest::datagrams(connection, &session) => end,
            end = ingest::streams(connection, &session, max_streams) => end,
            end = ingest::control(connection, &session, control) => end,
        }
    };
    let incoming = AssertUnwindSafe(incoming).catch_unwind();
    let writer = AssertUnwindSafe(egress::run(connection, &session, opened.fuse()));
    let mut writer = std::pin::pin!(writer.catch_unwind());
    let ended = tokio::select! {
        ended = incoming => Some(ended.unwrap_or_else(|_| Ended::Fatal(fault()))),
        written = &mut writer => {
            if written.is_err() {
                session.end(fault());
            }
            None
        }
    };
    let fatal = match ended {
        // The connection is gone: there is nobody to tell.
        Some(Ended::Connection) => return info!("left: the connection ended"),
        Some(Ended::Fatal(fatal)) => {
            session.end(fatal);
            let _ = time::timeout(LAST_WORDS, writer).await;
            session.close_reason()
        }
        None => session.close_reason(),
    };
    info!(reason = ?fatal.reason, text = fatal.text, "closed");
    // The end of a QUIC connection overtakes what its streams hold: whoever knows `Close` reads it
    // first, and closes.
    let _ = time::timeout(FAREWELL, connection.closed()).await;
    close(connection, &fatal).await;
}

/// Why a session takes no more packets.
pub(crate) enum Ended {
    Connection,
    Fatal(Fatal),
}

impl Ended {
    pub(crate) fn protocol(text: &str) -> Self {
        Self::Fatal(Fatal::with_text(CloseReason::ProtocolError, text))
    }
}

/// A task of this session panicked, which says itself where; the others go on.
fn fault() -> Fatal {
    error!("a fault of the server ends the session");
    Fatal::new(CloseReason::InternalError)
}

async fn close(connection: &Connection, fatal: &Fatal) {
    connection.close(VarInt::from_u32(fatal.reason.code()), fatal.text.as_bytes());
    if time::timeout(LAST_WORDS, connection.closed())
        .await
        .is_err()
    {
        debug!("the peer did not acknowledge the end");
    }
}
