//! Participants who behave.

use bytes::Bytes;
use videocall_types::{
    close::CloseReason,
    ids::MediaKind,
    packet,
    view::PacketView,
    wire::{Hello, MediaPacket, Message, PacketWrapper, control, media_packet::MediaType},
};

use crate::{clients::Client, process::Server};

#[tokio::test]
async fn media_arrives_unchanged_within_and_across_transports() {
    let server = Server::start(&[]);
    let mut ann = Client::websocket(&server, "/lobby/ann/m").await;
    let mut ben = Client::webtransport(&server, "/lobby/ben/m").await;
    let mut cho = Client::websocket(&server, "/lobby/cho/m").await;
    ann.sees(cho.session).await;
    ben.sees(cho.session).await;

    let large: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    for (kind, payload) in [
        (MediaKind::Audio, &large[..80]),
        (MediaKind::Video, &large[..]),
    ] {
        let frame = ann.frame(kind, 1, payload);
        ann.send(frame.clone()).await;
        assert_eq!(ben.media().await, frame);
        assert_eq!(cho.media().await, frame);

        let frame = ben.frame(kind, 1, payload);
        ben.send(frame.clone()).await;
        assert_eq!(ann.media().await, frame);
        assert_eq!(cho.media().await, frame);
    }
    let frame = ben.frame(MediaKind::Audio, 2, b"by datagram");
    ben.datagram(&frame);
    assert_eq!(ann.media().await, frame);
}

#[tokio::test]
async fn leaving_is_told_whatever_the_transport() {
    let server = Server::start(&[]);
    let mut ann = Client::websocket(&server, "/lobby/ann/m").await;
    let ben = Client::webtransport(&server, "/lobby/ben/m").await;
    let cho = Client::websocket(&server, "/lobby/cho/m").await;
    for gone in [ben, cho] {
        let session = gone.session;
        ann.sees(session).await;
        gone.vanish();
        ann.misses(session).await;
    }
}

#[tokio::test]
async fn names_of_any_unicode_are_kept() {
    let server = Server::start(&[]);
    let mut ann = Client::websocket(
        &server,
        "/lobby/ann/%E0%B8%AB%E0%B9%89%E0%B8%AD%E0%B8%87%2F1",
    )
    .await;
    let path =
        "/lobby/%D0%90%D0%BD%D0%BD%D0%B0%20%F0%9F%8E%A5/%E0%B8%AB%E0%B9%89%E0%B8%AD%E0%B8%87%2F1";
    let anna = Client::webtransport(&server, path).await;
    let name = ann
        .control(|message| match message {
            control::Message::Roster(roster) => roster
                .participants
                .iter()
                .find(|participant| participant.session_id == anna.session.get())
                .map(|participant| participant.display_name.clone()),
            _ => None,
        })
        .await;
    assert_eq!(name, "Анна 🎥");
}

#[tokio::test]
async fn an_older_client_is_echoed_its_probes_and_given_everything() {
    let server = Server::start(&[]);
    let mut ann = Client::websocket(&server, "/lobby/ann/m").await;
    let mut ben = Client::websocket(&server, "/lobby/ben/m").await;
    ann.sees(ben.session).await;
    let wrap = |media_type: MediaType, data: &'static [u8]| -> Bytes {
        let media = MediaPacket {
            media_type: media_type.into(),
            data: Bytes::from_static(data),
            ..MediaPacket::default()
        };
        PacketWrapper {
            packet_type: 3,
            data: media.encode_to_vec().into(),
            ..Default::default()
        }
        .encode_to_vec()
        .into()
    };
    let probe = wrap(MediaType::Rtt, b"");
    ben.send(probe.clone()).await;
    assert_eq!(ben.media().await, probe);
    ben.send(wrap(MediaType::Video, b"frame")).await;
    let packet = ann.media().await;
    let view = PacketView::parse(&packet).unwrap();
    assert_eq!(view.session_id, ben.session.get());
    assert_eq!(
        packet::read_media(&packet, &view).unwrap().data,
        &b"frame"[..]
    );
}

#[tokio::test]
async fn sigterm_tells_everybody_to_go_elsewhere_and_ends_well() {
    let server = Server::start(&[]);
    let ann = Client::websocket(&server, "/lobby/ann/m").await;
    let ben = Client::webtransport(&server, "/lobby/ben/m").await;
    server.terminate();
    assert_eq!(ann.ended().await.0, CloseReason::GoingAway.code());
    assert_eq!(ben.ended().await.0, CloseReason::GoingAway.code());
    assert!(server.wait());
}

#[tokio::test]
async fn a_wrong_version_is_told_in_words() {
    let server = Server::start(&[]);
    let mut socket = crate::clients::websocket(&server, "/lobby/ann/m")
        .await
        .unwrap();
    let hello = packet::control(control::Message::Hello(Hello {
        protocol_version: 99,
        ..Hello::default()
    }));
    let message = tokio_tungstenite::tungstenite::Message::Binary(hello);
    futures_util::SinkExt::send(&mut socket, message)
        .await
        .unwrap();
    let close = loop {
        match futures_util::StreamExt::next(&mut socket).await {
            Some(Ok(tokio_tungstenite::tungstenite::Message::Close(Some(close)))) => break close,
            Some(Ok(_)) => {}
            other => panic!("no close frame, but {other:?}"),
        }
    };
    assert_eq!(
        u16::from(close.code),
        CloseReason::Unsupported.websocket_code()
    );
    assert!(close.reason.contains("99"), "{}", close.reason);
}
