//! Inputs: the test picture with a camera's noise, plain or encoded.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::Path,
};

use anyhow::{Context, Result};
use videocall_codec::{
    VideoCodec,
    opus::{self, Channels, DELAY_SAMPLES, FRAME_SAMPLES},
    pattern::{TestPicture, Tone},
    vp9::{Encoder, EncoderConfig},
    webm::{AudioTrack, Reader, VideoTrack, Writer, WriterConfig},
    y4m,
    yuv::I420,
};

use super::{FPS, SECONDS, SPEED};

/// Frames of sound in a second.
const SOUNDS: u64 = 50;

/// Calls `each` with every picture, one after the other.
fn pictures((width, height): (u32, u32), mut each: impl FnMut(&I420) -> Result<()>) -> Result<()> {
    let pattern = TestPicture::new(width, height)?;
    let mut picture = I420::black(width, height)?;
    let mut noise = 1u64;
    for number in 0..SECONDS * u64::from(FPS) {
        pattern.draw(number * 1000 / u64::from(FPS) + 1, number, &mut picture);
        for value in picture.planes_mut()[0].iter_mut() {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            *value = value.saturating_add((noise & 3) as u8);
        }
        each(&picture)?;
    }
    Ok(())
}

/// Writes pictures that nobody has encoded.
pub(super) fn y4m(path: &Path, size: (u32, u32)) -> Result<()> {
    let file = BufWriter::new(File::create(path)?);
    let mut writer = y4m::Writer::new(file, y4m::Header::new(size.0, size.1, FPS))?;
    pictures(size, |picture| Ok(writer.write(picture)?))?;
    writer.finish()?;
    Ok(())
}

/// Writes VP9 and Opus; a keyframe is at the beginning only.
pub(super) fn webm(path: &Path, (width, height): (u32, u32), bitrate_bps: u32) -> Result<()> {
    let config = WriterConfig {
        video: Some(VideoTrack {
            codec: VideoCodec::Vp9,
            width,
            height,
        }),
        audio: Some(AudioTrack {
            channels: Channels::Mono,
            pre_skip: DELAY_SAMPLES,
        }),
        application: "bench".to_owned(),
    };
    let mut writer = Writer::seekable(File::create(path)?, config)?;
    let mut encoder = Encoder::new(EncoderConfig {
        speed: SPEED,
        drop_frames: false,
        ..EncoderConfig::new(width, height, FPS, bitrate_bps)
    })?;
    let mut sound = Sound::new()?;
    let mut number = 0;
    pictures((width, height), |picture| {
        let at = number * 1_000_000 / u64::from(FPS);
        number += 1;
        for (at, packet) in sound.until(at)? {
            writer.write_audio(at, &packet)?;
        }
        let frame = encoder.encode(picture, at)?.context("a frame")?;
        Ok(writer.write_video(at, frame.keyframe, &frame.data)?)
    })?;
    for (at, packet) in sound.until(SECONDS * 1_000_000 - 1)? {
        writer.write_audio(at, &packet)?;
    }
    writer.finish()?;
    Ok(())
}

/// Pictures that a film has for each second, up to its end or to where it is cut off.
pub(super) fn pictures_per_second(path: &Path) -> Result<f64> {
    let mut reader = Reader::new(BufReader::new(File::open(path)?))?;
    let (mut pictures, mut end) = (0, 0);
    while let Some(frame) = reader.next_frame()? {
        // The first track is that of pictures.
        pictures += u32::from(frame.track == 1);
        end = frame.pts_us;
    }
    Ok(f64::from(pictures) * 1e6 / end as f64)
}

/// A tone, encoded.
struct Sound {
    tone: Tone,
    encoder: opus::Encoder,
    number: u64,
}

impl Sound {
    fn new() -> Result<Self> {
        let config = opus::EncoderConfig::new(Channels::Mono, opus::Sound::Speech);
        Ok(Self {
            tone: Tone::new(700.0, 0.3),
            encoder: opus::Encoder::new(&config)?,
            number: 0,
        })
    }

    /// Packets with their times up to this one, in microseconds.
    fn until(&mut self, end: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut packets = Vec::new();
        let mut samples = [0.0; FRAME_SAMPLES];
        loop {
            let at = self.number * 1_000_000 / SOUNDS;
            if at > end {
                return Ok(packets);
            }
            self.number += 1;
            self.tone.fill(at, &mut samples);
            packets.push((at, self.encoder.encode(&samples)?.data.to_vec()));
        }
    }
}
