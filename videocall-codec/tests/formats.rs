//! Y4M, IVF, WAV and Motion JPEG against the real ffmpeg.

mod support;

use std::{fs, path::Path};

use support::{ffmpeg, ffprobe};
use videocall_codec::{
    VideoCodec, ivf, opus,
    pattern::{TestPicture, measure_tone, read_clock, sine},
    vp9, wav, y4m,
    yuv::{I420, MjpegDecoder, psnr},
};

const TIME: u64 = 1_795_000_000_123;

fn picture(width: u32, height: u32) -> I420 {
    let mut picture = I420::black(1, 1).expect("a size in bounds");
    TestPicture::new(width, height)
        .expect("a size in bounds")
        .draw(TIME, 1, &mut picture);
    picture
}

/// Writes the test picture as Y4M.
fn source(path: &Path, width: u32, height: u32, count: usize) {
    let mut writer = y4m::Writer::new(Vec::new(), y4m::Header::new(width, height, 30))
        .expect("memory can be written");
    for _ in 0..count {
        writer
            .write(&picture(width, height))
            .expect("a picture of the right size");
    }
    let file = writer.finish().expect("memory can be written");
    fs::write(path, file).expect("a file can be written");
}

fn read_y4m(data: &[u8]) -> (y4m::Header, Vec<I420>) {
    let mut reader = y4m::Reader::new(data).expect("a Y4M file");
    let mut pictures = Vec::new();
    let mut picture = I420::black(1, 1).expect("a size in bounds");
    while reader.next_picture(&mut picture).expect("whole pictures") {
        pictures.push(picture.clone());
    }
    (*reader.header(), pictures)
}

#[test]
fn y4m_goes_through_ffmpeg_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.y4m");
    source(&path, 322, 182, 3);
    let name = path.to_str().unwrap();
    let (header, pictures) = read_y4m(&ffmpeg(&["-i", name, "-f", "yuv4mpegpipe", "-"]));
    assert_eq!(header, y4m::Header::new(322, 182, 30));
    assert_eq!(pictures, vec![picture(322, 182); 3]);
    for format in ["yuv422p", "yuv444p", "yuvj420p", "gray"] {
        let arguments = ["-i", name, "-pix_fmt", format, "-f", "yuv4mpegpipe", "-"];
        let (_, pictures) = read_y4m(&ffmpeg(&arguments));
        let found = psnr(&pictures[2], &picture(322, 182)).unwrap();
        // ffmpeg 5 makes grey of full range and does not say so.
        assert!(
            found > 40.0 || format == "gray" && found > 20.0,
            "{found} dB in {format}"
        );
        assert_eq!(read_clock(&pictures[2]), Some(TIME), "{format}");
    }
}

#[test]
fn motion_jpeg_of_every_sampling_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.y4m");
    source(&path, 322, 182, 1);
    let name = path.to_str().unwrap();
    let mut decoder = MjpegDecoder::new(1920, 1080);
    let mut shown = I420::black(1, 1).unwrap();
    for format in ["yuvj420p", "yuvj422p", "yuvj444p"] {
        let jpeg = ffmpeg(&[
            "-i", name, "-pix_fmt", format, "-q:v", "2", "-huffman", "default", "-f", "mjpeg", "-",
        ]);
        decoder.decode(&jpeg, &mut shown).unwrap();
        let expected = picture(322, 182);
        let found = psnr(&shown, &expected).unwrap();
        assert!(found > 35.0, "{found} dB in {format}");
        // Colours too: the middle of the second bar is yellow.
        for (found, expected) in [(shown.u(), expected.u()), (shown.v(), expected.v())] {
            let at = 161 * 45 + 30;
            assert!(found[at].abs_diff(expected[at]) < 6, "{format}");
        }
        // Cameras that leave the tables out, which all MJPEG shares.
        let without = without_huffman_tables(&jpeg);
        decoder.decode(&without, &mut shown).unwrap();
        assert_eq!(read_clock(&shown), Some(TIME), "{format} without tables");
        // Cut off: an error or the upper part, never a panic.
        for cut in (0..jpeg.len()).step_by(97) {
            let _ = decoder.decode(&jpeg[..cut], &mut shown);
        }
        let mut small = MjpegDecoder::new(320, 180);
        assert!(small.decode(&jpeg, &mut shown).is_err());
    }
}

