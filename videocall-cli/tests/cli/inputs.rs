//! Files and pipes as input.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use videocall_codec::{
    pattern::{TestPicture, measure_tone, sine},
    wav, webm, y4m,
    yuv::I420,
};

use crate::support::{
    Film, Joined, RATE, Running, Server, clocks, files, frames, only_file, samples, wait_for,
};

#[test]
fn a_file_is_streamed_to_its_end() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (video, sound) = (folder.path().join("i.y4m"), folder.path().join("i.wav"));
    let pattern = TestPicture::new(160, 90).unwrap();
    let header = y4m::Header::new(160, 90, 25);
    let mut writer = y4m::Writer::new(File::create(&video).unwrap(), header).unwrap();
    let mut picture = I420::black(160, 90).unwrap();
    for number in 0..75 {
        pattern.draw(1_000_000 + number * 40, number, &mut picture);
        writer.write(&picture).unwrap();
    }
    writer.finish().unwrap();
    let header = wav::Header {
        rate: 16_000,
        channels: 1,
    };
    let mut writer = wav::Writer::new(File::create(&sound).unwrap(), header).unwrap();
    // A file of another rate: 700 Hz at 16 kHz.
    let tone = sine(700.0 * 3.0, 0.3, 3 * 16_000);
    writer.write(&tone).unwrap();
    writer.finish().unwrap();

    let out = folder.path().join("o.wav");
    let watch = ["--duration", "30", "--wav", out.to_str().unwrap()];
    let mut watching = server.cli("watch", "eye", &watch).spawn().unwrap();
    let lines = BufReader::new(watching.stderr.take().unwrap()).lines();
    let watching = Running(watching);
    wait_for(lines, |line| line.contains("joined").then_some(()));
    let input = ["--input", video.to_str().unwrap()];
    let beside = ["--sound", sound.to_str().unwrap()];
    let output = server.run("stream", "pi", &[&input[..], &beside].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let pid = watching.0.id().to_string();
    let ended = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(ended.success());
    let mut watching = watching;
    assert!(watching.0.wait().unwrap().success(), "SIGTERM ends it well");
    let samples = samples(&out);
    assert!(samples.len() > RATE, "{} samples", samples.len());
    let middle = &samples[samples.len() / 2..][..RATE / 10];
    assert!(measure_tone(middle, 700.0) > 0.1, "at the right pitch");
}

#[test]
fn a_pipe_is_streamed() {
    let server = Server::start();
    let pattern = TestPicture::new(160, 90).unwrap();
    let mut process = server
        .cli("stream", "pi", &["--input", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = process.stdin.take().unwrap();
    let mut errors = process.stderr.take().unwrap();
    let mut process = Running(process);
    let feeding = std::thread::spawn(move || {
        let header = y4m::Header::new(160, 90, 25);
        let mut writer = y4m::Writer::new(&mut pipe, header).unwrap();
        let mut picture = I420::black(160, 90).unwrap();
        for number in 0..30 {
            pattern.draw(number * 40, number, &mut picture);
            writer.write(&picture).unwrap();
        }
        writer.finish().unwrap();
    });
    assert!(process.0.wait().unwrap().success());
    feeding.join().unwrap();
    let mut text = String::new();
    errors.read_to_string(&mut text).unwrap();
    assert!(text.contains("joined"), "{text}");
}

/// What is recorded is a part of what was streamed, byte by byte, and nearly all of it.
fn is_part(recorded: &[Vec<u8>], streamed: &[Vec<u8>]) {
    let first = recorded.first().expect("something is recorded");
    let start = streamed.iter().position(|frame| frame == first).unwrap();
    assert_eq!(recorded, &streamed[start..][..recorded.len()]);
    let (part, all) = (recorded.len(), streamed.len());
    assert!(part * 10 >= all * 7, "{part} of {all}");
}

#[test]
fn a_webm_film_from_a_pipe_arrives_as_it_is_over_webtransport() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    let way = ["--transport", "webtransport"];
    let record = [&way[..], &["--directory", directory]].concat();
    let mut recording = server.joined("record", "rec", &record);
    let film = Film::new(4, 900.0);
    let mut streaming = server
        .cli("stream", "pi", &[&way[..], &["--input", "-"]].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = streaming.stdin.take().unwrap();
    let mut streaming = Joined::new(streaming);
    let bytes = film.webm();
    let feeding = std::thread::spawn(move || pipe.write_all(&bytes).unwrap());
    assert!(streaming.process.0.wait().unwrap().success());
    feeding.join().unwrap();
    assert!(recording.terminate().success());
    let (pictures, sound) = frames(&only_file(folder.path()));
    is_part(&pictures, &film.pictures);
    is_part(&sound, &film.sound);
}

#[test]
fn an_ivf_film_is_repeated_over_websocket() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("a.ivf"), folder.path().join("o.y4m"));
    std::fs::write(&input, Film::new(2, 900.0).ivf()).unwrap();
    let way = ["--transport", "websocket"];
    let film = ["--repeat", "--input", input.to_str().unwrap()];
    let watch = ["--y4m", output.to_str().unwrap()];
    let mut watching = server.joined("watch", "eye", &[&way[..], &watch].concat());
    let mut streaming = server.joined("stream", "pi", &[&way[..], &film].concat());
    // Twice the film at least.
    for _ in 0..6 {
        watching.line("\"kind\":\"video\"");
    }
    assert!(streaming.terminate().success());
    assert!(watching.terminate().success());
    let (clocks, all) = clocks(&output);
    assert!(all > 60 && clocks.len() * 10 >= all * 9, "{all} pictures");
    let again = clocks.windows(2).filter(|two| two[1] < two[0]).count();
    assert!((1..5).contains(&again), "{clocks:?}");
    let steps = clocks.windows(2).filter(|two| two[1] == two[0] + 40);
    assert!(steps.count() * 10 >= all * 8, "{clocks:?}");
}

