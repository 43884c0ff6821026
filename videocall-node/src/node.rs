//! The node: its meetings, limits, health and drain.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{sync::Notify, time};
use tracing::info;
use videocall_relay::{Counters, Fatal, Joined, RelayConfig};
use videocall_types::{
    close::CloseReason,
    ids::{MeetingId, NodeId, SessionId},
};

use crate::{
    admission::{Admission, JoinRequest, Refusal, Transport},
    bus::Bus,
    limits::{Guard, Limits},
    meeting::{MeetingShell, now},
    overload::{self, Budgets, Overload, Usage},
    session::Session,
    tickets::{TicketError, unix_ms},
};

/// Seconds after which whoever was refused for overload may ask again.
const RETRY_AFTER: std::ops::Range<u32> = 5..15;

/// Limits of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Limits and times of each meeting.
    pub relay: RelayConfig,
    /// What clients may do.
    pub limits: Limits,
    /// Meetings at once.
    pub max_meetings: usize,
    /// Participants at once.
    pub max_sessions: usize,
    /// How often other nodes are told again who is here and what is wanted.
    pub roster_refresh: Duration,
    /// A node that was not heard of for so long is gone; a few times `roster_refresh`.
    pub node_timeout: Duration,
    /// How much the node may use before it refuses new people.
    pub budgets: Budgets,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            relay: RelayConfig::default(),
            limits: Limits::default(),
            max_meetings: 10_000,
            max_sessions: 20_000,
            roster_refresh: Duration::from_secs(5),
            node_timeout: Duration::from_secs(15),
            budgets: Budgets::default(),
        }
    }
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes new participants.
    pub ready: bool,
    /// What is wrong, for people; may be something with which it still serves.
    pub problems: Vec<String>,
}

/// One node. Cloning shares it.
#[derive(Clone)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) environment: Arc<Environment>,
    admission: Arc<dyn Admission>,
    pub(crate) meetings: Mutex<FxHashMap<MeetingId, Arc<MeetingShell>>>,
    pub(crate) sessions: [AtomicUsize; 2],
    pub(crate) joined: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Of those, for want of memory, processor time or bandwidth.
    pub(crate) refused_overloaded: AtomicU64,
    pub(crate) overload: Arc<Overload>,
    watch: OnceLock<()>,
    pub(crate) guard: Guard,
    draining: AtomicBool,
    left: Notify,
}

/// What the meetings of a node share.
pub(crate) struct Environment {
    pub(crate) node: NodeId,
    pub(crate) config: NodeConfig,
    pub(crate) relay: Arc<RelayConfig>,
    pub(crate) counters: Arc<Counters>,
    /// Sessions that ended, by the place of their reason in [`CloseReason::ALL`]; last those whose
    /// connection was lost without a word.
    pub(crate) ended: [AtomicU64; CloseReason::ALL.len() + 1],
    pub(crate) bus: Arc<dyn Bus>,
    /// Of the last roster that was told, of whichever meeting.
    pub(crate) roster_version: AtomicU64,
    pub(crate) tickets: TicketCounts,
}

/// Resume tickets since the start.
#[derive(Debug, Default)]
pub(crate) struct TicketCounts {
    pub(crate) issued: AtomicU64,
    pub(crate) taken: AtomicU64,
    /// By the place of the reason in [`TicketError::ALL`].
    pub(crate) refused: [AtomicU64; TicketError::ALL.len()],
}

impl Node {
    /// A node that takes participants at once.
    pub fn new(config: NodeConfig, bus: Arc<dyn Bus>, admission: Arc<dyn Admission>) -> Self {
        crate::metrics::describe();
        let overload = Overload::new(config.budgets);
        overload.note(Instant::now(), Usage::of_this_process(0));
        Self {
            shared: Arc::new(Shared {
                guard: Guard::new(config.limits.clone(), now()),
                environment: Arc::new(Environment {
                    node: NodeId::from_random(rand::random()),
                    relay: Arc::new(config.relay.clone()),
                    config,
                    counters: Arc::default(),
                    ended: Default::default(),
                    bus,
                    roster_version: AtomicU64::new(0),
                    tickets: TicketCounts::default(),
                }),
                admission,
                meetings: Mutex::default(),
                sessions: Default::default(),
                joined: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                refused_overloaded: AtomicU64::new(0),
                overload,
                watch: OnceLock::new(),
                draining: AtomicBool::new(false),
                left: Notify::new(),
            }),
        }
    }

    /// This run of this node.
    pub fn id(&self) -> &NodeId {
        &self.shared.environment.node
    }

    /// Somebody begins a connection; `false` if that address begins too many: refuse it before it
    /// costs anything.
    pub fn may_connect(&self, address: IpAddr) -> bool {
        self.shared.guard.knock(now(), address)
    }

    /// What clients may do.
    pub fn limits(&self) -> &Limits {
        &self.shared.guard.limits
    }

    /// Times and limits of its meetings.
    pub fn relay(&self) -> &RelayConfig {
        &self.shared.environment.relay
    }

    /// Lets somebody into a meeting. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Not admitted, or no place; the text says which and what to do.
    pub async fn join(&self, request: JoinRequest) -> Result<Session, Refusal> {
        let result = self.try_join(&request).await;
        let count = if result.is_ok() {
            &self.shared.joined
        } else {
            &self.shared.refused
        };
        count.fetch_add(1, Relaxed);
        result
    }

