//! Plays encoded frames from an IVF or WebM file, again and again, at the times that it gives them.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use videocall_codec::{
    VideoCodec, ivf,
    vp9::is_keyframe,
    webm::{self, TrackKind},
};
use videocall_types::{
    limits::MAX_PACKET_BYTES,
    wire::{StreamDemand, video_metadata::Codec},
};

use super::{super::stamp::TEMPORAL_LAYERS, Content, Frame, Picture, Source};
use crate::measure::MessageKind;

/// Largest file: it is held in memory.
const MAX_FILE: u64 = 256 << 20;
/// Largest frame; the rest of a packet is for what is around it.
const MAX_FRAME: usize = MAX_PACKET_BYTES - 4096;
/// From the last frame to the first one of the next round, where the file does not tell.
const LAST_STEP: Duration = Duration::from_millis(33);
/// What an Opus packet usually holds, for the same.
const LAST_SOUND: Duration = Duration::from_millis(20);
/// Level of recorded sound in −dBov: packets do not tell it.
const LEVEL: u8 = 30;
/// More is skipped by a publisher that is late.
const MAX_LATE: Duration = Duration::from_millis(200);

/// What a file holds.
#[derive(Debug, Default)]
pub(in super::super) struct Media {
    /// Of its first video track; empty if it has none, and beginning with a keyframe.
    pictures: Vec<Recorded>,
    form: Option<Picture>,
    /// Of its first audio track.
    sounds: Vec<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    at: Duration,
    keyframe: bool,
    bytes: Bytes,
}

impl Media {
    /// Reads a file.
    ///
    /// # Errors
    /// In words, with the file's name.
    pub(in super::super) fn load(path: &Path) -> Result<Self, String> {
        let of = |text: String| format!("{}: {text}", path.display());
        let mut file = File::open(path).map_err(|error| of(error.to_string()))?;
        let length = file.metadata().map_or(0, |file| file.len());
        if length > MAX_FILE {
            let (mine, most) = (length >> 20, MAX_FILE >> 20);
            return Err(of(format!("{mine} MiB; {most} MiB are read at most")));
        }
        let mut head = [0; 4];
        file.read_exact(&mut head)
            .map_err(|error| of(error.to_string()))?;
        file.seek(SeekFrom::Start(0))
            .map_err(|error| of(error.to_string()))?;
        let media = match &head {
            b"DKIF" => Self::read_ivf(BufReader::new(file)),
            // EBML (RFC 8794, section 11.2.1).
            [0x1a, 0x45, 0xdf, 0xa3] => Self::read_webm(BufReader::new(file)),
            _ => return Err(of("neither IVF nor WebM".to_owned())),
        };
        let mut media = media.map_err(|error| of(error.to_string()))?;
        // What comes before the first keyframe cannot be shown.
        let first = media.pictures.iter().position(|frame| frame.keyframe);
        media
            .pictures
            .drain(..first.unwrap_or(media.pictures.len()));
        if media.pictures.is_empty() && media.sounds.is_empty() {
            return Err(of("no frames of VP8, VP9 or Opus".to_owned()));
        }
        let frames = media.pictures.iter().chain(&media.sounds);
        if let Some(largest) = frames.map(|frame| frame.bytes.len()).max()
            && largest > MAX_FRAME
        {
            return Err(of(format!(
                "a frame of {largest} bytes; a packet holds {MAX_FRAME}"
            )));
        }
        Ok(media)
    }

    fn read_ivf(source: impl Read) -> Result<Self, videocall_codec::ReadError> {
        let mut reader = ivf::Reader::new(source)?;
        let header = *reader.header();
        let mut media = Self {
            form: Some(picture(
                header.codec,
                header.width.into(),
                header.height.into(),
            )),
            ..Self::default()
        };
        while let Some(frame) = reader.next_frame()? {
            media.pictures.push(Recorded {
                at: Duration::from_micros(header.microseconds(frame.pts)),
                keyframe: is_keyframe(header.codec, &frame.data),
                bytes: frame.data,
            });
        }
        Ok(media)
    }

    fn read_webm(source: impl Read) -> Result<Self, videocall_codec::ReadError> {
        let mut reader = webm::Reader::new(source)?;
        let mut media = Self::default();
        let (mut video, mut audio) = (None, None);
        for track in reader.tracks() {
            match &track.kind {
                TrackKind::Video(form) if video.is_none() => {
                    video = Some(track.number);
                    media.form = Some(picture(form.codec, form.width, form.height));
                }
                TrackKind::Audio(_) if audio.is_none() => audio = Some(track.number),
                _ => {}
            }
        }
        while let Some(frame) = reader.next_frame()? {
            let to = match Some(frame.track) {
                track if track == video => &mut media.pictures,
                track if track == audio => &mut media.sounds,
                _ => continue,
            };
            to.push(Recorded {
                at: Duration::from_micros(frame.pts_us),
                keyframe: frame.keyframe,
                bytes: frame.data,
            });
        }
        Ok(media)
    }

