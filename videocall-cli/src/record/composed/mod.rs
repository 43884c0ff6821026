//! The whole meeting in one file: cameras in a grid, or beside a screen that is shared, and all
//! sound mixed.
//!
//! All is brought to one time, that of the recorder: what arrives is placed by its capture time and
//! the shortest way that packets of its publisher took, and composed a moment later, so that
//! picture and sound belong together however they came.

mod canvas;
mod composer;
mod layout;
mod line;
mod voice;

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::mpsc;
use videocall_client::core::session::MediaIn;
use videocall_types::{
    ids::{MediaKind, SessionId},
    wire::Participant as Person,
};

use self::composer::Composer;
use super::part::create;
use crate::{clock::Clock, exit::Failure};

/// Messages that wait for the composer at most; media that finds no place is lost.
const QUEUE: usize = 1024;
/// Streams of pictures or sound that are taken at most.
const STREAMS: usize = 256;
/// A frame of sound, of which two make a picture.
const TICK: Duration = Duration::from_millis(20);

/// A stream of somebody.
type Key = (SessionId, MediaKind);

enum Message {
    Media(Duration, MediaIn),
    /// The streams that there are.
    Present(Vec<Key>),
}

/// The composer on its thread.
pub(super) struct Composed {
    path: PathBuf,
    messages: SyncSender<Message>,
    keyframes: mpsc::Receiver<Key>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Composed {
    pub(super) fn start(path: &Path, clock: Clock) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = create(path).map_err(|error| Failure::output(&name, error))?;
        let (messages, inbox) = sync_channel(QUEUE);
        let (wanted, keyframes) = mpsc::channel(STREAMS);
        let composer = Composer::new(file, name, wanted)?;
        let thread = thread::Builder::new().name("composer".to_owned());
        let thread = thread.spawn(move || run(composer, &inbox, clock));
        Ok(Self {
            path: path.to_owned(),
            messages,
            keyframes,
            thread: thread.map_err(Failure::other)?,
        })
    }

    pub(super) fn file(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn take(&self, now: Duration, packet: MediaIn) {
        // Full: it does not keep up. Gone: `present` finds out why.
        let _ = self.messages.try_send(Message::Media(now, packet));
    }

    /// Tells who is there; `false` if the file cannot be written any more.
    pub(super) fn present(&mut self, roster: &[Person]) -> bool {
        let streams = roster.iter().flat_map(|person| {
            let session = SessionId::new(person.session_id);
            let kinds = person.streams.iter().map(|stream| stream.kind());
            kinds.filter_map(move |kind| Some((session?, kind)))
        });
        let _ = self.messages.try_send(Message::Present(streams.collect()));
        !self.thread.is_finished()
    }

    /// Streams that a keyframe is needed of.
    pub(super) fn keyframes(&mut self) -> Vec<Key> {
        std::iter::from_fn(|| self.keyframes.try_recv().ok()).collect()
    }

    pub(super) async fn finish(self) -> Result<(), Failure> {
        drop(self.messages);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        let panicked = || Failure::other("the composer panicked");
        joined
            .map_err(Failure::other)?
            .unwrap_or_else(|_| Err(panicked()))
    }
}

fn run(mut composer: Composer, inbox: &Receiver<Message>, clock: Clock) -> Result<(), Failure> {
    loop {
        let due = composer.due();
        let mut next = inbox.recv_timeout(due.saturating_sub(clock.elapsed()));
        // What came until now is taken before anything of now is composed: where composing is slow,
        // sound that came in time must not be found too late.
        let now = clock.elapsed();
        for more in (0..QUEUE).rev() {
            match next {
                Ok(Message::Media(at, packet)) => composer.take(at, packet),
                Ok(Message::Present(streams)) => composer.keep(now, &streams),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return composer.finish(now),
            }
            if more == 0 {
                break;
            }
            next = inbox.recv_timeout(Duration::ZERO);
        }
        composer.compose(now)?;
    }
}
