//! Meetings of several nodes wired to each other, in a time of their own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use videocall_relay::{
    BatchLimits, Counters, Egress, Fatal, Joined, Meeting, Outgoing, Output, Packet, RelayConfig,
};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, NodeId, SessionId},
    packet,
    view::{PacketView, Routing},
    wire::{
        Hello, LayerInfo, PublishState, StreamInfo, Subscribe, Want, bus::NodeRoster,
        control::Message,
    },
};

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) counters: Arc<Counters>,
    /// Sessions that the relay closed.
    pub(crate) closed: Vec<(SessionId, CloseReason)>,
    /// Nothing gets from node to node.
    pub(crate) partitioned: bool,
    /// Tickets that were given, where they are: the session's number stands for one.
    pub(crate) issues_tickets: bool,
    pub(crate) issued: Vec<SessionId>,
    /// Tickets that are being checked, once that takes time.
    pub(crate) checks_slowly: bool,
    pub(crate) unchecked: Vec<(usize, SessionId, Bytes)>,
    config: Arc<RelayConfig>,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) meeting: Meeting,
    /// Media packets that this node gave to the bus.
    pub(crate) bus_media: usize,
    pub(crate) shard: NodeRoster,
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) session: SessionId,
    pub(crate) node: usize,
    pub(crate) egress: Arc<Egress>,
}

pub(crate) fn id(number: u64) -> SessionId {
    SessionId::new(number).unwrap()
}

pub(crate) fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

impl World {
    pub(crate) fn new(nodes: usize, config: RelayConfig) -> Self {
        let config = Arc::new(config);
        let counters = Arc::new(Counters::default());
        let node = |number| {
            let id = NodeId::from_random(number);
            Node {
                meeting: Meeting::new(id.clone(), config.clone(), counters.clone()),
                id,
                bus_media: 0,
                shard: NodeRoster::default(),
            }
        };
        Self {
            now: Instant::now(),
            nodes: (1..=nodes as u64).map(node).collect(),
            counters,
            closed: Vec::new(),
            partitioned: false,
            issues_tickets: false,
            issued: Vec::new(),
            checks_slowly: false,
            unchecked: Vec::new(),
            config,
        }
    }

    /// Joins as a client that sends no `Hello`.
    pub(crate) fn join_silent(&mut self, node: usize, number: u64) -> Client {
        let joined = Joined {
            session: id(number),
            user_id: format!("user {number}"),
            display_name: format!("user {number}"),
            joined_ms: number,
        };
        let egress = self.nodes[node].meeting.join(self.now, joined);
        self.pump();
        Client {
            session: id(number),
            node,
            egress,
        }
    }

    pub(crate) fn join(&mut self, node: usize, number: u64) -> Client {
        let client = self.join_silent(node, number);
        self.hello(&client, hello());
        client
    }

    /// Joins and offers a camera with three layers.
    pub(crate) fn join_with_camera(&mut self, node: usize, number: u64) -> Client {
        let client = self.join_silent(node, number);
        let hello = Hello {
            publish: Some(camera()),
            ..hello()
        };
        self.hello(&client, hello);
        client
    }

    pub(crate) fn hello(&mut self, client: &Client, hello: Hello) {
        self.send(client, Message::Hello(hello)).unwrap();
    }

    pub(crate) fn send(&mut self, client: &Client, message: Message) -> Result<(), Fatal> {
        self.receive(client, packet::control(message))
    }

    pub(crate) fn receive(&mut self, client: &Client, bytes: Bytes) -> Result<(), Fatal> {
        let result = self.nodes[client.node]
            .meeting
            .receive(self.now, client.session, bytes);
        self.pump();
        result
    }

    pub(crate) fn leave(&mut self, client: &Client) {
        self.nodes[client.node]
            .meeting
            .leave(self.now, client.session);
        self.pump();
        // With its last participant a node forgets the meeting.
        let node = &mut self.nodes[client.node];
        if node.meeting.is_empty() {
            let counters = self.counters.clone();
            node.meeting = Meeting::new(node.id.clone(), self.config.clone(), counters);
        }
    }

    /// Carries between the nodes until nothing is left to carry.
    pub(crate) fn pump(&mut self) {
        loop {
            let next = (0..self.nodes.len())
                .find_map(|from| Some((from, self.nodes[from].meeting.poll_output()?)));
            let Some((from, output)) = next else { return };
            let now = self.now;
            match output {
                Output::BusMedia { bytes, .. } => {
                    self.nodes[from].bus_media += 1;
                    for node in self.others(from) {
                        node.meeting.receive_bus_media(now, bytes.clone());
                    }
                }
                Output::BusControl(message) => {
                    for node in self.others(from) {
                        node.meeting.receive_bus_control(now, message.clone());
                    }
                }
                Output::RosterShard(roster) => self.nodes[from].shard = roster,
                Output::IssueTicket { session, .. } if self.issues_tickets => {
                    self.issued.push(session);
                    let meeting = &mut self.nodes[from].meeting;
                    meeting.give_ticket(now, session, ticket(session));
                }
                Output::IssueTicket { .. } => {}
                Output::CheckTicket {
                    session, ticket, ..
                } => {
                    self.unchecked.push((from, session, ticket));
                    if !self.checks_slowly {
                        self.check_tickets();
                    }
                }
                Output::Close { session, fatal } => {
                    self.closed.push((session, fatal.reason));
                    self.nodes[from].meeting.leave(now, session);
                }
            }
        }
    }

    /// Says what the tickets that were brought are worth.
    pub(crate) fn check_tickets(&mut self) {
        for (node, session, ticket) in std::mem::take(&mut self.unchecked) {
            let number = std::str::from_utf8(&ticket)
                .ok()
                .and_then(|it| it.parse().ok());
            let verdict = number.and_then(SessionId::new).ok_or("a bad ticket");
            let now = self.now;
            self.nodes[node]
                .meeting
                .ticket_checked(now, session, verdict);
        }
        self.pump();
    }

