//! The bus of a single process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use videocall_types::{
    ids::NodeId,
    wire::bus::{BusControl, NodeRoster},
};

use super::{Bus, BusError, BusEvent, BusHealth, BusSubscription, MediaSubject};

/// Events that may wait for one node and meeting.
const QUEUE: usize = 4096;

/// Connects the nodes of one process. A node alone, as in a server of one process, pays for a
/// look-up in an empty list.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedHub {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    meetings: Mutex<FxHashMap<String, Vec<Member>>>,
    rosters: Mutex<FxHashMap<String, FxHashMap<NodeId, NodeRoster>>>,
    next: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Member {
    bus: u64,
    events: mpsc::Sender<BusEvent>,
}

impl EmbeddedHub {
    /// One node's end.
    pub fn connect(&self) -> EmbeddedBus {
        EmbeddedBus {
            id: self.shared.next.fetch_add(1, Relaxed),
            shared: self.shared.clone(),
        }
    }

    /// How many subscriptions there are to a meeting.
    pub fn subscriptions(&self, meeting: &str) -> usize {
        let meetings = self.shared.meetings.lock();
        meetings.get(meeting).map_or(0, |members| {
            members
                .iter()
                .filter(|member| !member.events.is_closed())
                .count()
        })
    }
}

/// One node's end of an [`EmbeddedHub`].
#[derive(Clone, Debug)]
pub struct EmbeddedBus {
    id: u64,
    shared: Arc<Shared>,
}

impl Default for EmbeddedBus {
    fn default() -> Self {
        EmbeddedHub::default().connect()
    }
}

impl EmbeddedBus {
    fn publish(&self, meeting: &str, event: &BusEvent) {
        let mut meetings = self.shared.meetings.lock();
        let Some(members) = meetings.get_mut(meeting) else {
            return;
        };
        members.retain(|member| !member.events.is_closed());
        for member in members.iter().filter(|member| member.bus != self.id) {
            if member.events.try_send(event.clone()).is_err() {
                self.shared.dropped.fetch_add(1, Relaxed);
            }
        }
        if members.is_empty() {
            meetings.remove(meeting);
        }
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn subscribe(&self, meeting: &str) -> Result<BusSubscription, BusError> {
        let (events, received) = mpsc::channel(QUEUE);
        if let Some(rosters) = self.shared.rosters.lock().get(meeting) {
            for (node, roster) in rosters {
                // A fresh queue has room for as many nodes as one process holds.
                let _ = events.try_send(BusEvent::RosterShard(node.clone(), roster.clone()));
            }
        }
        let member = Member {
            bus: self.id,
            events,
        };
        self.shared
            .meetings
            .lock()
            .entry(meeting.to_owned())
            .or_default()
            .push(member);
        Ok(Box::pin(futures_util::stream::unfold(
            received,
            |mut received| async move { received.recv().await.map(|event| (event, received)) },
        )))
    }

    fn publish_media(&self, meeting: &str, _subject: MediaSubject, bytes: Bytes) {
        self.publish(meeting, &BusEvent::Media(bytes));
    }

    fn publish_control(&self, meeting: &str, message: BusControl) {
        self.publish(meeting, &BusEvent::Control(message));
    }

    fn put_roster(&self, meeting: &str, node: &NodeId, roster: NodeRoster) {
        let mut rosters = self.shared.rosters.lock();
        let nodes = rosters.entry(meeting.to_owned()).or_default();
        if roster.participants.is_empty() {
            nodes.remove(node);
        } else {
            nodes.insert(node.clone(), roster.clone());
        }
        if nodes.is_empty() {
            rosters.remove(meeting);
        }
        drop(rosters);
        self.publish(meeting, &BusEvent::RosterShard(node.clone(), roster));
    }

    fn health(&self) -> BusHealth {
        BusHealth {
            problems: Vec::new(),
            dropped: self.shared.dropped.load(Relaxed),
        }
    }
}
