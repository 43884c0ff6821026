//! The program against a real server: what is streamed is seen and heard at the other end.
#![allow(clippy::unwrap_used)]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use videocall_codec::{
    VideoCodec,
    opus::{self, Channels},
    pattern::{TestPicture, find_marks, is_flash, measure_tone, read_clock, sine},
    vp9::{Decoder, DecoderConfig},
    wav, webm, y4m,
    yuv::I420,
};

const PATIENCE: Duration = Duration::from_secs(40);
const RATE: usize = 48_000;

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Server {
    _process: Running,
    url: String,
}

impl Server {
    fn start() -> Self {
        let free = || loop {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        };
        let (http, media) = (free(), free());
        let program = Path::new(env!("CARGO_BIN_EXE_videocall-cli"));
        let program = program.with_file_name("videocall-server");
        assert!(
            program.exists(),
            "build it first: cargo build -p videocall-server"
        );
        // The page's own host, so that clients find both families.
        let mut process = Command::new(program)
            .args(["--http-listen", &format!("127.0.0.1:{http}")])
            .args(["--webtransport-listen", &format!("127.0.0.1:{media}")])
            .args(["--log", "off"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let process = Running(process);
        wait_for(lines, |line| line.starts_with("Open http").then_some(()));
        Self {
            _process: process,
            url: format!("http://127.0.0.1:{http}"),
        }
    }

    fn cli(&self, command: &str, user: &str, more: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_videocall-cli"));
        program
            .args([command, "--server", &self.url])
            .args(["--meeting-id", "test", "--user-id", user])
            .args(more)
            .stderr(Stdio::piped());
        program
    }

    fn run(&self, command: &str, user: &str, more: &[&str]) -> Output {
        self.cli(command, user, more).output().unwrap()
    }

    /// Starts to stream, and waits until it has joined.
    fn stream(&self, more: &[&str]) -> Running {
        let mut process = self.cli("stream", "pi", more).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let process = Running(process);
        wait_for(lines, |line| {
            line.contains("\"event\":\"joined\"").then_some(())
        });
        process
    }
}

/// The first line of which something can be made. The rest is read on, so that nobody waits for
/// room in a pipe.
fn wait_for<T: Send + 'static>(
    lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static,
    choose: impl Fn(&str) -> Option<T> + Send + 'static,
) -> T {
    let (found, first) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Some(chosen) = choose(&line) {
                let _ = found.send(chosen);
            }
        }
    });
    first.recv_timeout(PATIENCE).expect("the line comes")
}

const SMALL: [&str; 4] = ["--resolution", "320x180", "--fps", "25"];

/// Clocks of the pictures of a file that have one, and how many there are in all.
fn clocks(path: &Path) -> (Vec<u64>, usize) {
    let mut reader = y4m::Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let mut picture = I420::black(2, 2).unwrap();
    let (mut clocks, mut all) = (Vec::new(), 0);
    while reader.next_picture(&mut picture).unwrap() {
        all += 1;
        clocks.extend(read_clock(&picture));
    }
    (clocks, all)
}

fn samples(path: &Path) -> Vec<f32> {
    let mut reader = wav::Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let mut samples = Vec::new();
    while reader.read(RATE, &mut samples).unwrap() > 0 {}
    samples
}

fn is_seen_and_heard_over(transport: &str) {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (pictures, sound) = (folder.path().join("o.y4m"), folder.path().join("o.wav"));
    let way = ["--transport", transport];
    let _streaming = server.stream(&[&SMALL[..], &way, &["--tone", "1250"]].concat());
    let (y4m, wav) = (pictures.to_str().unwrap(), sound.to_str().unwrap());
    let watch = ["--duration", "3", "--clock", "--y4m", y4m, "--wav", wav];
    let output = server.run("watch", "eye", &[&watch[..], &way].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\"delay_ms\":"), "{text}");

    let (clocks, all) = clocks(&pictures);
    assert!(all > 25, "{all} pictures");
    assert!(
        clocks.len() * 10 >= all * 9,
        "{} of {all} can be read",
        clocks.len()
    );
    let steps: Vec<u64> = clocks.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(
        steps.iter().filter(|&&step| step == 40).count() * 10 >= steps.len() * 9,
        "{steps:?}"
    );
    let samples = samples(&sound);
    // A tenth of each second has the double of the tone.
    let parts: Vec<&[f32]> = samples.chunks_exact(RATE / 10).collect();
    let loud = |hz| {
        parts
            .iter()
            .filter(|part| measure_tone(part, hz) > 0.1)
            .count()
    };
    assert!(parts.len() > 15, "{} tenths of a second", parts.len());
    assert!(loud(1250.0) * 4 >= parts.len() * 3, "the tone is heard");
    assert_eq!((loud(800.0), loud(2000.0)), (0, 0), "and no other");
    assert!(!find_marks(&samples, 1250.0).is_empty(), "with its marks");
}

#[test]
fn a_pattern_is_seen_and_heard_over_webtransport() {
    is_seen_and_heard_over("webtransport");
}

#[test]
fn a_pattern_is_seen_and_heard_over_websocket() {
    is_seen_and_heard_over("websocket");
}

