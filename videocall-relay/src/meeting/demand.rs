//! Subscriptions, layer demand and keyframe requests.

use std::time::Instant;

use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    limits::MAX_SPATIAL_LAYERS,
    packet,
    wire::{
        KeyframeRequest, LayerDemand, StreamDemand,
        bus::{NodeDemand, PublisherDemand, bus_control},
        control::Message,
    },
};

use super::{Meeting, Participant, Place};
use crate::{packet::Packet, subscription::Subscription};

impl Meeting {
    pub(super) fn subscribe(&mut self, now: Instant, session: SessionId, wanted: Subscription) {
        if let Some(local) = self
            .participants
            .get_mut(&session)
            .and_then(Participant::local_mut)
        {
            local.subscription = wanted;
            self.refresh_receiver(now, session);
        }
    }

    /// Brings what a receiver is forwarded in line with what it wants.
    pub(super) fn refresh_receiver(&mut self, now: Instant, receiver: SessionId) {
        let publishers: Vec<SessionId> = self.participants.keys().copied().collect();
        for publisher in publishers {
            if publisher != receiver {
                self.refresh_pair(receiver, publisher);
                for kind in [MediaKind::Video, MediaKind::Screen] {
                    self.update_demand(now, publisher, kind);
                }
            }
        }
        self.ask_for_awaited(now, receiver);
    }

    /// Brings what everybody is forwarded of one publisher in line.
    pub(super) fn subscribe_all_to(&mut self, publisher: SessionId) {
        let receivers: Vec<SessionId> =
            self.receivers.iter().map(|(session, _)| *session).collect();
        for receiver in receivers {
            if receiver != publisher {
                self.refresh_pair(receiver, publisher);
            }
        }
    }

    fn refresh_pair(&mut self, receiver: SessionId, publisher: SessionId) {
        let [Some(to), Some(from)] = self.participants.get_disjoint_mut([&receiver, &publisher])
        else {
            return;
        };
        let Place::Local(local) = &to.place else {
            return;
        };
        for stream in &mut from.streams {
            if !matches!(stream.kind, MediaKind::Video | MediaKind::Screen) {
                continue;
            }
            let wanted = local
                .subscription
                .wanted(publisher, stream.kind, &stream.info.layers);
            match wanted {
                Some(wanted) if stream.subscribers.set_wanted(receiver, wanted) => {}
                Some(wanted) => {
                    let egress = local.egress.clone();
                    let forward = egress.add_forward(publisher, stream.kind, wanted);
                    stream.subscribers.insert(receiver, egress, forward);
                }
                None => stream.subscribers.remove(receiver),
            }
        }
    }

    /// Pictures were paused for a receiver, or go on.
    pub(super) fn refresh_demand_of(&mut self, now: Instant, receiver: SessionId) {
        let mut changed = Vec::new();
        for (publisher, participant) in &mut self.participants {
            for stream in &mut participant.streams {
                if stream.subscribers.refresh(receiver) {
                    changed.push((*publisher, stream.kind));
                }
            }
        }
        for (publisher, kind) in changed {
            self.update_demand(now, publisher, kind);
        }
        self.ask_for_awaited(now, receiver);
    }

    /// A receiver is gone.
    pub(super) fn unsubscribe(&mut self, now: Instant, receiver: SessionId) {
        for participant in self.participants.values_mut() {
            for stream in &mut participant.streams {
                stream.subscribers.remove(receiver);
            }
        }
        self.update_all_demand(now);
    }

    pub(super) fn update_all_demand(&mut self, now: Instant) {
        let publishers: Vec<SessionId> = self.participants.keys().copied().collect();
        for publisher in publishers {
            for kind in [MediaKind::Video, MediaKind::Screen] {
                self.update_demand(now, publisher, kind);
            }
        }
    }

    /// Tells a publisher, or its node, which layers anybody here wants, if that changed.
    pub(super) fn update_demand(&mut self, now: Instant, publisher: SessionId, kind: MediaKind) {
        let Some(participant) = self.participants.get_mut(&publisher) else {
            return;
        };
        let is_local = participant.local().is_some();
        let Some(stream) = participant.stream_mut(kind) else {
            return;
        };
        let mut wanted = stream.subscribers.demand();
        if is_local {
            wanted |= stream.remote_demand;
        }
        let before = stream.told();
        let told = stream.demand_to_tell(&self.config, now, wanted);
        let stream_id = stream.info.stream_id;
        if let Some(at) = stream.removal_at() {
            self.schedule(at);
        }
        let Some(told) = told else { return };
        if !is_local {
            self.demand_changed = true;
            self.schedule(now);
            return;
        }
        let demand = LayerDemand {
            streams: vec![StreamDemand {
                kind: kind.into(),
                stream_id,
                spatial_mask: told.into(),
            }],
        };
        let greeted = self.participants[&publisher]
            .local()
            .is_some_and(|local| local.greeted);
        if greeted {
            self.send_to(
                publisher,
                &Packet::control(packet::control(Message::LayerDemand(demand))),
            );
        }
        // An encoder that starts begins with a keyframe; one that runs must be asked.
        self.request_keyframes(now, publisher, kind, told & !before);
    }

