//! One meeting on this node: the relay's state behind its lock, and the task beside it.

use std::{
    sync::{Arc, OnceLock, Weak, atomic::Ordering::Relaxed},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{sync::Notify, task::AbortHandle, time};
use tracing::{debug, warn};
use videocall_relay::{Egress, Fatal, Joined, Meeting, Output};
use videocall_types::{
    ids::{MeetingId, NodeId, SessionId},
    wire::bus::{BusControl, bus_control},
};

use crate::{
    bus::{BusEvent, BusSubscription, MediaSubject},
    node::Environment,
    peers::Peers,
};

/// The time as the relay takes it; stands still where a test pauses tokio's clock.
pub(crate) fn now() -> Instant {
    time::Instant::now().into_std()
}

#[derive(Debug)]
struct Inner {
    meeting: Meeting,
    /// Everybody here, and why the session is over where it is.
    ends: FxHashMap<SessionId, Option<Fatal>>,
    /// When the task wakes by itself.
    armed: Option<Instant>,
    /// Nobody is left, and the same meeting may have begun anew: say no more on its behalf.
    stopped: bool,
}

impl Inner {
    fn end_of(&self, session: SessionId) -> Option<Fatal> {
        self.ends.get(&session)?.clone()
    }
}

/// Shared by the sessions of a meeting and its task.
pub(crate) struct MeetingShell {
    pub(crate) id: MeetingId,
    environment: Arc<Environment>,
    inner: Mutex<Inner>,
    rearm: Notify,
    task: OnceLock<AbortHandle>,
}

impl MeetingShell {
    pub(crate) fn start(id: MeetingId, environment: Arc<Environment>) -> Arc<Self> {
        let inner = Inner {
            meeting: Meeting::new(
                environment.node.clone(),
                environment.relay.clone(),
                environment.counters.clone(),
            ),
            ends: FxHashMap::default(),
            armed: None,
            stopped: false,
        };
        let shell = Arc::new(Self {
            id,
            environment,
            inner: Mutex::new(inner),
            rearm: Notify::new(),
            task: OnceLock::new(),
        });
        let task = tokio::spawn(run(Arc::downgrade(&shell)));
        let _ = shell.task.set(task.abort_handle());
        shell
    }

    /// `None` if the meeting is full.
    pub(crate) fn join(&self, joined: Joined) -> Option<Arc<Egress>> {
        let mut inner = self.inner.lock();
        if inner.ends.len() >= self.environment.relay.max_sessions {
            return None;
        }
        let session = joined.session;
        let egress = inner.meeting.join(now(), joined);
        inner.ends.insert(session, None);
        self.settle(&mut inner);
        Some(egress)
    }

    pub(crate) fn receive(&self, session: SessionId, bytes: Bytes) -> Result<(), Fatal> {
        let mut inner = self.inner.lock();
        let result = inner.meeting.receive(now(), session, bytes);
        if let Err(fatal) = &result {
            inner.meeting.close(session, fatal.clone());
        }
        self.settle(&mut inner);
        // Of a session that was over before, the first reason counts.
        result.map_err(|fatal| inner.end_of(session).unwrap_or(fatal))
    }

    pub(crate) fn leave(&self, session: SessionId) {
        let mut inner = self.inner.lock();
        inner.meeting.leave(now(), session);
        inner.ends.remove(&session);
        self.settle(&mut inner);
    }

    pub(crate) fn end(&self, session: SessionId, fatal: Fatal) {
        let mut inner = self.inner.lock();
        inner.meeting.close(session, fatal);
        self.settle(&mut inner);
    }

    pub(crate) fn close_all(&self, fatal: &Fatal) {
        let mut inner = self.inner.lock();
        let sessions: Vec<SessionId> = inner.ends.keys().copied().collect();
        for session in sessions {
            inner.meeting.close(session, fatal.clone());
        }
        self.settle(&mut inner);
    }

    /// Why a session is over. Its queue may end before that is noted, but under the same lock.
    pub(crate) fn end_of(&self, session: SessionId) -> Option<Fatal> {
        self.inner.lock().end_of(session)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.inner.lock().ends.len()
    }

    pub(crate) fn stop(&self) {
        self.inner.lock().stopped = true;
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// Does what the relay asks for, and wakes the task if it must wake earlier than it would.
    fn settle(&self, inner: &mut Inner) {
        let bus = &self.environment.bus;
        while let Some(output) = inner.meeting.poll_output() {
            match output {
                _ if inner.stopped => {}
                Output::BusMedia {
                    session,
                    kind,
                    layer,
                    bytes,
                } => {
                    let subject = MediaSubject {
                        session,
                        kind,
                        layer,
                    };
                    bus.publish_media(self.id.token(), subject, bytes);
                }
                Output::BusControl(mut message) => {
                    if let Some(bus_control::Message::Roster(roster)) = &mut message.message {
                        roster.version = self.next_version();
                    }
                    bus.publish_control(self.id.token(), message);
                }
                Output::RosterShard(mut roster) => {
                    roster.version = self.next_version();
                    bus.put_roster(self.id.token(), &self.environment.node, roster);
                }
                Output::Close { session, fatal } => {
                    if let Some(end) = inner.ends.get_mut(&session) {
                        end.get_or_insert(fatal);
                    }
                    inner.meeting.leave(now(), session);
                }
            }
        }
        let deadline = inner.meeting.deadline();
        if deadline.is_some_and(|at| inner.armed.is_none_or(|armed| at < armed)) {
            inner.armed = deadline;
            self.rearm.notify_one();
        }
    }

    /// Under the lock of the meeting, so that its rosters count in the order of what they tell.
    fn next_version(&self) -> u64 {
        self.environment.roster_version.fetch_add(1, Relaxed) + 1
    }

    fn handle_timeout(&self) -> Option<Instant> {
        let mut inner = self.inner.lock();
        if inner.meeting.deadline().is_some_and(|at| at <= now()) {
            inner.meeting.handle_timeout(now());
            self.settle(&mut inner);
        }
        inner.armed = inner.meeting.deadline();
        inner.armed
    }

    fn with_meeting(&self, act: impl FnOnce(&mut Meeting)) {
        let mut inner = self.inner.lock();
        act(&mut inner.meeting);
        self.settle(&mut inner);
    }
}

/// Drives timers and takes what other nodes send, until the meeting is stopped.
async fn run(weak: Weak<MeetingShell>) {
    let Some(config) = weak.upgrade().map(|shell| shell.environment.config.clone()) else {
        return;
    };
    let mut events: Option<BusSubscription> = None;
    let mut peers = Peers::new(config.node_timeout);
    let start = time::Instant::now() + config.roster_refresh;
    let mut refresh = time::interval_at(start, config.roster_refresh);
    refresh.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        let Some(shell) = weak.upgrade() else { return };
        if events.is_none() {
            match shell.environment.bus.subscribe(shell.id.token()).await {
                Ok(subscription) => {
                    events = Some(subscription);
                    shell.with_meeting(Meeting::synchronize);
                }
                Err(error) => warn!(%error, "cannot hear other nodes; trying again"),
            }
        }
        shell.drop_silent_nodes(&mut peers);
        let due = [shell.handle_timeout(), peers.deadline()];
        let due = due.into_iter().flatten().min();
        let sleep = time::sleep_until(due.unwrap_or_else(|| now() + config.roster_refresh).into());
        let next = async {
            match &mut events {
                Some(events) => events.next().await,
                None => stream::pending().next().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = shell.rearm.notified() => {}
            event = next => match event {
                Some(event) => shell.take(event, &mut peers),
                None => events = None,
            },
            _ = refresh.tick() => shell.with_meeting(Meeting::refresh),
        }
    }
}

impl MeetingShell {
    fn take(&self, event: BusEvent, peers: &mut Peers) {
        let config = &self.environment.config;
        match event {
            BusEvent::Media(bytes) => {
                self.with_meeting(|meeting| meeting.receive_bus_media(now(), bytes));
            }
            BusEvent::Control(message) => {
                let Some(node) = self.other_node(&message.node_id) else {
                    return;
                };
                if let Some(bus_control::Message::Roster(roster)) = &message.message {
                    let present = !roster.participants.is_empty();
                    let grace = config.node_timeout;
                    if !peers.roster(now(), grace, &node, roster.version, present) {
                        return;
                    }
                }
                peers.heard(now(), &node);
                self.with_meeting(|meeting| meeting.receive_bus_control(now(), message));
            }
            BusEvent::RosterShard(node, roster) => {
                let Some(node) = self.other_node(node.as_str()) else {
                    return;
                };
                // It may be of a node that died since. One that lives was asked to tell again.
                let grace = config.roster_refresh;
                let present = !roster.participants.is_empty();
                if peers.roster(now(), grace, &node, roster.version, present) {
                    let message = BusControl {
                        node_id: node.as_str().to_owned(),
                        message: Some(bus_control::Message::Roster(roster)),
                    };
                    self.with_meeting(|meeting| meeting.receive_bus_control(now(), message));
                }
            }
            BusEvent::Reconnected => {
                debug!("the bus is back: telling and asking anew");
                peers.excuse(now());
                self.with_meeting(Meeting::synchronize);
            }
        }
    }

    fn other_node(&self, node: &str) -> Option<NodeId> {
        NodeId::parse(node).filter(|node| *node != self.environment.node)
    }

    fn drop_silent_nodes(&self, peers: &mut Peers) {
        if peers.deadline().is_none_or(|at| now() < at) {
            return;
        }
        // While nothing can be heard of anybody, silence says nothing.
        if !self.environment.bus.health().connected {
            return peers.excuse(now());
        }
        for node in peers.take_silent(now()) {
            warn!(%node, "a node is gone: its participants leave the meeting");
            self.with_meeting(|meeting| meeting.remote_node_gone(now(), &node));
        }
    }
}
