//! One meeting on this node: the relay's state behind its lock, and the task beside it.

use std::{
    sync::{Arc, OnceLock, Weak, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{sync::Notify, task::AbortHandle, time};
use tracing::{debug, warn};
use videocall_relay::{Egress, Fatal, Joined, Meeting, Output};
use videocall_types::{
    close::CloseReason,
    ids::{MeetingId, NodeId, SessionId},
    wire::bus::{BusControl, bus_control},
};

use crate::{
    bus::{BusEvent, BusSubscription, MediaSubject},
    node::Environment,
    peers::Peers,
    tickets::{Holder, TicketError, unix_ms},
};

/// How long to wait for the store that knows which tickets were used.
const TICKET_PATIENCE: Duration = Duration::from_secs(1);

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
    /// For what must be waited for.
    this: Weak<Self>,
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
        let shell = Arc::new_cyclic(|this| Self {
            id,
            environment,
            inner: Mutex::new(inner),
            rearm: Notify::new(),
            task: OnceLock::new(),
            this: this.clone(),
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

    pub(crate) fn receive(
        &self,
        now: Instant,
        session: SessionId,
        bytes: Bytes,
    ) -> Result<(), Fatal> {
        let mut inner = self.inner.lock();
        let result = inner.meeting.receive(now, session, bytes);
        if let Err(fatal) = &result {
            inner.meeting.close(session, fatal.clone());
        }
        self.settle(&mut inner);
        // Of a session that was over before, the first reason counts.
        result.map_err(|fatal| inner.end_of(session).unwrap_or(fatal))
    }

    pub(crate) fn warn(&self, session: SessionId, reason: CloseReason) {
        self.inner.lock().meeting.warn(session, reason);
    }

    pub(crate) fn leave(&self, session: SessionId) {
        let mut inner = self.inner.lock();
        inner.meeting.leave(now(), session);
        if let Some(end) = inner.ends.remove(&session) {
            let all = CloseReason::ALL;
            let place = end.and_then(|end| all.iter().position(|it| *it == end.reason));
            self.environment.ended[place.unwrap_or(all.len())].fetch_add(1, Relaxed);
        }
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
                Output::IssueTicket { session, user_id } => {
                    if let Some(ticket) = self.seal_ticket(session, &user_id) {
                        inner.meeting.give_ticket(now(), session, ticket);
                    }
                }
                Output::CheckTicket {
                    session,
                    user_id,
                    ticket,
                } => {
                    if let Some(verdict) = self.check_ticket(session, &user_id, &ticket) {
                        self.ticket_checked(inner, session, verdict);
                    }
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

    fn seal_ticket(&self, session: SessionId, user_id: &[u8]) -> Option<Bytes> {
        let holder = Holder {
            user_id,
            meeting: self.id.token(),
        };
        let keys = self.environment.bus.ticket_keys();
        let ticket = keys.seal(unix_ms(), session, holder)?;
        self.environment.tickets.issued.fetch_add(1, Relaxed);
        Some(ticket)
    }

    /// What a ticket is worth; `None` if that is still to be found out, by a task of its own.
    fn check_ticket(
        &self,
        session: SessionId,
        user_id: &[u8],
        ticket: &[u8],
    ) -> Option<Result<SessionId, TicketError>> {
        let holder = Holder {
            user_id,
            meeting: self.id.token(),
        };
        let bus = self.environment.bus.clone();
        let earlier = match bus.ticket_keys().open(unix_ms(), ticket, holder) {
            Ok(earlier) => earlier,
            Err(error) => return Some(Err(error)),
        };
        // Together with the memory that its future needs, it may outlive this call.
        let mut spending = Box::pin(async move {
            let spending = time::timeout(TICKET_PATIENCE, bus.spend_ticket(earlier)).await;
            spending
                .unwrap_or(Err(TicketError::Unavailable))
                .map(|()| earlier)
        });
        if let Some(verdict) = (&mut spending).now_or_never() {
            return Some(verdict);
        }
        let this = self.this.clone();
        // At most one for each session, since Hello comes once.
        tokio::spawn(async move {
            let verdict = spending.await;
            if let Some(shell) = this.upgrade() {
                let mut inner = shell.inner.lock();
                shell.ticket_checked(&mut inner, session, verdict);
                shell.settle(&mut inner);
            }
        });
        None
    }

    fn ticket_checked(
        &self,
        inner: &mut Inner,
        session: SessionId,
        verdict: Result<SessionId, TicketError>,
    ) {
        let counts = &self.environment.tickets;
        match &verdict {
            Ok(earlier) => {
                debug!(%session, %earlier, "resumed");
                counts.taken.fetch_add(1, Relaxed);
            }
            Err(error) => {
                debug!(%session, %error, "resume ticket refused");
                counts.refused[*error as usize].fetch_add(1, Relaxed);
            }
        }
        let verdict = verdict.map_err(|error| error.to_string());
        let verdict = verdict.as_ref().map(|it| *it).map_err(String::as_str);
        inner.meeting.ticket_checked(now(), session, verdict);
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
