//! Nodes that die, and a NATS server that comes and goes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use videocall_node::{
    Node, NodeConfig, TicketError,
    bus::{Bus, NatsBus},
};
use videocall_types::{close::CloseReason, ids::SessionId, wire::control::Message};

use crate::{
    backend::{Backend, Nats, config, node_on, until},
    nats_server::NatsServer,
    person::{Person, hello, keyframe, resuming, wants, with_camera},
};

/// Times that a test can wait for.
fn impatient() -> NodeConfig {
    NodeConfig {
        roster_refresh: Duration::from_millis(100),
        node_timeout: Duration::from_millis(1000),
        ..config()
    }
}

async fn has_problem(node: &Node, text: &str) {
    until(&format!("the node says `{text}`"), || async {
        let problems = node.health().problems;
        problems.iter().any(|problem| problem.contains(text))
    })
    .await;
}

async fn is_well(node: &Node) {
    until("the node is well", || async {
        node.health().problems.is_empty()
    })
    .await;
}

/// A message is under way as long as nobody answers, however often it is asked.
async fn lag_grows(bus: &NatsBus) {
    // More than an answer takes.
    let noticeable = Duration::from_millis(100);
    until("the lag shows", || async { bus.health().lag > noticeable }).await;
    let lag = bus.health().lag;
    until("the lag grows", || async { bus.health().lag > 2 * lag }).await;
}

/// Somebody on a node that is about to die with its runtime.
struct Doomed {
    runtime: tokio::runtime::Runtime,
    id: SessionId,
    ticket: Bytes,
}

/// A node whose people, tasks and connection end all at once, without a word.
async fn a_node_that_dies(nats: &str, meeting: &'static str, has_tickets: bool) -> Doomed {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let url = nats.to_owned();
    let life = async move {
        let config_of_bus = videocall_node::bus::NatsConfig::new(url);
        let bus = videocall_node::bus::NatsBus::connect(config_of_bus);
        let node = node_on(Arc::new(bus.await.unwrap()), impatient());
        until("the node is connected", || async {
            node.health()
                .problems
                .iter()
                .all(|problem| problem.contains("JetStream"))
        })
        .await;
        let mut person = Person::join(&node, meeting, "Dee", with_camera()).await;
        let id = person.id();
        // Without JetStream there is none.
        let ticket = if has_tickets {
            person.ticket().await
        } else {
            Bytes::new()
        };
        let (known, knows) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            // It hears somebody: all that it sends gets through.
            person.until("a roster", |got| {
                matches!(
                    got,
                    crate::person::Got::Control(videocall_types::wire::control::Message::Roster(roster))
                        if roster.participants.iter().any(|p| p.session_id != id.get())
                )
                .then_some(())
            })
            .await;
            let _ = known.send(());
            // Dropping would leave the meeting.
            std::mem::forget((person, node));
        });
        (id, ticket, knows)
    };
    let (id, ticket, knows) = runtime.spawn(life).await.unwrap();
    knows.await.unwrap();
    Doomed {
        runtime,
        id,
        ticket,
    }
}

