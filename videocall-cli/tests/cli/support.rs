//! A server, the program, and what is made of their media.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use videocall_codec::{
    VideoCodec, ivf,
    opus::{self, Channels, FRAME_SAMPLES},
    pattern::{TestPicture, Tone, is_flash, read_clock},
    vp9::{Decoder, DecoderConfig, Encoder, EncoderConfig},
    wav, webm, y4m,
    yuv::I420,
};

use crate::server;
pub(crate) use crate::server::Running;

pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
pub(crate) const RATE: usize = 48_000;

/// A server, as the other tests start it, and how the program is run against it.
pub(crate) struct Server {
    _server: server::Server,
    url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With more settings.
    pub(crate) fn with(more: &[&str]) -> Self {
        let server = server::Server::start(more);
        let url = format!("http://127.0.0.1:{}", server.port);
        Self {
            _server: server,
            url,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn cli(&self, command: &str, user: &str, more: &[&str]) -> Command {
        self.cli_in("test", command, user, more)
    }

    /// The same in a meeting of that name.
    pub(crate) fn cli_in(
        &self,
        meeting: &str,
        command: &str,
        user: &str,
        more: &[&str],
    ) -> Command {
        let mut program = self.nameless(command, &["--meeting-id", meeting, "--user-id", user]);
        program.args(more);
        program
    }

    /// Without saying which meeting, and who.
    pub(crate) fn nameless(&self, command: &str, more: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_videocall-cli"));
        program
            .args([command, "--server", &self.url])
            .args(more)
            .stderr(Stdio::piped());
        program
    }

    pub(crate) fn run(&self, command: &str, user: &str, more: &[&str]) -> Output {
        self.cli(command, user, more).output().unwrap()
    }

    /// Starts to stream, and waits until it has joined.
    pub(crate) fn stream(&self, more: &[&str]) -> Running {
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
pub(crate) fn wait_for<T: Send + 'static>(
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

pub(crate) const SMALL: [&str; 4] = ["--resolution", "320x180", "--fps", "25"];

/// Clocks of the pictures of a file that have one, and how many there are in all.
pub(crate) fn clocks(path: &Path) -> (Vec<u64>, usize) {
    let mut reader = y4m::Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let mut picture = I420::black(2, 2).unwrap();
    let (mut clocks, mut all) = (Vec::new(), 0);
    while reader.next_picture(&mut picture).unwrap() {
        all += 1;
        clocks.extend(read_clock(&picture));
    }
    (clocks, all)
}

pub(crate) fn samples(path: &Path) -> Vec<f32> {
    let mut reader = wav::Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let mut samples = Vec::new();
    while reader.read(RATE, &mut samples).unwrap() > 0 {}
    samples
}

/// Frames of a recording, decoded: times at which pictures flash, and the sound.
pub(crate) fn play(path: &Path) -> (Vec<u64>, Vec<f32>, usize) {
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

pub(crate) fn only_file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap();
    let file = files.next().expect("a file").unwrap().path();
    assert!(files.next().is_none(), "one participant, one file");
    file
}

/// Encoded pictures with the pattern's clock, from 0 ms on, and its tone.
pub(crate) struct Film {
    pub(crate) pictures: Vec<Vec<u8>>,
    pub(crate) sound: Vec<Vec<u8>>,
}

pub(crate) const FILM_SIZE: (u32, u32) = (320, 180);
const FILM_FPS: u64 = 25;

impl Film {
    /// Keyframes are each second.
    pub(crate) fn new(seconds: u64, hertz: f32) -> Self {
        let (width, height) = FILM_SIZE;
        let config = EncoderConfig {
            keyframe_interval: Some(FILM_FPS as u32),
            drop_frames: false,
            ..EncoderConfig::new(width, height, FILM_FPS as u32, 150_000)
        };
        let mut encoder = Encoder::new(config).unwrap();
        let pattern = TestPicture::new(width, height).unwrap();
        let mut picture = I420::black(width, height).unwrap();
        let pictures = (0..seconds * FILM_FPS).map(|number| {
            // Clocks begin with 1: 0 is none.
            pattern.draw(number * 1000 / FILM_FPS + 1, number, &mut picture);
            let frame = encoder.encode(&picture, 0).unwrap().unwrap();
            frame.data.to_vec()
        });
        let pictures = pictures.collect();
        let config = opus::EncoderConfig::new(Channels::Mono, opus::Sound::Music);
        let mut encoder = opus::Encoder::new(&config).unwrap();
        let mut tone = Tone::new(hertz, 0.3);
        let mut samples = [0.0; FRAME_SAMPLES];
        let sound = (0..seconds * 50).map(|number| {
            tone.fill(number * 20_000, &mut samples);
            encoder.encode(&samples).unwrap().data.to_vec()
        });
        Self {
            pictures,
            sound: sound.collect(),
        }
    }

    pub(crate) fn webm(&self) -> Vec<u8> {
        let (width, height) = FILM_SIZE;
        let config = webm::WriterConfig {
            video: Some(webm::VideoTrack {
                codec: VideoCodec::Vp9,
                width,
                height,
            }),
            audio: Some(webm::AudioTrack {
                channels: Channels::Mono,
                pre_skip: opus::DELAY_SAMPLES,
            }),
            application: "test".to_owned(),
        };
        let mut writer = webm::Writer::streaming(Vec::new(), config).unwrap();
        for (number, packet) in self.sound.iter().enumerate() {
            let at = number as u64 * 20_000;
            if number % 2 == 0 {
                let place = number / 2;
                let keyframe = (place as u64).is_multiple_of(FILM_FPS);
                let frame = &self.pictures[place];
                writer.write_video(at, keyframe, frame).unwrap();
            }
            writer.write_audio(at, packet).unwrap();
        }
        writer.finish().unwrap()
    }

    pub(crate) fn ivf(&self) -> Vec<u8> {
        let (width, height) = (FILM_SIZE.0 as u16, FILM_SIZE.1 as u16);
        let header = ivf::Header::new(VideoCodec::Vp9, width, height);
        let mut writer = ivf::Writer::new(Vec::new(), &header).unwrap();
        for (number, frame) in self.pictures.iter().enumerate() {
            writer.write(number as u64 * 40_000, frame).unwrap();
        }
        writer.finish().unwrap()
    }
}

/// Frames of a WebM file's pictures and of its sound.
pub(crate) fn frames(path: &Path) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut reader = webm::Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let tracks = reader.tracks().to_vec();
    let (mut pictures, mut sound) = (Vec::new(), Vec::new());
    while let Some(frame) = reader.next_frame().unwrap() {
        let track = tracks.iter().find(|track| track.number == frame.track);
        match track.unwrap().kind {
            webm::TrackKind::Video(_) => pictures.push(frame.data.to_vec()),
            _ => sound.push(frame.data.to_vec()),
        }
    }
    (pictures, sound)
}

/// A recorder or watcher that has joined.
pub(crate) struct Joined {
    pub(crate) process: Running,
    lines: mpsc::Receiver<String>,
}

impl Server {
    /// Starts a command, and waits until it has joined.
    pub(crate) fn joined(&self, command: &str, user: &str, more: &[&str]) -> Joined {
        let process = self.cli(command, user, more).spawn().unwrap();
        let joined = Joined::new(process);
        joined.line("joined");
        joined
    }
}

impl Joined {
    pub(crate) fn new(mut process: Child) -> Self {
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (found, all) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = found.send(line);
            }
        });
        Self {
            process: Running(process),
            lines: all,
        }
    }

    /// The next line with these words.
    pub(crate) fn line(&self, words: &str) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line with {words} in {seen:#?}"),
            }
        }
    }

    /// Lets go of what was told so far.
    pub(crate) fn forget(&self) {
        self.lines.try_iter().for_each(drop);
    }

    /// What was told since, until the end.
    pub(crate) fn rest(&self) -> String {
        self.lines.iter().collect::<Vec<_>>().join("\n")
    }

    /// Asks it to terminate, and waits for that.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.process.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(asked.success());
        self.process.0.wait().unwrap()
    }
}

/// Files of a folder, by name.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
