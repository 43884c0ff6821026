//! The client's side of a session: from joining through lost connections to the end.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use videocall_types::{
    close::CloseReason,
    compression,
    ids::{MediaKind, SessionId},
    limits::PROTOCOL_VERSION,
    packet,
    view::{PacketView, Routing},
    wire::{
        Close, Compression, Hello, KeyframeRequest, MediaPacket, Participant, Ping, Pong,
        PublishState, ReceiverReport, Roster, Subscribe, Welcome, control::Message,
        packet_wrapper::PacketType,
    },
};

mod traffic;

pub use self::traffic::{Delivery, Event, MediaIn, Transmit};
use super::backoff::Backoff;

/// Participants that are remembered; a server that tells of more is not believed.
const ROSTER: usize = 10_000;
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Servers that one may name.
const SERVERS: usize = 16;
/// Packets to send that may gather within one call.
const OUTBOX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A transport is being opened.
    Connecting,
    /// Hello was sent.
    Greeting,
    Joined,
    Waiting(Duration),
    Closed,
}

/// One participant's session. Drive it: feed it what happens, and after each call take what
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) give.
#[derive(Debug)]
pub struct Session {
    display_name: String,
    client: String,
    state: State,
    backoff: Backoff,
    publish: PublishState,
    subscribe: Subscribe,
    /// Whether they changed since Hello, which the server has not answered yet.
    publish_changed: bool,
    subscribe_changed: bool,
    identity: Option<(SessionId, Bytes)>,
    /// By which the session can be continued.
    ticket: Bytes,
    /// It was sent, and there is no answer yet.
    resuming: bool,
    /// Whether there are other servers to go to.
    has_others: bool,
    roster: Vec<Participant>,
    heartbeat: Duration,
    heard: Duration,
    pinged: Duration,
    ping: Option<(u64, Duration)>,
    next_ping: u64,
    rtt: Option<Duration>,
    /// The same, until somebody takes it.
    measured: Option<Duration>,
    outbox: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session that wants to connect at once. `seed` should differ between clients.
    pub fn new(display_name: String, client: String, seed: u64) -> Self {
        Self {
            display_name,
            client,
            state: State::Connecting,
            backoff: Backoff::new(seed),
            publish: PublishState::default(),
            subscribe: Subscribe {
                all: true,
                wants: Vec::new(),
            },
            publish_changed: false,
            subscribe_changed: false,
            identity: None,
            ticket: Bytes::new(),
            resuming: false,
            has_others: false,
            roster: Vec::new(),
            heartbeat: Duration::from_secs(5),
            heard: Duration::ZERO,
            pinged: Duration::ZERO,
            ping: None,
            next_ping: 1,
            rtt: None,
            measured: None,
            outbox: VecDeque::new(),
            events: VecDeque::from([Event::Connect]),
        }
    }

    /// Whether there are other servers: then a server that asks for a pause is not waited for.
    pub fn set_has_others(&mut self, has_others: bool) {
        self.has_others = has_others;
    }

    /// What to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether media may be sent.
    pub fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// Whether a transport is being opened. No more, once the server refused through it.
    pub fn is_connecting(&self) -> bool {
        self.state == State::Connecting
    }

    /// Our own session id, once there is one.
    pub fn id(&self) -> Option<SessionId> {
        self.identity.as_ref().map(|(session, _)| *session)
    }

    /// The others.
    pub fn roster(&self) -> &[Participant] {
        &self.roster
    }

    /// Last measured round trip.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Measures the round trip now, unless that is being done.
    pub fn probe(&mut self, now: Duration) {
        if self.is_joined() && self.ping.is_none() {
            self.ping(now);
        }
    }

    /// The round trip that was measured since the last call.
    pub fn take_round_trip(&mut self) -> Option<Duration> {
        self.measured.take()
    }

