//! What a node refuses, and what it says then.

use std::sync::Arc;

use videocall_node::{Node, NodeConfig, Refusal, RelayConfig, bus::EmbeddedHub};
use videocall_types::{close::CloseReason, wire::control::Message};

use crate::{
    backend::{config, node_on, token, until},
    person::{Person, hello},
};

fn node(config: NodeConfig) -> Node {
    node_on(Arc::new(EmbeddedHub::default().connect()), config)
}

async fn refused(node: &Node, meeting: &str) -> Refusal {
    let joined = Person::silent(node, meeting, "one too many").await;
    joined.err().expect("a refusal")
}

fn is_full(refusal: &Refusal, text: &str) {
    assert_eq!(refusal.reason, CloseReason::Full);
    assert!(refusal.retry_after.is_some());
    assert_eq!(refusal.text, text);
}

#[tokio::test]
async fn no_more_meetings_than_allowed() {
    let node = node(NodeConfig {
        max_meetings: 2,
        ..config()
    });
    let first = Person::join(&node, "first", "Ann", hello()).await;
    let _second = Person::join(&node, "second", "Ben", hello()).await;
    let refusal = refused(&node, "third").await;
    is_full(
        &refusal,
        "the server has no room for another meeting: try again later",
    );
    let _more_in_a_meeting_that_is = Person::join(&node, "second", "Cyd", hello()).await;
    drop(first);
    let _third = Person::join(&node, "third", "Ann", hello()).await;
    assert_eq!((node.meetings(), node.sessions()), (2, 3));
}

#[tokio::test]
async fn no_more_sessions_than_allowed() {
    let node = node(NodeConfig {
        max_sessions: 2,
        ..config()
    });
    let ann = Person::join(&node, "m", "Ann", hello()).await;
    let _ben = Person::join(&node, "another", "Ben", hello()).await;
    for _ in 0..3 {
        let refusal = refused(&node, "m").await;
        is_full(&refusal, "the server is full: try again later");
    }
    assert_eq!(node.sessions(), 2, "the refused are not counted");
    drop(ann);
    let _cyd = Person::join(&node, "m", "Cyd", hello()).await;
}

#[tokio::test]
async fn no_more_in_a_meeting_than_allowed() {
    let relay = RelayConfig {
        max_sessions: 2,
        ..RelayConfig::default()
    };
    let node = node(NodeConfig { relay, ..config() });
    let ann = Person::join(&node, "m", "Ann", hello()).await;
    let mut ben = Person::join(&node, "m", "Ben", hello()).await;
    is_full(
        &refused(&node, "m").await,
        "the meeting is full: try again later",
    );
    assert_eq!(node.sessions(), 2, "the refused is not counted");
    let _another_meeting = Person::join(&node, "another", "Cyd", hello()).await;
    drop(ann);
    ben.sees(&[]).await;
    let dan = Person::join(&node, "m", "Dan", hello()).await;
    ben.sees(&[dan.id()]).await;
}

#[tokio::test]
async fn nothing_is_kept_of_meetings_that_are_over() {
    let hub = EmbeddedHub::default();
    let node = node_on(Arc::new(hub.connect()), config());
    for number in 0..10 {
        let meeting = format!("meeting {number}");
        let _ann = Person::join(&node, &meeting, "Ann", hello()).await;
        let _ben = Person::join(&node, &meeting, "Ben", hello()).await;
        until("the node is subscribed", || async {
            hub.subscriptions(&token(&meeting)) == 1
        })
        .await;
    }
    assert_eq!((node.meetings(), node.sessions()), (0, 0));
    until("the bus has forgotten them", || async {
        hub.meetings() == 0
    })
    .await;
}

#[tokio::test]
async fn the_first_reason_for_the_end_of_a_session_is_the_one_that_is_told() {
    let node = node(config());
    let mut ann = Person::join(&node, "m", "Ann", hello()).await;
    let bad = Message::Hello(videocall_types::wire::Hello {
        protocol_version: 99,
        ..hello()
    });
    let first = ann.try_say(bad).unwrap_err();
    assert_eq!(first.reason, CloseReason::Unsupported);
    assert_eq!(
        ann.try_say(Message::Ping(Default::default())),
        Err(first.clone())
    );
    assert_eq!(ann.ended().await.0, first);
}
