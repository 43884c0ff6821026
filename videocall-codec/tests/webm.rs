//! WebM against the real ffmpeg: files that it makes are read, files made here are read by it, and
//! a file that ends anywhere plays up to there.

mod support;

use std::{
    fs::{self, File},
    io::{BufReader, Cursor},
    path::Path,
    sync::OnceLock,
};

use proptest::prelude::*;
use support::{ffmpeg, ffprobe};
use videocall_codec::{
    VideoCodec, opus,
    pattern::{TestPicture, Tone, measure_tone, read_clock},
    vp9,
    webm::{
        AudioTrack, Frame, Reader, Track, TrackKind, VideoTrack, WriteError, Writer, WriterConfig,
    },
    yuv::I420,
};

const START_MS: u64 = 1_795_000_000_000;

fn config() -> WriterConfig {
    WriterConfig {
        video: Some(VideoTrack {
            codec: VideoCodec::Vp9,
            width: 160,
            height: 90,
        }),
        audio: Some(AudioTrack {
            channels: opus::Channels::Mono,
            pre_skip: opus::DELAY_SAMPLES,
        }),
        application: "test".to_owned(),
    }
}

/// A frame to be written: whether it is video, its time, whether it is a keyframe, its data.
type Written = (bool, u64, bool, Vec<u8>);

/// Twelve seconds of picture at 10 frames a second and of sound, with a keyframe at 0 and at 7 s.
fn media() -> &'static [Written] {
    static MEDIA: OnceLock<Vec<Written>> = OnceLock::new();
    MEDIA.get_or_init(|| {
        let pattern = TestPicture::new(160, 90).expect("a size in bounds");
        let mut picture = I420::black(160, 90).expect("a size in bounds");
        let mut video = vp9::Encoder::new(vp9::EncoderConfig {
            drop_frames: false,
            keyframe_interval: Some(70),
            ..vp9::EncoderConfig::new(160, 90, 10, 100_000)
        })
        .expect("valid settings");
        let settings = opus::EncoderConfig::new(opus::Channels::Mono, opus::Sound::Music);
        let mut audio = opus::Encoder::new(&settings).expect("valid settings");
        let mut tone = Tone::new(1_000.0, 0.5);
        let mut media = Vec::new();
        for step in 0..600u64 {
            let pts_us = step * 20_000;
            if step % 5 == 0 {
                pattern.draw(START_MS + pts_us / 1000, step, &mut picture);
                let frame = video
                    .encode(&picture, pts_us)
                    .expect("a picture of the right size")
                    .expect("frames are not dropped");
                media.push((true, pts_us, frame.keyframe, frame.data.to_vec()));
            }
            let mut samples = vec![0.0; opus::FRAME_SAMPLES];
            tone.fill(START_MS * 1000 + pts_us, &mut samples);
            let packet = audio.encode(&samples).expect("a whole frame");
            media.push((false, pts_us, true, packet.data.to_vec()));
        }
        media
    })
}

fn put_all<W: std::io::Write>(writer: &mut Writer<W>, media: &[Written]) {
    for (video, pts_us, keyframe, data) in media {
        if *video {
            writer.write_video(*pts_us, *keyframe, data)
        } else {
            writer.write_audio(*pts_us, data)
        }
        .expect("frames in order");
    }
}

fn write_all<W: std::io::Write>(mut writer: Writer<W>, media: &[Written]) -> W {
    put_all(&mut writer, media);
    writer.finish().expect("memory and files can be written")
}

fn streamed(media: &[Written]) -> Vec<u8> {
    write_all(
        Writer::streaming(Vec::new(), config()).expect("tracks"),
        media,
    )
}

fn seekable(media: &[Written]) -> Vec<u8> {
    let writer = Writer::seekable(Cursor::new(Vec::new()), config()).expect("tracks");
    write_all(writer, media).into_inner()
}

/// All frames, and whether the end was in the middle of something.
fn read_all(file: &[u8]) -> Result<(Vec<Track>, Vec<Frame>, bool), videocall_codec::ReadError> {
    let mut reader = Reader::new(file)?;
    let tracks = reader.tracks().to_vec();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    Ok((tracks, frames, reader.is_truncated()))
}

