//! The real server for as long as one likes: people who come and go, storms, garbage and people who
//! read too slowly, over both transports; what they took is given back.
//!
//! `VIDEOCALL_SOAK_MINUTES=30 cargo test -p videocall-load --test load soak -- --nocapture` is the
//! long form.

use std::time::{Duration, Instant};

use tokio::time;
use videocall_load::{
    behaviour::meeting::{Layout, MeetingOptions},
    plan::{BehaviourOptions, Plan},
};

use crate::support::{RealServer, Run, plan};

/// One after the other; in the first ones a server makes what it makes once.
const FIRST_ROUNDS: usize = 2;
const SHORT_ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(5);
/// How long the server may take to forget those who have gone.
const FORGETTING: Duration = Duration::from_secs(60);
/// What memory may grow by from one round to another without growing for ever, in KiB: how an
/// allocator fills its pages differs from round to round.
const SLACK_KIB: u64 = 12 * 1024;

/// What a server holds that must not grow.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kib: u64,
    files: usize,
    threads: usize,
}

fn held(server: &RealServer) -> Held {
    let folder = format!("/proc/{}", server.id());
    let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let count = |name: &str| {
        std::fs::read_dir(format!("{folder}/{name}"))
            .unwrap()
            .count()
    };
    Held {
        memory_kib: memory
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .unwrap(),
        files: count("fd"),
        threads: count("task"),
    }
}

/// Everybody of a round, on one transport.
fn crowds(url: &str, meetings: &str) -> Vec<Plan> {
    let meeting = BehaviourOptions::Meeting(MeetingOptions {
        participants: 5,
        cameras: 2,
        speakers: 2,
        layout: Layout::Grid(4),
        name: meetings.to_owned(),
        ..MeetingOptions::default()
    });
    let mut come_and_go = plan(url, 10, meeting);
    come_and_go.connection.duration = Some(Duration::from_millis(900));
    let storm = BehaviourOptions::ReconnectStorm {
        period: Duration::from_secs(1),
    };
    let slow = BehaviourOptions::SlowConsumer {
        pause: Duration::from_millis(100),
        receive_buffer: 4096,
    };
    let garbage = BehaviourOptions::Fuzzer {
        pause: Duration::from_millis(5),
        seed: 1,
    };
    let door = |who: &str| format!("{url}/lobby/{who}/{meetings}");
    let mut crowds = vec![
        come_and_go,
        plan(&door("storm"), 20, storm),
        plan(&door("slow"), 3, slow),
        plan(&door("garbage"), 3, garbage),
    ];
    for crowd in &mut crowds {
        crowd.transport.insecure = url.starts_with("https:");
        crowd.duration = ROUND;
    }
    crowds
}

async fn round(server: &RealServer, number: usize) -> Held {
    let urls = [server.websocket_url(), server.webtransport_url()];
    let plans = urls
        .iter()
        .flat_map(|url| crowds(url, &format!("soak-{number}")));
    let runs: Vec<Run> = plans.map(Run::start).collect();
    let mut connected = 0;
    for run in runs {
        connected += run.finish().await.1.connected;
    }
    assert!(connected > 72, "they came, and came again: {connected}");
    let deadline = Instant::now() + FORGETTING;
    while server.metric_sum("videocall_sessions").await > 0.0 {
        assert!(
            Instant::now() < deadline,
            "sessions are left in round {number}"
        );
        time::sleep(Duration::from_millis(50)).await;
    }
    held(server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak() {
    let minutes = std::env::var("VIDEOCALL_SOAK_MINUTES").ok();
    let minutes: u64 = minutes.map_or(0, |minutes| minutes.parse().expect("minutes"));
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let server = RealServer::start().await;
    let mut first = None;
    let mut number = 0;
    let mut now = held(&server);
    while number < SHORT_ROUNDS || Instant::now() < end {
        number += 1;
        now = round(&server, number).await;
        if number == FIRST_ROUNDS {
            first = Some(now);
        }
        if number % 20 == 0 {
            eprintln!("round {number}: {now:?}");
        }
    }
    let first = first.expect("there were enough rounds");
    eprintln!("from {first:?} to {now:?} in {number} rounds");
    assert!(now.files <= first.files + 2, "{first:?} {now:?}");
    assert!(now.threads <= first.threads + 2, "{first:?} {now:?}");
    assert!(
        now.memory_kib <= first.memory_kib + SLACK_KIB,
        "{first:?} {now:?}"
    );
}
