//! Whole meetings by the load tester, which runs beside the servers: what people would see and hear.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time;

use crate::{
    nats::Nats,
    peer::{Server, Transport},
    process,
    report::Report,
};

/// People of the large meeting.
const PEOPLE: u32 = 1000;
/// Those whom server and tester carry over WebTransport together on two processors.
const CARRIED: u32 = 100;
/// Meetings of five at once.
const SMALL: [u32; 2] = [50, 200];
/// Seconds in which they come in, and those that count. Two between them do not.
const RAMP: u64 = 8;
const COUNTED: u64 = 12;
const SETTLING: u64 = 2;

/// What the load tester is to do.
pub(crate) struct Meetings {
    /// Nodes, of which each person takes the next one.
    pub(crate) urls: Vec<String>,
    /// All of a meeting take the same.
    pub(crate) together: bool,
    pub(crate) people: u32,
    pub(crate) of_each: u32,
    pub(crate) cameras: u32,
    pub(crate) speakers: u32,
    pub(crate) ramp: u64,
    pub(crate) counted: u64,
    pub(crate) name: &'static str,
}

/// What it found, and what that took of each process within the time that counts.
pub(crate) struct Outcome {
    report: Value,
    /// CPU seconds of the watched processes, in their order.
    pub(crate) cpu_seconds: Vec<f64>,
    pub(crate) tester_cpu_seconds: f64,
    /// Messages that NATS handed out.
    pub(crate) nats_messages: f64,
}

impl Meetings {
    /// One meeting with five cameras and three who speak.
    pub(crate) fn one(urls: Vec<String>, people: u32) -> Self {
        Self {
            urls,
            together: false,
            people,
            of_each: people,
            cameras: 5,
            speakers: 3,
            ramp: RAMP,
            counted: COUNTED,
            name: "bench",
        }
    }

    /// So many meetings of five, all of whom have cameras; two of each speak.
    pub(crate) fn of_five(urls: Vec<String>, meetings: u32) -> Self {
        Self {
            of_each: 5,
            speakers: 2,
            ..Self::one(urls, 5 * meetings)
        }
    }

    /// From the first who comes in to the end.
    pub(crate) fn seconds(&self) -> u64 {
        self.ramp + SETTLING + self.counted
    }

    /// Runs it, and watches processes by their ids.
    pub(crate) async fn run(&self, watched: &[u32], nats: Option<&Nats>) -> Result<Outcome> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("report.json");
        let mut tester = Tester(self.command(&path)?.spawn().context("videocall-load")?);
        let ids: Vec<String> = watched
            .iter()
            .chain([&tester.0.id()])
            .map(u32::to_string)
            .collect();
        let cpu =
            || -> Result<Vec<f64>> { ids.iter().map(|id| process::cpu_seconds(id)).collect() };
        time::sleep(Duration::from_secs(self.ramp + SETTLING)).await;
        let messages = async || match nats {
            Some(nats) => nats.messages_out().await,
            None => Ok(0.0),
        };
        let (before, messages_before) = (cpu()?, messages().await?);
        // What it does at its end does not count.
        time::sleep(Duration::from_secs(self.counted) - Duration::from_millis(200)).await;
        let (after, messages_after) = (cpu()?, messages().await?);
        let status = tester.wait().await?;
        ensure!(status.success(), "videocall-load ended with {status}");
        let mut used = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before);
        let cpu_seconds = used.by_ref().take(watched.len()).collect();
        Ok(Outcome {
            report: read(&path)?,
            cpu_seconds,
            nats_messages: messages_after - messages_before,
            tester_cpu_seconds: used.next().unwrap_or_default(),
        })
    }

    fn command(&self, report: &Path) -> Result<Command> {
        let (first, others) = self.urls.split_first().context("a server")?;
        let seconds = |seconds: u64| format!("{seconds}s");
        let mut command = Command::new(process::beside("videocall-load")?);
        command
            .args(["--url", first, "--plain", "--behaviour", "meeting"])
            .args(["--runner", "linear", "--layout", "grid:9"])
            .args(["--target-connections", &self.people.to_string()])
            .args(["--ramp-duration", &seconds(self.ramp)])
            .args(["--warm-up", &seconds(self.ramp + SETTLING)])
            .args(["--duration", &seconds(self.seconds())])
            .args(["--participants-per-meeting", &self.of_each.to_string()])
            .args(["--cameras", &self.cameras.to_string()])
            .args(["--speakers", &self.speakers.to_string()])
            .args(["--meeting-name", self.name, "--json"])
            .arg(report)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if first.starts_with("https:") {
            command.arg("--insecure");
        }
        for other in others {
            command.args(["--other-url", other]);
        }
        if self.together && !others.is_empty() {
            command.args(["--turn", &self.of_each.to_string()]);
        }
        Ok(command)
    }
}

impl Outcome {
    /// A figure by the load tester's name for it; 0 where nothing of it was met.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let value = &self.report["figures"][name]["value"];
        value.as_f64().unwrap_or_default()
    }

    /// Why these may be figures of the tester, and not of the server.
    pub(crate) fn doubts(&self) -> Vec<&str> {
        let warnings = self.report["warnings"].as_array();
        let warnings = warnings.into_iter().flatten();
        warnings.filter_map(Value::as_str).collect()
    }
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).context("videocall-load wrote no report")?;
    Ok(serde_json::from_slice(&text)?)
}

/// The load tester's process, ended with the run.
struct Tester(Child);

impl Tester {
    async fn wait(&mut self) -> Result<std::process::ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Tester {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `meeting.1000.<transport>.…`; over WebTransport also of as many people as are carried; and
/// `meeting.200x5.<transport>.…`: many meetings of five.
pub(crate) async fn measure(report: &mut Report, transport: Transport) -> Result<()> {
    let one = |people: u32| (people.to_string(), Meetings::one(Vec::new(), people));
    let mut measured = vec![one(PEOPLE)];
    if transport == Transport::WebTransport {
        measured.push(one(CARRIED));
    }
    for meetings in SMALL {
        let name = format!("{meetings}x5");
        measured.push((name, Meetings::of_five(Vec::new(), meetings)));
    }
    for (name, meetings) in measured {
        carry(report, transport, &name, meetings).await?;
    }
    Ok(())
}

async fn carry(
    report: &mut Report,
    transport: Transport,
    meetings: &str,
    meeting: Meetings,
) -> Result<()> {
    let name = |figure: &str| format!("meeting.{meetings}.{}.{figure}", transport.label());
    if !report.wants(&name("")) {
        return Ok(());
    }
    let server = Server::product(transport, &[]).await?;
    let meeting = Meetings {
        urls: vec![server.address.url()],
        ..meeting
    };
    let found = meeting.run(&[server.process.id()], None).await?;
    let packets = found.figure("received.rate");
    if packets == 0.0 {
        report.add(&name("audio_lost"), "%", 100.0, None);
        report.add(&name("packets_per_second"), "packets/s", packets, None);
        return Ok(());
    }
    let each = |seconds: f64| seconds * 1e6 / (packets * meeting.counted as f64);
    for (figure, unit, value) in [
        ("audio_lost", "%", found.figure("lost.audio.percent")),
        ("delay_p99_ms", "ms", found.figure("one_way.p99")),
        ("packets_per_second", "packets/s", packets),
        ("cpu_us", "µs", each(found.cpu_seconds[0])),
        ("tester_cpu_us", "µs", each(found.tester_cpu_seconds)),
    ] {
        report.add(&name(figure), unit, value, None);
    }
    for doubt in found.doubts() {
        println!("    {doubt}");
    }
    Ok(())
}
