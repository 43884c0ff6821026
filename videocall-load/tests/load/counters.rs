//! Loss, reordering, duplicates and freezes, against a relay that makes them.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use videocall_load::{
    behaviour::meeting::{LAYERS, MeetingOptions},
    measure::{MessageKind, Metric},
    plan::BehaviourOptions,
};

use crate::{
    server::{Faults, Mischief, Server},
    support::{Run, Seen, plan, seen},
};

/// One speaker with a camera and one who only listens, as older clients.
async fn watch(server: &Server, packets: u64) -> Seen {
    let options = MeetingOptions {
        participants: 2,
        cameras: 1,
        speakers: 1,
        legacy: true,
        ..MeetingOptions::default()
    };
    let mut plan = plan(&server.url(), 2, BehaviourOptions::Meeting(options));
    plan.connection.pause = Duration::from_secs(3600);
    let run = Run::start(plan);
    run.until("packets", |seen| {
        seen.received_of(MessageKind::Audio) + seen.received_of(MessageKind::Video) >= packets
    })
    .await;
    run.end().await
}

#[tokio::test]
async fn without_faults_nothing_is_found() {
    let server = Server::start(Mischief::Relay(Faults::default())).await;
    let seen = watch(&server, 150).await;
    assert_eq!((seen.lost, seen.reordered, seen.duplicated), (0, 0, 0));
    assert!(seen.received_of(MessageKind::Audio) > 50);
    assert!(seen.received_of(MessageKind::Video) > 30);
    assert_eq!(seen.latency(Metric::OneWay).0 as u64, {
        seen.received_of(MessageKind::Audio) + seen.received_of(MessageKind::Video)
    });
    assert_eq!(seen.errors, []);
}

#[tokio::test]
async fn loss_is_counted_packet_by_packet() {
    let server = Server::start(Mischief::Relay(Faults {
        drop_each: 10,
        ..Faults::default()
    }))
    .await;
    let seen = watch(&server, 150).await;
    let dropped = server.done.dropped.load(Relaxed);
    // The last one may have been dropped with nothing behind it that could tell.
    assert!(seen.lost > 10 && (dropped.saturating_sub(2)..=dropped).contains(&seen.lost));
    assert_eq!((seen.reordered, seen.duplicated), (0, 0));
}

#[tokio::test]
async fn duplicates_are_counted() {
    let server = Server::start(Mischief::Relay(Faults {
        double_each: 10,
        ..Faults::default()
    }))
    .await;
    let seen = watch(&server, 150).await;
    let doubled = server.done.doubled.load(Relaxed);
    assert!(seen.duplicated > 10 && (doubled - 1..=doubled).contains(&seen.duplicated));
    assert_eq!((seen.lost, seen.reordered), (0, 0));
}

#[tokio::test]
async fn what_comes_late_is_reordered_and_not_lost() {
    let server = Server::start(Mischief::Relay(Faults {
        swap_each: 7,
        ..Faults::default()
    }))
    .await;
    let seen = watch(&server, 150).await;
    // Only packets of one kind overtake each other in a sense that counts.
    assert!(seen.reordered > 0 && seen.reordered <= server.done.swapped.load(Relaxed));
    assert_eq!(seen.duplicated, 0);
    assert!(seen.lost <= 1, "{}", seen.lost);
}

#[tokio::test]
async fn a_gap_of_more_than_200_ms_is_a_freeze_of_each_stream() {
    let stall = Duration::from_millis(500);
    let server = Server::start(Mischief::Relay(Faults {
        stall: Some((60, stall)),
        ..Faults::default()
    }))
    .await;
    let seen = watch(&server, 150).await;
    assert!(seen.freezes >= 2, "{}", seen.freezes);
    assert_eq!(seen.lost, 0);
    // And the delay of what was held back is there.
    assert!(seen.latency(Metric::OneWay).1 >= stall);
}

#[tokio::test]
async fn pictures_that_nothing_can_be_made_of_are_a_freeze_until_the_keyframe_that_is_asked_for() {
    // The pattern is 0 2 1 2: picture 33 is of the base layer, and all others need it.
    let server = Server::start(Mischief::Relay(Faults {
        drop_picture: 33,
        ..Faults::default()
    }))
    .await;
    let options = MeetingOptions {
        participants: 2,
        cameras: 1,
        speakers: 0,
        layers: LAYERS[..1].to_vec(),
        // None comes by itself.
        keyframe_interval: Duration::from_secs(3600),
        ..MeetingOptions::default()
    };
    let run = Run::start(plan(&server.url(), 2, BehaviourOptions::Meeting(options)));
    run.until("a freeze that ended", |seen| seen.freezes > 0)
        .await;
    let pictures = seen(&run.recorder).received_of(MessageKind::Video);
    run.until("pictures behind it", |seen| {
        seen.received_of(MessageKind::Video) > pictures + 60
    })
    .await;
    let seen = run.end().await;
    assert_eq!((seen.freezes, seen.lost), (1, 1));
    assert_eq!(server.done.dropped.load(Relaxed), 1);
    let requests = server.done.keyframe_requests.load(Relaxed);
    assert!((1..=3).contains(&requests), "{requests}");
}
