//! Writes what is received as it is: a WebM file for each participant, which plays wherever the
//! recording is cut off.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use videocall_client::core::{
    audio::AudioBuffer,
    session::{Event, MediaIn},
    video::VideoBuffer,
};
use videocall_codec::{
    VideoCodec,
    opus::Channels,
    vp9,
    webm::{AudioTrack, VideoTrack, Writer, WriterConfig},
};
use videocall_types::{
    ids::{MediaKind, SessionId},
    wire::{
        MediaPacket, Message as _, Participant as Person, PublishState, Subscribe, video_metadata,
    },
};

use crate::{
    args::RecordArgs,
    clock::Clock,
    exit::Failure,
    participants::{Next, Participant},
    progress::Progress,
    signals,
};

/// Participants that are recorded at most.
const FILES: usize = 64;
const TICK: Duration = Duration::from_millis(20);
/// Samples that libopus puts in front of a stream, at 48 kHz.
const PRE_SKIP: u16 = 312;

/// Runs the command.
pub async fn run(args: RecordArgs) -> Result<(), Failure> {
    let folder = args.directory.display().to_string();
    fs::create_dir_all(&args.directory).map_err(|error| Failure::output(&folder, error))?;
    let everything = Subscribe {
        all: true,
        wants: Vec::new(),
    };
    let publish = PublishState::default();
    let mut participant = Participant::join(&args.join, publish, everything).await?;
    let handle = participant.client.handle();
    let mut recording = Recording::new(args.directory);
    let mut end = std::pin::pin!(signals::end(args.join.duration));
    let mut tick = tokio::time::interval(TICK);
    let mut left = false;
    loop {
        tokio::select! {
            next = participant.next() => match next? {
                Next::Event(Event::Media(packet)) => recording.take(packet, &handle.roster())?,
                Next::Event(event) => recording.progress.session(&event),
                Next::Over => return recording.finish(),
            },
            _ = tick.tick() => {
                for (session, kind) in recording.write()? {
                    let _ = handle.request_keyframe(session, kind).await;
                }
            }
            () = &mut end, if !left => {
                left = true;
                let _ = handle.leave().await;
            }
        }
    }
}

struct Recording {
    folder: PathBuf,
    people: HashMap<SessionId, Recorded>,
    /// There were more, which was told.
    is_full: bool,
    clock: Clock,
    progress: Progress,
}

/// One participant's file.
struct Recorded {
    name: String,
    path: PathBuf,
    video: VideoBuffer,
    audio: AudioBuffer,
    /// Made with the first keyframe or, if no picture comes, with the first sound.
    writer: Option<Writer<File>>,
    /// Capture time that is the file's beginning.
    start_us: u64,
    /// When the participant was first heard or seen.
    since: Duration,
    sound: Vec<videocall_client::core::audio::AudioPacket>,
    has_video: bool,
    /// As the last keyframe said.
    codec: VideoCodec,
    /// Files before this one.
    parts: u32,
}

/// How long a picture is waited for until a file with sound alone is begun.
const PICTURE_PATIENCE: Duration = Duration::from_secs(3);

impl Recording {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            people: HashMap::new(),
            is_full: false,
            clock: Clock::new(),
            progress: Progress::new(),
        }
    }

    fn take(&mut self, packet: MediaIn, roster: &[Person]) -> Result<(), Failure> {
        // A screen is another picture of the same person; one file holds one.
        if !matches!(packet.routing.kind, MediaKind::Video | MediaKind::Audio) {
            return Ok(());
        }
        let now = self.clock.elapsed();
        if !self.people.contains_key(&packet.session) {
            if self.people.len() >= FILES {
                if !std::mem::replace(&mut self.is_full, true) {
                    self.progress
                        .tell("full", &json!({ "participants": FILES }));
                }
                return Ok(());
            }
            let known = roster
                .iter()
                .find(|person| person.session_id == packet.session.get());
            let name = known.map_or("participant", |person| &person.display_name);
            let recorded = Recorded::new(&self.folder, name, packet.session, now);
            self.people.insert(packet.session, recorded);
        }
        let Some(recorded) = self.people.get_mut(&packet.session) else {
            return Ok(());
        };
        let Ok(media) = MediaPacket::decode(packet.payload) else {
            return Ok(());
        };
        if packet.routing.kind == MediaKind::Video {
            if packet.routing.keyframe {
                recorded.codec = codec_of(&media);
            }
            recorded.video.push(now, packet.routing, media.data);
        } else {
            let routing = packet.routing;
            recorded
                .audio
                .push(&routing, media.data, &mut recorded.sound);
        }
        Ok(())
    }

    /// Writes what is in order; gives the streams that a keyframe is needed of.
    fn write(&mut self) -> Result<Vec<(SessionId, MediaKind)>, Failure> {
        let now = self.clock.elapsed();
        let mut keyframes = Vec::new();
        for (session, recorded) in &mut self.people {
            let before = recorded.writer.is_some();
            recorded
                .write(now)
                .map_err(|error| Failure::output(&recorded.path.display().to_string(), error))?;
            if !before && recorded.writer.is_some() {
                let path = recorded.path.display().to_string();
                let figures = json!({ "name": recorded.name, "file": path });
                self.progress.tell("recording", &figures);
            }
            if recorded.video.wants_keyframe(now) {
                keyframes.push((*session, MediaKind::Video));
            }
        }
        Ok(keyframes)
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.write()?;
        for recorded in self.people.into_values() {
            if let Some(writer) = recorded.writer {
                let path = recorded.path.display().to_string();
                let finished = writer.finish();
                finished.map_err(|error| Failure::output(&path, error))?;
                self.progress.tell("recorded", &json!({ "file": path }));
            }
        }
        Ok(())
    }
}