fn same(frame: &Frame, written: &Written) -> bool {
    let (video, pts_us, keyframe, data) = written;
    frame.track == if *video { 1 } else { 2 }
        && frame.pts_us == *pts_us
        && frame.keyframe == *keyframe
        && frame.data == *data
}

/// Checks that a file holds the test's pictures and sound, by decoding both.
fn check_contents(tracks: &[Track], frames: &[Frame]) {
    let mut clocks = Vec::new();
    let mut sound = Vec::new();
    let mut video = None;
    let mut audio = None;
    for frame in frames {
        let track = tracks.iter().find(|track| track.number == frame.track);
        match track.map(|track| &track.kind) {
            Some(TrackKind::Video(found)) => {
                let decoder = video.get_or_insert_with(|| {
                    let config = vp9::DecoderConfig::new(found.codec);
                    vp9::Decoder::new(config).expect("valid settings")
                });
                let shown = decoder.decode(&frame.data).expect("a whole frame");
                let time = shown.as_ref().and_then(read_clock).expect("a clock");
                clocks.push((frame.pts_us / 1000, time - START_MS));
            }
            Some(TrackKind::Audio(found)) => {
                let decoder = audio.get_or_insert_with(|| {
                    opus::Decoder::new(found.channels).expect("valid settings")
                });
                decoder.decode(&frame.data, &mut sound).expect("a packet");
            }
            other => panic!("an unexpected track: {other:?}"),
        }
    }
    let first = clocks[0].0;
    for (pts, time) in &clocks {
        assert!(
            (pts - first).abs_diff(*time) <= 1,
            "{pts} ms shows {time} ms"
        );
    }
    assert!(measure_tone(&sound[24_000..38_000], 1_000.0) > 0.2);
}

#[test]
fn what_is_written_is_read() {
    for file in [streamed(media()), seekable(media())] {
        let (tracks, frames, truncated) = read_all(&file).unwrap();
        assert_eq!(tracks[0].kind, TrackKind::Video(config().video.unwrap()));
        assert_eq!(tracks[1].kind, TrackKind::Audio(config().audio.unwrap()));
        assert_eq!(frames.len(), media().len());
        assert!(
            frames
                .iter()
                .zip(media())
                .all(|(frame, written)| same(frame, written))
        );
        assert!(!truncated);
        check_contents(&tracks, &frames);
    }
}

#[test]
fn finished_files_tell_their_duration_and_streams_do_not() {
    let duration = |file: &[u8]| Reader::new(file).unwrap().duration_us();
    assert_eq!(duration(&seekable(media())), Some(12_000_000));
    assert_eq!(duration(&streamed(media())), None);
}

#[test]
fn ffmpeg_reads_and_seeks_in_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in [("file", seekable(media())), ("stream", streamed(media()))] {
        let path = folder.path().join(format!("{name}.webm"));
        fs::write(&path, file).unwrap();
        let streams = ffprobe(&path, "stream=codec_name,width,sample_rate,channels", &[]);
        for expected in [
            "codec_name=vp9",
            "width=160",
            "codec_name=opus",
            "sample_rate=48000",
        ] {
            assert!(streams.contains(expected), "{name}: {streams}");
        }
        let packets = ffprobe(&path, "packet=codec_type", &[]);
        assert_eq!(packets.matches("video").count(), 120);
        assert_eq!(packets.matches("audio").count(), 600);
        // Decodes without a complaint.
        let path = path.to_str().unwrap();
        let arguments = ["-v", "warning", "-xerror", "-i", path, "-f", "null", "-"];
        support::run("ffmpeg", &arguments, true);
    }
    let path = folder.path().join("file.webm");
    let format = ffprobe(&path, "format=duration", &[]);
    assert!(format.contains("duration=12.0"), "{format}");
    // Seeking by the index lands on the keyframe before.
    let more = ["-read_intervals", "8%+#1", "-select_streams", "v"];
    let packets = ffprobe(&path, "packet=pts_time,flags", &more);
    assert!(
        packets.contains("pts_time=7.0") && packets.contains("flags=K"),
        "{packets}"
    );
}

