//! Somebody in a meeting, as an ingress server would drive the session.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::time;
use videocall_node::{Fatal, JoinRequest, Node, Refusal, Room, Session, Transport};
use videocall_types::{
    ids::{MediaKind, SessionId},
    packet,
    view::{PacketView, Routing},
    wire::{
        Hello, KeyframeRequest, LayerInfo, Participant, PublishState, Roster, StreamInfo,
        Subscribe, Want, control::Message,
    },
};

use crate::backend::PATIENCE;

pub(crate) struct Person {
    session: Session,
    inbox: VecDeque<Bytes>,
    roster: BTreeMap<u64, Participant>,
    /// Video layers, by the last word of the server.
    asked_for: Option<u32>,
    ticket: Bytes,
}

/// Something that came.
#[derive(Debug)]
pub(crate) enum Got {
    Control(Message),
    Media(SessionId, Routing),
    Other,
}

pub(crate) fn request(meeting: &str, user: &str) -> JoinRequest {
    JoinRequest {
        meeting: meeting.to_owned(),
        user: user.to_owned(),
        token: None,
        transport: Transport::WebSocket,
        remote: ([127, 0, 0, 1], 9).into(),
    }
}

/// Wants nothing of anybody.
pub(crate) fn hello() -> Hello {
    Hello {
        protocol_version: 1,
        subscribe: Some(Subscribe::default()),
        ..Hello::default()
    }
}

/// Comes back after a lost connection.
pub(crate) fn resuming(ticket: &Bytes) -> Hello {
    Hello {
        ticket: ticket.clone(),
        ..hello()
    }
}

/// Offers a camera of 320x180, 640x360 and 1280x720.
pub(crate) fn with_camera() -> Hello {
    let layer = |(spatial, width, height)| LayerInfo {
        spatial,
        width,
        height,
        ..LayerInfo::default()
    };
    let stream = StreamInfo {
        kind: MediaKind::Video.into(),
        stream_id: 1,
        layers: [(0, 320, 180), (1, 640, 360), (2, 1280, 720)]
            .map(layer)
            .to_vec(),
        ..StreamInfo::default()
    };
    Hello {
        publish: Some(PublishState {
            streams: vec![stream],
        }),
        ..hello()
    }
}

/// One camera at this width.
pub(crate) fn wants(publisher: SessionId, width: u32) -> Subscribe {
    Subscribe {
        all: false,
        wants: vec![Want {
            session_id: publisher.get(),
            kind: MediaKind::Video.into(),
            width,
            height: width * 9 / 16,
            ..Want::default()
        }],
    }
}

