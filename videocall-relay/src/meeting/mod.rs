//! One meeting on one node: who is here, and what goes where.
//!
//! - `media`: the way of a media packet.
//! - `control`: messages of clients and of other nodes.
//! - `roster`: joining, leaving, and telling of it.
//! - `resume`: a client that comes back continues its earlier session.
//! - `demand`: subscriptions, layer demand and keyframe requests.
//! - `timers`: everything that happens by time.

mod control;
mod demand;
mod media;
mod resume;
mod roster;
mod timers;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, NodeId, SessionId},
    packet,
    wire::{
        Close, Participant as ParticipantInfo, Warning,
        bus::{BusControl, NodeRoster},
        control::Message,
    },
};

use crate::{
    config::RelayConfig, counters::Counters, egress::Egress, packet::Packet,
    remote_demand::RemoteDemand, reports::Reports, speakers::Speakers, stream::Stream,
    subscription::Subscription, trips::Trips,
};

/// Who has been admitted.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Fresh, by the server.
    pub session: SessionId,
    /// As admission says; packets must claim this one or none.
    pub user_id: String,
    /// As others see the person.
    pub display_name: String,
    /// Milliseconds since the Unix epoch.
    pub joined_ms: u64,
}

/// The session must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fatal {
    /// Told to the peer.
    pub reason: CloseReason,
    /// Told to the peer and the log.
    pub text: String,
}

impl Fatal {
    /// With the reason's own text.
    pub fn new(reason: CloseReason) -> Self {
        Self {
            reason,
            text: reason.text().to_owned(),
        }
    }

    /// With a text that says more.
    pub fn with_text(reason: CloseReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }
}

/// What has to happen outside.
#[derive(Clone, Debug)]
pub enum Output {
    /// Other nodes want this packet.
    BusMedia {
        /// Its publisher.
        session: SessionId,
        /// Its kind; unspecified for a packet without routing header.
        kind: MediaKind,
        /// Its simulcast layer.
        layer: u8,
        /// The packet.
        bytes: Bytes,
    },
    /// Tell the other nodes.
    BusControl(BusControl),
    /// The local participants changed: keep this for nodes that come later.
    RosterShard(NodeRoster),
    /// Seal a ticket by which this client can continue its session after a lost connection, and
    /// [`give_ticket`](Meeting::give_ticket).
    IssueTicket {
        /// The session.
        session: SessionId,
        /// Whose it is.
        user_id: Bytes,
    },
    /// A client came back with this: say what it is worth by
    /// [`ticket_checked`](Meeting::ticket_checked).
    CheckTicket {
        /// The new session.
        session: SessionId,
        /// Who says to have come back.
        user_id: Bytes,
        /// As it came.
        ticket: Bytes,
    },
    /// End this session; its queue still holds what was to be told.
    Close {
        /// The session.
        session: SessionId,
        /// Why.
        fatal: Fatal,
    },
}

/// A participant, here or on another node.
#[derive(Debug)]
struct Participant {
    info: ParticipantInfo,
    streams: Vec<Stream>,
    remote_demand: RemoteDemand,
    /// Before this, no further change of its streams is told.
    offer_due: Instant,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Local(Box<Local>),
    Remote(NodeId),
}

/// What is known only of participants on this node.
#[derive(Debug)]
struct Local {
    egress: Arc<Egress>,
    /// Whether a `Hello` came: older clients send none.
    greeted: bool,
    /// A `Hello` came, with a ticket that is being checked.
    resuming: Option<Box<resume::Resuming>>,
    /// When this client needs its next ticket.
    ticket_due: Instant,
    subscription: Subscription,
    heard: Instant,
    pinged: Instant,
    unanswered: u32,
    trips: Trips,
    reports: Reports,
    violations: u32,
    closing: bool,
}

impl Participant {
    fn new(now: Instant, info: ParticipantInfo, place: Place) -> Self {
        Self {
            info,
            streams: Vec::new(),
            remote_demand: RemoteDemand::default(),
            offer_due: now,
            place,
        }
    }

    /// Brings the streams in line with what other nodes want.
    fn apply_remote_demand(&mut self) {
        for stream in &mut self.streams {
            stream.remote_demand = self.remote_demand.mask(stream.kind);
        }
    }

    fn local(&self) -> Option<&Local> {
        match &self.place {
            Place::Local(local) => Some(local),
            Place::Remote(_) => None,
        }
    }

