//! Instructions of the relay's core, which no other program can disturb.

use std::{
    fs,
    process::{Command, Stdio},
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use videocall_relay::{BatchLimits, Counters, Egress, Joined, Meeting, RelayConfig};
use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    packet,
    view::Routing,
};

use crate::{process::beside, report::Report};

const RECEIVERS: u64 = 100;

/// As much as a connection's writer takes.
const BATCH: BatchLimits = BatchLimits {
    packets: 64,
    bytes: 1 << 16,
    pictures: true,
};

/// Enough that what is done once counts for little; the difference takes it out.
const FEW: u64 = 200;
const MANY: u64 = 1200;

/// `core.<kind>.instructions`: for each packet that is put into a receiver's queue and taken out.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    for kind in ["audio", "video"] {
        let name = format!("core.{kind}.instructions");
        if !report.wants(&name) {
            continue;
        }
        let few = counted(kind, FEW)?;
        let many = counted(kind, MANY)?;
        let each = (many - few) as f64 / ((MANY - FEW) * RECEIVERS) as f64;
        report.add(&name, "instructions", each, None);
    }
    Ok(())
}

/// Instructions of a run, by callgrind.
fn counted(kind: &str, packets: u64) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("callgrind.out");
    let status = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(beside("videocall-bench")?)
        .args(["core", kind, &packets.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("valgrind cannot be started: scripts/setup bench installs it")?;
    if !status.success() {
        bail!("valgrind ended with {status}");
    }
    let text = fs::read_to_string(out)?;
    let total = text
        .lines()
        .find_map(|line| {
            line.strip_prefix("totals: ")
                .or(line.strip_prefix("summary: "))
        })
        .context("callgrind wrote no sum")?;
    Ok(total.trim().parse()?)
}

/// The work that is counted.
pub(crate) fn core(kind: &str, packets: u64) -> Result<()> {
    let audio = kind == "audio";
    let mut now = Instant::now();
    let mut meeting = Meeting::new(
        NodeId::from_random(1),
        Arc::new(RelayConfig::default()),
        Arc::new(Counters::default()),
    );
    let publisher = SessionId::new(1).context("a session")?;
    let mut receivers: Vec<Arc<Egress>> = Vec::new();
    for number in 1..=RECEIVERS + 1 {
        let egress = meeting.join(
            now,
            Joined {
                session: SessionId::new(number).context("a session")?,
                user_id: String::from("user"),
                display_name: String::from("user"),
                joined_ms: 0,
            },
        );
        if number > 1 {
            receivers.push(egress);
        }
    }
    let mut out = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    for number in 1..=packets {
        now += Duration::from_millis(20);
        let routing = Routing {
            kind: if audio {
                MediaKind::Audio
            } else {
                MediaKind::Video
            },
            stream_id: 1,
            spatial: 0,
            temporal: 0,
            keyframe: !audio && number == 1,
            depends_back: u8::from(!audio && number > 1),
            frame_number: number,
            capture_us: number * 20_000,
            audio_level: 30,
            encrypted: false,
        };
        let payload = vec![0; if audio { 120 } else { 4000 }].into();
        let packet = packet::sealed_media(publisher, &Bytes::new(), routing, payload);
        if meeting.receive(now, publisher, packet).is_err() {
            bail!("the packet was refused");
        }
        for egress in &receivers {
            while egress
                .poll_batch(&mut context, now, BATCH, &mut out)
                .is_ready()
            {}
            out.clear();
        }
    }
    Ok(())
}
