//! Receives, decodes and measures.

mod receiver;
mod sinks;

use std::{
    collections::HashMap,
    sync::mpsc::{
        Receiver as StdReceiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::mpsc;
use videocall_client::{
    core::session::{Event, MediaIn},
    native::Handle,
};
use videocall_types::{
    ids::{MediaKind, SessionId},
    wire::{Participant as Person, PublishState, Subscribe},
};

use self::{receiver::Receiver, sinks::Sinks};
use crate::{
    args::WatchArgs,
    clock::Clock,
    exit::Failure,
    identity::Identity,
    participants::{Next, Participant},
    progress::Progress,
    signals,
};

/// Packets that wait for the decoders at most.
const QUEUE: usize = 512;
/// Streams that are decoded at most.
const STREAMS: usize = 64;
/// How often decoders look for frames that were waited for.
const TICK: Duration = Duration::from_millis(10);

/// A stream of somebody.
type Key = (SessionId, MediaKind);

/// Runs the command.
pub async fn run(args: WatchArgs) -> Result<(), Failure> {
    let identity = Identity::of(&args.join)?;
    let sinks = Sinks::open(args.y4m.as_deref(), args.wav.as_deref())?;
    let everything = Subscribe {
        all: true,
        wants: Vec::new(),
    };
    let publish = PublishState::default();
    let mut participant = Participant::join(&args.join, identity, publish, everything).await?;
    let handle = participant.client.handle();
    let (media, for_decoders) = sync_channel(QUEUE);
    let (wanted, mut keyframes) = mpsc::channel(STREAMS);
    let decoders = Decoders::new(sinks, args.clock, handle.clone(), wanted);
    let decoding = thread::spawn(move || decoders.run(&for_decoders));
    let mut end = std::pin::pin!(signals::end(args.join.duration));
    let progress = Progress::new();
    let mut left = false;
    loop {
        tokio::select! {
            next = participant.next() => match next? {
                Next::Event(Event::Media(packet)) => {
                    if !hand_over(&media, packet) && !left {
                        left = true;
                        let _ = handle.leave().await;
                    }
                }
                Next::Event(event) => progress.session(&event),
                Next::Over => break,
            },
            Some((session, kind)) = keyframes.recv() => {
                let _ = handle.request_keyframe(session, kind).await;
            }
            () = &mut end, if !left => {
                left = true;
                let _ = handle.leave().await;
            }
        }
    }
    drop(media);
    finish(decoding).await
}

/// `false` when nobody takes media any more. What finds no place is lost, as on a network.
fn hand_over(media: &SyncSender<MediaIn>, packet: MediaIn) -> bool {
    !matches!(media.try_send(packet), Err(TrySendError::Disconnected(_)))
}

async fn finish(decoding: JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    let joined = tokio::task::spawn_blocking(move || decoding.join()).await;
    let panicked = || Failure::other("a decoder panicked");
    joined
        .map_err(Failure::other)?
        .unwrap_or_else(|_| Err(panicked()))
}

/// All decoders, on one thread.
struct Decoders {
    receivers: HashMap<Key, Receiver>,
    sinks: Sinks,
    /// Whose pictures and sound are written.
    chosen: Option<SessionId>,
    look_for_clock: bool,
    handle: Handle,
    keyframes: mpsc::Sender<Key>,
    clock: Clock,
    progress: Progress,
}

impl Decoders {
    fn new(
        sinks: Sinks,
        look_for_clock: bool,
        handle: Handle,
        keyframes: mpsc::Sender<Key>,
    ) -> Self {
        Self {
            receivers: HashMap::new(),
            sinks,
            chosen: None,
            look_for_clock,
            handle,
            keyframes,
            clock: Clock::new(),
            progress: Progress::new(),
        }
    }

    fn run(mut self, media: &StdReceiver<MediaIn>) -> Result<(), Failure> {
        let mut told = Duration::ZERO;
        loop {
            match media.recv_timeout(TICK) {
                Ok(packet) => self.take(packet)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.sinks.finish(),
            }
            if !self.decode()? {
                return self.sinks.finish();
            }
            if self.clock.elapsed() >= told + Duration::from_secs(1) {
                told = self.clock.elapsed();
                self.tell();
            }
        }
    }

    fn take(&mut self, packet: MediaIn) -> Result<(), Failure> {
        let key = (packet.session, packet.routing.kind);
        if !self.receivers.contains_key(&key) {
            if self.receivers.len() >= STREAMS {
                return Ok(());
            }
            let receiver = Receiver::new(key, self.handle.clone(), self.look_for_clock)?;
            self.receivers.insert(key, receiver);
        }
        if key.1 == self.sinks.chosen_by() {
            self.chosen.get_or_insert(key.0);
        }
        if let Some(receiver) = self.receivers.get_mut(&key) {
            receiver.take(self.clock.elapsed(), packet);
        }
        Ok(())
    }

    /// `false`: nobody reads any more what is written.
    fn decode(&mut self) -> Result<bool, Failure> {
        let now = self.clock.elapsed();
        for (key, receiver) in &mut self.receivers {
            // A screen is another picture, of another size.
            let written =
                self.chosen == Some(key.0) && matches!(key.1, MediaKind::Video | MediaKind::Audio);
            let sinks = written.then_some(&mut self.sinks);
            if !receiver.decode(now, &self.clock, sinks)? {
                return Ok(false);
            }
            if receiver.wants_keyframe(now) {
                // One that finds no place is asked for again.
                let _ = self.keyframes.try_send(*key);
            }
        }
        Ok(true)
    }

    /// Tells figures, and forgets who has left.
    fn tell(&mut self) {
        let roster = self.handle.roster();
        self.receivers.retain(|(session, _), receiver| {
            let there = |person: &Person| person.session_id == session.get();
            receiver.has_news() || roster.iter().any(there)
        });
        for receiver in self.receivers.values_mut() {
            self.progress.tell("received", &receiver.figures());
        }
    }
}