    /// How long the last ping has waited for its answer.
    pub fn unanswered(&self, now: Duration) -> Option<Duration> {
        self.ping.map(|(_, sent)| now.saturating_sub(sent))
    }

    /// A transport is open.
    pub fn opened(&mut self, now: Duration) {
        if self.state != State::Connecting {
            return;
        }
        self.state = State::Greeting;
        (self.publish_changed, self.subscribe_changed) = (false, false);
        self.heard = now;
        self.pinged = now;
        self.ping = None;
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            client: self.client.clone(),
            display_name: self.display_name.clone(),
            publish: Some(self.publish.clone()),
            subscribe: Some(self.subscribe.clone()),
            ticket: self.ticket.clone(),
            decompresses: vec![Compression::Zstd.into()],
        };
        self.control(Message::Hello(hello));
        self.resuming = !self.ticket.is_empty();
        if self.resuming {
            self.want_keyframes();
        }
    }

    /// Nobody knows what was encoded before; whoever sends in the first flight begins anew.
    fn want_keyframes(&mut self) {
        for stream in &self.publish.streams {
            for layer in &stream.layers {
                let request = KeyframeRequest {
                    session_id: 0,
                    kind: stream.kind,
                    stream_id: stream.stream_id,
                    spatial: layer.spatial,
                };
                self.events.push_back(Event::KeyframeWanted(request));
            }
        }
    }

    /// The transport could not be opened, or is lost. `close` is what the transport's own end said.
    pub fn lost(&mut self, now: Duration, close: Option<CloseReason>, reason: &str) {
        self.lost_for(now, close, reason, Close::default());
    }

    /// Like [`lost`](Self::lost), of a server that said what it wishes.
    fn lost_for(&mut self, now: Duration, close: Option<CloseReason>, reason: &str, wish: Close) {
        if matches!(self.state, State::Closed | State::Waiting(_)) {
            return;
        }
        if let Some(close) = close.filter(|close| !close.may_retry()) {
            return self.closed(Some(close), reason);
        }
        self.outbox.clear();
        let attempt = self.backoff.attempt();
        let retry_after = Duration::from_millis(wish.retry_after_ms.into()).min(LONGEST_PAUSE);
        let mut wait = self.backoff.next_wait();
        if !self.has_others {
            wait = wait.max(self.backoff.spread(retry_after));
        }
        if close == Some(CloseReason::TicketRefused) {
            self.ticket = Bytes::new();
            // The server has nothing against us as somebody new.
            if std::mem::take(&mut self.resuming) {
                wait = Duration::ZERO;
            }
        }
        let mut servers = wish.servers;
        servers.truncate(SERVERS);
        self.state = State::Waiting(now + wait);
        self.events.push_back(Event::Reconnecting {
            attempt,
            wait,
            close,
            reason: reason.to_owned(),
            retry_after,
            servers,
        });
    }

    /// Does not try again before that time, since the server asked for it.
    pub fn wait_until(&mut self, time: Duration) {
        if let State::Waiting(until) = &mut self.state {
            *until = time.max(*until);
        }
    }

    /// The network is back, as far as the platform knows, or a person is impatient: try at once.
    pub fn try_now(&mut self) {
        if let State::Waiting(_) = self.state {
            self.state = State::Connecting;
            self.events.push_back(Event::Connect);
        }
    }

    /// Leaves the meeting.
    pub fn leave(&mut self) {
        if self.state != State::Closed {
            let close = Close {
                code: CloseReason::Normal.code(),
                ..Close::default()
            };
            self.control(Message::Close(close));
            self.closed(Some(CloseReason::Normal), CloseReason::Normal.text());
        }
    }

    fn closed(&mut self, reason: Option<CloseReason>, text: &str) {
        self.state = State::Closed;
        self.events.push_back(Event::Closed {
            reason,
            text: text.to_owned(),
        });
    }

    /// Changes what is offered; told again after each reconnection.
    pub fn set_publish(&mut self, publish: PublishState) {
        if publish != self.publish {
            self.publish = publish;
            self.publish_changed = true;
            self.tell_changes();
        }
    }

    /// Changes what is wanted; told again after each reconnection.
    pub fn set_subscribe(&mut self, subscribe: Subscribe) {
        if subscribe != self.subscribe {
            self.subscribe = subscribe;
            self.subscribe_changed = true;
            self.tell_changes();
        }
    }

    fn tell_changes(&mut self) {
        if !self.is_joined() {
            return;
        }
        if std::mem::take(&mut self.publish_changed) {
            self.control(Message::PublishState(self.publish.clone()));
        }
        if std::mem::take(&mut self.subscribe_changed) {
            self.control(Message::Subscribe(self.subscribe.clone()));
        }
    }

    /// Asks a publisher for a keyframe.
    pub fn request_keyframe(&mut self, publisher: SessionId, kind: MediaKind) {
        if self.is_joined() {
            self.control(Message::KeyframeRequest(KeyframeRequest {
                session_id: publisher.get(),
                kind: kind.into(),
                ..KeyframeRequest::default()
            }));
        }
    }

    /// Tells how reception is.
    pub fn report(&mut self, report: ReceiverReport) {
        if self.is_joined() {
            self.control(Message::ReceiverReport(report));
        }
    }

    /// Sends media: once joined, and behind a ticket in the first flight. `None` otherwise.
    pub fn send_media(&mut self, routing: Routing, media: &MediaPacket) -> Option<usize> {
        let bytes = match (&self.identity, self.state) {
            (Some((session, user_id)), State::Joined) => {
                packet::media(*session, user_id, routing, media)
            }
            (_, State::Greeting) if self.resuming => packet::media_without_identity(routing, media),
            _ => return None,
        };
        let length = bytes.len();
        let delivery = if routing.is_audio() {
            Delivery::Datagram
        } else {
            let priority = 500 + i32::from(routing.keyframe) * 50
                - i32::from(routing.spatial) * 10
                - i32::from(routing.temporal);
            Delivery::Stream { priority }
        };
        self.transmit(bytes, delivery, Some(routing));
        Some(length)
    }

    /// Takes a packet of the server. What is malformed is ignored: the server is trusted no more
    /// than the network, and the next packet may be right.
    pub fn receive(&mut self, now: Duration, bytes: Bytes) {
        let Ok(view) = PacketView::parse(&bytes) else {
            return;
        };
        match self.state {
            State::Greeting | State::Joined => self.heard = now,
            // A refusal may overtake the news that the connection is open.
            State::Connecting => {
                if let Ok(Some(Message::Close(close))) = packet::read_control(&bytes, &view) {
                    self.receive_control(now, Message::Close(close));
                }
                return;
            }
            // What a connection that was given up still brings is of no use any more.
            State::Waiting(_) | State::Closed => return,
        }
        if view.is(PacketType::Media) {
            if let (Some(routing), Some(session)) = (view.routing, SessionId::new(view.session_id))
            {
                let payload = bytes.slice(view.data.clone());
                self.events.push_back(Event::Media(MediaIn {
                    session,
                    routing,
                    payload,
                }));
            }
        } else if view.is(PacketType::Control)
            && let Ok(Some(message)) = packet::read_control(&bytes, &view)
        {
            match message {
                Message::Compressed(compressed) => {
                    let within = compression::decompress(&compressed);
                    if let Some(message) = within.ok().and_then(|control| control.message) {
                        self.receive_control(now, message);
                    }
                }
                message => self.receive_control(now, message),
            }
        }
    }

    fn receive_control(&mut self, now: Duration, message: Message) {
        match message {
            Message::Welcome(welcome) => self.welcomed(now, welcome),
            Message::Roster(roster) => self.update_roster(roster),
            Message::ActiveSpeakers(speakers) => {
                self.events.push_back(Event::Speakers(speakers.session_ids));
            }
            Message::LayerDemand(demand) => self.events.push_back(Event::Demand(demand)),
            Message::KeyframeRequest(request) => {
                self.events.push_back(Event::KeyframeWanted(request));
            }
            Message::ForwardState(state) => self.events.push_back(Event::Forwarding(state)),
            Message::Ping(ping) => self.control(Message::Pong(Pong { token: ping.token })),
            Message::Pong(pong) => {
                if let Some((token, sent)) = self.ping.take_if(|(token, _)| *token == pong.token) {
                    debug_assert_eq!(token, pong.token);
                    self.rtt = Some(now.saturating_sub(sent));
                    self.measured = self.rtt;
                }
            }
            Message::Ticket(ticket) => self.ticket = ticket.ticket,
            Message::Warning(warning) => self.events.push_back(Event::Warned {
                reason: CloseReason::from_code(warning.code),
                text: warning.text,
            }),
            Message::Close(close) => {
                let reason = CloseReason::from_code(close.code);
                let text = close.text.clone();
                self.lost_for(now, reason, &text, close);
            }
            _ => {}
        }
    }

    fn welcomed(&mut self, now: Duration, welcome: Welcome) {
        let Some(session) = SessionId::new(welcome.session_id) else {
            return;
        };
        if self.state != State::Greeting {
            return;
        }
        self.state = State::Joined;
        self.backoff.reset();
        self.identity = Some((session, welcome.user_id));
        // Used up, whatever it was; the next one follows.
        self.ticket = Bytes::new();
        self.resuming = false;
        let interval = welcome.heartbeat_interval_ms.clamp(500, 60_000);
        self.heartbeat = Duration::from_millis(interval.into());
        self.roster.clear();
        self.events.push_back(Event::Joined(session));
        self.update_roster(welcome.roster.unwrap_or_default());
        self.tell_changes();
        self.ping(now);
    }

    fn update_roster(&mut self, roster: Roster) {
        if roster.full {
            self.roster.clear();
        }
        let own = self.id().map_or(0, SessionId::get);
        self.roster
            .retain(|known| !roster.left.contains(&known.session_id));
        for participant in roster.participants {
            if participant.session_id == own {
                continue;
            }
            let at = self
                .roster
                .iter()
                .position(|p| p.session_id == participant.session_id);
            match at {
                Some(at) => self.roster[at] = participant,
                None if self.roster.len() < ROSTER => self.roster.push(participant),
                None => {}
            }
        }
        self.events.push_back(Event::Roster);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Greeting => Some(self.heard + self.heartbeat * 3),
            State::Joined => {
                Some((self.pinged + self.heartbeat).min(self.heard + self.heartbeat * 3))
            }
            State::Connecting | State::Closed => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.state {
            State::Waiting(until) if now >= until => {
                self.state = State::Connecting;
                self.events.push_back(Event::Connect);
            }
            State::Greeting | State::Joined if now >= self.heard + self.heartbeat * 3 => {
                self.lost(now, None, "the server does not answer");
            }
            State::Joined if now >= self.pinged + self.heartbeat => self.ping(now),
            _ => {}
        }
    }

    fn ping(&mut self, now: Duration) {
        let token = self.next_ping;
        self.next_ping += 1;
        self.pinged = now;
        self.ping = Some((token, now));
        self.control(Message::Ping(Ping { token }));
    }

    fn control(&mut self, message: Message) {
        self.transmit(packet::control(message), Delivery::Control, None);
    }

    fn transmit(&mut self, bytes: Bytes, delivery: Delivery, routing: Option<Routing>) {
        // The driver empties this after each call; a bound all the same.
        if self.outbox.len() < OUTBOX {
            self.outbox.push_back(Transmit {
                bytes,
                delivery,
                routing,
            });
        }
    }
}

#[cfg(test)]
mod tests;
