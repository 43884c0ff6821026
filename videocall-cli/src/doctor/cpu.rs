//! Whether the machine encodes fast enough.

use std::time::Instant;

use videocall_client::core::ladder;
use videocall_codec::{
    pattern::TestPicture,
    vp9::{Encoder, EncoderConfig},
    yuv::{I420, Scaler},
};

use super::{DoctorArgs, report::Finding};
use crate::exit::Failure;

const CHECK: &str = "cpu";
/// Of the time that there is; the rest is for the camera, the network and everybody else.
const COMFORTABLE: f64 = 0.6;
const POSSIBLE: f64 = 0.9;

/// Encodes a second of the test pattern in all sizes that are sent, as `stream` does at most.
pub(super) fn check(args: &DoctorArgs) -> Result<Finding, Failure> {
    let share = share(args)?;
    let (width, height) = args.resolution;
    let found = format!(
        "encoding {width}x{height} at {} a second takes {:.0} % of the time there is",
        args.fps,
        100.0 * share
    );
    let advice = "less work: --speed 9, --fps 15, --no-simulcast, or a smaller --resolution";
    Ok(if share <= COMFORTABLE {
        Finding::ok(CHECK, found)
    } else if share <= POSSIBLE {
        Finding::warn(CHECK, found, advice)
    } else {
        Finding::fail(CHECK, found, advice)
    })
}

fn share(args: &DoctorArgs) -> Result<f64, Failure> {
    let from = args.resolution;
    let pattern = TestPicture::new(from.0, from.1).map_err(Failure::other)?;
    let mut picture = I420::black(from.0, from.1).map_err(Failure::other)?;
    let mut layers = Vec::new();
    for layer in ladder::camera(from.0, from.1) {
        let size = (layer.width, layer.height);
        let config = EncoderConfig {
            temporal_layers: layer.temporal_layers as u8,
            speed: args.speed,
            ..EncoderConfig::new(size.0, size.1, args.fps, layer.bitrate_bps)
        };
        let encoder = Encoder::new(config).map_err(Failure::other)?;
        let scaler = Scaler::new(from, size).map_err(Failure::other)?;
        let scaled = I420::black(size.0, size.1).map_err(Failure::other)?;
        layers.push((encoder, scaler, scaled));
    }
    let start = Instant::now();
    for number in 0..args.fps {
        let time_ms = u64::from(number) * 1000 / u64::from(args.fps);
        pattern.draw(time_ms, u64::from(number), &mut picture);
        for (encoder, scaler, scaled) in &mut layers {
            scaler.scale(&picture, scaled).map_err(Failure::other)?;
            encoder
                .encode(&*scaled, time_ms * 1000)
                .map_err(Failure::other)?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
