//! A receiver that does not read changes nothing for the others.

use bytes::Bytes;
use proptest::prelude::*;
use videocall_relay::RelayConfig;

use crate::world::{Client, World, delta, key, millis};

/// What two other receivers get, packet by packet, and what the publisher is asked for.
fn run(lengths: &[usize], stalled: bool) -> (Vec<Vec<Bytes>>, usize) {
    let config = RelayConfig {
        video_queue_bytes: 100_000,
        ..RelayConfig::default()
    };
    let mut world = World::new(1, config);
    let publisher = world.join_with_camera(0, 1);
    let others: Vec<Client> = (2..4).map(|number| world.join(0, number)).collect();
    let slow = world.join(0, 9);
    world.advance(millis(500));
    let mut got = vec![Vec::new(); others.len()];
    let mut asked = 0;
    for (at, &length) in lengths.iter().enumerate() {
        let number = at as u64 + 1;
        for spatial in 0..3 {
            let frame = if number == 1 {
                key(spatial, 1)
            } else {
                delta(spatial, number, 1)
            };
            world.frame(&publisher, frame, length);
        }
        world.audio(&publisher, 20);
        for (client, got) in others.iter().zip(&mut got) {
            got.extend(world.drain(client).bytes());
        }
        asked += world.drain(&publisher).keyframe_requests().len();
        if !stalled {
            world.drain(&slow);
        }
        world.advance(millis(33));
    }
    (got, asked)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn others_get_the_same(lengths in prop::collection::vec(500..20_000usize, 100..200)) {
        let (with, _) = run(&lengths, true);
        let (without, _) = run(&lengths, false);
        prop_assert!(!without[0].is_empty());
        prop_assert_eq!(with, without);
    }
}

#[test]
fn the_publisher_pays_with_few_keyframes() {
    // Ten seconds in which the stalled receiver cannot be helped by any keyframe.
    let lengths = vec![10_000; 300];
    let (_, asked) = run(&lengths, true);
    let (_, needed) = run(&lengths, false);
    assert!(
        asked - needed <= 6,
        "{asked} keyframe requests, {needed} without"
    );
}

#[test]
fn nobody_can_end_anothers_session_by_sending_what_must_arrive() {
    let mut world = World::new(1, RelayConfig::default());
    let sender = world.join_silent(0, 1);
    let receiver = world.join(0, 2);
    let key = videocall_types::wire::PacketWrapper {
        packet_type: videocall_types::wire::packet_wrapper::PacketType::AesKey.into(),
        data: vec![1; 10_000].into(),
        ..Default::default()
    };
    let bytes: Bytes = prost_bytes(&key);
    for _ in 0..1000 {
        world.receive(&sender, bytes.clone()).unwrap();
    }
    world.advance(millis(2000));
    assert!(world.closed.is_empty());
    assert!(receiver.egress.waiting().0 <= world.config().control_queue_bytes);
    assert!(world.drain(&receiver).bytes().len() > 10);
}

fn prost_bytes(packet: &videocall_types::wire::PacketWrapper) -> Bytes {
    use prost::Message;
    packet.encode_to_vec().into()
}
