//! Joining, leaving, and telling of it.

use std::{sync::Arc, time::Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    packet,
    wire::{
        Participant as ParticipantInfo, Roster, StreamInfo,
        bus::{NodeRoster, bus_control},
        control::Message,
    },
};

use super::{Joined, Local, Meeting, Output, Participant, Place};
use crate::{
    egress::Egress, packet::Packet, reports::Reports, stream::Stream, subscription::Subscription,
    trips::Trips,
};

/// Changes that were not told yet: many that come together are told together.
#[derive(Debug, Default)]
pub(super) struct Changes {
    changed: FxHashMap<SessionId, Change>,
    left: FxHashSet<SessionId>,
    /// Whether local participants left, which other nodes must know.
    local_left: bool,
    pub(super) due: Option<Instant>,
}

/// Of one participant: only the last state is told.
#[derive(Debug)]
struct Change {
    due: Instant,
    /// Which other nodes must know.
    local: bool,
}

impl Changes {
    pub(super) fn changed(&mut self, session: SessionId, local: bool, due: Instant) {
        self.left.remove(&session);
        self.is_due(due);
        let change = Change { due, local };
        let known = self.changed.entry(session).or_insert(change);
        known.due = known.due.min(due);
    }

    fn left(&mut self, session: SessionId, local: bool, due: Instant) {
        self.changed.remove(&session);
        self.left.insert(session);
        self.local_left |= local;
        self.is_due(due);
    }

    fn is_due(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// What is to be told by now; the rest stays.
    fn take(&mut self, now: Instant) -> Self {
        let due = self.changed.extract_if(|_, change| change.due <= now);
        let due = Self {
            changed: due.collect(),
            left: std::mem::take(&mut self.left),
            local_left: std::mem::take(&mut self.local_left),
            due: None,
        };
        self.due = self.changed.values().map(|change| change.due).min();
        due
    }

    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }

    fn is_local(&self) -> bool {
        self.local_left || self.changed.values().any(|change| change.local)
    }
}

impl Meeting {
    /// Adds a local participant. What it is to be sent waits in the returned queue.
    pub fn join(&mut self, now: Instant, joined: Joined) -> Arc<Egress> {
        let egress = Arc::new(Egress::new(self.config.clone(), self.counters.clone()));
        egress.push_control(&Packet::control(packet::session_assigned(joined.session)));
        let local = Local {
            egress: egress.clone(),
            greeted: false,
            resuming: None,
            ticket_due: now,
            subscription: Subscription::preliminary(),
            heard: now,
            pinged: now,
            unanswered: 0,
            trips: Trips::default(),
            reports: Reports::default(),
            violations: 0,
            closing: false,
        };
        let info = ParticipantInfo {
            session_id: joined.session.get(),
            user_id: joined.user_id.into(),
            display_name: joined.display_name,
            streams: Vec::new(),
            away: false,
            joined_ms: joined.joined_ms,
        };
        let place = Place::Local(Box::new(local));
        let participant = Participant::new(now, info, place);
        self.participants.insert(joined.session, participant);
        self.receivers.push((joined.session, egress.clone()));
        self.ungreeted
            .push_back((now + self.config.hello_grace, joined.session));
        self.schedule(now + self.config.hello_grace);
        self.refresh_receiver(now, joined.session);
        let due = now + self.config.roster_delay;
        self.roster.changed(joined.session, true, due);
        self.schedule(due);
        self.next_scan
            .get_or_insert(now + self.config.heartbeat_interval / 5);
        egress
    }

    /// Removes a local participant; its queue ends.
    pub fn leave(&mut self, now: Instant, session: SessionId) {
        let is_local = self
            .participants
            .get(&session)
            .is_some_and(|p| p.local().is_some());
        if is_local {
            self.remove(now, session);
        }
        if self.is_empty() {
            // Its owner may drop the meeting now: others must be told before.
            self.roster.due = self.roster.due.map(|_| now);
            self.flush_roster(now);
        }
    }

    pub(super) fn remove(&mut self, now: Instant, session: SessionId) {
        let Some(participant) = self.participants.remove(&session) else {
            return;
        };
        for mut stream in participant.streams {
            stream.subscribers.clear();
        }
        let local = matches!(participant.place, Place::Local(_));
        if let Place::Local(local) = participant.place {
            local.egress.close();
            self.receivers.retain(|(receiver, _)| *receiver != session);
            self.ungreeted.retain(|(_, waiting)| *waiting != session);
            self.unsubscribe(now, session);
        }
        self.speakers.remove(session);
        self.forget_replacement(session);
        self.roster
            .left(session, local, now + self.config.roster_delay);
        self.schedule(now + self.config.roster_delay);
    }