#[test]
fn what_ffmpeg_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.webm");
    fs::write(&source, seekable(media())).unwrap();
    let source = source.to_str().unwrap();
    for (name, options) in [
        ("plain", &["-c", "copy"][..]),
        ("live", &["-c", "copy", "-live", "1"]),
        (
            "cues-first",
            &["-c", "copy", "-reserve_index_space", "1000"],
        ),
        (
            "short-clusters",
            &["-c", "copy", "-cluster_time_limit", "100"],
        ),
        ("matroska", &["-c", "copy", "-f", "matroska"]),
        (
            "vp8",
            &[
                "-c:v",
                "libvpx",
                "-b:v",
                "400k",
                "-deadline",
                "realtime",
                "-c:a",
                "copy",
            ],
        ),
        (
            "vp9",
            &[
                "-c:v",
                "libvpx-vp9",
                "-b:v",
                "200k",
                "-deadline",
                "realtime",
                "-c:a",
                "libopus",
            ],
        ),
    ] {
        let path = folder.path().join(format!("{name}.webm"));
        let path = path.to_str().unwrap();
        ffmpeg(&[&["-i", source], options, &[path]].concat());
        let (tracks, frames, truncated) = read_all(&fs::read(path).unwrap()).unwrap();
        assert!(!truncated, "{name}");
        let video = frames.iter().filter(|frame| frame.track == 1).count();
        assert_eq!(video, 120, "{name}");
        check_contents(&tracks, &frames);
        // From a pipe it is the same.
        let piped = ffmpeg(&[&["-i", source], options, &["-f", "webm", "-"]].concat());
        assert_eq!(
            read_all(&piped).unwrap().1.len(),
            frames.len(),
            "{name} by pipe"
        );
    }
}

/// One and a half seconds of Chromium's `MediaRecorder`: a canvas of 64×64 that turns from black to
/// white twenty times a second, and an oscillator of 1 kHz.
#[test]
fn what_a_browser_records_is_read() {
    for (file, codec) in [
        (
            &include_bytes!("fixtures/chromium-vp8.webm")[..],
            VideoCodec::Vp8,
        ),
        (
            include_bytes!("fixtures/chromium-vp9.webm"),
            VideoCodec::Vp9,
        ),
    ] {
        let (tracks, frames, truncated) = read_all(file).unwrap();
        assert!(!truncated);
        let number = |wanted: fn(&TrackKind) -> bool| {
            let track = tracks.iter().find(|track| wanted(&track.kind));
            track.expect("a track of that kind").number
        };
        let video = number(|kind| matches!(kind, TrackKind::Video(_)));
        let audio = number(|kind| matches!(kind, TrackKind::Audio(_)));
        let mut decoder = vp9::Decoder::new(vp9::DecoderConfig::new(codec)).unwrap();
        let shown: Vec<bool> = frames
            .iter()
            .filter(|frame| frame.track == video)
            .map(|frame| decoder.decode(&frame.data).unwrap().unwrap().y()[2_000] > 128)
            .collect();
        assert_eq!(shown.len(), 30);
        let turns = shown.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(turns > 20, "{shown:?}");
        let mut decoder = opus::Decoder::new(opus::Channels::Mono).unwrap();
        let mut sound = Vec::new();
        for frame in frames.iter().filter(|frame| frame.track == audio) {
            // Chromium records packets of 60 ms.
            assert_eq!(opus::packet_samples(&frame.data), Some(2_880));
            decoder.decode(&frame.data, &mut sound).unwrap();
        }
        assert_eq!(sound.len(), 25 * 2_880);
        assert!(measure_tone(&sound[20_000..40_000], 1_000.0) > 0.5);
        assert!(frames.last().unwrap().pts_us > 1_300_000);
    }
}

#[test]
fn tracks_of_other_codecs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.mkv");
    let name = path.to_str().unwrap();
    let source = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1"];
    let sound = [
        "-f",
        "lavfi",
        "-i",
        "sine=duration=1",
        "-c:v",
        "mjpeg",
        "-c:a",
        "flac",
    ];
    ffmpeg(&[&source[..], &sound, &[name]].concat());
    let reader = Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let kinds: Vec<&TrackKind> = reader.tracks().iter().map(|track| &track.kind).collect();
    let other = |name: &str| TrackKind::Other(name.to_owned());
    assert_eq!(kinds, [&other("V_MJPEG"), &other("A_FLAC")]);
}

