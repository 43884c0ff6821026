//! Writes a meeting to WebM files: each participant and each screen as they were sent, and if
//! asked for the whole meeting in one picture. Every file plays wherever the recording is cut off.

mod composed;
mod part;

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use serde_json::json;
use videocall_client::core::session::{Event, MediaIn};
use videocall_types::{
    ids::{MediaKind, SessionId},
    wire::{Participant as Person, PublishState, Subscribe},
};

use self::{composed::Composed, part::Part};
use crate::{
    args::RecordArgs,
    clock::Clock,
    exit::Failure,
    identity::Identity,
    participants::{Next, Participant},
    progress::Progress,
    signals,
    supervisor::Supervisor,
};

/// Participants and screens that are recorded at most.
const FILES: usize = 64;
const TICK: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// Runs the command.
pub async fn run(args: RecordArgs) -> Result<(), Failure> {
    let identity = Identity::of(&args.join)?;
    let folder = args.directory.display().to_string();
    fs::create_dir_all(&args.directory).map_err(|error| Failure::output(&folder, error))?;
    let clock = Clock::new();
    let composed = args
        .composed
        .as_deref()
        .map(|path| Composed::start(path, clock))
        .transpose()?;
    let everything = Subscribe {
        all: true,
        wants: Vec::new(),
    };
    let publish = PublishState::default();
    let participant = Participant::join(&args.join, identity, publish, everything).await?;
    let mut recording = Recording::new(args.directory, clock, composed);
    let done = recording.run(participant, args.join.duration).await;
    // Whatever happened: the other files end well.
    let finished = recording.finish().await;
    done.and(finished)
}

/// Camera with microphone, or a screen with its sound.
type Key = (SessionId, bool);

struct Recording {
    folder: PathBuf,
    parts: HashMap<Key, Part>,
    /// There were more, which was told.
    is_full: bool,
    composed: Option<Composed>,
    clock: Clock,
    progress: Progress,
    supervisor: Supervisor,
}

impl Recording {
    fn new(folder: PathBuf, clock: Clock, composed: Option<Composed>) -> Self {
        Self {
            folder,
            parts: HashMap::new(),
            is_full: false,
            composed,
            clock,
            progress: Progress::new(),
            supervisor: Supervisor::default(),
        }
    }

    /// Until a signal, the end of the duration or of the session.
    async fn run(
        &mut self,
        mut participant: Participant,
        duration: Option<Duration>,
    ) -> Result<(), Failure> {
        let handle = participant.client.handle();
        let mut end = std::pin::pin!(signals::end(duration));
        let mut tick = tokio::time::interval(TICK);
        let mut each_second = tokio::time::interval(SECOND);
        let mut left = false;
        loop {
            tokio::select! {
                next = participant.next() => match next? {
                    Next::Event(Event::Media(packet)) => {
                        if !left {
                            self.take(packet);
                        }
                    }
                    Next::Event(event) => self.happened(&event),
                    Next::Over => return Ok(()),
                },
                _ = tick.tick() => {
                    for (session, kind) in self.write(&handle.roster())? {
                        let _ = handle.request_keyframe(session, kind).await;
                    }
                }
                _ = each_second.tick() => {
                    self.supervisor.alive();
                    self.close_left(&handle.roster());
                    if let Some(composed) = &mut self.composed
                        && !composed.present(&handle.roster())
                    {
                        // It failed: why is told when it is finished.
                        return Ok(());
                    }
                }
                () = &mut end, if !left => {
                    self.supervisor.stopping();
                    left = true;
                    let _ = handle.leave().await;
                }
            }
        }
    }

    fn happened(&mut self, event: &Event) {
        self.progress.session(event);
        match event {
            Event::Joined(_) => {
                self.supervisor.ready();
                self.supervisor.status("recording");
            }
            Event::Reconnecting { reason, .. } => {
                self.supervisor.status(&format!("reconnecting: {reason}"));
            }
            _ => {}
        }
    }

    fn take(&mut self, packet: MediaIn) {
        let now = self.clock.elapsed();
        if let Some(composed) = &self.composed {
            composed.take(now, packet.clone());
        }
        let kind = packet.routing.kind;
        let is_screen = matches!(kind, MediaKind::Screen | MediaKind::ScreenAudio);
        let key = (packet.session, is_screen);
        if !self.parts.contains_key(&key) {
            if self.parts.len() >= FILES {
                if !std::mem::replace(&mut self.is_full, true) {
                    self.progress.tell("full", &json!({ "files": FILES }));
                }
                return;
            }
            self.parts.insert(key, Part::new(&self.folder, key, now));
        }
        if let Some(part) = self.parts.get_mut(&key) {
            part.take(now, packet);
        }
    }

    /// Writes what is in order; gives the streams that a keyframe is needed of.
    fn write(&mut self, roster: &[Person]) -> Result<Vec<(SessionId, MediaKind)>, Failure> {
        let now = self.clock.elapsed();
        let mut keyframes = Vec::new();
        for ((session, _), part) in &mut self.parts {
            let known = roster.iter().find(|it| it.session_id == session.get());
            let begun = part.write(now, known.map(|person| &*person.display_name))?;
            if begun {
                let figures = json!({ "name": part.name(), "file": part.file() });
                self.progress.tell("recording", &figures);
            }
            keyframes.extend(part.wants_keyframe(now).map(|kind| (*session, kind)));
        }
        if let Some(composed) = &mut self.composed {
            keyframes.extend(composed.keyframes());
        }
        Ok(keyframes)
    }

    /// Ends the files of those who have left and do not come back.
    fn close_left(&mut self, roster: &[Person]) {
        let now = self.clock.elapsed();
        let progress = &self.progress;
        self.parts.retain(|(session, _), part| {
            let there = roster
                .iter()
                .any(|person| person.session_id == session.get());
            if there || !part.is_over(now) {
                return true;
            }
            // What cannot be written is told by the next one that is written to.
            if matches!(part.finish(now), Ok(true)) {
                progress.tell("recorded", &json!({ "file": part.file() }));
            }
            false
        });
    }

    /// Ends all files; the first failure counts.
    async fn finish(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        for (_, mut part) in self.parts.drain() {
            let file = part.file();
            match part.finish(self.clock.elapsed()) {
                Ok(true) => self.progress.tell("recorded", &json!({ "file": file })),
                Ok(false) => {}
                Err(failure) => result = result.and(Err(failure)),
            }
        }
        if let Some(composed) = self.composed.take() {
            let file = composed.file();
            match composed.finish().await {
                Ok(()) => self.progress.tell("recorded", &json!({ "file": file })),
                Err(failure) => result = result.and(Err(failure)),
            }
        }
        result
    }
}