    /// What a publisher offers now. Streams that are no longer listed end.
    pub(super) fn set_streams(&mut self, now: Instant, session: SessionId, infos: Vec<StreamInfo>) {
        let Some(participant) = self.participants.get_mut(&session) else {
            return;
        };
        participant.streams.retain_mut(|stream| {
            let keep = infos.iter().any(|info| info.kind() == stream.kind);
            if !keep {
                stream.subscribers.clear();
            }
            keep
        });
        for info in &infos {
            match participant.stream_mut(info.kind()) {
                Some(stream) => stream.update(info.clone()),
                None => participant
                    .streams
                    .push(Stream::new(info.kind(), info.clone())),
            }
        }
        for stream in &mut participant.streams {
            stream.announced = true;
        }
        participant.apply_remote_demand();
        participant.info.streams = infos;
        self.subscribe_all_to(session);
        for kind in [MediaKind::Video, MediaKind::Screen] {
            self.update_demand(now, session, kind);
        }
    }

    /// Another node's participants of this meeting, all of them.
    pub(super) fn remote_roster(&mut self, now: Instant, node: NodeId, roster: NodeRoster) {
        let due = now + self.config.roster_delay;
        let listed: FxHashSet<SessionId> = roster
            .participants
            .iter()
            .filter_map(|participant| SessionId::new(participant.session_id))
            .collect();
        let gone: Vec<SessionId> = self
            .participants
            .iter()
            .filter(|(session, participant)| {
                matches!(&participant.place, Place::Remote(of) if *of == node)
                    && !listed.contains(session)
            })
            .map(|(session, _)| *session)
            .collect();
        for session in gone {
            self.remove(now, session);
        }
        self.schedule(due);
        let is_new_node = !self.knows(&node);
        for info in roster.participants {
            let Some(session) = SessionId::new(info.session_id) else {
                continue;
            };
            if self.is_replaced(session) {
                continue;
            }
            match self.participants.get_mut(&session) {
                Some(Participant {
                    place: Place::Local(_),
                    ..
                }) => continue,
                Some(known) if known.info == info => continue,
                Some(known) => {
                    known.place = Place::Remote(node.clone());
                    known.info = ParticipantInfo {
                        streams: Vec::new(),
                        ..info.clone()
                    };
                    self.offer_changed(now, session);
                }
                None => {
                    let place = Place::Remote(node.clone());
                    let info = ParticipantInfo {
                        streams: Vec::new(),
                        ..info.clone()
                    };
                    self.participants
                        .insert(session, Participant::new(now, info, place));
                    self.roster.changed(session, false, due);
                }
            }
            self.set_streams(now, session, info.streams);
        }
        if !self.knows(&node) {
            self.forget_demand(now, &node);
        } else if is_new_node {
            // It has not heard of us yet, or of what we want.
            self.tell_other_nodes();
            self.demand_changed = true;
        }
        self.flush_remote_demand();
    }

    fn knows(&self, node: &NodeId) -> bool {
        self.participants
            .values()
            .any(|p| matches!(&p.place, Place::Remote(of) if of == node))
    }

    /// A node is gone: its participants leave.
    pub fn remote_node_gone(&mut self, now: Instant, node: &NodeId) {
        self.remote_roster(now, node.clone(), NodeRoster::default());
    }

    /// Nobody is left on a node who could want anything.
    fn forget_demand(&mut self, now: Instant, node: &NodeId) {
        for participant in self.participants.values_mut() {
            participant.remote_demand.forget(node);
            participant.apply_remote_demand();
        }
        self.update_all_demand(now);
    }

    /// The local participants, for nodes that come later. Its owner gives it a version.
    pub fn local_roster(&self) -> NodeRoster {
        let local = self.participants.values().filter(|p| p.local().is_some());
        NodeRoster {
            participants: local.map(|p| p.info.clone()).collect(),
            version: 0,
        }
    }

    pub(super) fn tell_other_nodes(&mut self) {
        let roster = self.local_roster();
        self.outputs.push_back(Output::RosterShard(roster.clone()));
        self.publish_control(bus_control::Message::Roster(roster));
    }

    /// Tells what has changed, once it is due.
    pub(super) fn flush_roster(&mut self, now: Instant) {
        if self.roster.due.is_none_or(|due| now < due) {
            return;
        }
        let changes = self.roster.take(now);
        if changes.is_empty() {
            return;
        }
        let participants: Vec<ParticipantInfo> = changes
            .changed
            .keys()
            .filter_map(|session| self.participants.get(session))
            .map(|participant| participant.info.clone())
            .collect();
        let left = changes.left.iter().map(|session| session.get()).collect();
        let roster = Roster {
            full: false,
            participants,
            left,
        };
        let packet = Packet::control(packet::control(Message::Roster(roster)));
        self.send_to_greeted(&packet);
        if changes.is_local() {
            self.tell_other_nodes();
        }
    }

    /// A publisher offers something else. One that changes it all the time is told of with pauses:
    /// each telling goes to everybody.
    pub(super) fn offer_changed(&mut self, now: Instant, session: SessionId) {
        // What is still to be told of somebody takes this along.
        if self.roster.changed.contains_key(&session) {
            return;
        }
        let Some(participant) = self.participants.get_mut(&session) else {
            return;
        };
        let due = participant.offer_due.max(now + self.config.roster_delay);
        participant.offer_due = due + self.config.offer_interval;
        let local = participant.local().is_some();
        self.roster.changed(session, local, due);
        self.schedule(due);
    }
}
