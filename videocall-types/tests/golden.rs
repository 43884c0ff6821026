//! Byte vectors made by another implementation of protocol buffers (`protoc --encode`): what we
//! read and write is what a client in any language reads and writes.
//!
//! `golden/<name>.txtpb` is the packet as text, `golden/<name>.hex` its bytes.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use videocall_types::{
    close::CloseReason,
    ids::SessionId,
    packet,
    view::{PacketView, Routing},
    wire::{
        Close, Hello, KeyframeRequest, LayerInfo, MediaKind, MediaPacket, Message, PacketWrapper,
        PublishState, StreamInfo, Subscribe, VideoMetadata, Want, control, media_packet,
        packet_wrapper::PacketType, video_metadata::Codec,
    },
};

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

macro_rules! golden {
    ($name:literal) => {
        bytes(include_str!(concat!("golden/", $name, ".hex")))
    };
}

#[test]
fn packets_of_older_clients_are_read() {
    let packet = golden!("legacy_video_key");
    let view = PacketView::parse(&packet).unwrap();
    assert!(view.is(PacketType::Media));
    assert_eq!(
        (view.user_id, view.session_id),
        (&b"ann@example.org"[..], 0)
    );
    assert_eq!(view.routing, None);
    assert_eq!(
        packet::read_media(&packet, &view).unwrap(),
        MediaPacket {
            media_type: media_packet::MediaType::Video.into(),
            data: Bytes::from_static(&[1, 2, 3]),
            frame_type: "key".into(),
            timestamp: 1000.0,
            video_metadata: Some(VideoMetadata {
                sequence: 7,
                codec: Codec::Vp9Profile0Level108bit.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    );
}

#[test]
fn session_assigned_matches() {
    let session = SessionId::new(9_007_199_254_740_991).unwrap();
    assert_eq!(
        packet::session_assigned(session),
        golden!("session_assigned")
    );
}

#[test]
fn audio_matches() {
    let routing = Routing {
        kind: MediaKind::Audio,
        stream_id: 1,
        spatial: 0,
        temporal: 0,
        keyframe: false,
        depends_back: 0,
        frame_number: 300,
        capture_us: 6_000_000,
        audio_level: 35,
        encrypted: false,
    };
    let media = MediaPacket {
        media_type: media_packet::MediaType::Audio.into(),
        data: Bytes::from_static(&[0xf8, 0xff]),
        ..Default::default()
    };
    let session = SessionId::new(42).unwrap();
    let packet = packet::media(session, &Bytes::from_static(b"Ann"), routing, &media);
    assert_eq!(packet, golden!("audio"));
    assert_eq!(PacketView::parse(&packet).unwrap().routing, Some(routing));
}

#[test]
fn encrypted_video_matches() {
    let routing = Routing {
        kind: MediaKind::Video,
        stream_id: 2,
        spatial: 1,
        temporal: 2,
        keyframe: false,
        depends_back: 1,
        frame_number: 1000,
        capture_us: 33_366_666,
        audio_level: 0,
        encrypted: true,
    };
    let packet = packet::sealed_media(
        SessionId::new(42).unwrap(),
        &Bytes::from("Анна"),
        routing,
        Bytes::from_static(&[0, 1, 2, 3, 4, 5, 6, 7]),
    );
    assert_eq!(packet, golden!("video_delta_encrypted"));
    assert_eq!(PacketView::parse(&packet).unwrap().routing, Some(routing));
}

#[test]
fn control_messages_match() {
    let layer = |spatial, width, height, bitrate_bps| LayerInfo {
        spatial,
        width,
        height,
        bitrate_bps,
        temporal_layers: 3,
    };
    let hello = Hello {
        protocol_version: 1,
        client: "golden/1".into(),
        display_name: "Ann".into(),
        publish: Some(PublishState {
            streams: vec![StreamInfo {
                kind: MediaKind::Video.into(),
                stream_id: 2,
                codec: "vp09.00.10.08".into(),
                layers: vec![layer(0, 320, 180, 150_000), layer(1, 640, 360, 500_000)],
                muted: false,
            }],
        }),
        subscribe: Some(Subscribe {
            all: true,
            wants: vec![Want {
                session_id: 7,
                kind: MediaKind::Video.into(),
                width: 320,
                height: 180,
                max_temporal: Some(0),
                priority: 2,
                ..Default::default()
            }],
        }),
        ..Default::default()
    };
    assert_eq!(
        packet::control(control::Message::Hello(hello)),
        golden!("hello")
    );

    let request = KeyframeRequest {
        session_id: 7,
        kind: MediaKind::Screen.into(),
        stream_id: 3,
        spatial: 1,
    };
    assert_eq!(
        packet::control(control::Message::KeyframeRequest(request)),
        golden!("keyframe_request")
    );

    let close = Close {
        code: CloseReason::GoingAway.code(),
        text: CloseReason::GoingAway.text().into(),
        r#move: true,
        ..Default::default()
    };
    assert_eq!(
        packet::control(control::Message::Close(close)),
        golden!("close")
    );
}

#[test]
fn every_vector_survives_decoding_and_encoding() {
    for packet in [
        golden!("legacy_video_key"),
        golden!("session_assigned"),
        golden!("audio"),
        golden!("video_delta_encrypted"),
        golden!("hello"),
        golden!("keyframe_request"),
        golden!("close"),
    ] {
        assert_eq!(
            PacketWrapper::decode(packet.clone())
                .unwrap()
                .encode_to_vec(),
            packet
        );
    }
}