    /// Size in pixels and mean bits per second of its pictures, if it has any.
    pub(in super::super) fn video(&self) -> Option<(u32, u32, u32)> {
        let form = self.form.filter(|_| !self.pictures.is_empty())?;
        let bytes: usize = self.pictures.iter().map(|frame| frame.bytes.len()).sum();
        let seconds = (0..self.pictures.len())
            .map(|place| step(&self.pictures, place, LAST_STEP).as_secs_f64())
            .sum::<f64>();
        let bitrate = bytes as f64 * 8.0 / seconds.max(0.001);
        Some((form.width, form.height, bitrate as u32))
    }

    pub(in super::super) fn has_sound(&self) -> bool {
        !self.sounds.is_empty()
    }
}

fn picture(codec: VideoCodec, width: u32, height: u32) -> Picture {
    Picture {
        width,
        height,
        codec: match codec {
            VideoCodec::Vp8 => Codec::Vp8,
            VideoCodec::Vp9 => Codec::Vp9Profile0Level108bit,
        },
    }
}

/// The time from a frame to the next, which follows the last one in the next round.
fn step(frames: &[Recorded], place: usize, last: Duration) -> Duration {
    let step = match frames.get(place + 1) {
        Some(next) => next.at.saturating_sub(frames[place].at),
        None => last,
    };
    // A file with times that stand still must not be played all at once.
    step.clamp(Duration::from_millis(1), Duration::from_secs(60))
}

/// The pictures of a file.
#[derive(Debug)]
pub(in super::super) struct RecordedPictures {
    media: Arc<Media>,
    due: Instant,
    place: usize,
    number: u64,
    wanted: bool,
}

impl RecordedPictures {
    /// `None` if the file has no pictures.
    pub(in super::super) fn new(media: Arc<Media>, now: Instant) -> Option<Self> {
        (!media.pictures.is_empty()).then_some(Self {
            media,
            due: now,
            place: 0,
            number: 0,
            wanted: true,
        })
    }

    fn advance(&mut self) {
        self.due += step(&self.media.pictures, self.place, LAST_STEP);
        self.place = (self.place + 1) % self.media.pictures.len();
    }

    /// Goes on at the next keyframe; the first frame is one.
    fn seek_keyframe(&mut self) {
        let rest = self.media.pictures[self.place..].iter();
        let next = rest.clone().position(|frame| frame.keyframe);
        self.place = next.map_or(0, |next| self.place + next);
    }
}

impl Source for RecordedPictures {
    fn next_due(&self) -> Instant {
        self.due
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Frame>) {
        if now.saturating_duration_since(self.due) > MAX_LATE {
            self.skip(now);
        }
        while self.due <= now {
            let (planned, media) = (self.due, self.media.clone());
            let frame = &media.pictures[self.place];
            self.advance();
            if !self.wanted {
                continue;
            }
            self.number += 1;
            out.push(Frame {
                planned,
                kind: MessageKind::Video,
                spatial: 0,
                temporal: 0,
                keyframe: frame.keyframe,
                depends_back: u8::from(!frame.keyframe),
                number: self.number,
                counts: [self.number as u32; TEMPORAL_LAYERS],
                content: Content::Recorded(frame.bytes.clone()),
                picture: media.form,
                level: 0,
                since: None,
            });
        }
    }

    fn skip(&mut self, now: Instant) {
        while self.due <= now {
            self.advance();
        }
        // Each frame needs the one before it.
        self.seek_keyframe();
    }

    fn demand(&mut self, demand: &StreamDemand) {
        let wanted = demand.spatial_mask & 1 == 1;
        if wanted && !self.wanted {
            self.seek_keyframe();
        }
        self.wanted = wanted;
    }

    fn request_keyframe(&mut self, _spatial: u32) {
        self.seek_keyframe();
    }
}

/// The sound of a file.
#[derive(Debug)]
pub(in super::super) struct RecordedSound {
    media: Arc<Media>,
    due: Instant,
    place: usize,
    number: u64,
}

impl RecordedSound {
    /// `None` if the file has no sound.
    pub(in super::super) fn new(media: Arc<Media>, now: Instant) -> Option<Self> {
        (!media.sounds.is_empty()).then_some(Self {
            media,
            due: now,
            place: 0,
            number: 0,
        })
    }
}

impl Source for RecordedSound {
    fn next_due(&self) -> Instant {
        self.due
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Frame>) {
        while self.due <= now {
            let sounds = &self.media.sounds;
            self.number += 1;
            out.push(Frame {
                planned: self.due,
                kind: MessageKind::Audio,
                spatial: 0,
                temporal: 0,
                keyframe: false,
                depends_back: 0,
                number: self.number,
                counts: [self.number as u32; TEMPORAL_LAYERS],
                content: Content::Recorded(sounds[self.place].bytes.clone()),
                picture: None,
                level: LEVEL,
                since: None,
            });
            self.due += step(sounds, self.place, LAST_SOUND);
            self.place = (self.place + 1) % sounds.len();
        }
    }

    fn skip(&mut self, now: Instant) {
        while self.due <= now {
            self.due += step(&self.media.sounds, self.place, LAST_SOUND);
            self.place = (self.place + 1) % self.media.sounds.len();
        }
    }
}
