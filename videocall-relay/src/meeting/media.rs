//! The way of a media packet: parse, check identity, put in order, choose receivers, push.

use std::time::Instant;

use bytes::Bytes;
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    limits::MAX_STREAMS,
    packet,
    view::{PacketView, Routing, append_session_id},
    wire::{StreamInfo, packet_wrapper::PacketType},
};

use super::{Fatal, Meeting, Output, Participant, Place};
use crate::{
    counters::{DropReason, Violation},
    egress::Egress,
    packet::Packet,
    stream::Stream,
};

impl Meeting {
    /// Takes a packet of a local participant.
    ///
    /// # Errors
    /// The session must end; a packet that is merely wrong is dropped and counted.
    pub fn receive(&mut self, now: Instant, session: SessionId, bytes: Bytes) -> Result<(), Fatal> {
        let Some(participant) = self.participants.get_mut(&session) else {
            return Err(Fatal::new(CloseReason::Replaced));
        };
        let Place::Local(local) = &mut participant.place else {
            return Err(Fatal::new(CloseReason::InternalError));
        };
        local.heard = now;
        local.unanswered = 0;
        if local.hold(&self.counters, &bytes) {
            return Ok(());
        }
        let view = match PacketView::parse(&bytes) {
            Ok(view) => view,
            Err(error) => return self.violation(session, error.into(), &error.to_string()),
        };
        let claims_another = (view.session_id != 0 && view.session_id != session.get())
            || !(view.user_id.is_empty() || view.user_id == &participant.info.user_id[..]);
        if claims_another {
            return self.violation(
                session,
                Violation::Identity,
                "a packet claims another identity",
            );
        }
        match PacketType::try_from(view.packet_type) {
            Ok(PacketType::Media) => match view.routing {
                Some(frame) if view.session_id != 0 => {
                    self.counters.received(Some(frame.kind), bytes.len());
                    self.receive_frame(now, session, frame, bytes)
                }
                Some(frame) => {
                    self.counters.received(Some(frame.kind), bytes.len());
                    let bytes = append_session_id(&bytes, session);
                    self.receive_frame(now, session, frame, bytes)
                }
                None => {
                    self.receive_opaque(now, session, &view, &bytes);
                    Ok(())
                }
            },
            Ok(PacketType::Control) => {
                self.counters.received(None, bytes.len());
                match packet::read_control(&bytes, &view) {
                    Ok(Some(message)) => self.receive_control(now, session, message),
                    Ok(None) => Ok(()),
                    Err(error) => self.violation(session, Violation::Control, &error.to_string()),
                }
            }
            // Key exchange of older clients: must arrive, and is small.
            Ok(PacketType::RsaPubKey | PacketType::AesKey) if bytes.len() <= 16 * 1024 => {
                self.counters.received(None, bytes.len());
                let packet = Packet::control(with_session(&view, &bytes, session));
                self.send_to_others(session, |egress| egress.push_reliable(&packet));
                self.publish_media(session, MediaKind::Unspecified, 0, &packet);
                Ok(())
            }
            // Diagnostics are nobody else's business; the rest only servers send.
            Ok(PacketType::Diagnostics | PacketType::Health | PacketType::Connection) => {
                self.counters.received(None, bytes.len());
                Ok(())
            }
            _ => self.violation(
                session,
                Violation::Type,
                "clients do not send this packet type",
            ),
        }
    }

    /// Takes a media packet of another node.
    pub fn receive_bus_media(&mut self, now: Instant, bytes: Bytes) {
        let Ok(view) = PacketView::parse(&bytes) else {
            self.counters.violated(Violation::Malformed);
            return;
        };
        let kind = match PacketType::try_from(view.packet_type) {
            Ok(PacketType::Media) => {
                let kind = view.routing.map(|frame| frame.kind);
                Some(kind.unwrap_or(MediaKind::Unspecified))
            }
            _ => None,
        };
        self.counters.received(kind, bytes.len());
        let Some(session) = SessionId::new(view.session_id) else {
            return;
        };
        // Only other nodes' participants speak over the bus.
        let Some(Participant {
            place: Place::Remote(_),
            ..
        }) = self.participants.get(&session)
        else {
            return;
        };
        match (PacketType::try_from(view.packet_type), view.routing) {
            (Ok(PacketType::Media), Some(frame)) => {
                // Cannot fail for a participant that is not local.
                let _ = self.receive_frame(now, session, frame, bytes);
            }
            (Ok(PacketType::Media), None) => {
                let packet = Packet::media(bytes, None);
                self.send_to_others(session, |egress| egress.push_opaque(now, &packet));
            }
            (Ok(PacketType::RsaPubKey | PacketType::AesKey), _) => {
                let packet = Packet::control(bytes);
                self.send_to_others(session, |egress| egress.push_reliable(&packet));
            }
            _ => self.counters.violated(Violation::Type),
        }
    }

