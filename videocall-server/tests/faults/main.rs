//! A fault of the server itself: whose session meets it is told, and the others go on.
#![allow(clippy::unwrap_used)]

#[path = "../server/clients.rs"]
#[allow(dead_code)]
mod clients;
mod process;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use clients::{BOTH_WAYS, Client, resuming};
use process::Server;
use videocall_node::{
    TicketError, TicketKeys,
    bus::{Bus, BusError, BusHealth, BusSubscription, EmbeddedBus, EmbeddedHub, MediaSubject},
};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, NodeId, SessionId},
    wire::bus::{BusControl, NodeRoster},
};

/// Fails whenever somebody comes back.
struct Faulty(EmbeddedBus);

#[async_trait]
impl Bus for Faulty {
    async fn subscribe(&self, meeting: &str) -> Result<BusSubscription, BusError> {
        self.0.subscribe(meeting).await
    }

    fn publish_media(&self, meeting: &str, subject: MediaSubject, bytes: Bytes) {
        self.0.publish_media(meeting, subject, bytes);
    }

    fn publish_control(&self, meeting: &str, message: BusControl) {
        self.0.publish_control(meeting, message);
    }

    fn put_roster(&self, meeting: &str, node: &NodeId, roster: NodeRoster) {
        self.0.put_roster(meeting, node, roster);
    }

    fn ticket_keys(&self) -> TicketKeys {
        self.0.ticket_keys()
    }

    async fn spend_ticket(&self, _: SessionId) -> Result<(), TicketError> {
        panic!("a fault, as the test wants it");
    }

    fn health(&self) -> BusHealth {
        self.0.health()
    }
}

#[tokio::test]
async fn a_fault_ends_its_own_session_with_a_reason_and_no_other() {
    let server = Server::start(Arc::new(Faulty(EmbeddedHub::default().connect()))).await;
    let mut ann = Client::websocket(&server, "/lobby/ann/m").await;
    let mut ben = Client::webtransport(&server, "/lobby/ben/m").await;
    ann.sees(ben.session).await;
    for (number, way) in BOTH_WAYS.into_iter().enumerate() {
        let mut eve = Client::join(&server, way, "/lobby/eve/m").await;
        let ticket = eve.ticket().await;
        let back = Client::saying(&server, way, "/lobby/eve/m", resuming(&ticket)).await;
        let (code, text) = back.ended().await;
        assert_eq!(code, CloseReason::InternalError.code(), "{way:?}: {text}");
        let sound = ann.frame(MediaKind::Audio, number as u64 + 1, b"on and on");
        ann.send(sound.clone()).await;
        assert_eq!(ben.media().await, sound);
        let sound = ben.frame(MediaKind::Audio, number as u64 + 1, b"on and on");
        ben.send(sound.clone()).await;
        assert_eq!(ann.media().await, sound);
    }
    let ended = "videocall_closes_total{reason=\"internal_error\"} 2";
    server.comes_to_say(ended).await;
}
