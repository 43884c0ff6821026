//! Messages of clients and of other nodes.

use std::time::Instant;

use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, NodeId, SessionId, UserId},
    limits::{MAX_PACKET_BYTES, MAX_SPATIAL_LAYERS, MAX_STREAMS, PROTOCOL_VERSION},
    packet,
    wire::{
        ActiveSpeakers, Compression, Hello, Pong, PublishState, ReceiverReport, Roster, Welcome,
        bus::{BusControl, Sync, bus_control},
        control::Message,
    },
};

use super::{Fatal, Meeting, Output, Participant, Place};
use crate::{
    congestion::Finding, counters::Violation, packet::Packet, reports::Reports, stream::Stream,
    subscription::Subscription,
};

impl Meeting {
    pub(super) fn receive_control(
        &mut self,
        now: Instant,
        session: SessionId,
        message: Message,
    ) -> Result<(), Fatal> {
        match message {
            Message::Hello(hello) => self.hello(now, session, hello),
            Message::Subscribe(subscribe) => match Subscription::new(subscribe) {
                Some(subscription) => {
                    self.subscribe(now, session, subscription);
                    Ok(())
                }
                None => self.violation(session, Violation::Limit, "too many wants"),
            },
            Message::PublishState(publish) => self.publish(now, session, publish),
            Message::KeyframeRequest(request) => {
                let publisher = SessionId::new(request.session_id);
                let kind = MediaKind::try_from(request.kind);
                if let (Some(publisher), Ok(kind)) = (publisher, kind) {
                    self.receiver_needs_keyframe(now, session, publisher, kind);
                }
                Ok(())
            }
            Message::Ping(ping) => {
                let pong =
                    Packet::control(packet::control(Message::Pong(Pong { token: ping.token })));
                self.send_to(session, &pong);
                Ok(())
            }
            Message::Close(_) => Err(Fatal::new(CloseReason::Normal)),
            Message::Pong(pong) => {
                self.pong(now, session, pong.token);
                Ok(())
            }
            Message::ReceiverReport(report) if Reports::is_plausible(&report) => {
                self.receiver_report(now, session, &report);
                Ok(())
            }
            Message::ReceiverReport(_) => {
                self.violation(session, Violation::Limit, "too many streams in a report")
            }
            Message::Welcome(_)
            | Message::LayerDemand(_)
            | Message::ActiveSpeakers(_)
            | Message::Roster(_)
            | Message::ForwardState(_)
            | Message::Compressed(_)
            | Message::Ticket(_)
            | Message::Warning(_) => self.violation(
                session,
                Violation::Control,
                "only a server sends this message",
            ),
        }
    }

    fn pong(&mut self, now: Instant, session: SessionId, token: u64) {
        let local = self.participants.get_mut(&session);
        if let Some(local) = local.and_then(Participant::local_mut)
            && let Some(grown) = local.trips.answered(now, token)
        {
            local.egress.note_finding(now, Finding::Delay(grown));
        }
    }

    fn receiver_report(&mut self, now: Instant, session: SessionId, report: &ReceiverReport) {
        let local = self.participants.get_mut(&session);
        if let Some(local) = local.and_then(Participant::local_mut) {
            let taken = local.egress.taken().audio;
            for finding in local.reports.take(now, taken, report) {
                local.egress.note_finding(now, finding);
            }
        }
    }

    fn hello(&mut self, now: Instant, session: SessionId, hello: Hello) -> Result<(), Fatal> {
        if hello.protocol_version != PROTOCOL_VERSION {
            return Err(Fatal::with_text(
                CloseReason::Unsupported,
                format!(
                    "this server speaks version {PROTOCOL_VERSION} of the protocol, the client {}",
                    hello.protocol_version
                ),
            ));
        }
        let local = self.participants.get(&session).and_then(Participant::local);
        if local.is_some_and(|local| local.greeted) {
            return self.violation(session, Violation::Control, "Hello comes once");
        }
        if hello.ticket.is_empty() {
            return self.greet(now, session, hello, false);
        }
        self.check_ticket(session, hello);
        Ok(())
    }

    /// Takes somebody in who said Hello.
    pub(super) fn greet(
        &mut self,
        now: Instant,
        session: SessionId,
        hello: Hello,
        resumed: bool,
    ) -> Result<(), Fatal> {
        let Some(local) = self
            .participants
            .get_mut(&session)
            .and_then(Participant::local_mut)
        else {
            return Ok(());
        };
        local.greeted = true;
        let zstd = i32::from(Compression::Zstd);
        local.egress.greet(hello.decompresses.contains(&zstd));
        // What was not told to one who would not have understood is told now.
        if let Some(participant) = self.participants.get_mut(&session) {
            participant.streams.iter_mut().for_each(Stream::forget_told);
        }
        // A display name is a wish; what cannot be shown leaves the admitted one.
        if let Ok(name) = UserId::parse(&hello.display_name)
            && let Some(participant) = self.participants.get_mut(&session)
        {
            participant.info.display_name = name.as_str().to_owned();
            let due = now + self.config.roster_delay;
            self.roster.changed(session, true, due);
            self.schedule(due);
        }
        if let Some(publish) = hello.publish {
            self.publish(now, session, publish)?;
        }
        let subscription = hello.subscribe.map(Subscription::new);
        self.welcome(session, resumed);
        match subscription {
            Some(Some(subscription)) => self.subscribe(now, session, subscription),
            Some(None) => return self.violation(session, Violation::Limit, "too many wants"),
            None => self.subscribe(now, session, Subscription::default()),
        }
        for kind in [MediaKind::Video, MediaKind::Screen] {
            self.update_demand(now, session, kind);
        }
        Ok(())
    }

