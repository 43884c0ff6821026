//! One camera with its microphone, or one screen with its sound, as it was sent.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use videocall_client::core::{
    audio::{AudioBuffer, AudioPacket},
    session::MediaIn,
    video::{VideoBuffer, VideoFrame},
};
use videocall_codec::{
    VideoCodec,
    opus::{Channels, DELAY_SAMPLES},
    webm::{AudioTrack, VideoTrack, WriteError, Writer, WriterConfig},
};
use videocall_types::{
    ids::MediaKind,
    wire::{MediaPacket, Message as _},
};

use super::Key;
use crate::{exit::Failure, pictures};

/// How long a picture is waited for until a file with sound alone is begun.
const PICTURE_PATIENCE: Duration = Duration::from_secs(3);
/// Media may come before it is told whose it is: so long is a name waited for.
const NAME_PATIENCE: Duration = Duration::from_secs(2);
/// Of whom nothing is told.
const NAMELESS: &str = "participant";
/// A session that was lost comes back within this time or as another.
const OVER: Duration = Duration::from_secs(30);
/// Packets of sound that wait for the first picture at most.
const WAITING_SOUND: usize = 500;
/// Names that are tried for a file.
const NAMES: u32 = 1000;

/// What goes into one file, or into several where a picture begins late or changes its codec.
pub(super) struct Part {
    /// Of whom the media is, once that is told.
    name: Option<String>,
    folder: PathBuf,
    key: Key,
    picture: MediaKind,
    video: VideoBuffer,
    audio: AudioBuffer,
    sound: Vec<AudioPacket>,
    /// When the first packet came.
    since: Duration,
    /// When the last packet came.
    heard: Duration,
    /// Made with the first keyframe or, if no picture comes, with the first sound.
    open: Option<Open>,
    path: PathBuf,
}

struct Open {
    writer: Writer<File>,
    /// Capture time that is the file's beginning.
    start_us: u64,
    codec: Option<VideoCodec>,
}

/// Makes a file that was not there: a recording never replaces one.
pub(super) fn create(path: &Path) -> std::io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

