//! One participant's connection to a meeting.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use tracing::{Span, info_span, warn};
use videocall_relay::{Batch, BatchLimits, Egress, Fatal, Outgoing, PathEstimate};
use videocall_types::{close::CloseReason, ids::SessionId, view::PacketView};

use crate::{
    limits::{Usage, Verdict},
    meeting::{MeetingShell, now},
    node::SessionGuard,
};

/// Packets that one batch holds at most.
const BATCH_PACKETS: usize = 64;
/// Bytes after which a batch ends.
const BATCH_BYTES: usize = 64 * 1024;

/// How much the path to a participant takes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Whatever waits.
    Any,
    /// One packet, and no more after so many bytes.
    Bytes(usize),
    /// No pictures: they would wait in the transport, where nobody can drop them.
    UrgentOnly,
}

/// One participant. Dropping it leaves the meeting.
pub struct Session {
    id: SessionId,
    shell: Arc<MeetingShell>,
    egress: Arc<Egress>,
    usage: Usage,
    warned: AtomicBool,
    guard: SessionGuard,
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
            usage: Usage::default(),
            warned: AtomicBool::new(false),
            guard,
        }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What the log says of everything that happens in its life. No names: a meeting's stands
    /// there as the hash of which bus subjects are made.
    pub fn span(&self) -> Span {
        info_span!(
            "session",
            id = %self.id,
            meeting = self.shell.id.token(),
            transport = self.guard.transport().label(),
        )
    }

    /// Takes a packet of this participant and forwards it, without waiting for anything.
    ///
    /// # Errors
    /// The session must end: send what still waits, then close the connection with that reason.
    pub fn receive(&self, packet: Bytes) -> Result<(), Fatal> {
        let now = now();
        match self.judge(now, packet.len())? {
            Verdict::Take => {}
            Verdict::Busy if is_control(&packet) => {}
            Verdict::Busy | Verdict::Drop | Verdict::End => return Ok(()),
        }
        self.shell.receive(now, self.id, packet)
    }

    /// Counts what costs like a packet and is none: a stream that was never finished, a frame
    /// without a message.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub fn charge(&self, bytes: usize) -> Result<(), Fatal> {
        self.judge(now(), bytes).map(drop)
    }

    fn judge(&self, now: Instant, bytes: usize) -> Result<Verdict, Fatal> {
        let verdict = self.guard.limits().judge(now, &self.usage, bytes);
        match verdict {
            Verdict::Take | Verdict::Busy => {}
            Verdict::Drop => self.warn(),
            Verdict::End => {
                let fatal = Fatal::new(CloseReason::RateLimitExceeded);
                self.end(fatal.clone());
                return Err(self.shell.end_of(self.id).unwrap_or(fatal));
            }
        }
        Ok(verdict)
    }

    /// Says once that too much is sent from there, before the session is ended for it.
    fn warn(&self) {
        if !self.warned.swap(true, Relaxed) {
            warn!("sends more than it may: packets are dropped");
            self.shell.warn(self.id, CloseReason::RateLimitExceeded);
        }
    }

    /// Appends what waits for this participant to `out`, as much as the path takes now;
    /// `Ready(false)` when the session is over.
    pub fn poll_batch(
        &self,
        cx: &mut Context<'_>,
        room: Room,
        out: &mut Vec<Outgoing>,
    ) -> Poll<bool> {
        let limits = BatchLimits {
            packets: BATCH_PACKETS,
            bytes: match room {
                Room::Bytes(bytes) => bytes.min(BATCH_BYTES),
                Room::Any | Room::UrgentOnly => BATCH_BYTES,
            },
            pictures: room != Room::UrgentOnly,
        };
        self.egress
            .poll_batch(cx, now(), limits, out)
            .map(|batch| batch == Batch::More)
    }

    /// Ready when the session is over: for a writer that is blocked.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.egress.poll_over(cx)
    }

    /// Like [`poll_batch`](Self::poll_batch), waiting.
    pub async fn next_batch(&self, room: Room, out: &mut Vec<Outgoing>) -> bool {
        poll_fn(|cx| self.poll_batch(cx, room, out)).await
    }

    /// Tells what the transport knows of the path to this participant.
    pub fn note_path(&self, path: PathEstimate) {
        self.egress.note_path(path);
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

/// Asked only of a node that is overloaded: it parses the packet.
fn is_control(packet: &Bytes) -> bool {
    PacketView::parse(packet).is_ok_and(|view| view.control.is_some())
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shell.leave(self.id);
    }
}
