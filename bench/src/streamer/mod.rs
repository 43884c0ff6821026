//! What the program without a browser costs: encoding, sending what is encoded already, and
//! composing a meeting.
//!
//! Product and floor run at the same time, so that what the machine does beside falls on both.

mod films;
mod floors;
mod participant;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::{task::JoinSet, time};
use videocall_types::{ids::MediaKind, view::PacketView, wire::packet_wrapper::PacketType};

pub(crate) use self::floors::Floor;
use self::participant::Participant;
use crate::{
    peer::{Peer, Server, Transport},
    process::Process,
    report::Report,
};

const ENCODE: &str = "streamer.encode.720p.cpu_us";
const FORWARD: &str = "streamer.forward.cpu_ms_per_s";
const COMPOSED: &str = "streamer.composed.cpu_ms_per_s";
/// Of all input, as a camera has it.
const FPS: u32 = 30;
const LARGE: (u32, u32) = (1280, 720);
const LARGE_BPS: u32 = 1_500_000;
/// Of those who are composed.
const SMALL: (u32, u32) = (640, 360);
const SMALL_BPS: u32 = 500_000;
const COMPOSED_STREAMERS: usize = 4;
/// `videocall-cli stream`'s own.
const SPEED: u8 = 8;
/// Seconds of input, which begins again and again.
const SECONDS: u64 = 2;
/// The round with the median ratio counts.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);
/// Connections, buffers and decoders are made by then.
const SETTLING: Duration = Duration::from_secs(1);
/// Of a composed picture.
const COMPOSED_FPS: u32 = 25;
/// Where the machine makes fewer of the pictures, what is measured is something else.
const ENOUGH: f64 = 0.9;

/// A server, one of whose receivers takes everything, and a folder for inputs.
struct Scene {
    server: Server,
    pictures: Arc<AtomicU64>,
    _receiver: JoinSet<()>,
    folder: TempDir,
}

