//! Writes seconds of the test picture and tone as WebM, in three temporal layers:
//! `cargo run -p videocall-codec --example test_pattern -- 10 pattern.webm`.

use std::fs::File;

use anyhow::{Context, Result};
use videocall_codec::{
    VideoCodec, opus,
    pattern::{TestPicture, Tone},
    vp9,
    webm::{AudioTrack, VideoTrack, Writer, WriterConfig},
    yuv::I420,
};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;
/// The first of January 2027.
const START_MS: u64 = 1_798_761_600_000;

fn main() -> Result<()> {
    let usage = "give a number of seconds and a file";
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().context(usage)?.parse().context(usage)?;
    let path = arguments.next().context(usage)?;

    let mut video = vp9::Encoder::new(vp9::EncoderConfig {
        temporal_layers: 3,
        ..vp9::EncoderConfig::new(WIDTH, HEIGHT, 25, 400_000)
    })?;
    let channels = opus::Channels::Mono;
    let settings = opus::EncoderConfig::new(channels, opus::Sound::Music);
    let mut audio = opus::Encoder::new(&settings)?;
    let pattern = TestPicture::new(WIDTH, HEIGHT)?;
    let mut picture = I420::black(WIDTH, HEIGHT)?;
    let mut tone = Tone::new(1_000.0, 0.25);
    let mut samples = vec![0.0; opus::FRAME_SAMPLES];
    let config = WriterConfig {
        video: Some(VideoTrack {
            codec: VideoCodec::Vp9,
            width: WIDTH,
            height: HEIGHT,
        }),
        audio: Some(AudioTrack {
            channels,
            pre_skip: audio.lookahead()?,
        }),
        application: "test_pattern".to_owned(),
    };
    let mut writer = Writer::seekable(File::create(path)?, config)?;
    // Two packets of sound for each picture of 40 ms.
    for step in 0..seconds * 50 {
        let pts_us = step * 20_000;
        if step % 2 == 0 {
            pattern.draw(START_MS + pts_us / 1_000, step / 2, &mut picture);
            if let Some(frame) = video.encode(&picture, pts_us)? {
                writer.write_video(pts_us, frame.keyframe, &frame.data)?;
            }
        }
        tone.fill(START_MS * 1_000 + pts_us, &mut samples);
        writer.write_audio(pts_us, &audio.encode(&samples)?.data)?;
    }
    writer.finish()?;
    Ok(())
}