    /// Tells other nodes what is wanted of their publishers. `demand_changed` gathers changes until
    /// the end of a call.
    pub(super) fn flush_remote_demand(&mut self) {
        if !std::mem::take(&mut self.demand_changed) {
            return;
        }
        let mut publishers = Vec::new();
        for (session, participant) in &self.participants {
            if participant.local().is_some() {
                continue;
            }
            let streams: Vec<StreamDemand> = participant
                .streams
                .iter()
                .filter(|stream| stream.told() != 0)
                .map(|stream| StreamDemand {
                    kind: stream.kind.into(),
                    stream_id: stream.info.stream_id,
                    spatial_mask: stream.told().into(),
                })
                .collect();
            if !streams.is_empty() {
                publishers.push(PublisherDemand {
                    session_id: session.get(),
                    streams,
                });
            }
        }
        self.publish_control(bus_control::Message::Demand(NodeDemand { publishers }));
    }

    /// What another node's participants want of ours.
    pub(super) fn remote_demand(&mut self, now: Instant, node: &NodeId, demand: NodeDemand) {
        let mut keyframes = Vec::new();
        for (session, participant) in &mut self.participants {
            let Place::Local(_) = participant.place else {
                continue;
            };
            let told = demand
                .publishers
                .iter()
                .find(|p| p.session_id == session.get());
            for kind in [MediaKind::Video, MediaKind::Screen] {
                let mask = told
                    .and_then(|told| told.streams.iter().find(|s| s.kind() == kind))
                    .map_or(0, |stream| stream.spatial_mask as u8);
                let before = participant.remote_demand.set(node, kind, mask);
                if mask & !before != 0 {
                    keyframes.push((*session, kind, mask & !before));
                }
            }
            participant.apply_remote_demand();
        }
        self.update_all_demand(now);
        for (session, kind, layers) in keyframes {
            self.request_keyframes(now, session, kind, layers);
        }
    }

    /// Asks for a keyframe of each layer whose bit is set.
    pub(super) fn request_keyframes(
        &mut self,
        now: Instant,
        publisher: SessionId,
        kind: MediaKind,
        layers: u8,
    ) {
        for layer in (0..MAX_SPATIAL_LAYERS).filter(|layer| layers >> layer & 1 == 1) {
            self.request_keyframe(now, publisher, kind, layer);
        }
    }

    /// Asks a publisher for a keyframe, not more often than its encoder should make them.
    pub(super) fn request_keyframe(
        &mut self,
        now: Instant,
        publisher: SessionId,
        kind: MediaKind,
        spatial: u8,
    ) {
        let Some(participant) = self.participants.get_mut(&publisher) else {
            return;
        };
        let Some(stream) = participant.stream_mut(kind) else {
            return;
        };
        if !stream.may_ask_for_keyframe(&self.config, now, spatial) {
            return;
        }
        let mut request = KeyframeRequest {
            session_id: 0,
            kind: kind.into(),
            stream_id: stream.info.stream_id,
            spatial: spatial.into(),
        };
        self.counters.keyframe_requested();
        match &participant.place {
            Place::Local(local) => {
                let packet = packet::control(Message::KeyframeRequest(request));
                local.egress.push_control(&Packet::control(packet));
            }
            Place::Remote(_) => {
                request.session_id = publisher.get();
                self.publish_control(bus_control::Message::KeyframeRequest(request));
            }
        }
    }

    /// A receiver says that it cannot decode what it has.
    pub(super) fn receiver_needs_keyframe(
        &mut self,
        now: Instant,
        receiver: SessionId,
        publisher: SessionId,
        kind: MediaKind,
    ) {
        let Some(stream) = self
            .participants
            .get_mut(&publisher)
            .and_then(|p| p.stream_mut(kind))
        else {
            return;
        };
        // Of the layer that it gets, whatever it believes.
        let layer = stream
            .subscribers
            .get(receiver)
            .and_then(|(egress, slot)| egress.keyframe_layer(slot));
        if let Some(layer) = layer {
            self.request_keyframe(now, publisher, kind, layer);
        }
    }

    /// Asks for keyframes of the layers that a receiver is waiting for.
    fn ask_for_awaited(&mut self, now: Instant, receiver: SessionId) {
        let mut awaited = Vec::new();
        for (publisher, participant) in &self.participants {
            for stream in &participant.streams {
                let layer = stream
                    .subscribers
                    .get(receiver)
                    .and_then(|(egress, slot)| egress.awaited_layer(slot));
                if let Some(layer) = layer {
                    awaited.push((*publisher, stream.kind, layer));
                }
            }
        }
        for (publisher, kind, layer) in awaited {
            self.request_keyframe(now, publisher, kind, layer);
        }
    }
}