    fn others(&mut self, from: usize) -> impl Iterator<Item = &mut Node> {
        let connected = !self.partitioned;
        self.nodes
            .iter_mut()
            .enumerate()
            .filter(move |(at, _)| connected && *at != from)
            .map(|(_, node)| node)
            // A node subscribes with its first participant.
            .filter(|node| !node.meeting.is_empty())
    }

    /// Lets time pass, with every timer at its own time.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self
                .nodes
                .iter()
                .filter_map(|node| node.meeting.deadline())
                .min()
                .filter(|at| *at <= end);
            self.now = due.unwrap_or(end).max(self.now);
            if due.is_none() {
                return;
            }
            for node in &mut self.nodes {
                if node.meeting.deadline().is_some_and(|at| at <= self.now) {
                    node.meeting.handle_timeout(self.now);
                }
            }
            self.pump();
        }
    }

    pub(crate) fn frame(&mut self, from: &Client, frame: Routing, length: usize) {
        let bytes = frame_bytes(from.session, frame, length);
        self.receive(from, bytes).unwrap();
    }

    pub(crate) fn audio(&mut self, from: &Client, level: u8) {
        let frame = Routing {
            kind: MediaKind::Audio,
            audio_level: level,
            ..key(0, 1)
        };
        let frame = Routing {
            keyframe: false,
            ..frame
        };
        self.frame(from, frame, 80);
    }

    /// Everything that waits for a client.
    pub(crate) fn drain(&self, client: &Client) -> Received {
        Received(client.egress.take_batch(self.now, BatchLimits::NONE))
    }

    pub(crate) fn config(&self) -> &RelayConfig {
        &self.config
    }
}

pub(crate) struct Received(pub(crate) Vec<Outgoing>);

impl Received {
    pub(crate) fn frames(&self) -> Vec<Routing> {
        self.0
            .iter()
            .filter_map(|outgoing| outgoing.packet.routing().copied())
            .collect()
    }

    /// Numbers of the video frames of one layer.
    pub(crate) fn numbers(&self, spatial: u8) -> Vec<u64> {
        self.frames()
            .iter()
            .filter(|frame| frame.kind == MediaKind::Video && frame.spatial == spatial)
            .map(|frame| frame.frame_number)
            .collect()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.0
            .iter()
            .filter_map(|out| control_message(&out.packet))
            .collect()
    }

    pub(crate) fn bytes(&self) -> Vec<Bytes> {
        let bytes = |out: &Outgoing| out.packet.bytes().clone();
        self.0.iter().map(bytes).collect()
    }

    /// Layers of which a keyframe is asked for.
    pub(crate) fn keyframe_requests(&self) -> Vec<u32> {
        let layer = |message: &Message| match message {
            Message::KeyframeRequest(request) => Some(request.spatial),
            _ => None,
        };
        self.messages().iter().filter_map(layer).collect()
    }

    /// Masks of video layers that the publisher was told of.
    pub(crate) fn demands(&self) -> Vec<u32> {
        let masks = |message: &Message| match message {
            Message::LayerDemand(demand) => demand
                .streams
                .iter()
                .find(|stream| stream.kind() == MediaKind::Video)
                .map(|stream| stream.spatial_mask),
            _ => None,
        };
        self.messages().iter().filter_map(masks).collect()
    }
}

pub(crate) fn control_message(packet: &Packet) -> Option<Message> {
    let view = PacketView::parse(packet.bytes()).unwrap();
    packet::read_control(packet.bytes(), &view).ok().flatten()
}

pub(crate) fn frame_bytes(session: SessionId, frame: Routing, length: usize) -> Bytes {
    packet::sealed_media(session, &Bytes::new(), frame, vec![7; length].into())
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocol_version: 1,
        ..Hello::default()
    }
}

/// That of a client that comes back.
pub(crate) fn resuming(earlier: SessionId) -> Hello {
    Hello {
        ticket: ticket(earlier),
        ..hello()
    }
}

fn ticket(session: SessionId) -> Bytes {
    session.get().to_string().into()
}

/// A camera with layers of 320x180, 640x360 and 1280x720.
pub(crate) fn camera() -> PublishState {
    let layer = |(spatial, width, height)| LayerInfo {
        spatial,
        width,
        height,
        ..LayerInfo::default()
    };
    PublishState {
        streams: vec![StreamInfo {
            kind: MediaKind::Video.into(),
            stream_id: 1,
            codec: "vp09.00.30.08".to_owned(),
            layers: [(0, 320, 180), (1, 640, 360), (2, 1280, 720)]
                .map(layer)
                .to_vec(),
            muted: false,
        }],
    }
}

/// Nothing but one camera at this width.
pub(crate) fn subscribe_to(publisher: SessionId, width: u32) -> Message {
    Message::Subscribe(Subscribe {
        all: false,
        wants: vec![Want {
            session_id: publisher.get(),
            kind: MediaKind::Video.into(),
            width,
            height: width * 9 / 16,
            ..Want::default()
        }],
    })
}

pub(crate) fn key(spatial: u8, number: u64) -> Routing {
    Routing {
        kind: MediaKind::Video,
        stream_id: 1,
        spatial,
        temporal: 0,
        keyframe: true,
        depends_back: 0,
        frame_number: number,
        capture_us: number * 33_333,
        audio_level: 0,
        encrypted: false,
    }
}

pub(crate) fn delta(spatial: u8, number: u64, back: u8) -> Routing {
    Routing {
        keyframe: false,
        depends_back: back,
        ..key(spatial, number)
    }
}
