//! One file of the whole meeting.

use std::{fs::File, io::BufReader, path::Path};

use parking_lot::Mutex;

use videocall_codec::{
    VideoCodec,
    opus::{self, Channels},
    pattern::{find_marks, is_flash, measure_tone, read_clock},
    vp9::{Decoder, DecoderConfig},
    webm,
    yuv::I420,
};

use crate::support::{PATIENCE, RATE, SMALL, Server};

/// Composing takes most of a small machine: one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A part of a picture.
fn cut(picture: &I420, (x, y): (usize, usize), (width, height): (usize, usize)) -> I420 {
    let mut part = I420::black(width as u32, height as u32).unwrap();
    let from = [picture.y(), picture.u(), picture.v()];
    let stride = picture.width() as usize;
    for (plane, (from, to)) in from.into_iter().zip(part.planes_mut()).enumerate() {
        let half = usize::from(plane > 0);
        let rows = from.chunks_exact(stride >> half).skip(y >> half);
        for (from, to) in rows.zip(to.chunks_exact_mut(width >> half)) {
            to.copy_from_slice(&from[x >> half..][..width >> half]);
        }
    }
    part
}

/// Pictures with their times, and the sound of the file's time.
fn film(path: &Path) -> (Vec<(u64, I420)>, Vec<f32>) {
    let mut reader = webm::Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let mut decoder = Decoder::new(DecoderConfig::new(VideoCodec::Vp9)).unwrap();
    let mut voice = opus::Decoder::new(Channels::Mono).unwrap();
    let (mut pictures, mut samples) = (Vec::new(), Vec::new());
    while let Some(frame) = reader.next_frame().unwrap() {
        if frame.track == 1 {
            let picture = decoder.decode(&frame.data).unwrap().unwrap();
            pictures.push((frame.pts_us, picture));
        } else {
            voice.decode(&frame.data, &mut samples).unwrap();
        }
    }
    (pictures, samples)
}

/// Waits until a file has grown so large.
fn grows(path: &Path, bytes: u64) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::fs::metadata(path).unwrap().len() < bytes {
        assert!(std::time::Instant::now() < deadline, "the file grows");
        std::thread::yield_now();
    }
}

#[test]
fn all_are_seen_and_heard_in_one_file_also_if_it_is_killed() {
    let _turn = ONE_AT_A_TIME.lock();
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.webm");
    let parts = folder.path().join("parts");
    let _one = server.joined("stream", "a", &[&SMALL[..], &["--tone", "700"]].concat());
    let two = [
        "--tone",
        "1100",
        "--screen",
        "--fps",
        "10",
        "--resolution",
        "320x180",
    ];
    let _two = server.joined("stream", "b", &two);
    let record = ["--composed", file.to_str().unwrap()];
    let directory = ["--directory", parts.to_str().unwrap()];
    let mut recording = server.joined("record", "rec", &[&record[..], &directory].concat());
    grows(&file, 400_000);
    recording.process.0.kill().unwrap();
    recording.process.0.wait().unwrap();
    let (pictures, samples) = film(&file);
    let size = (pictures[0].1.width(), pictures[0].1.height());
    assert_eq!(size, (1280, 720));
    // In the end: the screen large at the left, cameras small at the right.
    let (_, last) = pictures.last().unwrap();
    let areas = [
        ((0, 72), (1024, 576)),
        ((1024, 0), (256, 144)),
        ((1024, 144), (256, 144)),
    ];
    let clocks: Vec<u64> = areas
        .iter()
        .map(|(at, size)| read_clock(&cut(last, *at, *size)).unwrap_or(0))
        .collect();
    let (least, most) = (clocks.iter().min().unwrap(), clocks.iter().max().unwrap());
    // One has ten pictures a second; and this machine may be busy.
    assert!(*least > 0 && most - least < 1500, "{clocks:?}");
    let end = &samples[samples.len().saturating_sub(RATE)..];
    let parts: Vec<&[f32]> = end.chunks_exact(RATE / 10).collect();
    for hertz in [700.0, 1100.0] {
        let loud = parts.iter().filter(|part| measure_tone(part, hertz) > 0.05);
        assert!(loud.count() * 2 > parts.len(), "{hertz} Hz is heard");
    }
    assert!(parts.iter().all(|part| measure_tone(part, 900.0) < 0.02));
}

#[test]
fn picture_and_sound_are_together_in_the_composed_file() {
    let _turn = ONE_AT_A_TIME.lock();
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.webm");
    let parts = folder.path().join("parts");
    let _streaming = server.stream(&SMALL);
    let record = ["--duration", "5", "--composed", file.to_str().unwrap()];
    let directory = ["--directory", parts.to_str().unwrap()];
    let output = server.run("record", "rec", &[&record[..], &directory].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let (pictures, samples) = film(&file);
    let flash = |picture: &I420| is_flash(picture);
    let begins = pictures
        .windows(2)
        .filter(|two| !flash(&two[0].1) && flash(&two[1].1));
    let flashes: Vec<f64> = begins.map(|two| two[1].0 as f64 / 1000.0).collect();
    let marks = find_marks(&samples, 1000.0).into_iter();
    let marks: Vec<f64> = marks
        .map(|mark| mark as f64 * 1000.0 / RATE as f64)
        .collect();
    let nearest = |flash: &f64| {
        let apart = marks.iter().map(|mark| mark - flash);
        apart.min_by(|a, b| a.abs().total_cmp(&b.abs()))
    };
    let apart: Vec<f64> = flashes
        .iter()
        .filter_map(nearest)
        .filter(|it| it.abs() < 400.0)
        .collect();
    assert!(apart.len() >= 3, "flashes {flashes:?}, marks {marks:?}");
    // The first may fall between the first sound and the first picture. Two pictures that are not
    // made at the same moments: 40 ms each.
    assert!(
        apart.iter().skip(1).all(|it| it.abs() <= 85.0),
        "apart by {apart:?} ms"
    );
    // A file is never replaced.
    let again = server.run("record", "rec", &[&record[..], &directory].concat());
    assert_eq!(again.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists"));
}