#[test]
fn cut_at_any_byte_the_frames_before_are_read() {
    let media = &media()[..40];
    let stream = streamed(media);
    // As a process leaves it that is killed: not finished.
    let mut file = Cursor::new(Vec::new());
    let mut writer = Writer::seekable(&mut file, config()).unwrap();
    put_all(&mut writer, media);
    drop(writer);
    let file = file.into_inner();
    for file in [&stream, &file] {
        let mut most = 0;
        for cut in 0..=file.len() {
            match read_all(&file[..cut]) {
                Ok((_, frames, _)) => {
                    assert!(frames.len() >= most, "fewer frames of more bytes");
                    assert!(
                        frames
                            .iter()
                            .zip(media)
                            .all(|(frame, written)| same(frame, written))
                    );
                    most = frames.len();
                }
                Err(error) => assert_eq!(most, 0, "at {cut}: {error}"),
            }
        }
        assert_eq!(most, media.len());
    }
}

#[test]
fn ffmpeg_plays_a_file_cut_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.webm");
    // Not finished: the last cluster and the segment have no length.
    let mut writer = Writer::seekable(File::create(&path).unwrap(), config()).unwrap();
    put_all(&mut writer, media());
    drop(writer);
    let file = fs::read(&path).unwrap();
    assert_eq!(read_all(&file).unwrap().1.len(), media().len());
    let mut state = 1u64;
    for _ in 0..20 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let cut = 5_000 + (state >> 33) as usize % (file.len() - 5_000);
        fs::write(&path, &file[..cut]).unwrap();
        let ours = read_all(&file[..cut]).unwrap().1;
        let packets = ffprobe(&path, "packet=codec_type", &[]);
        let theirs = packets
            .lines()
            .filter(|line| line.contains("codec_type"))
            .count();
        // ffmpeg may show the half frame at the end, too.
        assert!(
            (ours.len()..=ours.len() + 1).contains(&theirs),
            "at {cut}: {theirs}"
        );
    }
}

#[test]
fn frames_out_of_order_are_written_within_reason() {
    let mut writer = Writer::streaming(Vec::new(), config()).unwrap();
    writer.write_video(40_000_000, true, b"a").unwrap();
    writer.write_audio(39_000_000, b"\xfcb").unwrap();
    let refused = writer.write_audio(9_000_000, b"\xfcc");
    assert!(matches!(refused, Err(WriteError::TooLate { .. })));
    let file = writer.finish().unwrap();
    let (_, frames, _) = read_all(&file).unwrap();
    assert_eq!(
        frames.iter().map(|frame| frame.pts_us).collect::<Vec<_>>(),
        [40_000_000, 39_000_000]
    );
}

#[test]
fn a_track_that_was_not_announced_is_refused() {
    let sound = WriterConfig {
        video: None,
        ..config()
    };
    let mut writer = Writer::streaming(Vec::new(), sound).unwrap();
    assert!(matches!(
        writer.write_video(0, true, b"a"),
        Err(WriteError::NoTrack("video"))
    ));
    assert!(Writer::streaming(Vec::new(), WriterConfig::default()).is_err());
}

#[test]
fn a_long_recording_keeps_a_short_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.webm");
    let sound = WriterConfig {
        video: None,
        ..config()
    };
    let mut writer = Writer::seekable(File::create(&path).unwrap(), sound).unwrap();
    // Two days, one packet in five seconds.
    let packet = &media()[1].3;
    for step in 0..2 * 86_400 / 5 {
        writer.write_audio(step * 5_000_000, packet).unwrap();
    }
    writer.finish().unwrap();
    seek_check(&path);
}

fn seek_check(path: &Path) {
    let packets = ffprobe(path, "packet=pts_time", &["-read_intervals", "100000%+#1"]);
    let time: f64 = packets
        .trim()
        .trim_start_matches("pts_time=")
        .parse()
        .expect("a time");
    assert!((99_980.0..100_010.0).contains(&time), "{packets}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        head in any::<bool>(),
        finished in any::<bool>(),
    ) {
        let media = &media()[..60];
        let mut file = if finished { seekable(media) } else { streamed(media) };
        // Half of the cases damage the head, where most of the structure is.
        let reach = if head { 400 } else { file.len() };
        for (at, value) in damage {
            file[at.index(reach)] = value;
        }
        let _ = read_all(&file);
    }

    #[test]
    fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_all(&data);
        let mut file = streamed(&[]);
        file.extend(&data);
        let _ = read_all(&file);
    }
}
