//! A node that is shut down.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};
use videocall_node::{Admission, Admitted, GuestAdmission, JoinRequest, Node, Refusal, bus};
use videocall_types::{close::CloseReason, wire::control::Message};

use crate::{
    backend::{PATIENCE, config, node_on},
    person::{Got, Person, hello, request},
};

fn node() -> Node {
    node_on(Arc::new(bus::EmbeddedBus::default()), config())
}

fn is_going_away(refusal: &Refusal) {
    assert_eq!(refusal.reason, CloseReason::GoingAway);
    assert_eq!(refusal.text, "the server is shutting down: try another");
}

#[tokio::test]
async fn everybody_is_sent_elsewhere_and_nobody_comes_in() {
    let node = node();
    let mut people = Vec::new();
    for number in 0..10 {
        let meeting = format!("meeting {}", number % 3);
        people.push(Person::join(&node, &meeting, &format!("{number}"), hello()).await);
    }
    // An older client, which knows of `Close` too.
    people.push(Person::silent(&node, "meeting 0", "older").await.unwrap());
    assert!(node.health().ready);
    let draining = tokio::spawn({
        let node = node.clone();
        async move { node.drain(Duration::from_secs(3600)).await }
    });
    for person in &mut people {
        let (fatal, told) = person.ended().await;
        assert_eq!(fatal.reason, CloseReason::GoingAway);
        let Some(Got::Control(Message::Close(close))) = told.last() else {
            panic!("{told:?}");
        };
        assert_eq!(close.code, CloseReason::GoingAway.code());
        assert!(!close.r#move, "no other is known");
        assert_eq!(close.retry_after_ms, 1000);
    }
    let refused = Person::silent(&node, "meeting 0", "late").await;
    is_going_away(&refused.err().unwrap());
    let health = node.health();
    assert!(!health.ready);
    assert_eq!(health.problems, ["shutting down"]);
    assert!(!draining.is_finished(), "sessions still hold their places");
    drop(people);
    let drained = tokio::time::timeout(PATIENCE, draining).await;
    drained.expect("the node is empty").unwrap();
    assert_eq!((node.sessions(), node.meetings()), (0, 0));
}

#[tokio::test]
async fn an_empty_node_is_drained_at_once_and_a_stubborn_session_is_not_waited_for() {
    node().drain(Duration::from_secs(3600)).await;
    let node = node();
    let _stays = Person::join(&node, "m", "Ann", hello()).await;
    node.drain(Duration::from_millis(50)).await;
    assert_eq!(node.sessions(), 1);
}

/// Admits after it was told to.
struct Slow {
    asked: Notify,
    go: Semaphore,
}

#[async_trait]
impl Admission for Slow {
    async fn admit(&self, request: &JoinRequest) -> Result<Admitted, Refusal> {
        self.asked.notify_one();
        self.go.acquire().await.unwrap().forget();
        GuestAdmission { allowed: true }.admit(request).await
    }
}

#[tokio::test]
async fn whoever_was_at_the_door_when_the_drain_began_is_refused() {
    let admission = Arc::new(Slow {
        asked: Notify::new(),
        go: Semaphore::new(0),
    });
    let bus = Arc::new(bus::EmbeddedBus::default());
    let node = Node::new(config(), bus, admission.clone());
    let joining = tokio::spawn({
        let node = node.clone();
        async move { node.join(request("m", "Ann")).await.map(drop) }
    });
    admission.asked.notified().await;
    node.drain(Duration::from_secs(3600)).await;
    admission.go.add_permits(1);
    is_going_away(&joining.await.unwrap().unwrap_err());
    assert_eq!((node.sessions(), node.meetings()), (0, 0));
}
