//! Clients that misbehave, against the real server: it must stand, and serve the others.

use std::time::Duration;

use videocall_load::{
    behaviour::meeting::MeetingOptions,
    measure::{ErrorClass, MessageKind},
    plan::BehaviourOptions,
};

use crate::support::{RealServer, Run, plan};

fn meeting(url: &str) -> Run {
    let options = MeetingOptions {
        participants: 3,
        cameras: 1,
        speakers: 1,
        ..MeetingOptions::default()
    };
    Run::start(plan(url, 3, BehaviourOptions::Meeting(options)))
}

async fn fuzz(url: &str, server: &RealServer) {
    let good = meeting(&server.websocket_url());
    let behaviour = BehaviourOptions::Fuzzer {
        pause: Duration::from_millis(5),
        seed: 7,
    };
    let mut bad = plan(&format!("{url}/lobby/mad/hatter"), 10, behaviour);
    bad.transport.insecure = url.starts_with("https:");
    let bad = Run::start(bad);
    bad.until("broken things", |seen| {
        seen.sent_of(MessageKind::Other) >= 500
    })
    .await;
    let already = crate::support::seen(&good.recorder).received_of(MessageKind::Audio);
    good.until("sound after that", |seen| {
        seen.received_of(MessageKind::Audio) > already + 50
    })
    .await;
    let bad = bad.end().await;
    // The server found fault with some of it, and took new connections all the same.
    assert!(bad.connected > 10, "{}", bad.connected);
    assert!(!bad.errors.is_empty());
    assert_eq!(good.end().await.errors, []);
}

#[tokio::test]
async fn broken_frames_over_websocket() {
    let server = RealServer::start().await;
    fuzz(&server.websocket_url(), &server).await;
}

#[tokio::test]
async fn broken_packets_over_webtransport() {
    let server = RealServer::start().await;
    fuzz(&server.webtransport_url(), &server).await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_so() {
    let server = RealServer::start().await;
    let url = format!("{}/lobby/snail/load-0", server.websocket_url());
    let good = meeting(&server.websocket_url());
    let behaviour = BehaviourOptions::SlowConsumer {
        pause: Duration::from_millis(300),
        receive_buffer: 4096,
    };
    let slow = Run::start(plan(&url, 1, behaviour));
    // As a client of the older kind it gets everything, and is behind within seconds: either the
    // server closes it, or it drops what it cannot deliver and goes on.
    slow.until("messages", |seen| {
        seen.received_of(MessageKind::Other) >= 10
    })
    .await;
    let seen = good.end().await;
    assert_eq!(seen.errors, []);
    assert_eq!(seen.lost, 0);
    let slow = slow.end().await;
    let others = slow.errors.iter();
    let unexpected: Vec<_> = others
        .filter(|(class, ..)| {
            !matches!(
                class,
                ErrorClass::CloseCode(4003 | 4022) | ErrorClass::Reset
            )
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}
