//! Large control messages are compressed for those who can read that, and for nobody else.

use bytes::Bytes;
use videocall_types::{
    compression::decompress,
    packet,
    view::PacketView,
    wire::{Compression, Hello, Welcome, control::Message},
};

use crate::{
    clients::{BOTH_WAYS, Client, Way, hello},
    process::Server,
};

/// Enough for a roster of some kilobytes.
const PEOPLE: usize = 12;

/// The packet with Welcome, and Welcome itself.
async fn welcome(server: &Server, way: Way, user: &str, compresses: bool) -> (Bytes, Welcome) {
    let decompresses = vec![Compression::Zstd.into(); usize::from(compresses)];
    let hello = Hello {
        decompresses,
        ..hello()
    };
    let path = format!("/lobby/{user}/m");
    let mut client = Client::saying(server, way, &path, hello).await;
    client
        .packet(|packet| {
            let view = PacketView::parse(packet).ok()?;
            let message = match packet::read_control(packet, &view).ok()?? {
                Message::Compressed(compressed) => decompress(&compressed).unwrap().message?,
                message => message,
            };
            match message {
                Message::Welcome(welcome) => Some((packet.clone(), welcome)),
                _ => None,
            }
        })
        .await
}

async fn full_meeting(server: &Server) -> Vec<Client> {
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let path = format!("/lobby/{}{number}/m", "a-long-name-".repeat(10));
        people.push(Client::websocket(server, &path).await);
    }
    people
}

#[tokio::test]
async fn a_large_roster_comes_compressed_to_those_who_can_read_it() {
    let server = Server::start(&[]);
    let _people = full_meeting(&server).await;
    for (number, way) in BOTH_WAYS.into_iter().enumerate() {
        let (plain, told) = welcome(&server, way, &format!("old-{number}"), false).await;
        let (small, same) = welcome(&server, way, &format!("new-{number}"), true).await;
        let present = |welcome: &Welcome| {
            let roster = welcome.roster.clone().unwrap_or_default();
            let names = roster.participants.into_iter().map(|it| it.display_name);
            names
                .filter(|name| name.starts_with("a-long-name-"))
                .count()
        };
        assert_eq!((present(&told), present(&same)), (PEOPLE, PEOPLE));
        assert!(
            small.len() * 2 < plain.len(),
            "{way:?}: {} and {} bytes",
            small.len(),
            plain.len()
        );
    }
}

#[tokio::test]
async fn nothing_is_compressed_where_the_operator_says_so() {
    let server = Server::start(&["--compress-from-bytes", "0"]);
    let _people = full_meeting(&server).await;
    let (plain, _) = welcome(&server, Way::WebSocket, "ann", true).await;
    let view = PacketView::parse(&plain).unwrap();
    let message = packet::read_control(&plain, &view).unwrap();
    assert!(matches!(message, Some(Message::Welcome(_))));
}
