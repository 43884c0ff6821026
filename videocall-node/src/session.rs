//! One participant's connection to a meeting.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use videocall_relay::{Batch, Egress, Fatal, Outgoing};
use videocall_types::{close::CloseReason, ids::SessionId};

use crate::{
    meeting::{MeetingShell, now},
    node::SessionGuard,
};

/// Packets that one batch holds at most.
const BATCH_PACKETS: usize = 64;
/// Bytes after which a batch ends.
const BATCH_BYTES: usize = 64 * 1024;

/// One participant. Dropping it leaves the meeting.
pub struct Session {
    id: SessionId,
    shell: Arc<MeetingShell>,
    egress: Arc<Egress>,
    _guard: SessionGuard,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        shell: Arc<MeetingShell>,
        egress: Arc<Egress>,
        guard: SessionGuard,
    ) -> Self {
        Self {
            id,
            shell,
            egress,
            _guard: guard,
        }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Takes a packet of this participant and forwards it, without waiting for anything.
    ///
    /// # Errors
    /// The session must end: send what still waits, then close the connection with that reason.
    pub fn receive(&self, packet: Bytes) -> Result<(), Fatal> {
        self.shell.receive(self.id, packet)
    }

    /// Appends what waits for this participant to `out`; `Ready(false)` when the session is over.
    pub fn poll_batch(&self, cx: &mut Context<'_>, out: &mut Vec<Outgoing>) -> Poll<bool> {
        self.egress
            .poll_batch(cx, now(), BATCH_PACKETS, BATCH_BYTES, out)
            .map(|batch| batch == Batch::More)
    }

    /// Ready when the session is over: for a writer that is blocked.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.egress.poll_over(cx)
    }

    /// Like [`poll_batch`](Self::poll_batch), waiting.
    pub async fn next_batch(&self, out: &mut Vec<Outgoing>) -> bool {
        poll_fn(|cx| self.poll_batch(cx, out)).await
    }

    /// A packet was taken but could not be delivered: what depends on it will not follow.
    pub fn report_lost(&self, outgoing: &Outgoing) {
        self.egress.report_lost(outgoing);
    }

    /// Ends the session from here: the peer is told why.
    pub fn end(&self, fatal: Fatal) {
        self.shell.end(self.id, fatal);
    }

    /// Why the session is over, once [`next_batch`](Self::next_batch) says that it is.
    pub fn close_reason(&self) -> Fatal {
        self.shell
            .end_of(self.id)
            .unwrap_or_else(|| Fatal::new(CloseReason::Normal))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shell.leave(self.id);
    }
}