impl Part {
    pub(super) fn new(folder: &Path, key: Key, since: Duration) -> Self {
        Self {
            name: None,
            folder: folder.to_owned(),
            key,
            picture: if key.1 {
                MediaKind::Screen
            } else {
                MediaKind::Video
            },
            video: VideoBuffer::default(),
            audio: AudioBuffer::default(),
            sound: Vec::new(),
            since,
            heard: since,
            open: None,
            path: PathBuf::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(NAMELESS)
    }

    /// Of a file, without what tells several apart.
    fn stem(&self) -> String {
        let (session, is_screen) = self.key;
        let kind = if is_screen { "-screen" } else { "" };
        format!("{}-{}{kind}", file_name(self.name()), session.get())
    }

    /// The file that is being written.
    pub(super) fn file(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether nothing came for so long that nothing will, if its publisher has left.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now > self.heard + OVER
    }

    pub(super) fn take(&mut self, now: Duration, packet: MediaIn) {
        self.heard = now;
        let Ok(media) = MediaPacket::decode(packet.payload) else {
            return;
        };
        if packet.routing.is_audio() {
            let routing = packet.routing;
            self.audio.push(&routing, media.data, &mut self.sound);
            // Where a picture is waited for in vain because none can be decoded.
            let excess = self.sound.len().saturating_sub(WAITING_SOUND);
            self.sound.drain(..excess);
        } else {
            self.video.push(now, packet.routing, media.data);
        }
    }

    pub(super) fn wants_keyframe(&mut self, now: Duration) -> Option<MediaKind> {
        self.video.wants_keyframe(now).then_some(self.picture)
    }

    /// Writes what is in order, of one who is known by that name; tells whether a file was begun.
    pub(super) fn write(&mut self, now: Duration, known: Option<&str>) -> Result<bool, Failure> {
        if self.name.is_none() {
            self.name = known.map(str::to_owned);
            if self.name.is_none() && now < self.since + NAME_PATIENCE {
                return Ok(false);
            }
        }
        let mut begun = false;
        while let Some(frame) = self.video.pop(now) {
            begun |= self.write_picture(&frame)?;
        }
        if self.open.is_none()
            && now >= self.since + PICTURE_PATIENCE
            && let Some(first) = self.sound.first()
        {
            self.begin(first.capture_us, None)?;
            begun = true;
        }
        if let Some(open) = &mut self.open {
            for packet in self.sound.drain(..) {
                // What was said before the first picture has no place.
                if let Some(at) = packet.capture_us.checked_sub(open.start_us) {
                    let written = open.writer.write_audio(at, &packet.data);
                    written.map_err(|error| failure(&self.path, error))?;
                }
            }
        }
        Ok(begun)
    }

    fn write_picture(&mut self, frame: &VideoFrame) -> Result<bool, Failure> {
        let keyframe = if frame.routing.keyframe {
            pictures::keyframe(&frame.payload)
        } else {
            None
        };
        let mut begun = false;
        if let Some((codec, size)) = keyframe
            && self
                .open
                .as_ref()
                .is_none_or(|open| open.codec != Some(codec))
        {
            // A file has no place for a camera that comes later, or for another codec.
            self.close()?;
            self.begin(frame.routing.capture_us, Some((codec, size)))?;
            begun = true;
        }
        if let Some(open) = self.open.as_mut().filter(|open| open.codec.is_some())
            && let Some(at) = frame.routing.capture_us.checked_sub(open.start_us)
        {
            let keyframe = frame.routing.keyframe;
            let written = open.writer.write_video(at, keyframe, &frame.payload);
            written.map_err(|error| failure(&self.path, error))?;
        }
        Ok(begun)
    }

    fn begin(
        &mut self,
        start_us: u64,
        picture: Option<(VideoCodec, (u32, u32))>,
    ) -> Result<(), Failure> {
        let config = WriterConfig {
            video: picture.map(|(codec, (width, height))| VideoTrack {
                codec,
                width,
                height,
            }),
            audio: Some(AudioTrack {
                channels: Channels::Mono,
                pre_skip: DELAY_SAMPLES,
            }),
            application: concat!("videocall-cli ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let file = self.create()?;
        let writer = Writer::seekable(file, config).map_err(|error| failure(&self.path, error))?;
        self.open = Some(Open {
            writer,
            start_us,
            codec: picture.map(|(codec, _)| codec),
        });
        Ok(())
    }

    fn create(&mut self) -> Result<File, Failure> {
        for number in 1..=NAMES {
            let suffix = if number > 1 {
                format!("-{number}")
            } else {
                String::new()
            };
            self.path = self.folder.join(format!("{}{suffix}.webm", self.stem()));
            match create(&self.path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                created => return created.map_err(|error| failure(&self.path, error)),
            }
        }
        Err(failure(&self.path, "there are too many of that name"))
    }

    fn close(&mut self) -> Result<bool, Failure> {
        let Some(open) = self.open.take() else {
            return Ok(false);
        };
        let finished = open.writer.finish();
        finished.map_err(|error: WriteError| failure(&self.path, error))?;
        Ok(true)
    }

    /// Ends the file; `false` if there is none.
    pub(super) fn finish(&mut self, now: Duration) -> Result<bool, Failure> {
        let name = self.name().to_owned();
        let written = self.write(now, Some(&name));
        let closed = self.close();
        written.and(closed)
    }
}

fn failure(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::output(&path.display().to_string(), error)
}

/// A name that any file system takes: with what follows it, under 255 bytes.
fn file_name(name: &str) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || "-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().take(48).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        assert_eq!(file_name("../../etc/passwd"), "______etc_passwd");
        assert_eq!(file_name("Zoë 1"), "Zoë_1");
    }

    #[test]
    fn media_that_comes_before_it_is_told_whose_it_is_gets_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let session = videocall_types::ids::SessionId::new(5).unwrap();
        for (known, file) in [(Some("Ann"), "Ann-5.webm"), (None, "participant-5.webm")] {
            let mut part = Part::new(folder.path(), (session, false), Duration::ZERO);
            let routing = videocall_types::view::Routing {
                kind: MediaKind::Audio,
                stream_id: 1,
                spatial: 0,
                temporal: 0,
                keyframe: false,
                depends_back: 0,
                frame_number: 1,
                capture_us: 1,
                audio_level: 30,
                encrypted: false,
            };
            let payload = MediaPacket::default().encode_to_vec().into();
            part.take(
                Duration::ZERO,
                MediaIn {
                    session,
                    routing,
                    payload,
                },
            );
            assert!(!part.write(Duration::ZERO, None).unwrap());
            assert!(part.write(PICTURE_PATIENCE, known).unwrap());
            assert_eq!(part.path, folder.path().join(file));
        }
    }

    #[test]
    fn no_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let session = videocall_types::ids::SessionId::new(5).unwrap();
        let mut part = Part::new(folder.path(), (session, true), Duration::ZERO);
        part.name = Some("Ann".to_owned());
        for name in ["Ann-5-screen.webm", "Ann-5-screen-2.webm"] {
            part.create().unwrap();
            assert_eq!(part.path, folder.path().join(name));
        }
    }
}