async fn its_people_leave_with_it(nats: &Nats) {
    let [here, there] = [(); 2].map(|()| nats.connecting());
    let here = node_on(here.await, impatient());
    let there = node_on(there.await, impatient());
    for node in [&here, &there] {
        until("the node is connected", || async {
            let problems = node.health().problems;
            problems.iter().all(|problem| problem.contains("JetStream"))
        })
        .await;
    }
    let mut ann = Person::join(&here, "m", "Ann", hello()).await;
    let mut lives = Person::join(&there, "m", "Ben", with_camera()).await;
    let doomed = a_node_that_dies(&nats.0.url(), "m", false).await;
    let dead = doomed.id;
    ann.sees(&[lives.id(), dead]).await;
    lives.sees(&[ann.id(), dead]).await;
    doomed.runtime.shutdown_background();
    ann.sees(&[lives.id()]).await;
    lives.sees(&[ann.id()]).await;
    // Somebody who comes now does not meet a ghost.
    let mut cyd = Person::join(&here, "m", "Cyd", hello()).await;
    cyd.sees(&[ann.id(), lives.id()]).await;
    // The node that lives is not taken for dead, though nobody there says anything.
    lives.speak(1);
    ann.hears(lives.id(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_takes_its_people_along() {
    its_people_leave_with_it(&Nats::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_takes_its_people_along_without_jetstream_too() {
    its_people_leave_with_it(&Nats(NatsServer::without_jetstream())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_from_a_dead_node_is_not_there_twice() {
    let nats = Nats::start();
    // Nodes that would wait for the dead one longer than any test.
    let [here, there] = nats.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", hello()).await;
    let mut ben = Person::join(&there, "m", "Ben", hello()).await;
    let doomed = a_node_that_dies(&nats.0.url(), "m", true).await;
    ann.sees(&[ben.id(), doomed.id]).await;
    ben.sees(&[ann.id(), doomed.id]).await;
    doomed.runtime.shutdown_background();
    let back = resuming(&doomed.ticket);
    let mut back = Person::join(&here, "m", "Dee", back).await;
    ann.sees(&[ben.id(), back.id()]).await;
    ben.sees(&[ann.id(), back.id()]).await;
    back.sees(&[ann.id(), ben.id()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_ticket_stays_used_when_nats_starts_anew_and_a_good_one_good() {
    let mut nats = Nats::start();
    let [here, there] = nats.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", hello()).await;
    let used = ann.ticket().await;
    let mut back = Person::join(&there, "m", "Ann", resuming(&used)).await;
    let good = back.ticket().await;
    let refusal = async |ticket: &Bytes| {
        let mut thief = Person::silent(&here, "m", "Ann").await.unwrap();
        thief.say(Message::Hello(resuming(ticket)));
        thief.ended().await.0
    };
    nats.0.kill();
    has_problem(&here, "not connected to NATS").await;
    // While nobody can say whether it was used it counts as if it was.
    let fatal = refusal(&good).await;
    assert_eq!(fatal.reason, CloseReason::TicketRefused);
    assert_eq!(fatal.text, TicketError::Unavailable.to_string());
    nats.0.restart();
    is_well(&here).await;
    assert_eq!(refusal(&used).await.text, TicketError::Spent.to_string());
    let mut again = Person::join(&here, "m", "Ann", resuming(&good)).await;
    assert_eq!(back.ended().await.0.reason, CloseReason::Replaced);
    // A node that starts later knows the keys, and what was used.
    let later = nats.node().await;
    let ticket = again.ticket().await;
    let _last = Person::join(&later, "m", "Ann", resuming(&ticket)).await;
    assert_eq!(again.ended().await.0.reason, CloseReason::Replaced);
    assert_eq!(refusal(&ticket).await.text, TicketError::Spent.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_says_that_jetstream_is_missing_and_works_without() {
    let nats = Nats(NatsServer::without_jetstream());
    let (here, there) = (nats.connecting().await, nats.connecting().await);
    let (here, there) = (node_on(here, config()), node_on(there, config()));
    for node in [&here, &there] {
        has_problem(node, "JetStream").await;
        assert!(node.health().ready);
    }
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    let mut ben = Person::join(&there, "m", "Ben", hello()).await;
    ann.sees(&[ben.id()]).await;
    ben.sees(&[ann.id()]).await;
    ben.subscribe(wants(ann.id(), 320));
    ann.is_asked_for(0b001).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nats_is_lost_nodes_go_on_alone_and_agree_when_it_is_back() {
    let mut nats = Nats::start();
    let [here, there] = nats.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    let mut near = Person::join(&here, "m", "Ben", hello()).await;
    let mut far = Person::join(&there, "m", "Cyd", hello()).await;
    let leaves = Person::join(&there, "m", "Dan", hello()).await;
    ann.sees(&[near.id(), far.id(), leaves.id()]).await;
    far.sees(&[ann.id(), near.id(), leaves.id()]).await;
    far.subscribe(wants(ann.id(), 1280));
    ann.is_asked_for(0b100).await;

    nats.0.kill();
    for node in [&here, &there] {
        has_problem(node, "not connected to NATS").await;
        assert!(node.health().ready, "its own people are served");
    }
    near.subscribe(wants(ann.id(), 320));
    ann.is_asked_for(0b101).await;
    ann.send(keyframe(0, 1));
    ann.speak(1);
    near.hears(ann.id(), 1).await;
    let mut joins = Person::join(&here, "m", "Eve", hello()).await;
    joins
        .sees(&[ann.id(), near.id(), far.id(), leaves.id()])
        .await;
    drop(leaves);
    far.sees(&[ann.id(), near.id()]).await;
    // Told to nobody who could hear it: the demand is one of 640 now.
    far.subscribe(wants(ann.id(), 640));
    // A meeting that begins now is subscribed to when NATS is back.
    let mut other_near = Person::join(&here, "other", "Fay", hello()).await;
    let mut other_far = Person::join(&there, "other", "Gus", hello()).await;

    nats.0.restart();
    is_well(&here).await;
    is_well(&there).await;
    let here_now = [near.id(), joins.id()];
    ann.sees(&[here_now[0], here_now[1], far.id()]).await;
    far.sees(&[ann.id(), near.id(), joins.id()]).await;
    joins.sees(&[ann.id(), near.id(), far.id()]).await;
    other_near.sees(&[other_far.id()]).await;
    other_far.sees(&[other_near.id()]).await;
    ann.is_asked_for(0b011).await;
    ann.send(keyframe(1, 1));
    far.until("Ann's picture", |got| match got {
        crate::person::Got::Media(from, routing) => {
            (*from == ann.id() && !routing.is_audio()).then_some(())
        }
        _ => None,
    })
    .await;
    assert_eq!(nats.subscriptions("m").await, 2, "still one for each node");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_without_nats_and_finds_it_later() {
    let mut nats = Nats(NatsServer::absent());
    let (here, there) = (nats.connecting().await, nats.connecting().await);
    assert!(!here.health().connected);
    let bus = here.clone();
    let (here, there) = (node_on(here, config()), node_on(there, config()));
    has_problem(&here, "not connected to NATS").await;
    assert!(here.health().ready);
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    let mut near = Person::join(&here, "m", "Ben", hello()).await;
    ann.sees(&[near.id()]).await;
    ann.speak(1);
    near.hears(ann.id(), 1).await;
    let mut far = Person::join(&there, "m", "Cyd", hello()).await;
    lag_grows(&bus).await;
    let waited = bus.health().lag;
    nats.0.restart();
    is_well(&here).await;
    ann.sees(&[near.id(), far.id()]).await;
    far.sees(&[ann.id(), near.id()]).await;
    far.subscribe(wants(ann.id(), 1280));
    ann.is_asked_for(0b100).await;
    // It is measured anew, and not from when nobody answered.
    until("the lag falls", || async { bus.health().lag < waited / 4 }).await;
    nats.0.kill();
    has_problem(&here, "not connected to NATS").await;
    lag_grows(&bus).await;
}
