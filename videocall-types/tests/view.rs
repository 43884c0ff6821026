//! The borrowed view agrees with a full decoding, whatever the bytes.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use videocall_types::{
    ids::SessionId,
    packet,
    view::{PacketError, PacketView, Routing, append_session_id},
    wire::{
        MediaKind, MediaPacket, Message, PacketWrapper, RoutingHeader, control, media_packet,
        packet_wrapper::PacketType,
    },
};

fn routing() -> impl Strategy<Value = Routing> {
    (
        1..=4i32,
        any::<u32>(),
        0..4u8,
        0..4u8,
        any::<bool>(),
        1..64u8,
        100..1u64 << 40,
        0..128u8,
    )
        .prop_map(
            |(kind, stream_id, spatial, temporal, keyframe, back, frame_number, level)| {
                let kind = MediaKind::try_from(kind).unwrap();
                let audio = matches!(kind, MediaKind::Audio | MediaKind::ScreenAudio);
                Routing {
                    kind,
                    stream_id,
                    spatial: if audio { 0 } else { spatial },
                    temporal: if audio { 0 } else { temporal },
                    keyframe,
                    depends_back: if audio || keyframe { 0 } else { back },
                    frame_number,
                    capture_us: frame_number * 33_333,
                    audio_level: level,
                    encrypted: keyframe,
                }
            },
        )
}

proptest! {
    #[test]
    fn what_is_built_is_seen(routing in routing(), id in 1..SessionId::END, user in ".{0,40}",
                             payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let session = SessionId::new(id).unwrap();
        let user = Bytes::from(user);
        let packet = packet::sealed_media(session, &user, routing, payload.clone().into());
        let view = PacketView::parse(&packet).unwrap();
        prop_assert!(view.is(PacketType::Media));
        prop_assert_eq!(view.user_id, &user[..]);
        prop_assert_eq!(view.session_id, id);
        prop_assert_eq!(view.routing, Some(routing));
        prop_assert_eq!(&packet[view.data], &payload[..]);
    }

    #[test]
    fn the_view_sees_what_a_decoder_sees(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(view) = PacketView::parse(&bytes) {
            // A decoder checks more (text, inner messages), so it may refuse what the view lets
            // pass; where both read, they must agree.
            if let Ok(decoded) = PacketWrapper::decode(&bytes[..]) {
                prop_assert_eq!(view.packet_type, decoded.packet_type);
                prop_assert_eq!(view.user_id, &decoded.user_id[..]);
                prop_assert_eq!(&bytes[view.data.clone()], &decoded.data[..]);
                prop_assert_eq!(view.session_id, decoded.session_id);
                prop_assert_eq!(view.routing.is_some(), decoded.routing.is_some());
                if let (Some(ours), Some(theirs)) = (view.routing, decoded.routing) {
                    prop_assert_eq!(RoutingHeader::from(ours), theirs);
                }
            }
        }
    }

    #[test]
    fn truncation_never_panics(routing in routing(), cut in 0..200usize) {
        let packet = packet::sealed_media(
            SessionId::new(7).unwrap(), &Bytes::from_static(b"me"), routing,
            Bytes::from_static(&[9; 100]));
        let _ = PacketView::parse(&packet[..cut.min(packet.len())]);
    }

    #[test]
    fn an_appended_session_id_wins(id in 1..SessionId::END, payload in prop::collection::vec(any::<u8>(), 0..50)) {
        let session = SessionId::new(id).unwrap();
        let old = PacketWrapper { packet_type: 3, data: payload.into(), ..Default::default() };
        let packet = append_session_id(&old.encode_to_vec(), session);
        prop_assert_eq!(PacketView::parse(&packet).unwrap().session_id, id);
        let decoded = PacketWrapper::decode(packet).unwrap();
        prop_assert_eq!(decoded, PacketWrapper { session_id: id, ..old });
    }
}

fn video(change: impl FnOnce(&mut RoutingHeader)) -> Result<(), PacketError> {
    let mut header = RoutingHeader {
        kind: MediaKind::Video.into(),
        frame_number: 10,
        depends_back: 1,
        ..Default::default()
    };
    change(&mut header);
    let packet = PacketWrapper {
        routing: Some(header),
        ..Default::default()
    }
    .encode_to_vec();
    PacketView::parse(&packet).map(drop)
}

