//! The receivers of one stream.

use std::{sync::Arc, time::Instant};

use rustc_hash::FxHashMap;
use videocall_types::{ids::SessionId, limits::MAX_SPATIAL_LAYERS};

use crate::{egress::Egress, forward::Wanted, packet::Packet, queue::Slot};

const LAYERS: usize = MAX_SPATIAL_LAYERS as usize;

#[derive(Debug)]
struct Subscriber {
    egress: Arc<Egress>,
    slot: Slot,
    session: SessionId,
    /// Layers it needs, one bit each, as last heard of its queue.
    demand: u8,
}

/// Dense, since every frame walks it; found by receiver through a map beside it.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    list: Vec<Subscriber>,
    places: FxHashMap<SessionId, u32>,
    /// How many receivers need each layer.
    needed: [u32; LAYERS],
}

/// What became of a frame among the receivers.
#[derive(Debug, Default)]
pub(crate) struct FanOut {
    pub(crate) accepted: u64,
    /// Layers of which a keyframe is needed, one bit each.
    pub(crate) keyframes: u8,
    pub(crate) demand_changed: bool,
}

impl Subscribers {
    /// Gives a frame to everybody who wants and can decode it.
    pub(crate) fn push_frame(&mut self, now: Instant, packet: &Packet) -> FanOut {
        let mut result = FanOut::default();
        for subscriber in &mut self.list {
            let outcome = subscriber.egress.push_frame(now, subscriber.slot, packet);
            result.accepted += u64::from(outcome.accepted);
            result.keyframes |= outcome.keyframe_of.map_or(0, |layer| 1 << layer);
            if outcome.demand != subscriber.demand {
                count(&mut self.needed, subscriber.demand, outcome.demand);
                subscriber.demand = outcome.demand;
                result.demand_changed = true;
            }
        }
        result
    }

    /// One bit for each layer that anybody needs.
    pub(crate) fn demand(&self) -> u8 {
        let bit = |layer: usize| u8::from(self.needed[layer] > 0) << layer;
        (0..LAYERS).fold(0, |mask, layer| mask | bit(layer))
    }

    /// Queue of a receiver and the place of this stream in it.
    pub(crate) fn get(&self, receiver: SessionId) -> Option<(&Egress, Slot)> {
        let subscriber = &self.list[*self.places.get(&receiver)? as usize];
        Some((&subscriber.egress, subscriber.slot))
    }

    /// Whether that receiver was there to change.
    pub(crate) fn set_wanted(&mut self, receiver: SessionId, wanted: Wanted) -> bool {
        let Some(&at) = self.places.get(&receiver) else {
            return false;
        };
        let subscriber = &mut self.list[at as usize];
        let demand = subscriber.egress.set_wanted(subscriber.slot, wanted);
        count(&mut self.needed, subscriber.demand, demand);
        subscriber.demand = demand;
        true
    }

    /// Asks a receiver's queue again what it needs. Returns whether that changed.
    pub(crate) fn refresh(&mut self, receiver: SessionId) -> bool {
        let Some(&at) = self.places.get(&receiver) else {
            return false;
        };
        let subscriber = &mut self.list[at as usize];
        let demand = subscriber.egress.demand(subscriber.slot);
        count(&mut self.needed, subscriber.demand, demand);
        std::mem::replace(&mut subscriber.demand, demand) != demand
    }

    pub(crate) fn insert(
        &mut self,
        receiver: SessionId,
        egress: Arc<Egress>,
        (slot, demand): (Slot, u8),
    ) {
        count(&mut self.needed, 0, demand);
        self.places.insert(receiver, self.list.len() as u32);
        self.list.push(Subscriber {
            egress,
            slot,
            session: receiver,
            demand,
        });
    }

    /// Ends the stream for one receiver.
    pub(crate) fn remove(&mut self, receiver: SessionId) {
        let Some(at) = self.places.remove(&receiver) else {
            return;
        };
        let gone = self.list.swap_remove(at as usize);
        if let Some(moved) = self.list.get(at as usize) {
            self.places.insert(moved.session, at);
        }
        count(&mut self.needed, gone.demand, 0);
        gone.egress.remove_forward(gone.slot);
    }

    /// Ends the stream for everybody.
    pub(crate) fn clear(&mut self) {
        for subscriber in std::mem::take(self).list {
            subscriber.egress.remove_forward(subscriber.slot);
        }
    }
}

fn count(needed: &mut [u32; LAYERS], before: u8, after: u8) {
    for (layer, count) in needed.iter_mut().enumerate() {
        *count += u32::from(after >> layer & 1);
        *count -= u32::from(before >> layer & 1);
    }
}
