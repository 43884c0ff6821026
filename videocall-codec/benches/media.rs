//! What a frame of 720p costs: encoding beside libvpx's own `vpxenc`, decoding, conversion,
//! scaling; and 20 ms of sound.
//!
//! `vpxenc` (Debian's vpx-tools) encodes the same pictures with the same settings and tells the
//! time it spent in the library; without it that line is left out.
#![allow(clippy::print_stdout, missing_docs)] // criterion_group! documents nothing

use std::{
    fs::File,
    hint::black_box,
    io::BufWriter,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use videocall_codec::{
    VideoCodec, opus,
    pattern::{TestPicture, sine},
    vp9, y4m,
    yuv::{I420, MjpegDecoder, Plane, Scaler, i420_bytes, nv12_to_i420, yuyv_to_i420},
};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const FRAMES: usize = 60;
const SPEED: u8 = 7;
const BITRATE: u32 = 1_500_000;

/// The test picture with a camera's noise.
fn pictures() -> Vec<I420> {
    let pattern = TestPicture::new(WIDTH, HEIGHT).expect("a size in bounds");
    let mut state = 1u64;
    (0..FRAMES as u64)
        .map(|number| {
            let mut picture = I420::black(1, 1).expect("a size in bounds");
            pattern.draw(1_795_000_000_500 + number * 100 / 3, number, &mut picture);
            for value in picture.planes_mut()[0].iter_mut() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *value = value.saturating_add((state & 3) as u8);
            }
            picture
        })
        .collect()
}

fn config(speed: u8, temporal_layers: u8) -> vp9::EncoderConfig {
    vp9::EncoderConfig {
        speed,
        temporal_layers,
        threads: 1,
        row_mt: false,
        drop_frames: false,
        ..vp9::EncoderConfig::new(WIDTH, HEIGHT, 30, BITRATE)
    }
}

/// Encodes all pictures on one thread: the time in all, and the bytes.
fn ours(pictures: &[I420]) -> (Duration, usize) {
    let mut encoder = vp9::Encoder::new(config(SPEED, 1)).expect("valid settings");
    let mut bytes = 0;
    let start = Instant::now();
    for picture in pictures {
        let frame = encoder.encode(picture, 0).expect("the right size");
        bytes += frame.map_or(0, |frame| frame.data.len());
    }
    (start.elapsed(), bytes)
}

/// The same by `vpxenc`, by its own account.
fn theirs(folder: &Path, pictures: &[I420]) -> Option<(Duration, u64)> {
    let source = folder.join("source.y4m");
    let file = BufWriter::new(File::create(&source).ok()?);
    let mut writer = y4m::Writer::new(file, y4m::Header::new(WIDTH, HEIGHT, 30)).ok()?;
    for picture in pictures {
        writer.write(picture).ok()?;
    }
    writer.finish().ok()?;
    let output = folder.join("out.ivf");
    let settings = "--codec=vp9 --ivf --rt --passes=1 --threads=1 --row-mt=0 --tile-columns=0 \
        --end-usage=cbr --lag-in-frames=0 --disable-kf --aq-mode=3 --static-thresh=1 --min-q=2 \
        --max-q=56 --undershoot-pct=50 --overshoot-pct=50 --buf-sz=1000 --buf-initial-sz=500 \
        --buf-optimal-sz=600 --max-intra-rate=900 --drop-frame=0 --frame-parallel=0";
    let told = Command::new("vpxenc")
        .args(settings.split_ascii_whitespace())
        .arg(format!("--cpu-used={SPEED}"))
        .arg(format!("--target-bitrate={}", BITRATE / 1000))
        .arg("-o")
        .args([&output, &source])
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    // "Pass 1/1 frame   60/60     400000B   53333b/f 1600000b/s  900000 us (66.67 fps)"
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    let words: Vec<&str> = told.split_ascii_whitespace().collect();
    let time = words.windows(2).rev().find_map(|pair| {
        let number: u64 = pair[0].parse().ok()?;
        match pair[1] {
            "us" => Some(Duration::from_micros(number)),
            "ms" => Some(Duration::from_millis(number)),
            _ => None,
        }
    })?;
    Some((time, output.metadata().ok()?.len()))
}

/// Ours beside the bare library, in turn, the best of five: what is shared with other work of the
/// machine falls out.
fn beside_vpxenc(_: &mut Criterion) {
    let pictures = pictures();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut our_best, mut their_best) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let (time, bytes) = ours(&pictures);
        our_best = our_best.min(time);
        let Some((their_time, their_bytes)) = theirs(folder.path(), &pictures) else {
            println!("vpxenc is not there: no comparison");
            return;
        };
        their_best = their_best.min(their_time);
        println!("bytes: ours {bytes}, vpxenc {their_bytes}");
    }
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / FRAMES as f64;
    println!(
        "720p speed {SPEED}, one thread, ms a frame: ours {:.2}, vpxenc {:.2}, ratio {:.3}",
        each(our_best),
        each(their_best),
        each(our_best) / each(their_best)
    );
}