#[test]
fn contradicting_routing_headers_are_refused() {
    assert_eq!(video(|_| ()), Ok(()));
    let refused = |what| Err(PacketError::Routing(what));
    assert_eq!(video(|h| h.kind = 0), refused("kind"));
    assert_eq!(video(|h| h.kind = 5), refused("kind"));
    assert_eq!(video(|h| h.spatial = 4), refused("spatial layer"));
    assert_eq!(video(|h| h.temporal = 4), refused("temporal layer"));
    assert_eq!(video(|h| h.depends_back = 0), refused("dependency"));
    assert_eq!(video(|h| h.depends_back = 10), refused("dependency"));
    assert_eq!(video(|h| h.depends_back = 64), refused("dependency"));
    assert_eq!(video(|h| h.keyframe = true), refused("dependency"));
    assert_eq!(video(|h| h.frame_number = 0), refused("frame number"));
    assert_eq!(video(|h| h.audio_level = 128), refused("audio level"));
}

#[test]
fn malformed_bytes_say_what_is_wrong() {
    let parse = |bytes: &[u8]| PacketView::parse(bytes).map(drop);
    assert_eq!(parse(&[]), Ok(()));
    assert_eq!(parse(&[0x08]), Err(PacketError::Truncated));
    assert_eq!(parse(&[0x1a, 5, 1]), Err(PacketError::Truncated));
    assert_eq!(
        parse(&[
            0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
        ]),
        Err(PacketError::Truncated)
    );
    assert_eq!(
        parse(&[
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2
        ]),
        Err(PacketError::Varint)
    );
    assert_eq!(parse(&[0x00]), Err(PacketError::Varint));
    assert_eq!(parse(&[0x1b]), Err(PacketError::WireType(3)));
    assert_eq!(parse(&[0x0a, 0]), Err(PacketError::WireType(1)));
    let twice = [PacketWrapper {
        routing: Some(RoutingHeader {
            kind: 1,
            frame_number: 1,
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()]
    .concat()
    .repeat(2);
    assert_eq!(parse(&twice), Err(PacketError::Duplicate(16)));
    assert_eq!(parse(&vec![0; 1_000_001]), Err(PacketError::TooLong));
}

#[test]
fn probes_of_older_clients_are_told_from_media() {
    let wrap = |media: &MediaPacket| -> Bytes {
        PacketWrapper {
            packet_type: PacketType::Media.into(),
            data: media.encode_to_vec().into(),
            ..Default::default()
        }
        .encode_to_vec()
        .into()
    };
    let probe = wrap(&MediaPacket {
        media_type: media_packet::MediaType::Rtt.into(),
        timestamp: 1.5,
        ..Default::default()
    });
    let frame = wrap(&MediaPacket {
        media_type: media_packet::MediaType::Video.into(),
        data: Bytes::from_static(&[1; 9]),
        ..Default::default()
    });
    assert!(packet::is_rtt_probe(
        &probe,
        &PacketView::parse(&probe).unwrap()
    ));
    assert!(!packet::is_rtt_probe(
        &frame,
        &PacketView::parse(&frame).unwrap()
    ));
}

#[test]
fn control_messages_of_later_versions_are_passed_over() {
    let packet = packet::control(control::Message::Ping(videocall_types::wire::Ping {
        token: 3,
    }));
    let view = PacketView::parse(&packet).unwrap();
    assert!(matches!(
        packet::read_control(&packet, &view),
        Ok(Some(control::Message::Ping(_)))
    ));
    // Field 100 of Control, a message of a version to come.
    let later = Bytes::from_static(&[0x08, 16, 0x8a, 0x01, 3, 0xa2, 0x06, 0]);
    let view = PacketView::parse(&later).unwrap();
    assert_eq!(packet::read_control(&later, &view), Ok(None));
    let none = Bytes::from_static(&[0x08, 16]);
    assert!(packet::read_control(&none, &PacketView::parse(&none).unwrap()).is_err());
}
