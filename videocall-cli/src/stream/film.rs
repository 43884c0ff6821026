//! Encoded pictures and sound in a file or pipe.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use videocall_codec::{
    Container, ReadError, VideoCodec, ivf,
    vp9::{keyframe_size, vp9_profile},
    webm::{self, TrackKind},
};

use super::input::{self, Input};
use crate::exit::Failure;

/// Frames that are looked at for the first keyframe at most.
const FIRST_FRAMES: usize = 512;

/// VP8 or VP9 and Opus, as they are in the file.
pub(super) struct Film {
    path: PathBuf,
    repeat: bool,
    reader: Reader,
    /// Frames that were read in order to know what is in the file.
    waiting: VecDeque<Frame>,
    picture: Option<Picture>,
    /// Number of the track.
    sound: Option<u64>,
}

/// The pictures of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) codec: VideoCodec,
    pub(super) size: (u32, u32),
    track: u64,
}

/// A frame of a film.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Otherwise sound.
    pub(super) is_picture: bool,
    pub(super) keyframe: bool,
    /// From the beginning of the file.
    pub(super) pts_us: u64,
    pub(super) data: Bytes,
}

enum Reader {
    Ivf(ivf::Reader<Input>),
    Webm(webm::Reader<Input>),
}

/// IVF has one track.
const IVF_TRACK: u64 = 1;

impl Film {
    /// Reads up to the first keyframe, so that what cannot be streamed is said before joining.
    pub(super) fn open(
        path: &Path,
        container: Container,
        source: Input,
        own_sound: bool,
        repeat: bool,
    ) -> Result<Self, Failure> {
        let failure = |error| Failure::input(&input::name(path), error);
        let reader = Reader::new(container, source).map_err(failure)?;
        let (picture, sound) = reader.tracks();
        let mut film = Self {
            path: path.to_owned(),
            repeat,
            reader,
            waiting: VecDeque::new(),
            picture,
            sound: sound.filter(|_| own_sound),
        };
        if film.picture.is_none() && film.sound.is_none() {
            let text = "it has neither VP8 nor VP9 pictures, and no Opus sound to stream";
            return Err(Failure::input(&input::name(path), text));
        }
        film.look_at_first_keyframe()?;
        Ok(film)
    }

    fn look_at_first_keyframe(&mut self) -> Result<(), Failure> {
        let Some(picture) = self.picture else {
            return Ok(());
        };
        let wrong = |text: &str| Err(Failure::input(&input::name(&self.path), text));
        loop {
            let Some(frame) = self.reader.next(self.picture, self.sound).transpose() else {
                return wrong("it holds no keyframe");
            };
            let frame = frame.map_err(|error| Failure::input(&input::name(&self.path), error))?;
            let size = keyframe_size(picture.codec, &frame.data).filter(|_| frame.is_picture);
            let profile = match picture.codec {
                VideoCodec::Vp9 => vp9_profile(&frame.data).unwrap_or(0),
                VideoCodec::Vp8 => 0,
            };
            self.waiting.push_back(frame);
            if let Some(size) = size {
                if profile != 0 {
                    return wrong("VP9 of more than 8 bits or finer than 4:2:0 is not supported");
                }
                self.picture = Some(Picture { size, ..picture });
                return Ok(());
            }
            if self.waiting.len() >= FIRST_FRAMES {
                return wrong("it does not begin with a keyframe");
            }
        }
    }

    /// Of the first keyframe.
    pub(super) fn picture(&self) -> Option<Picture> {
        self.picture
    }

    pub(super) fn has_sound(&self) -> bool {
        self.sound.is_some()
    }

    /// The next frame, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Failure> {
        if let Some(frame) = self.waiting.pop_front() {
            return Ok(Some(frame));
        }
        let next = self.reader.next(self.picture, self.sound);
        let next = next.map_err(|error| Failure::input(&input::name(&self.path), error))?;
        if next.is_none() && !self.repeat && self.reader.is_truncated() {
            return Err(input::cut_off(&self.path));
        }
        Ok(next)
    }

    /// Goes back to the beginning; `false` if the film is shown once only.
    pub(super) fn rewind(&mut self) -> Result<bool, Failure> {
        if !self.repeat {
            return Ok(false);
        }
        let (container, source) = input::open(&self.path)?;
        let failure = |error| Failure::input(&input::name(&self.path), error);
        self.reader = Reader::new(container, source).map_err(failure)?;
        Ok(true)
    }
}

impl Reader {
    fn new(container: Container, source: Input) -> Result<Self, ReadError> {
        Ok(match container {
            Container::Ivf => Self::Ivf(ivf::Reader::new(source)?),
            _ => Self::Webm(webm::Reader::new(source)?),
        })
    }

    /// The first track of each kind.
    fn tracks(&self) -> (Option<Picture>, Option<u64>) {
        match self {
            Self::Ivf(reader) => {
                let picture = Picture {
                    codec: reader.header().codec,
                    size: (0, 0),
                    track: IVF_TRACK,
                };
                (Some(picture), None)
            }
            Self::Webm(reader) => {
                let picture = reader.tracks().iter().find_map(|track| match track.kind {
                    TrackKind::Video(video) => Some(Picture {
                        codec: video.codec,
                        size: (0, 0),
                        track: track.number,
                    }),
                    _ => None,
                });
                let sound = reader
                    .tracks()
                    .iter()
                    .find(|track| matches!(track.kind, TrackKind::Audio(_)));
                (picture, sound.map(|track| track.number))
            }
        }
    }

    /// The next frame of these tracks.
    fn next(
        &mut self,
        picture: Option<Picture>,
        sound: Option<u64>,
    ) -> Result<Option<Frame>, ReadError> {
        match self {
            Self::Ivf(reader) => {
                let header = *reader.header();
                let frame = reader.next_frame()?;
                Ok(frame.map(|frame| Frame {
                    is_picture: true,
                    keyframe: keyframe_size(header.codec, &frame.data).is_some(),
                    pts_us: header.microseconds(frame.pts),
                    data: frame.data,
                }))
            }
            Self::Webm(reader) => loop {
                let Some(frame) = reader.next_frame()? else {
                    return Ok(None);
                };
                let is_picture = picture.is_some_and(|picture| picture.track == frame.track);
                if is_picture || sound == Some(frame.track) {
                    return Ok(Some(Frame {
                        is_picture,
                        keyframe: frame.keyframe,
                        pts_us: frame.pts_us,
                        data: frame.data,
                    }));
                }
            },
        }
    }

    fn is_truncated(&self) -> bool {
        match self {
            Self::Ivf(reader) => reader.is_truncated(),
            Self::Webm(reader) => reader.is_truncated(),
        }
    }
}