pub(crate) fn keyframe(spatial: u8, number: u64) -> Routing {
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

impl Person {
    pub(crate) async fn join(node: &Node, meeting: &str, user: &str, hello: Hello) -> Self {
        let mut person = Self::silent(node, meeting, user).await.unwrap();
        person.say(Message::Hello(hello));
        person.welcomed().await;
        person
    }

    /// Waits for Welcome; returns whether an earlier session goes on.
    pub(crate) async fn welcomed(&mut self) -> bool {
        self.control("the welcome", |message| match message {
            Message::Welcome(welcome) => Some(welcome.resumed),
            _ => None,
        })
        .await
    }

    /// The newest ticket, waited for if there was none yet.
    pub(crate) async fn ticket(&mut self) -> Bytes {
        while self.ticket.is_empty() {
            self.control("a ticket", |message| {
                matches!(message, Message::Ticket(_)).then_some(())
            })
            .await;
        }
        self.ticket.clone()
    }

    /// Says no Hello.
    pub(crate) async fn silent(node: &Node, meeting: &str, user: &str) -> Result<Self, Refusal> {
        Ok(Self {
            session: node.join(request(meeting, user)).await?,
            inbox: VecDeque::new(),
            roster: BTreeMap::new(),
            asked_for: None,
            ticket: Bytes::new(),
        })
    }

    pub(crate) fn id(&self) -> SessionId {
        self.session.id()
    }

    pub(crate) fn say(&self, message: Message) {
        self.session.receive(packet::control(message)).unwrap();
    }

    pub(crate) fn try_say(&self, message: Message) -> Result<(), Fatal> {
        self.session.receive(packet::control(message))
    }

    pub(crate) fn subscribe(&self, subscribe: Subscribe) {
        self.say(Message::Subscribe(subscribe));
    }

    pub(crate) fn ask_for_keyframe(&self, publisher: SessionId) {
        self.say(Message::KeyframeRequest(KeyframeRequest {
            session_id: publisher.get(),
            kind: MediaKind::Video.into(),
            ..KeyframeRequest::default()
        }));
    }

    pub(crate) fn send(&self, routing: Routing) {
        self.try_send(routing).unwrap();
    }

    fn try_send(&self, routing: Routing) -> Result<(), Fatal> {
        let payload = Bytes::from_static(b"payload");
        let bytes = packet::sealed_media(self.id(), &Bytes::new(), routing, payload);
        self.session.receive(bytes)
    }

    /// Audible; numbered by the capture time.
    pub(crate) fn speak(&self, number: u64) {
        self.try_speak(number).unwrap();
    }

    /// The same, where the session may be over.
    pub(crate) fn try_speak(&self, number: u64) -> Result<(), Fatal> {
        self.try_send(Routing {
            kind: MediaKind::Audio,
            keyframe: false,
            audio_level: 20,
            ..keyframe(0, number)
        })
    }

    /// The next packet; `None` at the end of the session.
    pub(crate) async fn next(&mut self) -> Option<Got> {
        while self.inbox.is_empty() {
            let mut batch = Vec::new();
            if !self.session.next_batch(Room::Any, &mut batch).await {
                return None;
            }
            let bytes = batch.into_iter().map(|out| out.packet.bytes().clone());
            self.inbox.extend(bytes);
        }
        let bytes = self.inbox.pop_front()?;
        let view = PacketView::parse(&bytes).unwrap();
        if let Some(routing) = view.routing {
            let publisher = SessionId::new(view.session_id).unwrap();
            return Some(Got::Media(publisher, routing));
        }
        if view.control.is_none() {
            return Some(Got::Other);
        }
        let message = packet::read_control(&bytes, &view).unwrap().unwrap();
        self.note(&message);
        Some(Got::Control(message))
    }

    /// Waits for something and returns also what came before it.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut choose: impl FnMut(&Got) -> Option<T>,
    ) -> (T, Vec<Got>) {
        let wait = async {
            let mut before = Vec::new();
            loop {
                let got = self.next().await.expect("the session goes on");
                match choose(&got) {
                    Some(chosen) => return (chosen, before),
                    None => before.push(got),
                }
            }
        };
        let result = time::timeout(PATIENCE, wait).await;
        result.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    pub(crate) async fn control<T>(
        &mut self,
        what: &str,
        mut choose: impl FnMut(Message) -> Option<T>,
    ) -> T {
        let (chosen, _) = self
            .until(what, |got| match got {
                Got::Control(message) => choose(message.clone()),
                _ => None,
            })
            .await;
        chosen
    }

    /// Waits for that audio of another one and returns what came before it.
    pub(crate) async fn hears(&mut self, other: SessionId, number: u64) -> Vec<Got> {
        let is_it = |got: &Got| match got {
            Got::Media(from, routing) => (routing.kind == MediaKind::Audio
                && *from == other
                && routing.capture_us == number * 33_333)
                .then_some(()),
            _ => None,
        };
        self.until("audio", is_it).await.1
    }

    /// Waits until the video layers that are wanted of this publisher are these.
    pub(crate) async fn is_asked_for(&mut self, mask: u32) {
        let wait = async {
            while self.asked_for != Some(mask) {
                self.next().await.expect("the session goes on");
            }
        };
        let asked = time::timeout(PATIENCE, wait).await.is_ok();
        let last = self.asked_for;
        assert!(asked, "expected a demand of {mask:#b}, not {last:?}");
    }

    /// Waits until the others in the roster are these.
    pub(crate) async fn sees(&mut self, others: &[SessionId]) {
        let mut others: Vec<u64> = others.iter().map(|id| id.get()).collect();
        others.sort_unstable();
        let wait = async {
            while !self.roster.keys().eq(&others) {
                self.next().await.expect("the session goes on");
            }
        };
        let seen = time::timeout(PATIENCE, wait).await.is_ok();
        let known: Vec<&u64> = self.roster.keys().collect();
        assert!(seen, "expected {others:?} in the roster, not {known:?}");
    }

    /// As the roster knows another one.
    pub(crate) fn known(&self, other: SessionId) -> &Participant {
        &self.roster[&other.get()]
    }

    /// Waits for the end of the session; returns why, and what was told before.
    pub(crate) async fn ended(&mut self) -> (Fatal, Vec<Got>) {
        let wait = async {
            let mut told = Vec::new();
            while let Some(got) = self.next().await {
                told.push(got);
            }
            told
        };
        let told = time::timeout(PATIENCE, wait).await;
        (self.session.close_reason(), told.expect("the session ends"))
    }

    fn note(&mut self, message: &Message) {
        match message {
            Message::Welcome(welcome) => self.take(welcome.roster.clone().unwrap()),
            Message::Roster(roster) => self.take(roster.clone()),
            Message::Ticket(ticket) => self.ticket = ticket.ticket.clone(),
            Message::LayerDemand(demand) => {
                let video = demand
                    .streams
                    .iter()
                    .find(|stream| stream.kind() == MediaKind::Video);
                self.asked_for = video.map(|stream| stream.spatial_mask).or(self.asked_for);
            }
            // As every client does.
            Message::Ping(ping) => {
                let pong = videocall_types::wire::Pong { token: ping.token };
                let _ = self.try_say(Message::Pong(pong));
            }
            _ => {}
        }
    }

    fn take(&mut self, roster: Roster) {
        if roster.full {
            self.roster.clear();
        }
        for participant in roster.participants {
            if participant.session_id != self.id().get() {
                self.roster.insert(participant.session_id, participant);
            }
        }
        for left in roster.left {
            self.roster.remove(&left);
        }
    }
}
