//! The task that runs a session.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{self, Instant},
};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    token::Token,
    view::Routing,
    wire::{MediaPacket, Participant, PublishState, Subscribe},
};

use super::{
    link::{self, Incoming, Link, OpenError, Servers},
    sending::Sending,
    servers::Choice,
    token::unverified_claims,
};
use crate::core::{
    reception::{Figures, Reception},
    select::Placement,
    session::{Event, Session},
};

/// Commands and events that may wait.
const QUEUE: usize = 1024;
/// Places in the queue of events that media never takes.
const RESERVED: usize = 128;

/// Whom to join as, and where.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The servers of an installation, any of which carries the meeting; the first is preferred
    /// unless another is much nearer.
    pub servers: Vec<Servers>,
    /// How to choose among those that are about equally near.
    pub placement: Placement,
    /// Name of the meeting; a token names its own.
    pub meeting: String,
    /// Id of the guest; a token names its own.
    pub user: String,
    /// What lets in who comes as no guest. Shown again at each connection: it must be good for as
    /// long as the client is to come back.
    pub token: Option<Token>,
    /// Name that the others see; of who has a token, if it is empty, the token's.
    pub display_name: String,
    /// Name and version of the program.
    pub program: String,
    /// What is offered at first.
    pub publish: PublishState,
    /// What is wanted at first.
    pub subscribe: Subscribe,
}

/// The session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is over")]
pub struct Stopped;

enum Command {
    Publish(PublishState),
    Subscribe(Subscribe),
    Keyframe(SessionId, MediaKind),
    Media(Routing, Box<MediaPacket>),
    Leave,
}

/// A participant. Ends without a word when dropped; [`Handle::leave`] says good-bye.
#[derive(Debug)]
pub struct Client {
    events: mpsc::Receiver<Event>,
    handle: Handle,
    task: JoinHandle<()>,
}

/// Acts for a participant from anywhere.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    roster: watch::Receiver<Vec<Participant>>,
    reception: Arc<Mutex<Reception>>,
    start: Instant,
}

impl Client {
    /// Starts to join. Must be called within a tokio runtime. How it goes is told by
    /// [`next_event`](Self::next_event).
    pub fn join(options: JoinOptions) -> Self {
        let (commands, for_task) = mpsc::channel(QUEUE);
        let (to_program, events) = mpsc::channel(QUEUE);
        let (to_roster, roster) = watch::channel(Vec::new());
        let driver = Driver::new(options, for_task, to_program, to_roster);
        let handle = Handle {
            commands,
            roster,
            reception: driver.reception.clone(),
            start: driver.start,
        };
        Self {
            events,
            handle,
            task: tokio::spawn(driver.run()),
        }
    }

    /// What happens next; `None` after the end. A program that reads too slowly misses media, and
    /// one that stops reading loses its connection.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// For other tasks.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Handle {
    /// The others, as far as is known.
    pub fn roster(&self) -> Vec<Participant> {
        self.roster.borrow().clone()
    }

    /// Changes what is offered.
    pub async fn set_publish(&self, publish: PublishState) -> Result<(), Stopped> {
        self.command(Command::Publish(publish)).await
    }

    /// Changes what is wanted.
    pub async fn set_subscribe(&self, subscribe: Subscribe) -> Result<(), Stopped> {
        self.command(Command::Subscribe(subscribe)).await
    }

    /// Asks a publisher for a keyframe.
    pub async fn request_keyframe(&self, of: SessionId, kind: MediaKind) -> Result<(), Stopped> {
        self.command(Command::Keyframe(of, kind)).await
    }

    /// Notes that a frame was shown, or decoded where nobody looks. The server is told once a
    /// second what came; only the program knows for how long a picture stood still.
    pub fn shown(&self, of: SessionId, frame: &Routing) {
        let now = self.start.elapsed();
        self.reception.lock().shown(now, of, frame);
    }

    /// Notes that sound of this length had to be made up.
    pub fn concealed(&self, of: SessionId, kind: MediaKind, length: Duration) {
        self.reception.lock().concealed(of, kind, length);
    }

