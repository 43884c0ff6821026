//! The bus of a single process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc;
use videocall_types::{
    ids::{NodeId, SessionId},
    wire::bus::{BusControl, NodeRoster},
};

use super::{Bus, BusError, BusEvent, BusHealth, BusSubscription, MediaSubject};
use crate::tickets::{TicketError, TicketKeys, unix_ms};

/// Events that may wait for one node and meeting.
const QUEUE: usize = 4096;
/// Sessions of one lifetime of tickets that are remembered to have been continued.
const SPENT: usize = 1 << 18;

/// Connects the nodes of one process. A node alone, as in a server of one process, pays for a
/// look-up in an empty list.
#[derive(Clone, Debug)]
pub struct EmbeddedHub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    meetings: Mutex<FxHashMap<String, Vec<Member>>>,
    rosters: Mutex<FxHashMap<String, FxHashMap<NodeId, NodeRoster>>>,
    next: AtomicU64,
    dropped: AtomicU64,
    keys: TicketKeys,
    spent: Mutex<Spent>,
}

/// Sessions whose ticket was used: of this epoch of the keys, and of the one before.
#[derive(Debug, Default)]
struct Spent {
    epoch: u64,
    sessions: [FxHashSet<SessionId>; 2],
}

impl Spent {
    fn spend(&mut self, epoch: u64, session: SessionId) -> Result<(), TicketError> {
        // What was used two epochs ago has expired.
        for _ in 0..epoch.saturating_sub(self.epoch).min(2) {
            self.sessions.swap(0, 1);
            self.sessions[0].clear();
        }
        self.epoch = epoch.max(self.epoch);
        if self.sessions.iter().any(|spent| spent.contains(&session)) {
            return Err(TicketError::Spent);
        }
        if self.sessions[0].len() >= SPENT {
            return Err(TicketError::Unavailable);
        }
        self.sessions[0].insert(session);
        Ok(())
    }
}

#[derive(Debug)]
struct Member {
    bus: u64,
    subscription: u64,
    events: mpsc::Sender<BusEvent>,
}

/// Takes the subscription out of the hub when it is dropped.
#[derive(Debug)]
struct Subscription {
    shared: Arc<Shared>,
    meeting: String,
    id: u64,
    events: mpsc::Receiver<BusEvent>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut meetings = self.shared.meetings.lock();
        if let Some(members) = meetings.get_mut(&self.meeting) {
            members.retain(|member| member.subscription != self.id);
            if members.is_empty() {
                meetings.remove(&self.meeting);
            }
        }
    }
}

impl Default for EmbeddedHub {
    fn default() -> Self {
        Self::new(Duration::from_secs(3600))
    }
}

impl EmbeddedHub {
    /// With a lifetime of resume tickets.
    pub fn new(ticket_lifetime: Duration) -> Self {
        let shared = Shared {
            meetings: Mutex::default(),
            rosters: Mutex::default(),
            next: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            keys: TicketKeys::new(ticket_lifetime),
            spent: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// One node's end.
    pub fn connect(&self) -> EmbeddedBus {
        EmbeddedBus {
            id: self.shared.next.fetch_add(1, Relaxed),
            shared: self.shared.clone(),
        }
    }

    /// How many subscriptions there are to a meeting.
    pub fn subscriptions(&self, meeting: &str) -> usize {
        self.shared.meetings.lock().get(meeting).map_or(0, Vec::len)
    }

    /// How many meetings anything is kept of.
    pub fn meetings(&self) -> usize {
        let meetings = self.shared.meetings.lock().len();
        meetings.max(self.shared.rosters.lock().len())
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
        let meetings = self.shared.meetings.lock();
        let Some(members) = meetings.get(meeting) else {
            return;
        };
        for member in members.iter().filter(|member| member.bus != self.id) {
            if member.events.try_send(event.clone()).is_err() {
                self.shared.dropped.fetch_add(1, Relaxed);
            }
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
        let id = self.shared.next.fetch_add(1, Relaxed);
        let member = Member {
            bus: self.id,
            subscription: id,
            events,
        };
        self.shared
            .meetings
            .lock()
            .entry(meeting.to_owned())
            .or_default()
            .push(member);
        let subscription = Subscription {
            shared: self.shared.clone(),
            meeting: meeting.to_owned(),
            id,
            events: received,
        };
        Ok(Box::pin(futures_util::stream::unfold(
            subscription,
            |mut subscription| async move {
                let event = subscription.events.recv().await?;
                Some((event, subscription))
            },
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
            nodes.insert(node.clone(), roster);
        }
        if nodes.is_empty() {
            rosters.remove(meeting);
        }
    }

    fn ticket_keys(&self) -> TicketKeys {
        self.shared.keys.make(unix_ms());
        self.shared.keys.clone()
    }

    async fn spend_ticket(&self, session: SessionId) -> Result<(), TicketError> {
        let epoch = self.shared.keys.epoch(unix_ms());
        self.shared.spent.lock().spend(epoch, session)
    }

    fn health(&self) -> BusHealth {
        BusHealth {
            connected: true,
            problems: Vec::new(),
            dropped: self.shared.dropped.load(Relaxed),
            ..BusHealth::default()
        }
    }
}
