//! A client that comes back ends its earlier session, here or on another node.

use std::time::Instant;

use sha2::{Digest, Sha256};
use videocall_types::{
    close::CloseReason,
    ids::SessionId,
    wire::bus::{ReplaceSession, bus_control},
};

use super::{Fatal, Meeting, Participant, Place};

/// An earlier session that is not on this node: the one on which it is must end it.
#[derive(Debug)]
pub(super) struct Replacement {
    /// The local session that replaces it.
    by: SessionId,
    replaced: SessionId,
    secret_sha256: [u8; 32],
}

impl Meeting {
    /// Takes over the place of a client's earlier session, if the secret proves that it is the
    /// same client.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        by: SessionId,
        replaced: SessionId,
        secret: &[u8],
    ) {
        if let Some(participant) = self.participants.get(&replaced)
            && let Place::Local(local) = &participant.place
        {
            if equal_in_constant_time(&local.secret, secret) {
                self.end_replaced(now, replaced);
            }
        } else if secret.len() == 16 {
            // Also if it is not in the roster: the other nodes may not have been heard of yet.
            let replacement = Replacement {
                by,
                replaced,
                secret_sha256: Sha256::digest(secret).into(),
            };
            self.tell_replacement(&replacement);
            // At most one for each session here, which says Hello once.
            self.replacements.push(replacement);
        }
    }

    /// The node of a session that was replaced here is heard of only now.
    pub(super) fn retry_replacement(&mut self, session: SessionId) {
        let known = self.replacements.iter().position(|r| r.replaced == session);
        if let Some(at) = known {
            let replacement = self.replacements.swap_remove(at);
            self.tell_replacement(&replacement);
        }
    }

    pub(super) fn forget_replacement(&mut self, session: SessionId) {
        self.replacements
            .retain(|r| r.by != session && r.replaced != session);
    }

    fn tell_replacement(&mut self, replacement: &Replacement) {
        self.publish_control(bus_control::Message::ReplaceSession(ReplaceSession {
            session_id: replacement.replaced.get(),
            secret_sha256: replacement.secret_sha256.to_vec().into(),
        }));
    }

    /// A client of ours came back on another node.
    pub(super) fn replaced_elsewhere(&mut self, now: Instant, request: &ReplaceSession) {
        let Some(session) = SessionId::new(request.session_id) else {
            return;
        };
        let proven = self
            .participants
            .get(&session)
            .and_then(Participant::local)
            .is_some_and(|local| {
                equal_in_constant_time(&Sha256::digest(local.secret), &request.secret_sha256)
            });
        if proven {
            self.end_replaced(now, session);
        }
    }

    fn end_replaced(&mut self, now: Instant, session: SessionId) {
        self.close(session, Fatal::new(CloseReason::Replaced));
        self.leave(now, session);
    }
}

/// Compares without telling by its time where the difference lies.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}