    /// How well a stream has come in.
    pub fn reception(&self, of: SessionId, kind: MediaKind) -> Option<Figures> {
        self.reception.lock().figures(of, kind)
    }

    /// Sends media; dropped while there is no connection.
    pub async fn send_media(&self, routing: Routing, media: MediaPacket) -> Result<(), Stopped> {
        self.command(Command::Media(routing, Box::new(media))).await
    }

    /// Leaves the meeting; [`Event::Closed`] follows.
    pub async fn leave(&self) -> Result<(), Stopped> {
        self.command(Command::Leave).await
    }

    async fn command(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }
}

struct Driver {
    session: Session,
    choice: Choice,
    path: String,
    start: Instant,
    sending: Arc<Sending>,
    link: Option<Link>,
    /// What the program was told last that pictures may take.
    budget: u64,
    connect: bool,
    over: bool,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    roster: watch::Sender<Vec<Participant>>,
    reception: Arc<Mutex<Reception>>,
}

impl Driver {
    fn new(
        options: JoinOptions,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        roster: watch::Sender<Vec<Participant>>,
    ) -> Self {
        let (path, meeting) = door(&options);
        let mut session = Session::new(options.display_name, options.program, seed());
        session.set_publish(options.publish);
        session.set_subscribe(options.subscribe);
        session.set_has_others(options.servers.len() > 1);
        let start = Instant::now();
        Self {
            session,
            choice: Choice::new(options.servers, &meeting, options.placement),
            path,
            start,
            sending: Arc::new(Sending::new(start)),
            link: None,
            budget: 0,
            connect: false,
            over: false,
            commands,
            events,
            roster,
            reception: Arc::default(),
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn run(mut self) {
        self.settle().await;
        while !self.over {
            if std::mem::take(&mut self.connect) {
                self.open().await;
            } else {
                self.step().await;
            }
            self.settle().await;
        }
        if let Some(link) = self.link.take() {
            link.close(&self.sending).await;
        }
    }

    /// Opens a connection; commands are heard meanwhile.
    async fn open(&mut self) {
        let (now, path) = (self.now(), self.path.clone());
        let mut choice = std::mem::take(&mut self.choice);
        let opened = {
            let mut opening = pin!(async {
                let servers = choice.choose(now).await;
                link::open(&servers, &path).await
            });
            loop {
                tokio::select! {
                    opened = &mut opening => break opened,
                    command = self.commands.recv() => {
                        if self.obey(command) {
                            return;
                        }
                    }
                }
            }
        };
        self.choice = choice;
        let now = self.now();
        match opened {
            Ok(opened) => {
                self.link = Some(opened.start(&self.sending));
                self.session.opened(now);
            }
            Err(OpenError::Refused { reason, text }) => {
                self.session.lost(now, Some(reason), &text);
            }
            Err(error) => self.session.lost(now, None, &error.to_string()),
        }
    }

    /// Waits for one thing to happen.
    async fn step(&mut self) {
        let report = self
            .session
            .is_joined()
            .then(|| self.reception.lock().due());
        let deadline = self.session.deadline().into_iter().chain(report).min();
        let deadline = deadline.map(|at| self.start + at);
        let judgement = self.link.as_ref().and_then(|_| self.sending.deadline());
        let timer = sleep_until(deadline);
        let judging = sleep_until(judgement);
        let incoming = async {
            match &mut self.link {
                Some(link) => link.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            incoming = incoming => {
                let now = self.now();
                match incoming {
                    Incoming::Packet(packet) => self.session.receive(now, packet),
                    Incoming::Ended(reason, text) => self.session.lost(now, reason, &text),
                }
            }
            command = self.commands.recv() => {
                self.obey(command);
            }
            () = timer => {
                let now = self.now();
                self.session.handle_timeout(now);
                self.report(now);
            }
            () = judging => self.judge(),
        }
    }

    /// Tells the server once a second how reception is.
    fn report(&mut self, now: Duration) {
        let mut reception = self.reception.lock();
        if self.session.is_joined() && reception.due() <= now {
            let report = reception.report(now, self.session.rtt());
            drop(reception);
            if !report.streams.is_empty() {
                self.session.report(report);
            }
        }
    }

    /// Looks how the path is, and tells what pictures may take where that changed.
    fn judge(&mut self) {
        let now = self.now();
        let bps = self.sending.tick(self.session.unanswered(now));
        if self.sending.wants_round_trips() {
            self.session.probe(now);
        }
        if bps.abs_diff(self.budget) * 20 > self.budget {
            self.budget = bps;
            self.tell(Event::Budget(bps));
        }
        while let Some(request) = self.sending.poll_keyframe() {
            self.tell(Event::KeyframeWanted(request));
        }
    }

    /// Tells what is asked for again if it finds no place.
    fn tell(&self, event: Event) {
        if self.events.capacity() >= RESERVED {
            let _ = self.events.try_send(event);
        }
    }

    /// Returns whether that ended the session.
    fn obey(&mut self, command: Option<Command>) -> bool {
        match command {
            Some(Command::Publish(publish)) => self.session.set_publish(publish),
            Some(Command::Subscribe(subscribe)) => self.session.set_subscribe(subscribe),
            Some(Command::Keyframe(of, kind)) => self.session.request_keyframe(of, kind),
            Some(Command::Media(routing, media)) => {
                self.session.send_media(routing, &media);
            }
            Some(Command::Leave) | None => {
                self.session.leave();
                return true;
            }
        }
        false
    }

    /// Carries out what the session decided.
    async fn settle(&mut self) {
        let mut choked = false;
        if let Some(round_trip) = self.session.take_round_trip() {
            self.sending.round_trip(round_trip);
        }
        while let Some(transmit) = self.session.poll_transmit() {
            choked |= self.link.is_some() && !self.sending.push(transmit);
        }
        if choked {
            let now = self.now();
            self.session.lost(now, None, "the server takes nothing");
        }
        while let Some(event) = self.session.poll_event() {
            match &event {
                Event::Connect => {
                    self.connect = true;
                    continue;
                }
                Event::Reconnecting {
                    retry_after,
                    servers,
                    ..
                } => {
                    self.link = None;
                    let now = self.start.elapsed();
                    self.choice.failed(now, *retry_after);
                    self.choice.recommended(servers);
                    self.session.wait_until(self.choice.open_at());
                }
                Event::Joined(_) => self.choice.joined(),
                Event::Closed { reason, .. } => {
                    self.over = true;
                    if *reason != Some(CloseReason::Normal) {
                        self.link = None;
                    }
                }
                Event::Roster => {
                    self.roster.send_replace(self.session.roster().to_vec());
                }
                Event::Media(media) => {
                    let now = self.start.elapsed();
                    let mut reception = self.reception.lock();
                    reception.arrived(now, media.session, &media.routing);
                    drop(reception);
                    if self.events.capacity() < RESERVED {
                        continue;
                    }
                }
                Event::Forwarding(state) if state.spatial.is_none() => {
                    if let Some(session) = SessionId::new(state.session_id) {
                        self.reception.lock().paused(session, state.kind());
                    }
                }
                _ => {}
            }
            if self.events.send(event).await.is_err() {
                self.over = true;
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The path to ask for, and the meeting that is behind it.
fn door(options: &JoinOptions) -> (String, String) {
    let Some(token) = &options.token else {
        let user = percent_encode(&options.user);
        let meeting = percent_encode(&options.meeting);
        return (format!("/lobby/{user}/{meeting}"), options.meeting.clone());
    };
    let path = format!("/lobby?token={}", percent_encode(token.as_str()));
    let claims = unverified_claims(token);
    let meeting = claims.map_or_else(|| options.meeting.clone(), |claims| claims.meeting);
    (path, meeting)
}

/// RFC 3986, section 2.1: everything but unreserved characters.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Differs between clients, which is all that the backoff needs.
fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = since.map_or(0, |since| since.as_nanos() as u64);
    time ^ (u64::from(std::process::id()) << 40)
}

#[cfg(test)]
mod tests {
    use super::percent_encode;

    #[test]
    fn names_of_any_language_become_one_path_segment() {
        assert_eq!(percent_encode("a-b/c é"), "a-b%2Fc%20%C3%A9");
    }
}
