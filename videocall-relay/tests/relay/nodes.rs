//! Meetings of several nodes agree on who is there, and send each other no more than needed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use videocall_relay::RelayConfig;
use videocall_types::wire::{PublishState, Roster, control::Message};

use crate::world::{Client, World, camera, delta, key, millis};

#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Leave(usize),
    Publish(usize, bool),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize).prop_map(Step::Join),
        1 => (0..64usize).prop_map(Step::Leave),
        2 => (0..64usize, any::<bool>()).prop_map(|(at, on)| Step::Publish(at, on)),
        2 => (0..60u64).prop_map(Step::Advance),
    ]
}

/// What a client knows of the others: session and number of streams.
#[derive(Default)]
struct Known(BTreeMap<u64, usize>);

impl Known {
    fn take(&mut self, messages: Vec<Message>) {
        for message in messages {
            match message {
                Message::Welcome(welcome) => self.apply(welcome.roster.unwrap()),
                Message::Roster(roster) => self.apply(roster),
                _ => {}
            }
        }
    }

    fn apply(&mut self, roster: Roster) {
        if roster.full {
            self.0.clear();
        }
        for participant in roster.participants {
            self.0
                .insert(participant.session_id, participant.streams.len());
        }
        for left in roster.left {
            self.0.remove(&left);
        }
    }
}

proptest! {
    #[test]
    fn everybody_comes_to_know_the_same(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(3, RelayConfig::default());
        let mut here: Vec<(Client, Known)> = Vec::new();
        let mut truth = BTreeMap::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Join(node) => {
                    next += 1;
                    here.push((world.join(node, next), Known::default()));
                    truth.insert(next, 0);
                }
                Step::Leave(at) if !here.is_empty() => {
                    let (client, _) = here.swap_remove(at % here.len());
                    world.leave(&client);
                    truth.remove(&client.session.get());
                }
                Step::Publish(at, on) if !here.is_empty() => {
                    let client = here[at % here.len()].0.clone();
                    let state = if on { camera() } else { PublishState::default() };
                    world.send(&client, Message::PublishState(state)).unwrap();
                    truth.insert(client.session.get(), usize::from(on));
                }
                Step::Leave(_) | Step::Publish(..) => {}
                Step::Advance(time) => world.advance(millis(time)),
            }
        }
        // Who changed its offer often is told of with pauses, here and again there.
        world.advance(world.config().offer_interval * 2 + millis(200));
        for (client, known) in &mut here {
            known.take(world.drain(client).messages());
            known.0.remove(&client.session.get());
            let mut others = truth.clone();
            others.remove(&client.session.get());
            prop_assert_eq!(&known.0, &others, "as {} sees it", client.session);
        }
        for node in &world.nodes {
            prop_assert_eq!(node.shard.participants.len(), node.meeting.local_count());
        }
    }
}

#[test]
fn a_packet_goes_to_another_node_once_however_many_receive_it_there() {
    let mut world = World::new(2, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let far: Vec<Client> = (2..52).map(|number| world.join(1, number)).collect();
    world.advance(millis(2_000));
    let before = world.nodes[0].bus_media;
    world.frame(&publisher, key(2, 1), 100);
    world.frame(&publisher, delta(2, 2, 1), 100);
    // Nobody there wants this layer.
    world.frame(&publisher, key(0, 1), 100);
    world.audio(&publisher, 30);
    assert_eq!(world.nodes[0].bus_media - before, 3);
    assert_eq!(world.nodes[1].bus_media, 0, "nothing comes back");
    for client in &far {
        assert_eq!(world.drain(client).frames().len(), 3);
    }
}

#[test]
fn a_node_alone_gives_the_bus_no_media() {
    let mut world = World::new(2, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    world.join(0, 2);
    world.frame(&publisher, key(2, 1), 100);
    world.audio(&publisher, 30);
    assert_eq!(world.nodes[0].bus_media, 0);
}

#[test]
fn a_node_that_is_gone_takes_its_participants_and_their_demand_along() {
    let mut world = World::new(2, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    world.join(1, 2);
    world.advance(millis(2_000));
    world.drain(&publisher);
    let gone = world.nodes[1].id.clone();
    let now = world.now;
    world.nodes[0].meeting.remote_node_gone(now, &gone);
    world.pump();
    assert_eq!(world.nodes[0].meeting.count(), 1);
    world.advance(millis(2_000));
    let got = world.drain(&publisher);
    assert_eq!(got.demands(), [0]);
    let left = got
        .messages()
        .into_iter()
        .any(|message| matches!(message, Message::Roster(roster) if roster.left == [2]));
    assert!(left);
    let before = world.nodes[0].bus_media;
    world.frame(&publisher, key(2, 1), 100);
    assert_eq!(world.nodes[0].bus_media, before);
}

#[test]
fn nobody_can_speak_for_a_participant_of_another_node_over_the_bus() {
    let mut world = World::new(2, RelayConfig::default());
    let one = world.join(0, 1);
    let two = world.join(1, 2);
    world.drain(&two);
    // A packet that claims to be of a local participant, or of nobody known.
    for number in [2, 77] {
        let bytes = crate::world::frame_bytes(crate::world::id(number), key(0, 1), 10);
        let now = world.now;
        world.nodes[1].meeting.receive_bus_media(now, bytes);
    }
    assert!(world.drain(&two).frames().is_empty());
    drop(one);
}

#[test]
fn nodes_that_could_not_hear_each_other_agree_again_once_they_ask() {
    let mut world = World::new(2, RelayConfig::default());
    let stays = world.join_with_camera(0, 1);
    let leaves = world.join(0, 2);
    let far = world.join(1, 3);
    world.advance(millis(100));
    world.partitioned = true;
    world.leave(&leaves);
    world.join(1, 4);
    let new = world.join_with_camera(0, 5);
    world.advance(millis(2_000));
    world.partitioned = false;
    for node in &mut world.nodes {
        node.meeting.synchronize();
    }
    world.advance(millis(2_000));
    for node in &world.nodes {
        assert_eq!(node.meeting.count(), 4);
    }
    let mut known = Known::default();
    known.take(world.drain(&far).messages());
    known.0.remove(&3);
    assert_eq!(known.0, BTreeMap::from([(1, 1), (4, 0), (5, 1)]));
    for publisher in [&stays, &new] {
        world.frame(publisher, key(2, 1), 100);
    }
    assert_eq!(world.drain(&far).frames().len(), 2);
}
