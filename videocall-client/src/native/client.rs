//! The task that runs a session.

use std::{
    pin::pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{self, Instant},
};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    view::Routing,
    wire::{MediaPacket, Participant, PublishState, ReceiverReport, Subscribe},
};

use super::{
    link::{self, Incoming, Link, OpenError, Servers},
    servers::Choice,
};
use crate::core::session::{Event, Session};

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
    /// Name of the meeting.
    pub meeting: String,
    /// Id of the guest.
    pub user: String,
    /// Name that the others see.
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
    Report(ReceiverReport),
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
}

impl Client {
    /// Starts to join. Must be called within a tokio runtime. How it goes is told by
    /// [`next_event`](Self::next_event).
    pub fn join(options: JoinOptions) -> Self {
        let (commands, for_task) = mpsc::channel(QUEUE);
        let (to_program, events) = mpsc::channel(QUEUE);
        let (to_roster, roster) = watch::channel(Vec::new());
        let driver = Driver::new(options, for_task, to_program, to_roster);
        Self {
            events,
            handle: Handle { commands, roster },
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

    /// Tells how reception is.
    pub async fn report(&self, report: ReceiverReport) -> Result<(), Stopped> {
        self.command(Command::Report(report)).await
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
    link: Option<Link>,
    connect: bool,
    over: bool,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    roster: watch::Sender<Vec<Participant>>,
}

impl Driver {
    fn new(
        options: JoinOptions,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        roster: watch::Sender<Vec<Participant>>,
    ) -> Self {
        let path = format!(
            "/lobby/{}/{}",
            percent_encode(&options.user),
            percent_encode(&options.meeting)
        );
        let mut session = Session::new(options.display_name, options.program, seed());
        session.set_publish(options.publish);
        session.set_subscribe(options.subscribe);
        Self {
            session,
            choice: Choice::new(options.servers),
            path,
            start: Instant::now(),
            link: None,
            connect: false,
            over: false,
            commands,
            events,
            roster,
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
            link.close().await;
        }
    }

    /// Opens a connection; commands are heard meanwhile.
    async fn open(&mut self) {
        let (now, path) = (self.now(), self.path.clone());
        let mut choice = std::mem::replace(&mut self.choice, Choice::new(Vec::new()));
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
            Ok(link) => {
                self.link = Some(link);
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
        let deadline = self.session.deadline().map(|at| self.start + at);
        let timer = async {
            match deadline {
                Some(at) => time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
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
            }
        }
    }

    /// Returns whether that ended the session.
    fn obey(&mut self, command: Option<Command>) -> bool {
        match command {
            Some(Command::Publish(publish)) => self.session.set_publish(publish),
            Some(Command::Subscribe(subscribe)) => self.session.set_subscribe(subscribe),
            Some(Command::Keyframe(of, kind)) => self.session.request_keyframe(of, kind),
            Some(Command::Report(report)) => self.session.report(report),
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
        while let Some(transmit) = self.session.poll_transmit() {
            choked |= self.link.as_ref().is_some_and(|link| !link.send(transmit));
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
                Event::Reconnecting { retry_after, .. } => {
                    self.link = None;
                    let now = self.start.elapsed();
                    self.choice.failed(now, *retry_after);
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
                Event::Media(_) if self.events.capacity() < RESERVED => continue,
                _ => {}
            }
            if self.events.send(event).await.is_err() {
                self.over = true;
            }
        }
    }
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
