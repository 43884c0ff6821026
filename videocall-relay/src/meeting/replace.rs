//! A client that comes back ends its earlier session, here or on another node, also a dead one.

use std::{collections::VecDeque, time::Instant};

use sha2::{Digest, Sha256};
use videocall_types::{
    close::CloseReason,
    ids::SessionId,
    wire::bus::{ReplaceSession, bus_control},
};

use super::{Fatal, Meeting, Place};

/// Sessions of other nodes that are remembered to be over. Their nodes, which are told, soon
/// forget them too; until then their rosters may still name them.
const OVER: usize = 256;

/// What is known of sessions of other nodes that were replaced.
#[derive(Debug, Default)]
pub(super) struct Replacements {
    /// Proven and removed here, with the proof.
    over: VecDeque<(SessionId, [u8; 32])>,
    /// Their node was not heard of yet; at most one for each session here, which says Hello once.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
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
        let secret_sha256 = sha256(secret);
        match self.participants.get(&replaced) {
            Some(participant) if participant.secret_sha256.is_some() => {
                let is_remote = participant.local().is_none();
                if self.end_if_proven(now, replaced, &secret_sha256) && is_remote {
                    self.tell_replacement(replaced, &secret_sha256);
                }
            }
            known => {
                if known.is_none() {
                    self.replacements.waiting.push(Waiting {
                        by,
                        replaced,
                        secret_sha256,
                    });
                }
                self.tell_replacement(replaced, &secret_sha256);
            }
        }
    }

    /// A client came back on another node.
    pub(super) fn replaced_elsewhere(&mut self, now: Instant, request: &ReplaceSession) {
        if let Some(session) = SessionId::new(request.session_id) {
            self.end_if_proven(now, session, &request.secret_sha256);
        }
    }

    /// Whether somebody whom another node names was replaced already, or is by this.
    pub(super) fn is_replaced(&mut self, session: SessionId, proof: Option<[u8; 32]>) -> bool {
        let Replacements { over, waiting } = &mut self.replacements;
        if let Some(&(_, proof)) = over.iter().find(|(over, _)| *over == session) {
            // Its node may not have heard of it.
            self.tell_replacement(session, &proof);
            return true;
        }
        let Some(at) = waiting.iter().position(|w| w.replaced == session) else {
            return false;
        };
        let waiting = waiting.swap_remove(at);
        let proven = proof.is_some_and(|proof| is_equal(&proof, &waiting.secret_sha256));
        if proven {
            self.note_over(session, waiting.secret_sha256);
        }
        if proven || proof.is_none() {
            self.tell_replacement(session, &waiting.secret_sha256);
        }
        proven
    }

    /// Somebody left: nobody need wait for it, nor it for anybody.
    pub(super) fn forget_replacement(&mut self, session: SessionId) {
        self.replacements
            .waiting
            .retain(|waiting| waiting.by != session && waiting.replaced != session);
    }

    fn tell_replacement(&mut self, replaced: SessionId, secret_sha256: &[u8; 32]) {
        self.publish_control(bus_control::Message::ReplaceSession(ReplaceSession {
            session_id: replaced.get(),
            secret_sha256: secret_sha256.to_vec().into(),
        }));
    }

    fn note_over(&mut self, session: SessionId, proof: [u8; 32]) {
        let over = &mut self.replacements.over;
        if over.len() >= OVER {
            over.pop_front();
        }
        over.push_back((session, proof));
    }

    fn end_if_proven(&mut self, now: Instant, session: SessionId, proof: &[u8]) -> bool {
        let Some(participant) = self.participants.get(&session) else {
            return false;
        };
        let Some(expected) = participant
            .secret_sha256
            .filter(|expected| is_equal(expected, proof))
        else {
            return false;
        };
        match participant.place {
            Place::Local(_) => {
                self.close(session, Fatal::new(CloseReason::Replaced));
                self.leave(now, session);
            }
            Place::Remote(_) => {
                self.note_over(session, expected);
                self.remove(now, session);
            }
        }
        true
    }
}

pub(super) fn sha256(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Compares without telling by its time where the difference lies.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}
