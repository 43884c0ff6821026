//! Draws, mixes, encodes and writes.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    time::Duration,
};

use tokio::sync::mpsc::Sender;
use videocall_client::core::session::MediaIn;
use videocall_codec::{
    VideoCodec,
    opus::{self, Channels, DELAY_SAMPLES, FRAME_SAMPLES},
    vp9::{Encoder, EncoderConfig},
    webm::{AudioTrack, VideoTrack, Writer, WriterConfig},
    yuv::I420,
};
use videocall_types::{
    ids::{MediaKind, SessionId},
    view::Routing,
    wire::{MediaPacket, Message as _},
};

use super::{
    Key, STREAMS, TICK,
    canvas::{Brush, Canvas},
    layout::{self, HEIGHT, WIDTH},
    line::Line,
    voice::Voice,
};
use crate::{exit::Failure, pictures::Pictures};

/// How long after its arrival everything is composed: as long as packets may be late.
const DELAY: Duration = Duration::from_millis(400);
/// Pictures a second.
const FPS: u32 = 25;
/// Frames of sound for each picture.
const TICKS_A_PICTURE: u64 = 2;
/// Of the composed picture, in bits a second.
const BITRATE: u32 = 2_000_000;
/// A keyframe every five seconds, so that players can seek.
const KEYFRAME_INTERVAL: u32 = 5 * FPS;
/// Cameras that are decoded at most: a grid of four by four.
const CAMERAS: usize = 16;
/// Decoded pictures of one camera that wait for their time.
const WAITING: usize = 20;
/// A stream that nobody tells of, as with older clients, is gone when nothing came for so long.
const GONE: Duration = Duration::from_secs(3);
/// How fast the sound comes back after it was turned down for a loud moment, each 20 ms.
const RECOVERY: f32 = 0.02;

pub(super) struct Composer {
    name: String,
    writer: Writer<File>,
    encoder: Encoder,
    voice_encoder: opus::Encoder,
    keyframes: Sender<Key>,
    lines: HashMap<SessionId, Line>,
    /// In the order in which they came.
    shown: Vec<(Key, Shown)>,
    voices: HashMap<Key, Voice>,
    /// When the last packet of each stream came.
    heard: HashMap<Key, Duration>,
    canvas: Canvas,
    /// Everything is to be drawn anew.
    changed: bool,
    /// Ticks that are composed, since the first packet.
    ticks: u64,
    start: Option<Duration>,
    gain: f32,
}

/// A camera or screen.
#[derive(Default)]
struct Shown {
    pictures: Pictures,
    /// Decoded, with the local time at which each belongs, in microseconds.
    waiting: VecDeque<(i64, I420)>,
    /// Memory of pictures that were shown.
    spare: Vec<I420>,
    current: Option<I420>,
    brush: Brush,
}

