//! Whether there are a camera and a microphone, and whether they give something.

use std::time::{Duration, Instant};

use videocall_capture::{
    Camera, CaptureError, Microphone, Wanted, microphone::microphones, offers::cameras,
};
use videocall_codec::{pcm, yuv::I420};

use super::{DoctorArgs, report::Finding};

const CAMERA: &str = "camera";
const MICROPHONE: &str = "microphone";
/// Cameras take seconds to wake up.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(100);
/// Quieter than any room, in −dBov.
const SILENCE: u8 = 85;

/// The camera that was named, or those that there are.
pub(super) fn camera(args: &DoctorArgs) -> Finding {
    if let Some(index) = args.video_device_index {
        return try_camera(index, args).unwrap_or_else(|error| wrong(CAMERA, &error));
    }
    let cameras = cameras();
    let closed = cameras
        .iter()
        .find_map(|camera| camera.formats.as_ref().err());
    if let Some(error) = closed {
        return wrong(CAMERA, error);
    }
    let names = cameras
        .iter()
        .map(|camera| format!("{} ({})", camera.index, camera.name));
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        let advice = "plug one in, or stream a file or the test pattern";
        return Finding::warn(CAMERA, "there is none", advice);
    }
    let found = format!("{}; --video-device-index tries one", names.join(", "));
    Finding::ok(CAMERA, found)
}

fn try_camera(index: u32, args: &DoctorArgs) -> Result<Finding, CaptureError> {
    let (width, height) = args.resolution;
    let wanted = Wanted {
        width,
        height,
        fps: args.fps,
        format: args.frame_format.map(Into::into),
    };
    let mut camera = Camera::open(index, &wanted)?;
    let mut picture = I420::black(width, height).map_err(|error| CaptureError::Other {
        device: format!("/dev/video{index}"),
        step: "its pictures",
        source: std::io::Error::other(error),
    })?;
    let end = Instant::now() + PATIENCE;
    while camera.next(STEP, &mut picture)?.is_none() {
        if Instant::now() > end {
            let found = format!("/dev/video{index} opens, but gives no picture");
            return Ok(Finding::fail(
                CAMERA,
                found,
                "unplug it and plug it in again",
            ));
        }
    }
    let (format, fps) = (camera.format().name(), camera.fps());
    let found = format!("/dev/video{index} gives {width}x{height} in {format}, {fps:.0} a second");
    if fps + 0.5 < f64::from(args.fps) {
        let advice = "in the dark and in other formats cameras are slower: see \
                      `videocall-cli devices`";
        return Ok(Finding::warn(CAMERA, found, advice));
    }
    Ok(Finding::ok(CAMERA, found))
}

/// The microphone that was named, or those that there are.
pub(super) fn microphone(args: &DoctorArgs) -> Finding {
    if let Some(device) = &args.audio_device {
        return try_microphone(device).unwrap_or_else(|error| wrong(MICROPHONE, &error));
    }
    let names = microphones()
        .into_iter()
        .map(|one| format!("{} ({})", one.device, one.name));
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        let advice = "plug one in; if there is one, add your user to its group \
                      (`sudo usermod -aG audio $USER`) and log in again";
        return Finding::warn(MICROPHONE, "there is none", advice);
    }
    let found = format!("{}; --audio-device tries one", names.join(", "));
    Finding::ok(MICROPHONE, found)
}

fn try_microphone(device: &str) -> Result<Finding, CaptureError> {
    let mut microphone = Microphone::open(device)?;
    let end = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    while heard.len() < videocall_capture::microphone::RATE as usize {
        microphone.next(STEP, &mut heard)?;
        if Instant::now() > end && heard.is_empty() {
            let found = format!("{device} opens, but gives no sound");
            return Ok(Finding::fail(
                MICROPHONE,
                found,
                "unplug it and plug it in again",
            ));
        }
        if Instant::now() > end {
            break;
        }
    }
    let level = pcm::level(&heard);
    let found = format!("{device} hears −{level} dB");
    if level >= SILENCE {
        let advice = "that is silence: is it muted, or turned down? `alsamixer` shows it";
        return Ok(Finding::warn(MICROPHONE, found, advice));
    }
    Ok(Finding::ok(MICROPHONE, found))
}

/// The advice is in the error's own words.
fn wrong(check: &'static str, error: &CaptureError) -> Finding {
    let text = error.to_string();
    match text.split_once("; ") {
        Some((found, advice)) => Finding::fail(check, found, advice),
        None => Finding::fail(check, text, "`videocall-cli devices` lists what there is"),
    }
}
