//! Keyframes are asked for when they help, of the one publisher, and not more often than needed.

use videocall_relay::RelayConfig;
use videocall_types::{
    ids::MediaKind,
    wire::{KeyframeRequest, control::Message},
};

use crate::world::{Client, World, delta, hello, key, millis, subscribe_to};

fn ask(publisher: &Client) -> Message {
    Message::KeyframeRequest(KeyframeRequest {
        session_id: publisher.session.get(),
        kind: MediaKind::Video.into(),
        stream_id: 1,
        spatial: 2,
    })
}

#[test]
fn requests_of_many_receivers_are_one() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receivers: Vec<Client> = (2..102).map(|number| world.join(0, number)).collect();
    world.frame(&publisher, key(2, 1), 100);
    world.advance(millis(1_000));
    world.drain(&publisher);
    for receiver in &receivers {
        world.send(receiver, ask(&publisher)).unwrap();
    }
    assert_eq!(world.drain(&publisher).keyframe_requests(), [2]);
    world.advance(millis(299));
    world.send(&receivers[0], ask(&publisher)).unwrap();
    assert!(world.drain(&publisher).keyframe_requests().is_empty());
    world.advance(millis(1));
    world.send(&receivers[0], ask(&publisher)).unwrap();
    assert_eq!(world.drain(&publisher).keyframe_requests(), [2]);
    for receiver in &receivers {
        assert!(
            world.drain(receiver).keyframe_requests().is_empty(),
            "asks the publisher only"
        );
    }
}

#[test]
fn a_late_joiner_makes_the_publisher_give_a_keyframe_at_once() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let early = world.join(0, 2);
    world
        .send(&early, subscribe_to(publisher.session, 1280))
        .unwrap();
    world.frame(&publisher, key(2, 1), 100);
    world.advance(millis(5_000));
    world.drain(&publisher);
    let late = world.join_silent(0, 3);
    let subscribe = match subscribe_to(publisher.session, 1280) {
        Message::Subscribe(subscribe) => Some(subscribe),
        _ => None,
    };
    world.hello(
        &late,
        videocall_types::wire::Hello {
            subscribe,
            ..hello()
        },
    );
    assert!(world.drain(&publisher).keyframe_requests().contains(&2));
    world.frame(&publisher, delta(2, 2, 1), 100);
    assert!(
        world.drain(&late).frames().is_empty(),
        "nothing to decode it with"
    );
    world.frame(&publisher, key(2, 3), 100);
    assert_eq!(world.drain(&late).numbers(2), [3]);
}

#[test]
fn a_late_joiner_on_another_node_as_well() {
    let mut world = World::new(2, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let early = world.join(1, 2);
    world.advance(millis(5_000));
    world.frame(&publisher, key(2, 1), 100);
    assert_eq!(world.drain(&early).numbers(2), [1]);
    world.drain(&publisher);
    let late = world.join(1, 3);
    world.advance(millis(0));
    assert!(world.drain(&publisher).keyframe_requests().contains(&2));
    world.frame(&publisher, key(2, 2), 100);
    assert_eq!(world.drain(&late).numbers(2), [2]);
}

#[test]
fn a_frame_lost_on_its_way_in_costs_one_keyframe() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    world.advance(millis(1_000));
    world.frame(&publisher, key(2, 1), 100);
    world.drain(&publisher);
    world.frame(&publisher, delta(2, 3, 1), 100);
    world.advance(millis(50));
    assert!(
        world.drain(&publisher).keyframe_requests().is_empty(),
        "it may still come"
    );
    world.frame(&publisher, delta(2, 2, 1), 100);
    assert_eq!(world.drain(&receiver).numbers(2), [1, 2, 3]);
    world.frame(&publisher, delta(2, 5, 1), 100);
    world.advance(millis(100));
    assert_eq!(world.drain(&publisher).keyframe_requests(), [2]);
}

#[test]
fn nobody_asks_a_publisher_that_is_not_there() {
    let mut world = World::new(1, RelayConfig::default());
    let one = world.join(0, 1);
    let mut request = ask(&one);
    if let Message::KeyframeRequest(request) = &mut request {
        request.session_id = 77;
        request.kind = 99;
    }
    world.send(&one, request).unwrap();
    assert_eq!(world.counters.keyframe_requests(), 0);
}