/// The JPEG with its DHT segments taken out and the mark of an AVI put in.
fn without_huffman_tables(jpeg: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    out.extend([0xff, 0xe0, 0, 16]);
    out.extend(b"AVI1\0\0\0\0\0\0\0\0\0\0");
    let mut at = 2;
    loop {
        let marker = jpeg[at + 1];
        let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        match marker {
            0xda => break,
            0xc4 | 0xe0 => {}
            _ => out.extend(&jpeg[at..at + length]),
        }
        at += length;
    }
    out.extend(&jpeg[at..]);
    out
}

#[test]
fn ivf_goes_to_ffmpeg_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.ivf");
    let mut encoder = vp9::Encoder::new(vp9::EncoderConfig {
        drop_frames: false,
        ..vp9::EncoderConfig::new(320, 180, 30, 500_000)
    })
    .unwrap();
    let header = ivf::Header {
        timebase_den: 30,
        ..ivf::Header::new(VideoCodec::Vp9, 320, 180)
    };
    let mut writer = ivf::Writer::new(fs::File::create(&path).unwrap(), &header).unwrap();
    for pts in 0..10 {
        let frame = encoder.encode(&picture(320, 180), 0).unwrap().unwrap();
        writer.write(pts, &frame.data).unwrap();
    }
    writer.finish_counted().unwrap();
    let told = ffprobe(&path, "stream=codec_name", &[]);
    assert!(told.contains("codec_name=vp9"), "{told}");
    let name = path.to_str().unwrap();
    // ffmpeg decodes what libvpx encoded here, and the other way round.
    let (_, pictures) = read_y4m(&ffmpeg(&["-i", name, "-f", "yuv4mpegpipe", "-"]));
    assert_eq!(pictures.len(), 10);
    assert!(psnr(&pictures[9], &picture(320, 180)).unwrap() > 30.0);

    for (encoder, codec) in [("libvpx", VideoCodec::Vp8), ("libvpx-vp9", VideoCodec::Vp9)] {
        // With alternative references, that is invisible frames, too.
        let options = [
            "-c:v",
            encoder,
            "-b:v",
            "500k",
            "-auto-alt-ref",
            "1",
            "-lag-in-frames",
            "8",
        ];
        let theirs = ffmpeg(&[&["-i", name], &options[..], &["-f", "ivf", "-"]].concat());
        let mut reader = ivf::Reader::new(&theirs[..]).unwrap();
        assert_eq!(reader.header().codec, codec);
        let mut decoder = vp9::Decoder::new(vp9::DecoderConfig::new(codec)).unwrap();
        let mut shown = 0;
        let mut first = true;
        while let Some(frame) = reader.next_frame().unwrap() {
            let expected = first.then_some((320, 180));
            assert_eq!(vp9::keyframe_size(codec, &frame.data), expected);
            first = false;
            if let Some(picture) = decoder.decode(&frame.data).unwrap() {
                assert_eq!(read_clock(&picture), Some(TIME));
                shown += 1;
            }
        }
        assert_eq!(shown, 10, "{encoder}");
    }
}

#[test]
fn wav_goes_to_ffmpeg_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.wav");
    let header = wav::Header {
        rate: opus::SAMPLE_RATE,
        channels: 1,
    };
    let mut writer = wav::Writer::new(fs::File::create(&path).unwrap(), header).unwrap();
    writer.write(&sine(1_000.0, 0.5, 48_000)).unwrap();
    writer.finish_sized().unwrap();
    let told = ffprobe(
        &path,
        "stream=codec_name,sample_rate,channels,duration",
        &[],
    );
    assert!(
        told.contains("pcm_s16le") && told.contains("duration=1.000000"),
        "{told}"
    );
    let name = path.to_str().unwrap();
    for codec in ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"] {
        // By pipe, so without lengths.
        let file = ffmpeg(&["-i", name, "-ac", "2", "-c:a", codec, "-f", "wav", "-"]);
        let mut reader = wav::Reader::new(&file[..]).unwrap();
        assert_eq!(
            *reader.header(),
            wav::Header {
                channels: 2,
                ..header
            }
        );
        let mut samples = Vec::new();
        assert_eq!(
            reader.read(100_000, &mut samples).unwrap(),
            48_000,
            "{codec}"
        );
        // Half of the power is on each side.
        let left: Vec<f32> = samples.iter().step_by(2).copied().collect();
        let found = measure_tone(&left, 1_000.0);
        assert!((found - 0.3536).abs() < 0.02, "{found} in {codec}");
    }
}
