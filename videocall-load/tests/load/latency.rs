//! Latencies count from the time at which a message should have been sent.

use std::time::Duration;

use videocall_load::{
    measure::{ErrorClass, MessageKind, Metric},
    plan::BehaviourOptions,
    scenario::Scenario,
};

use crate::{
    server::{Mischief, Server},
    support::{Run, plan},
};

const STALL: Duration = Duration::from_millis(400);

fn ping_pong() -> BehaviourOptions {
    BehaviourOptions::PingPong {
        pause: Duration::from_millis(10),
        bytes: 100,
        timeout: Duration::from_secs(10),
    }
}

#[tokio::test]
async fn a_stall_shows_in_all_messages_that_it_delayed() {
    let server = Server::start(Mischief::StallingEcho {
        at: 5,
        stall: STALL,
    })
    .await;
    let run = Run::start(plan(&server.url(), 1, ping_pong()));
    run.until("120 round trips", |seen| {
        seen.latency(Metric::RoundTrip).0 >= 120
    })
    .await;
    let snapshot = run.recorder.clone();
    let seen = run.end().await;
    let (_, corrected, raw) = seen.latency(Metric::RoundTrip);
    // The one message that was held back.
    assert!(raw >= STALL && corrected >= STALL, "{raw:?} {corrected:?}");
    // Of those behind it, due every 10 ms, each waited as well; only the corrected times tell.
    let half = STALL / 2;
    let (slow_corrected, slow_raw) = crate::support::round_trips_over(&snapshot, half);
    assert_eq!(slow_raw, 1);
    assert!(slow_corrected >= 15, "{slow_corrected}");
    assert_eq!(seen.errors, []);
}

#[tokio::test]
async fn an_echo_that_comes_twice_is_counted() {
    let server = Server::start(Mischief::DoublingEcho).await;
    let run = Run::start(plan(&server.url(), 2, ping_pong()));
    run.until("duplicates", |seen| seen.duplicated >= 20).await;
    let seen = run.end().await;
    assert!(seen.latency(Metric::RoundTrip).0 >= 20);
    assert_eq!(seen.lost, 0);
}

#[tokio::test]
async fn an_echo_that_never_comes_is_a_timeout() {
    let server = Server::start(Mischief::StallingEcho {
        at: 3,
        stall: Duration::from_secs(3600),
    })
    .await;
    let behaviour = BehaviourOptions::PingPong {
        pause: Duration::from_millis(10),
        bytes: 100,
        timeout: Duration::from_millis(200),
    };
    let run = Run::start(plan(&server.url(), 1, behaviour));
    run.until("timeout", |seen| seen.errors_of(ErrorClass::Timeout) > 0)
        .await;
    assert!(run.end().await.lost > 0);
}

#[tokio::test]
async fn what_goes_out_and_comes_in_is_counted() {
    let server = Server::start(Mischief::Echo).await;
    let script = "repeat = 50\n[[step]]\nsend = \"hello {connection} {round}\"\n\
                  [[step]]\nexpect = \"hello\"\n";
    let behaviour = BehaviourOptions::Scenario(Scenario::parse(script).unwrap());
    let mut plan = plan(&server.url(), 4, behaviour);
    plan.connection.pause = Duration::from_secs(3600);
    let run = Run::start(plan);
    run.until("200 echoes", |seen| {
        seen.received_of(MessageKind::Other) == 200
    })
    .await;
    let seen = run.end().await;
    assert_eq!(seen.sent_of(MessageKind::Other), 200);
    assert_eq!(seen.latency(Metric::RoundTrip).0, 200);
    assert_eq!(seen.errors, []);
}

#[tokio::test]
async fn a_flood_keeps_its_pace() {
    let server = Server::start(Mischief::Echo).await;
    let behaviour = BehaviourOptions::Flood {
        pause: Duration::from_millis(5),
        bytes: 10,
    };
    let mut plan = plan(&server.url(), 1, behaviour);
    plan.duration = Duration::from_secs(2);
    let (_, seen) = Run::start(plan).finish().await;
    let sent = seen.sent_of(MessageKind::Other);
    // At most one every 5 ms; a busy machine may have left some out.
    assert!((100..=401).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_stall_that_lasts_to_the_end_is_in_the_round_trips() {
    let server = Server::start(Mischief::StallingEcho {
        at: 3,
        stall: Duration::from_secs(3600),
    })
    .await;
    let mut plan = plan(&server.url(), 1, ping_pong());
    plan.duration = Duration::from_millis(2000);
    let (_, seen) = Run::start(plan).finish().await;
    let (count, corrected, raw) = seen.latency(Metric::RoundTrip);
    assert_eq!(count, 3);
    assert!(
        corrected >= raw && raw > Duration::from_secs(1),
        "{corrected:?} {raw:?}"
    );
}
