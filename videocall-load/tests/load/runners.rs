//! Connections come and go as the runner says.

use std::{num::NonZeroU64, time::Duration};

use videocall_load::{
    plan::{BehaviourOptions, Share},
    runner::{Runner, Stage},
};

use crate::{
    server::{Mischief, Server},
    support::{Run, plan},
};

#[tokio::test]
async fn a_connection_of_limited_duration_is_replaced() {
    let server = Server::start(Mischief::Echo).await;
    let mut plan = plan(&server.url(), 2, BehaviourOptions::Silent);
    plan.connection.duration = Some(Duration::from_millis(30));
    plan.connection.pause = Duration::from_millis(10);
    let run = Run::start(plan);
    run.until("ten connections", |seen| seen.connected >= 10)
        .await;
    assert_eq!(run.end().await.errors, []);
}

#[tokio::test]
async fn waves_close_all_and_open_all_again() {
    let server = Server::start(Mischief::Echo).await;
    let mut plan = plan(&server.url(), 1, BehaviourOptions::Silent);
    plan.runner = Runner::Waves {
        wave: Box::new(Runner::Flat { connections: 5 }),
        length: Duration::from_millis(200),
        number: 3,
        pause: Duration::from_millis(100),
    };
    plan.duration = Duration::from_millis(800);
    let (outcomes, seen) = Run::start(plan).finish().await;
    assert_eq!((outcomes.attempts, outcomes.opened), (15, 15));
    assert_eq!(seen.connected, 15);
    assert_eq!(seen.planned, 15);
}

#[tokio::test]
async fn arrivals_beyond_the_limit_are_late() {
    let server = Server::start(Mischief::Echo).await;
    let mut plan = plan(&server.url(), 1, BehaviourOptions::Silent);
    plan.runner = Runner::Arrivals { per_second: 50.0 };
    plan.connection.duration = Some(Duration::from_millis(200));
    plan.connection.limit = NonZeroU64::new(2);
    plan.duration = Duration::from_secs(1);
    let (_, seen) = Run::start(plan).finish().await;
    assert_eq!(seen.planned, 50);
    // Two at a time, 200 ms each: ten within the second, the others wait.
    assert!((5..=14).contains(&seen.connected), "{}", seen.connected);
    assert!(seen.late >= seen.connected - 2, "{}", seen.late);
}

#[tokio::test]
async fn workers_share_one_curve() {
    let server = Server::start(Mischief::Echo).await;
    let mut connected = 0;
    for index in 0..2 {
        let mut plan = plan(&server.url(), 5, BehaviourOptions::Silent);
        plan.share = Share { index, workers: 2 };
        plan.duration = Duration::from_millis(300);
        connected += Run::start(plan).finish().await.1.connected;
    }
    assert_eq!(connected, 5);
}

#[tokio::test]
async fn a_storm_takes_all_and_brings_all_back() {
    let server = Server::start(Mischief::Echo).await;
    let period = Duration::from_millis(200);
    let mut plan = plan(
        &server.url(),
        5,
        BehaviourOptions::ReconnectStorm { period },
    );
    // Who waits this long does not come back in the test.
    plan.connection.pause = Duration::from_secs(3600);
    let run = Run::start(plan);
    run.until("three storms", |seen| seen.connected >= 20).await;
    assert_eq!(run.end().await.errors, []);
}

#[tokio::test]
async fn one_runner_goes_on_with_the_connections_of_the_one_before() {
    let server = Server::start(Mischief::Echo).await;
    let mut plan = plan(&server.url(), 1, BehaviourOptions::Silent);
    let step = Duration::from_millis(300);
    let stage = |runner| Stage {
        runner,
        length: step,
    };
    plan.runner = Runner::Sequence {
        stages: vec![
            stage(Runner::Flat { connections: 4 }),
            stage(Runner::Linear {
                from: 4,
                connections: 8,
                over: step,
            }),
            stage(Runner::Linear {
                from: 8,
                connections: 0,
                over: step,
            }),
        ],
    };
    plan.duration = 4 * step;
    let run = Run::start(plan);
    run.until("all eight", |seen| seen.open == 8).await;
    run.until("an empty server", |seen| seen.open == 0).await;
    let (_, seen) = run.finish().await;
    assert_eq!((seen.planned, seen.connected), (8, 8));
    assert_eq!(seen.errors, []);
}