impl Recorded {
    fn new(folder: &Path, name: &str, session: SessionId, since: Duration) -> Self {
        let file = format!("{}-{}.webm", file_name(name), session.get());
        Self {
            name: name.to_owned(),
            path: folder.join(file),
            video: VideoBuffer::default(),
            audio: AudioBuffer::default(),
            writer: None,
            start_us: 0,
            since,
            sound: Vec::new(),
            has_video: false,
            codec: VideoCodec::Vp9,
            parts: 0,
        }
    }

    fn write(&mut self, now: Duration) -> Result<(), videocall_codec::webm::WriteError> {
        while let Some(frame) = self.video.pop(now) {
            if !self.has_video
                && let Some(size) = vp9::keyframe_size(self.codec, &frame.payload)
            {
                // A camera that comes later: a file that has begun with sound alone has no place
                // for it.
                if let Some(writer) = self.writer.take() {
                    writer.finish()?;
                    self.parts += 1;
                    let stem = self.path.file_stem().unwrap_or_default();
                    let name = format!("{}-{}.webm", stem.to_string_lossy(), self.parts + 1);
                    self.path.set_file_name(name);
                }
                self.begin(frame.routing.capture_us, Some(size))?;
            }
            let (start, has_video) = (self.start_us, self.has_video);
            if let Some(writer) = self.writer.as_mut().filter(|_| has_video)
                && let Some(at) = frame.routing.capture_us.checked_sub(start)
            {
                writer.write_video(at, frame.routing.keyframe, &frame.payload)?;
            }
        }
        if self.writer.is_none()
            && now >= self.since + PICTURE_PATIENCE
            && let Some(first) = self.sound.first()
        {
            self.begin(first.capture_us, None)?;
        }
        if let Some(writer) = &mut self.writer {
            for packet in self.sound.drain(..) {
                // What was said before the first picture has no place.
                if let Some(at) = packet.capture_us.checked_sub(self.start_us) {
                    writer.write_audio(at, &packet.data)?;
                }
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        start_us: u64,
        size: Option<(u32, u32)>,
    ) -> Result<(), videocall_codec::webm::WriteError> {
        let config = WriterConfig {
            video: size.map(|(width, height)| VideoTrack {
                codec: self.codec,
                width,
                height,
            }),
            audio: Some(AudioTrack {
                channels: Channels::Mono,
                pre_skip: PRE_SKIP,
            }),
            application: concat!("videocall-cli ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        self.start_us = start_us;
        self.has_video = size.is_some();
        self.writer = Some(Writer::seekable(File::create(&self.path)?, config)?);
        Ok(())
    }
}

fn codec_of(media: &MediaPacket) -> VideoCodec {
    let metadata = media.video_metadata.as_ref();
    match metadata.map(|metadata| metadata.codec()) {
        Some(video_metadata::Codec::Vp8) => VideoCodec::Vp8,
        _ => VideoCodec::Vp9,
    }
}

/// A name that any file system takes.
fn file_name(name: &str) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || "-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().take(64).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn no_name_leaves_the_folder() {
        assert_eq!(file_name("../../etc/passwd"), "______etc_passwd");
        assert_eq!(file_name("Zoë 1"), "Zoë_1");
    }
}