    fn welcome(&mut self, session: SessionId, resumed: bool) {
        let Some(participant) = self.participants.get(&session) else {
            return;
        };
        let Some(local) = participant.local() else {
            return;
        };
        let others = self
            .participants
            .iter()
            .filter(|(other, _)| **other != session)
            .map(|(_, participant)| participant.info.clone())
            .collect();
        let welcome = Welcome {
            protocol_version: PROTOCOL_VERSION,
            session_id: session.get(),
            user_id: participant.info.user_id.clone(),
            display_name: participant.info.display_name.clone(),
            node_id: self.node.as_str().to_owned(),
            heartbeat_interval_ms: self.config.heartbeat_interval.as_millis() as u32,
            session_timeout_ms: self.config.session_timeout.as_millis() as u32,
            max_packet_bytes: MAX_PACKET_BYTES as u32,
            roster: Some(Roster {
                full: true,
                participants: others,
                left: Vec::new(),
            }),
            resumed,
        };
        local
            .egress
            .push_control(&Packet::control(packet::control(Message::Welcome(welcome))));
        if !self.speakers.told().is_empty() {
            let session_ids = self.speakers.told().iter().map(|id| id.get()).collect();
            let speakers = Message::ActiveSpeakers(ActiveSpeakers { session_ids });
            local
                .egress
                .push_control(&Packet::control(packet::control(speakers)));
        }
        let user_id = participant.info.user_id.clone();
        self.outputs
            .push_back(Output::IssueTicket { session, user_id });
    }

    fn publish(
        &mut self,
        now: Instant,
        session: SessionId,
        publish: PublishState,
    ) -> Result<(), Fatal> {
        let streams = &publish.streams;
        let ok = streams.len() <= MAX_STREAMS
            && streams.iter().all(|stream| {
                stream.codec.len() <= 64
                    && stream.kind() != MediaKind::Unspecified
                    && stream.layers.len() <= usize::from(MAX_SPATIAL_LAYERS)
                    && stream
                        .layers
                        .iter()
                        .all(|layer| layer.spatial < MAX_SPATIAL_LAYERS.into())
            });
        if !ok {
            return self.violation(session, Violation::Limit, "too many streams or layers");
        }
        self.set_streams(now, session, publish.streams);
        self.offer_changed(now, session);
        Ok(())
    }

    /// Takes a message of another node.
    pub fn receive_bus_control(&mut self, now: Instant, message: BusControl) {
        let Some(node) = NodeId::parse(&message.node_id) else {
            self.counters.violated(Violation::Malformed);
            return;
        };
        if node == self.node {
            return;
        }
        match message.message {
            Some(bus_control::Message::Roster(roster)) => self.remote_roster(now, node, roster),
            Some(bus_control::Message::Demand(demand)) => self.remote_demand(now, &node, demand),
            Some(bus_control::Message::KeyframeRequest(request)) => {
                if let (Some(session), Ok(kind)) = (
                    SessionId::new(request.session_id),
                    MediaKind::try_from(request.kind),
                ) {
                    let local = self
                        .participants
                        .get(&session)
                        .is_some_and(|p| p.local().is_some());
                    if local && request.spatial < MAX_SPATIAL_LAYERS.into() {
                        self.request_keyframe(now, session, kind, request.spatial as u8);
                    }
                }
            }
            Some(bus_control::Message::Sync(_)) => {
                self.tell_other_nodes();
                self.demand_changed = true;
                self.flush_remote_demand();
            }
            Some(bus_control::Message::ReplaceSession(request)) => {
                self.replaced_elsewhere(now, request);
            }
            None => {}
        }
    }

    /// Tells the other nodes again what they were told, in case it was lost.
    pub fn refresh(&mut self) {
        self.tell_other_nodes();
        self.demand_changed = self.other_nodes_take_part();
        self.flush_remote_demand();
    }

    /// Asks the other nodes for what they have of this meeting, and tells them what is here: after
    /// the bus was subscribed to, or came back.
    pub fn synchronize(&mut self) {
        self.publish_control(bus_control::Message::Sync(Sync {}));
        self.tell_other_nodes();
        self.demand_changed = true;
        self.flush_remote_demand();
    }

    pub(super) fn publish_control(&mut self, message: bus_control::Message) {
        let node_id = self.node.as_str().to_owned();
        self.outputs.push_back(Output::BusControl(BusControl {
            node_id,
            message: Some(message),
        }));
    }

    pub(super) fn send_to(&self, session: SessionId, packet: &Packet) {
        if let Some(Place::Local(local)) = self.participants.get(&session).map(|p| &p.place) {
            local.egress.push_control(packet);
        }
    }
}