impl Composer {
    pub(super) fn new(file: File, name: String, keyframes: Sender<Key>) -> Result<Self, Failure> {
        let config = WriterConfig {
            video: Some(VideoTrack {
                codec: VideoCodec::Vp9,
                width: WIDTH,
                height: HEIGHT,
            }),
            audio: Some(AudioTrack {
                channels: Channels::Mono,
                pre_skip: DELAY_SAMPLES,
            }),
            application: concat!("videocall-cli ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let writer = Writer::seekable(file, config);
        let writer = writer.map_err(|error| Failure::output(&name, error))?;
        let encoder = EncoderConfig {
            speed: 8,
            threads: 2,
            // A picture that is left out would leave a gap; there is no network to spare.
            drop_frames: false,
            keyframe_interval: Some(KEYFRAME_INTERVAL),
            ..EncoderConfig::new(WIDTH, HEIGHT, FPS, BITRATE)
        };
        let sound = opus::EncoderConfig::new(Channels::Mono, opus::Sound::Music);
        Ok(Self {
            name,
            writer,
            encoder: Encoder::new(encoder).map_err(Failure::other)?,
            voice_encoder: opus::Encoder::new(&sound).map_err(Failure::other)?,
            keyframes,
            lines: HashMap::new(),
            shown: Vec::new(),
            voices: HashMap::new(),
            heard: HashMap::new(),
            canvas: Canvas::new().map_err(Failure::other)?,
            changed: false,
            ticks: 0,
            start: None,
            gain: 1.0,
        })
    }

    /// When [`compose`](Self::compose) has something to do.
    pub(super) fn due(&self) -> Duration {
        let start = self.start.unwrap_or(Duration::MAX / 2);
        start + DELAY + TICK * u32::try_from(self.ticks + 1).unwrap_or(u32::MAX)
    }

    /// Takes what came at that time.
    pub(super) fn take(&mut self, at: Duration, packet: MediaIn) {
        let (session, routing) = (packet.session, packet.routing);
        if self.lines.len() >= STREAMS && !self.lines.contains_key(&session) {
            return;
        }
        let Ok(media) = MediaPacket::decode(packet.payload) else {
            return;
        };
        let line = self.lines.entry(session).or_default();
        line.arrived(at, routing.capture_us);
        self.start.get_or_insert(at);
        let key = (session, routing.kind);
        self.heard.insert(key, at);
        if routing.is_audio() {
            if !self.voices.contains_key(&key) {
                let Ok(voice) = Voice::new() else { return };
                if self.voices.len() >= STREAMS {
                    return;
                }
                self.voices.insert(key, voice);
            }
            if let Some(voice) = self.voices.get_mut(&key) {
                voice.take(&routing, media.data, line);
            }
            return;
        }
        if self.add(key) {
            let line = *line_of(&self.lines, session);
            if let Some((_, shown)) = self.shown.iter_mut().find(|(known, _)| *known == key) {
                shown.take(at, routing, media.data, &line);
            }
        }
    }

    /// Whether there is a place for it.
    fn add(&mut self, key: Key) -> bool {
        if self.shown.iter().any(|(known, _)| *known == key) {
            return true;
        }
        let same = self.shown.iter().filter(|(known, _)| known.1 == key.1);
        // Of several screens the last one is shown.
        let room = key.1 == MediaKind::Screen || same.count() < CAMERAS;
        if room && self.shown.len() < STREAMS {
            self.shown.push((key, Shown::default()));
            self.changed = true;
        }
        room
    }

    /// Forgets all streams but these and those that came just now.
    pub(super) fn keep(&mut self, now: Duration, streams: &[Key]) {
        self.heard
            .retain(|key, at| streams.contains(key) || now < *at + GONE);
        let heard = &self.heard;
        let before = self.shown.len();
        self.shown.retain(|(key, _)| heard.contains_key(key));
        self.changed |= self.shown.len() != before;
        self.voices.retain(|key, _| heard.contains_key(key));
        let there = |session: &SessionId| heard.keys().any(|(of, _)| of == session);
        self.lines.retain(|session, _| there(session));
    }

    /// Composes what is due.
    pub(super) fn compose(&mut self, now: Duration) -> Result<(), Failure> {
        for (key, shown) in &mut self.shown {
            let line = line_of(&self.lines, key.0);
            shown.decode(now, line);
            if shown.pictures.wants_keyframe(now) {
                // One that finds no place is asked for again.
                let _ = self.keyframes.try_send(*key);
            }
        }
        let Some(start) = self.start else {
            return Ok(());
        };
        while self.due() <= now {
            let at = start + TICK * u32::try_from(self.ticks).unwrap_or(u32::MAX);
            self.write_sound(at)?;
            self.ticks += 1;
            // Behind: sound must be whole, pictures need not.
            let behind = self.due() + 2 * TICK < now;
            if self.ticks.is_multiple_of(TICKS_A_PICTURE) && !behind {
                self.write_picture(at)?;
            }
        }
        Ok(())
    }

    fn write_sound(&mut self, at: Duration) -> Result<(), Failure> {
        let mut mixed = [0.0; FRAME_SAMPLES];
        let from = at.as_micros() as i64 * i64::from(opus::SAMPLE_RATE) / 1_000_000;
        for voice in self.voices.values_mut() {
            voice.mix(from, &mut mixed);
        }
        let peak = mixed.iter().fold(0.0f32, |peak, it| peak.max(it.abs()));
        self.gain = (self.gain + RECOVERY).min(1.0 / peak.max(1.0));
        mixed.iter_mut().for_each(|sample| *sample *= self.gain);
        let packet = self.voice_encoder.encode(&mixed).map_err(Failure::other)?;
        let written = self.writer.write_audio(self.pts_us(at), &packet.data);
        written.map_err(|error| Failure::output(&self.name, error))
    }

    fn write_picture(&mut self, at: Duration) -> Result<(), Failure> {
        self.draw(at.as_micros() as i64);
        let pts_us = self.pts_us(at);
        let encoded = self.encoder.encode(&self.canvas.picture, pts_us);
        let Some(frame) = encoded.map_err(Failure::other)? else {
            return Ok(());
        };
        let written = self.writer.write_video(pts_us, frame.keyframe, &frame.data);
        written.map_err(|error| Failure::output(&self.name, error))
    }

    fn pts_us(&self, at: Duration) -> u64 {
        at.saturating_sub(self.start.unwrap_or_default())
            .as_micros() as u64
    }

    /// Brings the canvas to that time.
    fn draw(&mut self, at_us: i64) {
        let mut fresh = Vec::with_capacity(self.shown.len());
        for (_, shown) in &mut self.shown {
            let first = shown.current.is_none();
            let new = shown.advance(at_us);
            // The first picture takes a place.
            self.changed |= first && new;
            fresh.push(new);
        }
        let visible = |(_, (_, shown)): &(usize, &(Key, Shown))| shown.current.is_some();
        let all = || self.shown.iter().enumerate().filter(visible);
        let of = |kind| move |(_, (key, _)): &(usize, &(Key, Shown))| key.1 == kind;
        let screen = all().rfind(of(MediaKind::Screen));
        let screen = screen.map(|(index, _)| index);
        let cameras = all().filter(of(MediaKind::Video)).map(|(index, _)| index);
        let cameras: Vec<usize> = cameras.collect();
        let (large, small) = layout::areas(screen.is_some(), cameras.len());
        let all_anew = std::mem::take(&mut self.changed);
        if all_anew {
            self.canvas.clear();
        }
        let places = screen
            .into_iter()
            .zip(large)
            .chain(cameras.into_iter().zip(small));
        for (index, area) in places {
            if !all_anew && !fresh[index] {
                continue;
            }
            let (_, shown) = &mut self.shown[index];
            if let Some(picture) = &shown.current {
                // A picture that cannot be scaled is not shown.
                let _ = self.canvas.draw(&mut shown.brush, picture, area);
            }
        }
    }

    /// Composes what is there, and ends the file.
    pub(super) fn finish(mut self, now: Duration) -> Result<(), Failure> {
        self.compose(now + DELAY)?;
        let finished = self.writer.finish();
        finished.map_err(|error| Failure::output(&self.name, error))?;
        Ok(())
    }
}

/// Every stream has one.
fn line_of(lines: &HashMap<SessionId, Line>, session: SessionId) -> &Line {
    const UNKNOWN: &Line = &Line::UNKNOWN;
    lines.get(&session).unwrap_or(UNKNOWN)
}

impl Shown {
    fn take(&mut self, at: Duration, routing: Routing, frame: bytes::Bytes, line: &Line) {
        self.pictures.push(at, routing, frame);
        self.decode(at, line);
    }

    fn decode(&mut self, now: Duration, line: &Line) {
        while self.waiting.len() < WAITING {
            let spare = self.spare.pop().or_else(|| I420::black(2, 2).ok());
            let Some(mut picture) = spare else { return };
            let Some(routing) = self.pictures.next(now, &mut picture) else {
                self.spare.push(picture);
                return;
            };
            let local = line.local_us(routing.capture_us);
            self.waiting.push_back((local, picture));
        }
    }

    /// Takes the picture of that time; tells whether it is another than before.
    fn advance(&mut self, at_us: i64) -> bool {
        let mut new = false;
        while let Some((local, _)) = self.waiting.front()
            && *local <= at_us
        {
            let Some((_, picture)) = self.waiting.pop_front() else {
                break;
            };
            self.spare.extend(self.current.replace(picture));
            new = true;
        }
        new
    }
}
