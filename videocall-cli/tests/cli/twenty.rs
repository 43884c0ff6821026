//! Twenty streamers on one machine: what is encoded already costs them next to nothing.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use videocall_codec::{pattern::TestPicture, y4m, yuv::I420};

use crate::support::{Joined, Server};

/// Each with the way that its people take.
const MEETINGS: [(&str, &str); 4] = [
    ("north", "webtransport"),
    ("east", "websocket"),
    ("south", "webtransport"),
    ("west", "websocket"),
];
/// As many voices as the relay forwards in a meeting: nobody is too quiet.
const OF_EACH: usize = 5;
/// Of the film, which begins again and again. Its pictures are small and few, and its packets of
/// sound long: twenty processes that are not optimised share two processors with other tests.
const SECONDS: u64 = 3;
const SIZE: (u32, u32) = (192, 108);
const FPS: u32 = 10;
const SOUND_MS: u64 = 60;
/// Until all is steady, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);
/// Good seconds in a row of all streams at once: longer than the film.
const STEADY: u32 = 5;

/// Figures that a program tells.
fn event(line: &str, name: &str) -> Option<Value> {
    let figures: Value = serde_json::from_str(line).ok()?;
    (figures["event"] == name).then_some(figures)
}

fn number(figures: &Value, name: &str) -> u64 {
    figures[name].as_u64().unwrap_or(0)
}

/// One meeting: its streamers by their sessions, and somebody who sees and hears them.
struct Meeting {
    watching: Joined,
    streaming: HashMap<u64, Joined>,
    seen: HashMap<u64, Seen>,
}

/// What came of one streamer.
#[derive(Debug, Default)]
struct Seen {
    pictures: Stream,
    sound: Stream,
}

#[derive(Debug, Default)]
struct Stream {
    /// Packets and pictures that were missing or of no use, since the beginning.
    missed: u64,
    /// Good seconds in a row.
    good: u32,
}

impl Stream {
    /// Notes a second with its figures: whether enough came, and nothing was lost.
    fn note(&mut self, figures: &Value, enough: bool) {
        let missed = ["lost", "unreadable", "dropped"].map(|name| number(figures, name));
        let before = std::mem::replace(&mut self.missed, missed.iter().sum());
        let good = enough && self.missed == before;
        self.good = if good { self.good + 1 } else { 0 };
    }
}

impl Meeting {
    /// The watcher, and streamers that are on their way in.
    fn open(server: &Server, (name, way): (&str, &str), film: &Path) -> (Joined, Vec<Joined>) {
        let way = ["--transport", way];
        let watch = [&way[..], &["--clock"]].concat();
        let watching = server.cli_in(name, "watch", "eye", &watch).spawn();
        let watching = Joined::new(watching.unwrap());
        watching.line("\"event\":\"joined\"");
        let film = ["--repeat", "--input", film.to_str().unwrap()];
        let stream = [&way[..], &film].concat();
        let streaming = (0..OF_EACH).map(|n| {
            let user = format!("{name}-{n}");
            let process = server.cli_in(name, "stream", &user, &stream).spawn();
            Joined::new(process.unwrap())
        });
        (watching, streaming.collect())
    }

    fn joined((watching, streaming): (Joined, Vec<Joined>)) -> Self {
        let streaming = streaming.into_iter().map(|one| {
            let line = one.line("\"event\":\"joined\"");
            (number(&event(&line, "joined").unwrap(), "session"), one)
        });
        Self {
            watching,
            streaming: streaming.collect(),
            seen: HashMap::new(),
        }
    }

    /// Takes the watcher's next figures.
    fn look(&mut self) {
        let line = self.watching.line("\"event\":\"received\"");
        let figures = event(&line, "received").unwrap();
        let seen = self.seen.entry(number(&figures, "session")).or_default();
        // On a busy machine some of a second's pictures and sound come in the next.
        if figures["kind"] == "video" {
            let moves =
                number(&figures, "fps") * 2 >= u64::from(FPS) && figures["delay_ms"].is_i64();
            seen.pictures.note(&figures, moves);
        } else {
            let loud = figures["level_dbov"].as_i64() >= Some(-30);
            let enough = number(&figures, "packets") * SOUND_MS >= 700;
            seen.sound.note(&figures, loud && enough);
        }
    }

    /// Waits until everybody is seen and heard without a break, all at once.
    fn is_steady(&mut self) {
        let steady = |seen: &Seen| seen.pictures.good >= STEADY && seen.sound.good >= STEADY;
        let deadline = Instant::now() + PATIENCE;
        while self.seen.len() < OF_EACH || !self.seen.values().all(steady) {
            assert!(Instant::now() < deadline, "not steady: {:#?}", self.seen);
            self.look();
        }
        assert!(
            self.seen.keys().all(|of| self.streaming.contains_key(of)),
            "nobody comes again as somebody else"
        );
    }

    fn ends(mut self) {
        for one in self.streaming.values_mut() {
            assert!(one.terminate().success());
            let told = one.rest();
            assert!(!told.contains("\"event\":\"reconnecting\""), "{told}");
        }
        assert!(self.watching.terminate().success());
    }
}

/// The pattern with its clock and a tone, as ffmpeg encodes them.
fn film(folder: &Path) -> PathBuf {
    let (pictures, film) = (folder.join("pictures.y4m"), folder.join("film.webm"));
    let pattern = TestPicture::new(SIZE.0, SIZE.1).unwrap();
    let header = y4m::Header::new(SIZE.0, SIZE.1, FPS);
    let mut writer = y4m::Writer::new(File::create(&pictures).unwrap(), header).unwrap();
    let mut picture = I420::black(SIZE.0, SIZE.1).unwrap();
    for number in 0..SECONDS * u64::from(FPS) {
        pattern.draw(number * 1000 / u64::from(FPS) + 1, number, &mut picture);
        writer.write(&picture).unwrap();
    }
    writer.finish().unwrap();
    let vp9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 10 -b:v 100k";
    let opus = format!("-c:a libopus -ac 1 -frame_duration {SOUND_MS} -t {SECONDS}");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&pictures)
        .args(["-f", "lavfi", "-i", "sine=900"])
        .args(vp9.split(' ').chain(opus.split(' ')))
        .arg(&film)
        .status();
    assert!(made.unwrap().success(), "ffmpeg encodes");
    film
}

#[test]
fn twenty_films_on_one_machine_are_seen_and_heard_without_a_break() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path());
    let opened = MEETINGS.map(|meeting| Meeting::open(&server, meeting, &film));
    let mut meetings = opened.map(Meeting::joined);
    let streamers: usize = meetings.iter().map(|it| it.streaming.len()).sum();
    assert_eq!(streamers, 20);
    // What counts begins when all are there.
    meetings.iter().for_each(|it| it.watching.forget());
    for meeting in &mut meetings {
        meeting.is_steady();
    }
    meetings.into_iter().for_each(Meeting::ends);
}