    fn receive_frame(
        &mut self,
        now: Instant,
        session: SessionId,
        frame: Routing,
        bytes: Bytes,
    ) -> Result<(), Fatal> {
        let packet = Packet::media(bytes, Some(frame));
        if frame.is_audio() {
            // The sound of a screen is no voice: it neither speaks nor is outspoken.
            if frame.kind == MediaKind::ScreenAudio
                || self.speakers.observe(now, session, frame.audio_level)
            {
                let sent = self.send_to_others(session, |egress| egress.push_audio(now, &packet));
                self.counters
                    .sent(Some(frame.kind), sent, sent * packet.bytes().len() as u64);
                self.publish_media(session, frame.kind, 0, &packet);
            } else {
                self.counters.dropped(DropReason::NotLoudest, 1);
            }
            if let Some(at) = self.speakers.next_choice() {
                self.schedule(at);
            }
            return Ok(());
        }
        if !self.ensure_stream(session, &frame) {
            return self.violation(session, Violation::Limit, "too many streams");
        }
        let mut ready = std::mem::take(&mut self.ready);
        let (mut keyframe_of, mut expiry) = (None, None);
        if let Some(stream) = self
            .participants
            .get_mut(&session)
            .and_then(|p| p.stream_mut(frame.kind))
        {
            keyframe_of = stream.admit(&self.config, &self.counters, now, packet, &mut ready);
            expiry = stream.next_expiry(&self.config);
        }
        if let Some(at) = expiry {
            self.schedule(at);
        }
        if let Some(spatial) = keyframe_of {
            self.request_keyframe(now, session, frame.kind, spatial);
        }
        for packet in ready.drain(..) {
            self.fan_out(now, session, frame.kind, &packet);
        }
        self.ready = ready;
        Ok(())
    }

    /// Gives one frame to everybody who wants and can decode it.
    fn fan_out(&mut self, now: Instant, session: SessionId, kind: MediaKind, packet: &Packet) {
        let Some(stream) = self
            .participants
            .get_mut(&session)
            .and_then(|p| p.stream_mut(kind))
        else {
            return;
        };
        let result = stream.subscribers.push_frame(now, packet);
        let bytes = result.accepted * packet.bytes().len() as u64;
        self.counters.sent(Some(kind), result.accepted, bytes);
        let layer = packet.routing().map_or(0, |frame| frame.spatial);
        if !stream.announced {
            // Nobody elsewhere knows what there is to want: it goes to all.
            self.publish_media(session, MediaKind::Unspecified, layer, packet);
        } else if stream.remote_demand & 1 << layer != 0 {
            self.publish_media(session, kind, layer, packet);
        }
        self.request_keyframes(now, session, kind, result.keyframes);
        if result.demand_changed {
            self.update_demand(now, session, kind);
        }
    }

    /// A packet of an older client: an echo, or one layer for all.
    fn receive_opaque(
        &mut self,
        now: Instant,
        session: SessionId,
        view: &PacketView<'_>,
        bytes: &Bytes,
    ) {
        self.counters
            .received(Some(MediaKind::Unspecified), bytes.len());
        if packet::is_rtt_probe(bytes, view) {
            if let Some(local) = self.participants[&session].local() {
                local.egress.push_control(&Packet::control(bytes.clone()));
            }
            return;
        }
        let packet = Packet::media(with_session(view, bytes, session), None);
        self.send_to_others(session, |egress| egress.push_opaque(now, &packet));
        self.publish_media(session, MediaKind::Unspecified, 0, &packet);
    }

    /// Returns how many there were.
    fn send_to_others(&self, session: SessionId, push: impl Fn(&Egress)) -> u64 {
        let mut sent = 0;
        for (receiver, egress) in &self.receivers {
            if *receiver != session {
                push(egress);
                sent += 1;
            }
        }
        sent
    }

    /// Passes a packet of a local participant on.
    fn publish_media(&mut self, session: SessionId, kind: MediaKind, layer: u8, packet: &Packet) {
        let is_local = self
            .participants
            .get(&session)
            .is_some_and(|p| p.local().is_some());
        if is_local && self.other_nodes_take_part() {
            let bytes = packet.bytes().clone();
            self.outputs.push_back(Output::BusMedia {
                session,
                kind,
                layer,
                bytes,
            });
        }
    }

    /// Makes sure that the stream of a frame is known, also if it was never announced.
    fn ensure_stream(&mut self, session: SessionId, frame: &Routing) -> bool {
        let Some(participant) = self.participants.get_mut(&session) else {
            return true;
        };
        if participant.stream_mut(frame.kind).is_some() {
            return true;
        }
        if participant.streams.len() >= MAX_STREAMS {
            return false;
        }
        let info = StreamInfo {
            kind: frame.kind.into(),
            stream_id: frame.stream_id,
            ..StreamInfo::default()
        };
        participant.streams.push(Stream::new(frame.kind, info));
        participant.apply_remote_demand();
        self.subscribe_all_to(session);
        true
    }

    /// Counts what a peer did; too much of it ends the session.
    pub(super) fn violation(
        &mut self,
        session: SessionId,
        violation: Violation,
        text: &str,
    ) -> Result<(), Fatal> {
        self.counters.violated(violation);
        let Some(local) = self
            .participants
            .get_mut(&session)
            .and_then(Participant::local_mut)
        else {
            return Ok(());
        };
        local.violations += 1;
        if local.violations > self.config.max_violations {
            return Err(Fatal::with_text(CloseReason::ProtocolError, text));
        }
        Ok(())
    }
}

fn with_session(view: &PacketView<'_>, bytes: &Bytes, session: SessionId) -> Bytes {
    if view.session_id == 0 {
        append_session_id(bytes, session)
    } else {
        bytes.clone()
    }
}
