//! The floors: what codecs and connections cost, and nothing beside.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Subcommand;
use tokio::time::{self, Interval};
use videocall_client::core::ladder;
use videocall_codec::{
    VideoCodec,
    opus::{self, Channels, FRAME_SAMPLES},
    vp9::{Decoder, DecoderConfig, Encoder, EncoderConfig},
    webm::{Reader, TrackKind},
    y4m,
    yuv::I420,
};

use super::{COMPOSED_FPS, COMPOSED_STREAMERS, FPS, LARGE, LARGE_BPS, SECONDS, SMALL, SPEED};
use crate::peer::{Address, Peer};

/// Nothing is measured for longer.
const END: Duration = Duration::from_secs(60);
/// Of the composed picture.
const COMPOSED_BPS: u32 = 2_000_000;
const SOUNDS: u32 = 50;

/// Which of them.
#[derive(Subcommand)]
pub(crate) enum Floor {
    /// Encodes pictures at their times, telling how many for each line on its standard input.
    Encode { input: PathBuf },
    /// Reads a film and writes it to the bare loop over QUIC.
    Forward { film: PathBuf, port: u16 },
    /// Decodes films and encodes one picture and one sound of all.
    Compose { film: PathBuf },
}

impl Floor {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Encode { input } => encode(&input).await,
            Self::Forward { film, port } => forward(&film, port).await,
            Self::Compose { film } => compose(&film).await,
        }
    }
}

/// Tells each moment at which something is due that often.
fn pace(per_second: u32) -> (Interval, u32) {
    let pace = time::interval(Duration::from_secs(1) / per_second);
    (pace, per_second * END.as_secs() as u32)
}

async fn encode(input: &Path) -> Result<()> {
    let mut reader = y4m::Reader::new(BufReader::new(File::open(input)?))?;
    let mut pictures = Vec::new();
    let mut picture = I420::black(LARGE.0, LARGE.1)?;
    while reader.next_picture(&mut picture)? {
        pictures.push(picture.clone());
    }
    let mut encoder = Encoder::new(EncoderConfig {
        temporal_layers: ladder::TEMPORAL_LAYERS as u8,
        speed: SPEED,
        ..EncoderConfig::new(LARGE.0, LARGE.1, FPS, LARGE_BPS)
    })?;
    println!("ready");
    let encoded = Arc::new(AtomicU64::new(0));
    let told = encoded.clone();
    thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            println!("{}", told.load(Relaxed));
        }
    });
    let (mut pace, count) = pace(FPS);
    for picture in pictures.iter().cycle().take(count as usize) {
        pace.tick().await;
        if encoder.encode(picture, 0)?.is_some() {
            encoded.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// Frames of a film with their times, and whether each is a picture.
fn frames(film: &Path) -> Result<impl Iterator<Item = Result<(Duration, bool, Bytes)>>> {
    let mut reader = Reader::new(BufReader::new(File::open(film)?))?;
    let mut tracks = reader.tracks().iter();
    let pictures = tracks.find(|track| matches!(track.kind, TrackKind::Video(_)));
    let pictures = pictures.context("no pictures")?.number;
    Ok(std::iter::from_fn(move || {
        let frame = reader.next_frame().transpose()?;
        Some(frame.map_err(Into::into).map(|frame| {
            let at = Duration::from_micros(frame.pts_us);
            (at, frame.track == pictures, frame.data)
        }))
    }))
}

async fn forward(film: &Path, port: u16) -> Result<()> {
    let mut peer = Peer::join(Address::of_floor(port), "", "").await?;
    println!("ready");
    let begin = time::Instant::now();
    for turn in 0..END.as_secs() / SECONDS {
        let begin = begin + Duration::from_secs(turn * SECONDS);
        for frame in frames(film)? {
            let (at, is_picture, data) = frame?;
            time::sleep_until(begin + at).await;
            peer.publish(data, !is_picture).await?;
        }
    }
    Ok(())
}

/// One of those who are composed.
struct Shown {
    pictures: Decoder,
    picture: I420,
    voice: opus::Decoder,
    samples: Vec<f32>,
}

impl Shown {
    fn new() -> Result<Self> {
        Ok(Self {
            pictures: Decoder::new(DecoderConfig::new(VideoCodec::Vp9))?,
            picture: I420::black(SMALL.0, SMALL.1)?,
            voice: opus::Decoder::new(Channels::Mono)?,
            samples: Vec::new(),
        })
    }

    fn take(&mut self, is_picture: bool, data: &[u8]) -> Result<()> {
        if is_picture {
            self.pictures.decode_into(data, &mut self.picture)?;
        } else {
            self.samples.clear();
            self.voice.decode(data, &mut self.samples)?;
        }
        Ok(())
    }
}

async fn compose(film: &Path) -> Result<()> {
    let film: Vec<_> = frames(film)?.collect::<Result<_>>()?;
    let mut shown = Vec::new();
    for _ in 0..COMPOSED_STREAMERS {
        shown.push(Shown::new()?);
    }
    let mut canvas = I420::black(LARGE.0, LARGE.1)?;
    let mut encoder = Encoder::new(EncoderConfig {
        speed: SPEED,
        drop_frames: false,
        keyframe_interval: Some(5 * COMPOSED_FPS),
        ..EncoderConfig::new(LARGE.0, LARGE.1, COMPOSED_FPS, COMPOSED_BPS)
    })?;
    let config = opus::EncoderConfig::new(Channels::Mono, opus::Sound::Music);
    let mut voice = opus::Encoder::new(&config)?;
    println!("ready");
    let turn = |number: u32| Duration::from_secs(SECONDS) * number;
    let all = (0..).flat_map(|number| film.iter().map(move |frame| (turn(number), frame)));
    let mut all = all.peekable();
    let (mut pace, count) = pace(SOUNDS);
    for tick in 0..count {
        pace.tick().await;
        let now = Duration::from_secs(1) * tick / SOUNDS;
        while let Some((_, (_, is_picture, data))) =
            all.next_if(|(begin, (at, ..))| *begin + *at <= now)
        {
            for one in &mut shown {
                one.take(*is_picture, data)?;
            }
        }
        let mut mixed = [0.0; FRAME_SAMPLES];
        for (place, one) in shown.iter().enumerate() {
            for (to, sample) in mixed.iter_mut().zip(&one.samples) {
                *to += sample / COMPOSED_STREAMERS as f32;
            }
            if tick % 2 == 1 {
                draw(&one.picture, place, &mut canvas);
            }
        }
        voice.encode(&mixed)?;
        if tick % 2 == 1 {
            encoder.encode(&canvas, 0)?;
        }
    }
    Ok(())
}

/// Copies a picture to its quarter.
fn draw(picture: &I420, place: usize, canvas: &mut I420) {
    let from = [picture.y(), picture.u(), picture.v()];
    for (plane, (from, to)) in from.into_iter().zip(canvas.planes_mut()).enumerate() {
        let half = |pixels: u32| (pixels >> u32::from(plane > 0)) as usize;
        let (width, height) = (half(SMALL.0), half(SMALL.1));
        let (left, top) = (place % 2 * width, place / 2 * height);
        let rows = to.chunks_exact_mut(half(LARGE.0)).skip(top);
        for (from, to) in from.chunks_exact(width).zip(rows) {
            to[left..][..width].copy_from_slice(from);
        }
    }
}