/// Frames of a recording, decoded: times at which pictures flash, and the sound.
fn play(path: &Path) -> (Vec<u64>, Vec<f32>, usize) {
    let mut reader = webm::Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let mut pictures = Decoder::new(DecoderConfig::new(VideoCodec::Vp9)).unwrap();
    let mut voice = opus::Decoder::new(Channels::Mono).unwrap();
    let (mut flashes, mut samples, mut shown) = (Vec::new(), Vec::new(), 0);
    let mut was_flash = true;
    let tracks = reader.tracks().to_vec();
    while let Some(frame) = reader.next_frame().unwrap() {
        let track = tracks.iter().find(|track| track.number == frame.track);
        if matches!(
            track.map(|track| &track.kind),
            Some(webm::TrackKind::Video(_))
        ) {
            let picture = pictures.decode(&frame.data).unwrap().unwrap();
            shown += 1;
            let flash = is_flash(&picture);
            if flash && !was_flash {
                flashes.push(frame.pts_us);
            }
            was_flash = flash;
        } else {
            // Sound of the file's time: what is not there is silence.
            let at = (frame.pts_us as usize * RATE / 1_000_000).max(samples.len());
            samples.resize(at, 0.0);
            voice.decode(&frame.data, &mut samples).unwrap();
        }
    }
    (flashes, samples, shown)
}

#[test]
fn a_recording_plays_with_picture_and_sound_together() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let _streaming = server.stream(&SMALL);
    let directory = folder.path().to_str().unwrap();
    let record = ["--duration", "4", "--directory", directory];
    let output = server.run("record", "rec", &record);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let file = only_file(folder.path());
    assert!(
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("pi-")
    );
    let (flashes, samples, shown) = play(&file);
    assert!(shown > 50, "{shown} pictures");
    let marks = find_marks(&samples, 1000.0);
    let paired: Vec<f64> = flashes
        .iter()
        .filter_map(|&flash| {
            let flash = flash as f64 / 1000.0;
            let times = marks
                .iter()
                .map(|&mark| mark as f64 / (RATE as f64 / 1000.0));
            let nearest = times.min_by(|a, b| (a - flash).abs().total_cmp(&(b - flash).abs()))?;
            Some(nearest - flash)
        })
        .filter(|apart| apart.abs() < 400.0)
        .collect();
    assert!(paired.len() >= 2, "flashes {flashes:?}, marks {marks:?}");
    // A picture lasts 40 ms: that much its flash may be later than the sound's.
    assert!(
        paired.iter().all(|apart| apart.abs() <= 45.0),
        "sound is apart from the picture by {paired:?} ms"
    );
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap();
    let file = files.next().expect("a file").unwrap().path();
    assert!(files.next().is_none(), "one participant, one file");
    file
}

#[test]
fn a_recording_that_is_killed_can_be_played() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let _streaming = server.stream(&SMALL);
    let directory = folder.path().to_str().unwrap();
    let mut recording = server
        .cli("record", "rec", &["--directory", directory])
        .spawn()
        .unwrap();
    let lines = BufReader::new(recording.stderr.take().unwrap()).lines();
    let mut recording = Running(recording);
    let path = wait_for(lines, |line| {
        let (_, rest) = line.split_once("\"file\":\"")?;
        Some(PathBuf::from(rest.split('"').next()?))
    });
    // Some seconds of it, by the size of the file.
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::fs::metadata(&path).unwrap().len() < 60_000 {
        assert!(std::time::Instant::now() < deadline, "the file grows");
        std::thread::yield_now();
    }
    recording.0.kill().unwrap();
    recording.0.wait().unwrap();
    let (_, samples, shown) = play(&path);
    assert!(shown > 10 && samples.len() > RATE / 4, "{shown} pictures");
}

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
fn what_cannot_be_is_said_with_its_own_code() {
    let server = Server::start();
    let code = |output: &Output| output.status.code();
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let missing = server.run("stream", "pi", &["--input", "/nonexistent/a.y4m"]);
    assert_eq!(code(&missing), Some(3));
    assert!(text(&missing).contains("/nonexistent/a.y4m"));
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("a.y4m");
    std::fs::write(&garbage, b"not a video").unwrap();
    let garbage = server.run("stream", "pi", &["--input", garbage.to_str().unwrap()]);
    assert_eq!(code(&garbage), Some(3), "{}", text(&garbage));
    let unwritable = server.run("watch", "eye", &["--y4m", "/nonexistent/o.y4m"]);
    assert_eq!(code(&unwritable), Some(4));
    let name = server.run("stream", "a\nb", &[]);
    assert_eq!(code(&name), Some(6), "{}", text(&name));
    let usage = server.run("stream", "pi", &["--resolution", "3x3"]);
    assert_eq!(code(&usage), Some(2));
    let nobody = Command::new(env!("CARGO_BIN_EXE_videocall-cli"))
        .args(["watch", "--server", "http://127.0.0.1:9"])
        .args(["--meeting-id", "m", "--user-id", "u"])
        .output()
        .unwrap();
    assert_eq!(code(&nobody), Some(5), "{}", text(&nobody));
    assert!(text(&nobody).contains("is the server running"));
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

#[test]
fn systemd_is_told() {
    use std::os::unix::net::UnixDatagram;
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut streaming = server.cli("stream", "pi", &SMALL);
    let streaming = streaming.env("NOTIFY_SOCKET", &path).spawn().unwrap();
    let mut streaming = Running(streaming);
    let heard = |wanted: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = socket.recv(&mut buffer).expect("a message comes");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    heard("READY=1");
    heard("WATCHDOG=1");
    let pid = streaming.0.id().to_string();
    let ended = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(ended.success());
    heard("STOPPING=1");
    assert!(streaming.0.wait().unwrap().success());
}
