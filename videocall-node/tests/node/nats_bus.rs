//! What the bus over NATS keeps in its bucket.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time;
use videocall_node::bus::{Bus, BusError, BusEvent, NatsBus, NatsConfig};
use videocall_types::{
    ids::{MediaKind, NodeId},
    wire::{Participant, Subscribe, bus::NodeRoster},
};

use crate::{
    backend::{Backend, Nats, PATIENCE, token, until},
    nats_server::NatsServer,
    person::{Got, Person, hello, keyframe, wants, with_camera},
};

fn roster(session_id: u64, version: u64) -> NodeRoster {
    let participant = Participant {
        session_id,
        ..Participant::default()
    };
    NodeRoster {
        participants: vec![participant],
        version,
    }
}

/// What a node that begins with a meeting is told of it.
async fn kept(bus: &dyn Bus, meeting: &str) -> Vec<(NodeId, NodeRoster)> {
    let mut events = bus.subscribe(&token(meeting)).await.unwrap();
    let mut kept = Vec::new();
    // There is no end to the events: what comes at all comes within the time of a few answers.
    while let Ok(Some(event)) = time::timeout(Duration::from_millis(200), events.next()).await {
        if let BusEvent::RosterShard(node, roster) = event {
            kept.push((node, roster));
        }
    }
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rosters_are_kept_for_nodes_that_come_later_and_expire() {
    let nats = Nats::start();
    let config = NatsConfig {
        roster_ttl: Duration::from_millis(1500),
        ..NatsConfig::new(nats.0.url())
    };
    let writer = NatsBus::connect(config).await.unwrap();
    until("the bus is ready", || async {
        writer.health().problems.is_empty()
    })
    .await;
    let reader = nats.bus().await;
    let [one, two] = [1, 2].map(NodeId::from_random);
    let mine = token("m");
    let expected = [(one.clone(), roster(7, 3)), (two.clone(), roster(8, 1))];
    until("both rosters are kept, in their newest version", || async {
        writer.put_roster(&mine, &two, roster(8, 1));
        for version in 1..=3 {
            writer.put_roster(&mine, &one, roster(7, version));
        }
        writer.put_roster(&token("another"), &one, roster(9, 1));
        kept(&*reader, "m").await == expected
    })
    .await;
    until("they have expired", || async {
        kept(&*reader, "m").await.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_costs_one_subscription_of_whatever_kind() {
    let nats = Nats::start();
    let [here, there] = nats.nodes().await;
    let all = || async { nats.0.subscriptions().await.concat().len() };
    // Both were answered by JetStream: what they need for that is there.
    let before = all().await;
    let mut ann = Person::join(&here, "m", "Ann", hello()).await;
    let mut ben = Person::join(&there, "m", "Ben", hello()).await;
    ann.sees(&[ben.id()]).await;
    ben.sees(&[ann.id()]).await;
    assert_eq!(all().await, before + 2, "one on each node");
    drop((ann, ben));
    until("nothing is left", || async { all().await == before }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_receives_only_the_layers_that_its_people_watch() {
    let nats = Nats::start();
    let [here, there, elsewhere] = nats.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    let mut ben = Person::join(&there, "m", "Ben", hello()).await;
    let mut cid = Person::join(&elsewhere, "m", "Cid", hello()).await;
    ann.sees(&[ben.id(), cid.id()]).await;
    ben.sees(&[ann.id(), cid.id()]).await;
    cid.sees(&[ann.id(), ben.id()]).await;
    let prefix = format!("videocall.{}.picture.{}.video.", token("m"), ann.id());
    let watched = |expected: &'static [&'static str]| {
        let (nats, prefix) = (&nats, &prefix);
        until(
            "the nodes are subscribed to what is watched",
            move || async move {
                let subjects = nats.0.subscriptions().await.concat();
                let mut layers: Vec<_> = subjects
                    .iter()
                    .filter_map(|subject| subject.strip_prefix(prefix.as_str()))
                    .collect();
                layers.sort_unstable();
                layers == expected
            },
        )
    };
    ben.subscribe(wants(ann.id(), 1280));
    cid.subscribe(wants(ann.id(), 320));
    watched(&["0", "2"]).await;
    ann.is_asked_for(0b101).await;
    (0..3).for_each(|layer| ann.send(keyframe(layer, 1)));
    for (person, layer) in [(&mut ben, 2), (&mut cid, 0)] {
        let video = person.until("a picture", |got| match got {
            Got::Media(_, routing) if routing.kind == MediaKind::Video => Some(routing.spatial),
            _ => None,
        });
        assert_eq!(video.await.0, layer);
    }
    // What is watched goes on until another can take its place.
    ben.subscribe(wants(ann.id(), 320));
    watched(&["0", "0", "2"]).await;
    ann.send(keyframe(0, 2));
    watched(&["0", "0"]).await;
    ben.subscribe(Subscribe::default());
    cid.subscribe(wants(ann.id(), 640));
    watched(&["0", "1"]).await;
    ann.send(keyframe(1, 2));
    watched(&["1"]).await;
    drop(cid);
    watched(&[]).await;
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_without_telling_the_password() {
    let refused = NatsBus::connect(NatsConfig::new("nats://ann:secret@ho st:port")).await;
    let Err(BusError::Address { url, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(!url.contains("secret"), "{url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_counted() {
    let nats = NatsServer::absent();
    let bus = NatsBus::connect(NatsConfig::new(nats.url())).await.unwrap();
    bus.put_roster(&token("m"), &NodeId::from_random(1), roster(7, 1));
    let counted = || async { bus.health().dropped == 1 };
    time::timeout(PATIENCE, until("it is counted", counted))
        .await
        .unwrap();
}