    async fn try_join(&self, request: &JoinRequest) -> Result<Session, Refusal> {
        let shared = &self.shared;
        let config = &shared.environment.config;
        self.refuse_while_draining()?;
        self.refuse_while_overloaded()?;
        let admitted = shared.admission.admit(request).await?;
        let guard = SessionGuard::new(self, request.transport).ok_or_else(|| {
            Refusal::unavailable(CloseReason::Full, "the server is full: try again later")
        })?;
        let joined = Joined {
            session: SessionId::from_random(rand::random()),
            user_id: admitted.user_id.as_str().to_owned(),
            display_name: admitted.display_name,
            joined_ms: unix_ms(),
        };
        let id = joined.session;
        let mut meetings = shared.meetings.lock();
        // Again, under the lock under which a drain looks whom to tell.
        self.refuse_while_draining()?;
        if !meetings.contains_key(&admitted.meeting) && meetings.len() >= config.max_meetings {
            return Err(Refusal::unavailable(
                CloseReason::Full,
                "the server has no room for another meeting: try again later",
            ));
        }
        let shell = meetings
            .entry(admitted.meeting)
            .or_insert_with_key(|meeting| {
                MeetingShell::start(meeting.clone(), shared.environment.clone())
            })
            .clone();
        let egress = shell.join(joined).ok_or_else(|| {
            Refusal::unavailable(CloseReason::Full, "the meeting is full: try again later")
        })?;
        drop(meetings);
        Ok(Session::new(id, shell.clone(), egress, guard.of(shell)))
    }

    fn refuse_while_draining(&self) -> Result<(), Refusal> {
        if !self.shared.draining.load(Relaxed) {
            return Ok(());
        }
        Err(Refusal::unavailable(
            CloseReason::GoingAway,
            "the server is shutting down: try another",
        ))
    }

    /// Before anything is done for whoever asks: that would make it worse.
    fn refuse_while_overloaded(&self) -> Result<(), Refusal> {
        let shared = &self.shared;
        shared.watch.get_or_init(|| {
            tokio::spawn(watch(Arc::downgrade(shared)));
        });
        let Some(resource) = shared.overload.exceeded() else {
            return Ok(());
        };
        shared.refused_overloaded.fetch_add(1, Relaxed);
        // Not all at once again.
        let retry_after = rand::random_range(RETRY_AFTER);
        Err(Refusal::overloaded(resource, retry_after))
    }

    /// Takes no one any more, tells everybody to go elsewhere, and waits until they have, at most
    /// for `grace`.
    pub async fn drain(&self, grace: Duration) {
        self.shared.draining.store(true, Relaxed);
        let shells: Vec<_> = self.shared.meetings.lock().values().cloned().collect();
        let fatal = Fatal::new(CloseReason::GoingAway);
        for shell in &shells {
            shell.close_all(&fatal);
        }
        drop(shells);
        info!(sessions = self.sessions(), "draining");
        let empty = async {
            loop {
                let left = self.shared.left.notified();
                if self.sessions() == 0 {
                    return;
                }
                left.await;
            }
        };
        if time::timeout(grace, empty).await.is_err() {
            info!(
                sessions = self.sessions(),
                "gave up waiting for sessions to end"
            );
        }
    }

    /// Participants on this node.
    pub fn sessions(&self) -> usize {
        self.shared
            .sessions
            .iter()
            .map(|count| count.load(Relaxed))
            .sum()
    }

    /// Meetings on this node.
    pub fn meetings(&self) -> usize {
        self.shared.meetings.lock().len()
    }

    /// How the node is. A bus that is lost makes it neither dead nor unready: meetings on this
    /// node go on, and taking it out of service would end them.
    pub fn health(&self) -> Health {
        let mut problems = self.shared.environment.bus.health().problems;
        let draining = self.shared.draining.load(Relaxed);
        if draining {
            problems.push("shutting down".to_owned());
        }
        let exceeded = self.shared.overload.exceeded();
        if let Some(resource) = exceeded {
            let what = resource.text();
            problems.push(format!("overloaded: no {what} left for more participants"));
        }
        Health {
            ready: !draining && exceeded.is_none(),
            problems,
        }
    }
}

/// Looks at what the process uses for as long as there is a node.
async fn watch(shared: Weak<Shared>) {
    let mut looks = time::interval(overload::INTERVAL);
    looks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let sent = shared.environment.counters.outgoing();
        let bytes = sent.iter().map(|(_, bytes)| bytes).sum();
        let usage = Usage::of_this_process(bytes);
        shared.overload.note(Instant::now(), usage);
    }
}

/// Counts a session as long as it lives, and ends its meeting on this node after the last one.
pub(crate) struct SessionGuard {
    node: Node,
    transport: Transport,
    shell: Option<Arc<MeetingShell>>,
}

impl SessionGuard {
    fn new(node: &Node, transport: Transport) -> Option<Self> {
        let guard = Self {
            node: node.clone(),
            transport,
            shell: None,
        };
        node.shared.sessions[transport as usize].fetch_add(1, Relaxed);
        (node.sessions() <= node.shared.environment.config.max_sessions).then_some(guard)
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn limits(&self) -> &Guard {
        &self.node.shared.guard
    }

    fn of(mut self, shell: Arc<MeetingShell>) -> Self {
        self.shell = Some(shell);
        self
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let shared = &self.node.shared;
        shared.sessions[self.transport as usize].fetch_sub(1, Relaxed);
        if let Some(shell) = &self.shell {
            let mut meetings = shared.meetings.lock();
            // Joining holds the same lock: nobody can come in between.
            if shell.sessions() == 0
                && meetings
                    .get(&shell.id)
                    .is_some_and(|current| Arc::ptr_eq(current, shell))
            {
                meetings.remove(&shell.id);
                shell.stop();
            }
        }
        shared.left.notify_waiters();
    }
}
