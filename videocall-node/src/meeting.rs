//! One meeting on this node: the relay's state behind its lock, and the task beside it.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
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
    wire::bus::bus_control,
};

use crate::bus::{Bus, BusEvent, BusSubscription, MediaSubject};

/// How often the roster is written again, so that it does not expire.
const ROSTER_REFRESH: Duration = Duration::from_secs(5);
/// A node that was not heard of for so long is gone.
const NODE_TIMEOUT: Duration = Duration::from_secs(15);

/// The time as the relay takes it; stands still where a test pauses tokio's clock.
pub(crate) fn now() -> Instant {
    time::Instant::now().into_std()
}

#[derive(Debug)]
struct Inner {
    meeting: Meeting,
    ends: FxHashMap<SessionId, Arc<OnceLock<Fatal>>>,
    /// When the task wakes by itself.
    armed: Option<Instant>,
}

/// Shared by the sessions of a meeting and its task.
pub(crate) struct MeetingShell {
    pub(crate) id: MeetingId,
    node: NodeId,
    inner: Mutex<Inner>,
    rearm: Notify,
    bus: Arc<dyn Bus>,
    task: OnceLock<AbortHandle>,
}

impl MeetingShell {
    pub(crate) fn start(
        id: MeetingId,
        node: NodeId,
        meeting: Meeting,
        bus: Arc<dyn Bus>,
    ) -> Arc<Self> {
        let inner = Inner {
            meeting,
            ends: FxHashMap::default(),
            armed: None,
        };
        let shell = Arc::new(Self {
            id,
            node,
            inner: Mutex::new(inner),
            rearm: Notify::new(),
            bus,
            task: OnceLock::new(),
        });
        let task = tokio::spawn(run(Arc::downgrade(&shell)));
        let _ = shell.task.set(task.abort_handle());
        shell
    }

    /// `None` if the meeting is over on this node, or full.
    pub(crate) fn join(
        &self,
        joined: Joined,
        max_sessions: usize,
    ) -> Option<(Arc<Egress>, Arc<OnceLock<Fatal>>)> {
        let mut inner = self.inner.lock();
        if inner.ends.len() >= max_sessions {
            return None;
        }
        let session = joined.session;
        let egress = inner.meeting.join(now(), joined);
        let end = Arc::new(OnceLock::new());
        inner.ends.insert(session, end.clone());
        self.settle(&mut inner);
        Some((egress, end))
    }

    pub(crate) fn receive(&self, session: SessionId, bytes: Bytes) -> Result<(), Fatal> {
        let mut inner = self.inner.lock();
        let result = inner.meeting.receive(now(), session, bytes);
        if let Err(fatal) = &result {
            inner.meeting.close(session, fatal.clone());
        }
        self.settle(&mut inner);
        result
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

    pub(crate) fn sessions(&self) -> usize {
        self.inner.lock().ends.len()
    }

    pub(crate) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        self.bus
            .put_roster(self.id.token(), &self.node, Default::default());
    }

    /// Does what the relay asks for, and wakes the task if it must wake earlier than it would.
    fn settle(&self, inner: &mut Inner) {
        while let Some(output) = inner.meeting.poll_output() {
            match output {
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
                    self.bus.publish_media(self.id.token(), subject, bytes);
                }
                Output::BusControl(message) => {
                    self.bus.publish_control(self.id.token(), message);
                }
                Output::RosterShard(roster) => {
                    self.bus.put_roster(self.id.token(), &self.node, roster);
                }
                Output::Close { session, fatal } => {
                    if let Some(end) = inner.ends.get(&session) {
                        let _ = end.set(fatal);
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

    fn refresh_roster(&self) {
        let roster = self.inner.lock().meeting.local_roster();
        self.bus.put_roster(self.id.token(), &self.node, roster);
    }
}

/// Drives timers and takes what other nodes send, until the meeting is dropped.
async fn run(weak: std::sync::Weak<MeetingShell>) {
    let mut events: Option<BusSubscription> = None;
    let mut heard: FxHashMap<NodeId, Instant> = FxHashMap::default();
    let mut refresh = time::interval(ROSTER_REFRESH);
    refresh.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        let Some(shell) = weak.upgrade() else { return };
        if events.is_none() {
            match shell.bus.subscribe(shell.id.token()).await {
                Ok(subscription) => {
                    events = Some(subscription);
                    shell.with_meeting(Meeting::synchronize);
                }
                Err(error) => warn!(%error, "cannot hear other nodes; trying again"),
            }
        }
        let deadline = shell.handle_timeout();
        let sleep = time::sleep_until(deadline.unwrap_or_else(|| now() + ROSTER_REFRESH).into());
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
                Some(event) => shell.take(event, &mut heard),
                None => events = None,
            },
            _ = refresh.tick() => {
                shell.refresh_roster();
                shell.drop_silent_nodes(&mut heard);
            }
        }
    }
}

impl MeetingShell {
    fn take(&self, event: BusEvent, heard: &mut FxHashMap<NodeId, Instant>) {
        match event {
            BusEvent::Media(bytes) => {
                self.with_meeting(|meeting| meeting.receive_bus_media(now(), bytes));
            }
            BusEvent::Control(message) => {
                if let Some(node) = NodeId::parse(&message.node_id) {
                    heard.insert(node, now());
                }
                self.with_meeting(|meeting| meeting.receive_bus_control(now(), message));
            }
            BusEvent::RosterShard(node, roster) => {
                if node == self.node {
                    return;
                }
                heard.insert(node.clone(), now());
                let message = videocall_types::wire::bus::BusControl {
                    node_id: node.as_str().to_owned(),
                    message: Some(bus_control::Message::Roster(roster)),
                };
                self.with_meeting(|meeting| meeting.receive_bus_control(now(), message));
            }
            BusEvent::Reconnected => {
                debug!("the bus is back: telling and asking anew");
                self.with_meeting(Meeting::synchronize);
            }
        }
    }

    fn drop_silent_nodes(&self, heard: &mut FxHashMap<NodeId, Instant>) {
        // While nothing can be heard of anybody, silence says nothing.
        if !self.bus.health().problems.is_empty() {
            let now = now();
            heard.values_mut().for_each(|at| *at = now);
            return;
        }
        heard.retain(|node, at| {
            let alive = now().saturating_duration_since(*at) < NODE_TIMEOUT;
            if !alive {
                warn!(%node, "a node is gone: its participants leave the meeting");
                self.with_meeting(|meeting| meeting.remote_node_gone(now(), node));
            }
            alive
        });
    }
}
