//! Meetings on the real server.

use std::time::Duration;

use videocall_load::{
    behaviour::meeting::{Layout, MeetingOptions},
    measure::{MessageKind, Metric},
    plan::{BehaviourOptions, Plan},
};

use crate::support::{RealServer, Run, Seen, plan};

const PARTICIPANTS: u64 = 4;

fn options() -> MeetingOptions {
    MeetingOptions {
        participants: PARTICIPANTS,
        cameras: 2,
        speakers: 2,
        ..MeetingOptions::default()
    }
}

fn meeting(url: &str, options: MeetingOptions) -> Plan {
    let mut plan = plan(url, PARTICIPANTS, BehaviourOptions::Meeting(options));
    plan.transport.insecure = url.starts_with("https:");
    plan
}

async fn hold(url: &str, options: MeetingOptions, pictures: u64) -> Seen {
    let run = Run::start(meeting(url, options));
    run.until("sound and pictures", |seen| {
        seen.received_of(MessageKind::Audio) >= 200
            && seen.received_of(MessageKind::Video) >= pictures
            && seen.latency(Metric::RoundTrip).0 >= PARTICIPANTS
    })
    .await;
    let seen = run.end().await;
    assert_eq!(seen.errors, []);
    assert_eq!(seen.connected, PARTICIPANTS);
    assert_eq!(seen.latency(Metric::Join).0, PARTICIPANTS);
    assert_eq!(seen.duplicated, 0);
    let media = seen.received_of(MessageKind::Audio) + seen.received_of(MessageKind::Video);
    assert_eq!(seen.latency(Metric::OneWay).0, media);
    seen
}

#[tokio::test]
async fn over_websocket() {
    let server = RealServer::start().await;
    let seen = hold(&server.websocket_url(), options(), 200).await;
    assert_eq!((seen.lost, seen.reordered), (0, 0));
}

#[tokio::test]
async fn over_webtransport() {
    let server = RealServer::start().await;
    let seen = hold(&server.webtransport_url(), options(), 200).await;
    // Datagrams may be lost on a busy machine; none of this many is usual.
    assert!(seen.lost < 20, "{}", seen.lost);
}

#[tokio::test]
async fn older_clients_over_websocket() {
    let server = RealServer::start().await;
    let options = MeetingOptions {
        legacy: true,
        ..options()
    };
    let seen = hold(&server.websocket_url(), options, 100).await;
    assert_eq!((seen.lost, seen.reordered), (0, 0));
    assert_eq!(seen.layers_received(MessageKind::Video), [0]);
}

#[tokio::test]
async fn older_clients_over_webtransport() {
    let server = RealServer::start().await;
    let options = MeetingOptions {
        legacy: true,
        ..options()
    };
    hold(&server.webtransport_url(), options, 100).await;
}

#[tokio::test]
async fn a_layout_decides_which_layers_come() {
    let server = RealServer::start().await;
    let options = MeetingOptions {
        cameras: 4,
        layout: Layout::Grid(16),
        ..options()
    };
    // Four tiles of 640 × 360 and below: the largest layer is for nobody.
    let seen = hold(&server.websocket_url(), options, 200).await;
    let layers = seen.layers_received(MessageKind::Video);
    assert!(layers.contains(&1) && !layers.contains(&2), "{layers:?}");
    assert_eq!(seen.lost, 0);
}

#[tokio::test]
async fn the_speaker_is_seen_large_and_the_others_small() {
    let server = RealServer::start().await;
    let options = MeetingOptions {
        cameras: 3,
        speakers: 1,
        layout: Layout::Speaker,
        ..options()
    };
    let run = Run::start(meeting(&server.websocket_url(), options));
    run.until("the smallest and the largest layer", |seen| {
        let layers = seen.layers_received(MessageKind::Video);
        layers.contains(&0) && layers.contains(&2)
    })
    .await;
    assert_eq!(run.end().await.errors, []);
}

#[tokio::test]
async fn who_listens_only_gets_no_pictures() {
    let server = RealServer::start().await;
    let options = MeetingOptions {
        layout: Layout::Audio,
        ..options()
    };
    let run = Run::start(meeting(&server.websocket_url(), options));
    run.until("four seconds of sound", |seen| {
        seen.received_of(MessageKind::Audio) >= 1200
    })
    .await;
    let seen = run.end().await;
    assert_eq!(seen.errors, []);
    assert_eq!(seen.received_of(MessageKind::Video), 0);
    assert_eq!(seen.lost, 0);
    // The publishers heed the server's demand for layers, which is for none.
    let (pictures, sounds) = (
        seen.sent_of(MessageKind::Video),
        seen.sent_of(MessageKind::Audio),
    );
    assert!(pictures < sounds, "{pictures} and {sounds}");
}

#[tokio::test]
async fn a_lower_frame_rate_is_no_loss() {
    let server = RealServer::start().await;
    let options = MeetingOptions {
        max_temporal: Some(0),
        ..options()
    };
    let seen = hold(&server.websocket_url(), options, 30).await;
    assert_eq!(seen.lost, 0);
}

#[tokio::test]
async fn a_server_that_dies_is_noticed_by_all() {
    let server = RealServer::start().await;
    let run = Run::start(meeting(&server.websocket_url(), options()));
    run.until("a meeting", |seen| {
        seen.received_of(MessageKind::Audio) > 50
    })
    .await;
    drop(server);
    run.until("errors of all", |seen| {
        seen.errors.iter().map(|(_, count, _)| count).sum::<u64>() >= PARTICIPANTS
    })
    .await;
    let run = tokio::time::timeout(Duration::from_secs(20), run.end());
    run.await.expect("the run ends without a server");
}

#[tokio::test]
async fn a_screen_is_shared() {
    let server = RealServer::start().await;
    let options = MeetingOptions {
        cameras: 1,
        screens: 1,
        layout: Layout::Grid(4),
        ..options()
    };
    let run = Run::start(meeting(&server.websocket_url(), options));
    run.until("a screen, pictures and sound", |seen| {
        let of = |kind| seen.received_of(kind);
        of(MessageKind::Screen) >= 60
            && of(MessageKind::Video) >= 60
            && of(MessageKind::Audio) >= 60
    })
    .await;
    let seen = run.end().await;
    assert_eq!(seen.errors, []);
    assert_eq!((seen.lost, seen.freezes), (0, 0));
    // Three others see each frame of it.
    assert!(seen.received_of(MessageKind::Screen) > 2 * seen.sent_of(MessageKind::Screen));
}

#[tokio::test]
async fn a_file_is_published() {
    use videocall_codec::{VideoCodec, ivf, vp9, yuv::I420};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.ivf");
    let header = ivf::Header::new(VideoCodec::Vp9, 320, 180);
    let mut file = ivf::Writer::new(std::fs::File::create(&path).unwrap(), &header).unwrap();
    let mut encoder = vp9::Encoder::new(vp9::EncoderConfig::new(320, 180, 50, 200_000)).unwrap();
    for number in 0..50 {
        let picture = I420::black(320, 180).unwrap();
        let frame = encoder.encode(&picture, number * 20_000).unwrap();
        file.write(number * 20_000, &frame.unwrap().data).unwrap();
    }
    file.finish().unwrap();
    let server = RealServer::start().await;
    let options = MeetingOptions {
        media: Some(path),
        ..options()
    };
    // Over a second of the file, so that it begins anew.
    let seen = hold(&server.websocket_url(), options, 600).await;
    assert_eq!(seen.lost, 0);
    assert_eq!(seen.layers_received(MessageKind::Video), [0]);
}
