//! Small meetings beside a storm: what their people hear while others of the same server come and
//! go all at once and send more than they may. The floor is the same server without the storm.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::{
    meeting::{Meetings, Outcome},
    peer::{Server, Transport},
    process,
    report::Report,
};

/// Meetings of five, two of whom have cameras and speak.
const MEETINGS: u32 = 6;
/// All of these vanish and come back together, every second.
const STORM: (&str, &[&str]) = (
    "reconnect-storm",
    &["--connection-number=100", "--storm-period=1s"],
);
/// Each sends four times what one connection may.
const FLOOD: (&str, &[&str]) = (
    "flood",
    &[
        "--connection-number=5",
        "--spam-pause=250us",
        "--message-bytes=200",
    ],
);

/// A load tester that only disturbs; ended when dropped.
struct Storm(Child);

impl Storm {
    fn start(server: &Server, (behaviour, more): (&str, &[&str]), seconds: u64) -> Result<Self> {
        let url = format!("{}/lobby/{behaviour}/{behaviour}", server.address.url());
        // What it costs to be a storm must not hold up those who measure: its clients' cryptography
        // is as much work as the server's.
        let mut command = Command::new("nice");
        command
            .args(["-n", "19"])
            .arg(process::beside("videocall-load")?)
            .args(["--url", &url, "--plain", "--behaviour", behaviour])
            .args(["--duration", &format!("{seconds}s")])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if url.starts_with("https:") {
            command.arg("--insecure");
        }
        Ok(Self(command.spawn().context("videocall-load")?))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `fairness.<transport>.…`
pub(crate) async fn measure(report: &mut Report, transport: Transport) -> Result<()> {
    let name = |figure: &str| format!("fairness.{}.{figure}", transport.label());
    if !report.wants(&name("")) {
        return Ok(());
    }
    let alone = meetings(transport, false).await?;
    let beside = meetings(transport, true).await?;
    for (figure, unit, of) in [
        ("audio_lost", "%", "lost.audio.percent"),
        ("delay_p50_ms", "ms", "one_way.p50"),
        ("delay_p99_ms", "ms", "one_way.p99"),
    ] {
        report.add(
            &name(figure),
            unit,
            beside.figure(of),
            Some(alone.figure(of)),
        );
    }
    Ok(())
}

async fn meetings(transport: Transport, storm: bool) -> Result<Outcome> {
    let server = Server::product(transport, &[]).await?;
    let meetings = Meetings {
        people: 5 * MEETINGS,
        of_each: 5,
        cameras: 2,
        speakers: 2,
        ramp: 2,
        ..Meetings::one(vec![server.address.url()], 0)
    };
    let seconds = meetings.seconds();
    let disturbing = [STORM, FLOOD].into_iter().filter(|_| storm);
    let _storms = disturbing
        .map(|kind| Storm::start(&server, kind, seconds))
        .collect::<Result<Vec<_>>>()?;
    meetings.run(&[server.process.id()], None).await
}