fn video(criterion: &mut Criterion) {
    let pictures = pictures();
    let mut group = criterion.benchmark_group("vp9 720p, one thread");
    group.throughput(Throughput::Elements(1));
    group.sample_size(20);
    for (speed, layers) in [(7, 1), (7, 3), (8, 3), (9, 3)] {
        let mut encoder = vp9::Encoder::new(config(speed, layers)).expect("valid settings");
        let mut next = pictures.iter().cycle();
        group.bench_function(format!("encode, speed {speed}, L1T{layers}"), |bencher| {
            bencher.iter(|| encoder.encode(next.next().expect("endless"), 0));
        });
    }
    let mut encoder = vp9::Encoder::new(config(SPEED, 1)).expect("valid settings");
    let frames: Vec<_> = pictures
        .iter()
        .filter_map(|picture| encoder.encode(picture, 0).expect("the right size"))
        .collect();
    let mut decoder = vp9::Decoder::new(vp9::DecoderConfig {
        threads: 1,
        ..vp9::DecoderConfig::new(VideoCodec::Vp9)
    })
    .expect("valid settings");
    let mut next = frames.iter().cycle();
    let mut shown = I420::black(1, 1).expect("a size in bounds");
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decoder.decode_into(&next.next().expect("endless").data, &mut shown));
    });
    group.finish();
}

/// A frame as a USB camera gives it, by ffmpeg.
fn jpeg(picture: &I420) -> Option<Vec<u8>> {
    let source = tempfile::NamedTempFile::new().ok()?;
    let mut writer = y4m::Writer::new(&source, y4m::Header::new(WIDTH, HEIGHT, 30)).ok()?;
    writer.write(picture).ok()?;
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(source.path())
        .args(["-pix_fmt", "yuvj422p", "-huffman", "default", "-q:v", "4"])
        .args(["-f", "mjpeg", "-"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

fn pixels(criterion: &mut Criterion) {
    let picture = pictures().remove(0);
    let mut out = I420::black(1, 1).expect("a size in bounds");
    let mut group = criterion.benchmark_group("720p pixels");
    group.throughput(Throughput::Bytes(i420_bytes(WIDTH, HEIGHT) as u64));
    for (name, to) in [
        ("halve", (640, 360)),
        ("to 960×540", (960, 540)),
        ("to 1920×1080", (1920, 1080)),
    ] {
        let mut scaler = Scaler::new((WIDTH, HEIGHT), to).expect("sizes in bounds");
        group.bench_function(name, |bencher| {
            bencher.iter(|| scaler.scale(black_box(&picture), &mut out));
        });
    }
    let stride = WIDTH as usize;
    let yuyv = vec![100; 2 * stride * HEIGHT as usize];
    group.bench_function("from YUYV", |bencher| {
        let plane = Plane {
            data: &yuyv,
            stride: 2 * stride,
        };
        bencher.iter(|| yuyv_to_i420(WIDTH, HEIGHT, black_box(plane), &mut out));
    });
    group.bench_function("from NV12", |bencher| {
        let plane = Plane {
            data: &yuyv,
            stride,
        };
        bencher.iter(|| nv12_to_i420(WIDTH, HEIGHT, black_box(plane), plane, &mut out));
    });
    match jpeg(&picture) {
        Some(jpeg) => {
            let mut decoder = MjpegDecoder::new(WIDTH, HEIGHT);
            group.bench_function("from Motion JPEG", |bencher| {
                bencher.iter(|| decoder.decode(black_box(&jpeg), &mut out));
            });
        }
        None => println!("ffmpeg is not there: no Motion JPEG"),
    }
    group.bench_function("test picture", |bencher| {
        let pattern = TestPicture::new(WIDTH, HEIGHT).expect("a size in bounds");
        bencher.iter(|| pattern.draw(black_box(1_795_000_000_500), 1, &mut out));
    });
    group.finish();
}

fn sound(criterion: &mut Criterion) {
    let samples = sine(440.0, 0.5, opus::FRAME_SAMPLES);
    let config = opus::EncoderConfig::new(opus::Channels::Mono, opus::Sound::Speech);
    let mut encoder = opus::Encoder::new(&config).expect("valid settings");
    let mut group = criterion.benchmark_group("opus, 20 ms of speech");
    group.bench_function("encode", |bencher| {
        bencher.iter(|| encoder.encode(black_box(&samples)));
    });
    let packet = encoder.encode(&samples).expect("a whole frame");
    let mut decoder = opus::Decoder::new(opus::Channels::Mono).expect("valid settings");
    let mut out = Vec::new();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            out.clear();
            decoder.decode(black_box(&packet.data), &mut out)
        });
    });
    group.finish();
}

criterion_group!(benches, beside_vpxenc, video, pixels, sound);
criterion_main!(benches);