impl Scene {
    async fn start() -> Result<Self> {
        let server = Server::product(Transport::WebSocket, &[]).await?;
        let eye = Peer::join(server.address, participant::MEETING, "eye").await?;
        let pictures = Arc::new(AtomicU64::new(0));
        let mut receiver = JoinSet::new();
        receiver.spawn(count(eye, pictures.clone()));
        Ok(Self {
            server,
            pictures,
            _receiver: receiver,
            folder: tempfile::tempdir()?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn join(&self, command: &str, name: &str, more: &[&str]) -> Result<Participant> {
        Participant::join(&self.server, command, name, more).await
    }
}

/// Counts the pictures that come.
async fn count(eye: Peer, pictures: Arc<AtomicU64>) {
    eye.receive(|packet| {
        let Ok(view) = PacketView::parse(packet) else {
            return;
        };
        let routing = view.routing.filter(|_| view.is(PacketType::Media));
        if routing.is_some_and(|routing| routing.kind == MediaKind::Video) {
            pictures.fetch_add(1, Relaxed);
        }
    })
    .await;
}

/// CPU seconds of a process so far, and what it has done by then: pictures, or seconds.
type Done<'a> = Box<dyn FnMut() -> Result<(f64, f64)> + 'a>;

/// Seconds that a process has streamed: all that pass.
fn by_seconds<'a>(cpu: impl Fn() -> Result<f64> + 'a) -> Done<'a> {
    let start = Instant::now();
    Box::new(move || Ok((cpu()?, start.elapsed().as_secs_f64())))
}

/// CPU seconds of product and floor for each of what they do, both at once.
async fn compare(mut sides: [Done<'_>; 2]) -> Result<(f64, f64)> {
    time::sleep(SETTLING).await;
    let mut rounds = Vec::new();
    let mut before = [sides[0]()?, sides[1]()?];
    for _ in 0..ROUNDS {
        time::sleep(ROUND).await;
        let after = [sides[0]()?, sides[1]()?];
        let each = |side: usize| {
            let (cpu, done) = (
                after[side].0 - before[side].0,
                after[side].1 - before[side].1,
            );
            cpu / done
        };
        rounds.push((each(0), each(1)));
        before = after;
    }
    rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    Ok(rounds[ROUNDS / 2])
}

/// `streamer.….cpu_…`
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    if report.wants(ENCODE) {
        encode(report).await.context(ENCODE)?;
    }
    if report.wants(FORWARD) {
        forward(report).await.context(FORWARD)?;
    }
    if report.wants(COMPOSED) {
        composed(report).await.context(COMPOSED)?;
    }
    Ok(())
}

/// `streamer.encode.720p.cpu_us`: of all threads of `stream`, for each picture of one size; the
/// floor is the encoder alone.
async fn encode(report: &mut Report) -> Result<()> {
    let scene = Scene::start().await?;
    let input = scene.path("input.y4m");
    films::y4m(&input, LARGE)?;
    let floor = floor("encode", &[text(&input)?])?;
    let kbps = (LARGE_BPS / 1000).to_string();
    let one_size = ["--no-simulcast", "--bitrate-kbps", &kbps];
    let input = ["--repeat", "--input", text(&input)?];
    let more = [&one_size[..], &input].concat();
    let mut streaming = scene.join("stream", "pi", &more).await?;
    // What the network carries is found out step by step.
    let enough = |told: &serde_json::Value| {
        told["pictures_may_take_kbps"].as_u64() >= Some(u64::from(LARGE_BPS / 1000))
    };
    streaming.told(enough).await.context("the whole bitrate")?;
    let start = (Instant::now(), scene.pictures.load(Relaxed));
    let floor = std::cell::RefCell::new(floor);
    let sides: [Done<'_>; 2] = [
        Box::new(|| {
            let cpu = streaming.cpu_seconds()?;
            Ok((cpu, scene.pictures.load(Relaxed) as f64))
        }),
        Box::new(|| {
            let mut floor = floor.borrow_mut();
            Ok((floor.cpu_seconds()?, floor.ask()? as f64))
        }),
    ];
    let (value, floor) = compare(sides).await?;
    report.add(ENCODE, "µs", value * 1e6, Some(floor * 1e6));
    let made = (scene.pictures.load(Relaxed) - start.1) as f64;
    doubt(made / start.0.elapsed().as_secs_f64(), FPS);
    Ok(())
}

/// `streamer.forward.cpu_ms_per_s`: of `stream` with a film; the floor is a loop that reads the
/// same film and writes each frame to a connection at its time.
async fn forward(report: &mut Report) -> Result<()> {
    let scene = Scene::start().await?;
    let film = scene.path("film.webm");
    films::webm(&film, LARGE, LARGE_BPS)?;
    let sink = Server::floor(Transport::WebTransport)?;
    let port = sink.address.port().to_string();
    let floor = floor("forward", &[text(&film)?, &port])?;
    let way = ["--transport", Transport::WebTransport.label()];
    let film = ["--repeat", "--input", text(&film)?];
    let more = [&way[..], &film].concat();
    let streaming = scene.join("stream", "pi", &more).await?;
    let sides = [
        by_seconds(|| streaming.cpu_seconds()),
        by_seconds(|| floor.cpu_seconds()),
    ];
    let (value, floor) = compare(sides).await?;
    report.add(FORWARD, "ms/s", value * 1e3, Some(floor * 1e3));
    Ok(())
}

/// `streamer.composed.cpu_ms_per_s`: of `record --composed` in a meeting of four; the floor decodes
/// and encodes as much, and no more.
async fn composed(report: &mut Report) -> Result<()> {
    let scene = Scene::start().await?;
    let film = scene.path("film.webm");
    films::webm(&film, SMALL, SMALL_BPS)?;
    let streamer = ["--repeat", "--input", text(&film)?];
    let mut streaming = Vec::new();
    for n in 0..COMPOSED_STREAMERS {
        streaming.push(scene.join("stream", &format!("pi{n}"), &streamer).await?);
    }
    let (parts, all) = (scene.path("parts"), scene.path("all.webm"));
    let files = ["--directory", text(&parts)?, "--composed", text(&all)?];
    let recording = scene.join("record", "tape", &files).await?;
    let floor = floor("compose", &[text(&film)?])?;
    let sides = [
        by_seconds(|| recording.cpu_seconds()),
        by_seconds(|| floor.cpu_seconds()),
    ];
    let (value, floor) = compare(sides).await?;
    report.add(COMPOSED, "ms/s", value * 1e3, Some(floor * 1e3));
    doubt(films::pictures_per_second(&all)?, COMPOSED_FPS);
    Ok(())
}

/// Says so if the machine had no time for what it was to do.
fn doubt(fps: f64, wanted: u32) {
    if fps < ENOUGH * f64::from(wanted) {
        println!("    the machine is too busy: {fps:.0} pictures a second instead of {wanted}");
    }
}

fn floor(name: &str, args: &[&str]) -> Result<Process> {
    let args = [&["streamer-floor", name], args].concat();
    let (process, _) = Process::start("videocall-bench", &args, "ready")?;
    Ok(process)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