    fn local_mut(&mut self) -> Option<&mut Local> {
        match &mut self.place {
            Place::Local(local) => Some(local),
            Place::Remote(_) => None,
        }
    }

    fn stream_mut(&mut self, kind: MediaKind) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.kind == kind)
    }
}

/// A meeting as one node sees it. See the crate's documentation.
#[derive(Debug)]
pub struct Meeting {
    node: NodeId,
    config: Arc<RelayConfig>,
    counters: Arc<Counters>,
    participants: FxHashMap<SessionId, Participant>,
    /// The local ones once more, dense, since every audio packet walks them.
    receivers: Vec<(SessionId, Arc<Egress>)>,
    /// Local participants that sent no `Hello` yet, and until when to wait for it.
    ungreeted: VecDeque<(Instant, SessionId)>,
    speakers: Speakers,
    outputs: VecDeque<Output>,
    roster: roster::Changes,
    replacements: resume::Replacements,
    /// Layers of remote publishers that local receivers want must be told to their nodes.
    demand_changed: bool,
    next_scan: Option<Instant>,
    scans: u64,
    /// Not later than the next thing that is due.
    deadline: Option<Instant>,
    ready: Vec<Packet>,
}

impl Meeting {
    /// An empty meeting on that node.
    pub fn new(node: NodeId, config: Arc<RelayConfig>, counters: Arc<Counters>) -> Self {
        Self {
            node,
            speakers: Speakers::new(config.loudest),
            config,
            counters,
            participants: FxHashMap::default(),
            receivers: Vec::new(),
            ungreeted: VecDeque::new(),
            outputs: VecDeque::new(),
            roster: roster::Changes::default(),
            replacements: resume::Replacements::default(),
            demand_changed: false,
            next_scan: None,
            scans: 0,
            deadline: None,
            ready: Vec::new(),
        }
    }

    /// What has to happen outside; call until `None` after every other call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Participants on this node.
    pub fn local_count(&self) -> usize {
        self.receivers.len()
    }

    /// Participants here and on other nodes.
    pub fn count(&self) -> usize {
        self.participants.len()
    }

    /// Whether nobody is here on this node.
    pub fn is_empty(&self) -> bool {
        self.receivers.is_empty()
    }

    fn other_nodes_take_part(&self) -> bool {
        self.participants.len() > self.receivers.len()
    }

    /// Sends to everybody here who knows more control messages than older clients do.
    fn send_to_greeted(&self, packet: &Packet) {
        for participant in self.participants.values() {
            if let Some(local) = participant.local().filter(|local| local.greeted) {
                local.egress.push_control(packet);
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). May move to an earlier time with
    /// every other call.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn schedule(&mut self, at: Instant) {
        if self.deadline.is_none_or(|deadline| at < deadline) {
            self.deadline = Some(at);
        }
    }

    /// Tells the peer what its session will be ended for, if it does not stop.
    pub fn warn(&self, session: SessionId, reason: CloseReason) {
        let warning = Warning {
            code: reason.code(),
            text: reason.text().to_owned(),
        };
        let packet = Packet::control(packet::control(Message::Warning(warning)));
        let local = self.participants.get(&session).and_then(Participant::local);
        if let Some(local) = local.filter(|local| local.greeted) {
            local.egress.push_control(&packet);
        }
    }

    /// What a peer is told at the end of its session, and where it may go.
    fn farewell(&self, fatal: &Fatal) -> Message {
        let config = &self.config;
        let mut close = Close {
            code: fatal.reason.code(),
            text: fatal.text.clone(),
            ..Close::default()
        };
        match fatal.reason {
            CloseReason::GoingAway if config.others_serve => {
                close.r#move = true;
                close.servers.clone_from(&config.other_servers);
            }
            // This server itself will be back, or better, in a moment.
            CloseReason::GoingAway | CloseReason::InternalError => {
                close.retry_after_ms = config.retry_after.as_millis() as u32;
            }
            _ => {}
        }
        Message::Close(close)
    }

    /// Tells the peer why and has the session ended: [`Output::Close`] follows.
    pub fn close(&mut self, session: SessionId, fatal: Fatal) {
        let farewell = Packet::control(packet::control(self.farewell(&fatal)));
        let Some(local) = self
            .participants
            .get_mut(&session)
            .and_then(Participant::local_mut)
        else {
            return;
        };
        if std::mem::replace(&mut local.closing, true) {
            return;
        }
        local.egress.push_control(&farewell);
        self.outputs.push_back(Output::Close { session, fatal });
    }
}