#[test]
fn a_vp8_film_of_a_browser_arrives_as_it_is() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    let mut recording = server.joined("record", "rec", &["--directory", directory]);
    let film = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../videocall-codec/tests/fixtures/chromium-vp8.webm");
    let output = server.run("stream", "pi", &["--input", film.to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(recording.terminate().success());
    let recorded = only_file(folder.path());
    let reader = webm::Reader::new(BufReader::new(File::open(&recorded).unwrap())).unwrap();
    let kinds = reader.tracks().iter().map(|track| &track.kind);
    let is_vp8 = |kind: &&webm::TrackKind| {
        matches!(kind, webm::TrackKind::Video(video)
            if video.codec == videocall_codec::VideoCodec::Vp8)
    };
    assert_eq!(kinds.filter(is_vp8).count(), 1);
    let (pictures, _) = frames(&recorded);
    let (streamed, _) = frames(&film);
    let start = streamed
        .iter()
        .position(|frame| *frame == pictures[0])
        .unwrap();
    assert_eq!(pictures, &streamed[start..][..pictures.len()]);
}

#[test]
fn a_screen_is_shared_beside_the_camera_and_alone() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.webm");
    let film = Film::new(4, 900.0);
    std::fs::write(&input, film.webm()).unwrap();
    let recorded = folder.path().join("recorded");
    let directory = ["--directory", recorded.to_str().unwrap()];
    let mut recording = server.joined("record", "rec", &directory);
    let screen = ["--screen", input.to_str().unwrap()];
    let camera = [
        "--duration",
        "3",
        "--tone",
        "600",
        "--resolution",
        "192x108",
    ];
    let output = server.run("stream", "pi", &[&screen[..], &camera].concat());
    assert!(output.status.success());
    let output = server.run("stream", "tv", &[&screen[..], &["--screen-only"]].concat());
    assert!(output.status.success());
    assert!(recording.terminate().success());
    let files = files(&recorded);
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let screens: Vec<_> = files
        .iter()
        .filter(|it| name(it).ends_with("-screen"))
        .collect();
    assert_eq!((files.len(), screens.len()), (3, 2), "{files:?}");
    for screen in screens {
        let (pictures, sound) = frames(screen);
        is_part(&pictures, &film.pictures[..pictures.len().max(60)]);
        is_part(&sound, &film.sound[..sound.len().max(120)]);
    }
    let camera = files
        .iter()
        .find(|it| !name(it).ends_with("-screen"))
        .unwrap();
    assert!(name(camera).starts_with("pi-"));
    let (_, samples, shown) = crate::support::play(camera);
    assert!(shown > 30, "{shown} pictures");
    let parts: Vec<&[f32]> = samples.chunks_exact(RATE / 10).collect();
    let loud = |hz| {
        let parts = parts.iter();
        parts.filter(|part| measure_tone(part, hz) > 0.1).count()
    };
    assert!(loud(600.0) * 2 > parts.len() && loud(900.0) == 0);
}

#[test]
fn what_cannot_be_read_is_said_before_joining_or_at_the_end() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    let film = Film::new(1, 900.0);
    let (webm, ivf) = (film.webm(), film.ivf());
    let y4m = [&b"YUV4MPEG2 W64 H64 F25:1\nFRAME\n"[..], &[128; 3000]].concat();
    let wav = [
        &b"RIFF\xff\xff\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0"[..],
        b"\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data\xff\xff\0\0",
        &[0; 2000],
    ]
    .concat();
    let hidden = ivf.iter().enumerate();
    // The first frame says that it is of VP9's profile 2.
    let profile: Vec<u8> = hidden
        .map(|(at, byte)| byte | if at == 44 { 0x10 } else { 0 })
        .collect();
    let cases: [(&[u8], &str, bool); 9] = [
        (b"", "is empty", false),
        (
            b"\0\0\0\x18ftypmp42----",
            "neither Y4M, IVF, WebM nor WAV",
            false,
        ),
        (&webm[..100], "tracks", false),
        (&ivf[..20], "cut off", false),
        (&profile, "not supported", false),
        (&webm[..webm.len() - 30], "cut off", true),
        (&ivf[..ivf.len() - 30], "cut off", true),
        (&y4m, "cut off", true),
        (&wav, "cut off", true),
    ];
    for (bytes, words, joins) in cases {
        std::fs::write(&path, bytes).unwrap();
        let output = server.run("stream", "pi", &["--input", path.to_str().unwrap()]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{text}");
        let error = text.lines().last().unwrap();
        assert!(error.contains(words) && error.contains("input"), "{text}");
        assert_eq!(text.contains("\"event\":\"joined\""), joins, "{text}");
    }
}
