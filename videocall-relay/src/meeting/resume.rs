//! A client that comes back continues its earlier session: that one ends, here or on another node,
//! also a dead one. Whether it may is decided outside, by its ticket; until then what it sends is
//! held.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use videocall_types::{
    close::CloseReason,
    ids::SessionId,
    packet,
    wire::{
        Hello, Ticket,
        bus::{ReplaceSession, bus_control},
        control::Message,
    },
};

use super::{Fatal, Local, Meeting, Output, Participant, Place};
use crate::{
    counters::{Counters, DropReason},
    packet::Packet,
};

/// Packets of a client that wait for the decision: media of the first flight.
const HELD_PACKETS: usize = 256;
/// Bytes of them, at least one packet.
const HELD_BYTES: usize = 1 << 20;
/// Sessions of other nodes that are remembered to be over. Their nodes, which are told, soon
/// forget them too; until then their rosters may still name them.
const OVER: usize = 256;

/// A client whose ticket is being checked.
#[derive(Debug)]
pub(super) struct Resuming {
    hello: Hello,
    held: Vec<Bytes>,
    bytes: usize,
}

/// What is known of sessions of other nodes that were continued elsewhere.
#[derive(Debug, Default)]
pub(super) struct Replacements {
    /// Removed here.
    over: VecDeque<SessionId>,
    /// Their node was not heard of yet; at most one for each session here, which says Hello once.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// The local session that replaces it.
    by: SessionId,
    replaced: SessionId,
}

impl Local {
    /// Keeps a packet while the ticket is being checked; `false` if it is not.
    pub(super) fn hold(&mut self, counters: &Counters, packet: &Bytes) -> bool {
        let Some(resuming) = &mut self.resuming else {
            return false;
        };
        let has_room = resuming.held.len() < HELD_PACKETS && resuming.bytes < HELD_BYTES;
        if has_room {
            resuming.bytes += packet.len();
            resuming.held.push(packet.clone());
        } else {
            counters.dropped(DropReason::QueueFull, 1);
        }
        true
    }
}

impl Meeting {
    /// Holds a client that brought a ticket until [`ticket_checked`](Self::ticket_checked).
    pub(super) fn check_ticket(&mut self, session: SessionId, hello: Hello) {
        let Some(participant) = self.participants.get_mut(&session) else {
            return;
        };
        let user_id = participant.info.user_id.clone();
        let ticket = hello.ticket.clone();
        let Some(local) = participant.local_mut() else {
            return;
        };
        local.resuming = Some(Box::new(Resuming {
            hello,
            held: Vec::new(),
            bytes: 0,
        }));
        self.outputs.push_back(Output::CheckTicket {
            session,
            user_id,
            ticket,
        });
    }

    /// The answer to [`Output::CheckTicket`]: the session that is continued, or why not, for
    /// people.
    pub fn ticket_checked(
        &mut self,
        now: Instant,
        session: SessionId,
        verdict: Result<SessionId, &str>,
    ) {
        let local = self
            .participants
            .get_mut(&session)
            .and_then(Participant::local_mut);
        let Some(resuming) = local.and_then(|local| local.resuming.take()) else {
            return;
        };
        let earlier = match verdict {
            Ok(earlier) => earlier,
            Err(text) => {
                return self.close(session, Fatal::with_text(CloseReason::TicketRefused, text));
            }
        };
        self.counters.resumed();
        self.replace(now, session, earlier);
        let mut result = self.greet(now, session, resuming.hello, true);
        for packet in resuming.held {
            result = result.and_then(|()| self.receive(now, session, packet));
        }
        if let Err(fatal) = result {
            self.close(session, fatal);
        }
    }

    /// The answer to [`Output::IssueTicket`]. Without one, it is asked for again soon.
    pub fn give_ticket(&mut self, now: Instant, session: SessionId, ticket: Bytes) {
        let renewal = now + self.config.ticket_renewal;
        if let Some(Place::Local(local)) = self.participants.get_mut(&session).map(|p| &mut p.place)
        {
            local.ticket_due = renewal;
            let message = Message::Ticket(Ticket { ticket });
            local
                .egress
                .push_control(&Packet::control(packet::control(message)));
        }
    }

    /// Takes over the place of a client's earlier session.
    fn replace(&mut self, now: Instant, by: SessionId, replaced: SessionId) {
        match self.participants.get(&replaced) {
            Some(participant) => {
                let is_remote = participant.local().is_none();
                self.end_replaced(now, replaced);
                if is_remote {
                    self.tell_replacement(replaced);
                }
            }
            None => {
                let waiting = Waiting { by, replaced };
                self.replacements.waiting.push(waiting);
                self.tell_replacement(replaced);
            }
        }
    }

    /// A client came back on another node.
    pub(super) fn replaced_elsewhere(&mut self, now: Instant, request: ReplaceSession) {
        if let Some(session) = SessionId::new(request.session_id) {
            self.end_replaced(now, session);
        }
    }

    /// Whether somebody whom another node names was replaced already, or is by this.
    pub(super) fn is_replaced(&mut self, session: SessionId) -> bool {
        let Replacements { over, waiting } = &mut self.replacements;
        if !over.contains(&session) {
            let Some(at) = waiting.iter().position(|w| w.replaced == session) else {
                return false;
            };
            waiting.swap_remove(at);
            self.note_over(session);
        }
        // Its node may not have heard of it.
        self.tell_replacement(session);
        true
    }

    /// Somebody left: nobody need wait for it, nor it for anybody.
    pub(super) fn forget_replacement(&mut self, session: SessionId) {
        self.replacements
            .waiting
            .retain(|waiting| waiting.by != session && waiting.replaced != session);
    }

    fn tell_replacement(&mut self, replaced: SessionId) {
        self.publish_control(bus_control::Message::ReplaceSession(ReplaceSession {
            session_id: replaced.get(),
        }));
    }

    fn note_over(&mut self, session: SessionId) {
        let over = &mut self.replacements.over;
        if over.len() >= OVER {
            over.pop_front();
        }
        over.push_back(session);
    }

    fn end_replaced(&mut self, now: Instant, session: SessionId) {
        match self.participants.get(&session).map(|known| &known.place) {
            Some(Place::Local(_)) => {
                self.close(session, Fatal::new(CloseReason::Replaced));
                self.leave(now, session);
            }
            Some(Place::Remote(_)) => {
                self.note_over(session);
                self.remove(now, session);
            }
            None => {}
        }
    }
}
