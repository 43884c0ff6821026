//! No queue grows without bound.

use proptest::prelude::*;
use videocall_relay::{DropReason, RelayConfig};
use videocall_types::{
    close::CloseReason,
    ids::SessionId,
    wire::{PacketWrapper, control::Message, packet_wrapper::PacketType},
};

use crate::world::{World, delta, key, millis};

#[derive(Clone, Debug)]
enum Step {
    Frame(u8, bool, usize),
    Opaque(usize),
    Audio,
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3u8, prop::bool::weighted(0.1), 1..30_000usize)
            .prop_map(|(spatial, keyframe, length)| Step::Frame(spatial, keyframe, length)),
        (1..20_000usize).prop_map(Step::Opaque),
        Just(Step::Audio),
        (1..100u64).prop_map(Step::Advance),
    ]
}

pub(crate) fn opaque(session: SessionId, length: usize) -> bytes::Bytes {
    use prost::Message;
    let packet = PacketWrapper {
        packet_type: PacketType::Media.into(),
        session_id: session.get(),
        // No tag of a media packet: nobody may look into it.
        data: vec![0; length].into(),
        ..PacketWrapper::default()
    };
    packet.encode_to_vec().into()
}

proptest! {
    #[test]
    fn a_queue_that_nobody_reads_stays_small(steps in prop::collection::vec(step(), 1..400)) {
        let config = RelayConfig {
            video_queue_bytes: 100_000,
            video_queue_packets: 30,
            audio_queue_packets: 10,
            ..RelayConfig::default()
        };
        let mut world = World::new(1, config);
        let sender = world.join_with_camera(0, 1);
        let receiver = world.join(0, 2);
        let (control_bytes, control) = receiver.egress.waiting();
        let mut numbers = [0; 3];
        for step in steps {
            match step {
                Step::Frame(spatial, keyframe, length) => {
                    let number = &mut numbers[usize::from(spatial)];
                    *number += 1;
                    let frame = if keyframe || *number == 1 {
                        key(spatial, *number)
                    } else {
                        delta(spatial, *number, 1)
                    };
                    world.frame(&sender, frame, length);
                }
                Step::Opaque(length) => {
                    world.receive(&sender, opaque(sender.session, length)).unwrap();
                }
                Step::Audio => world.audio(&sender, 20),
                Step::Advance(time) => world.advance(millis(time)),
            }
            let (bytes, packets) = receiver.egress.waiting();
            // Control that came with time, such as pings, is not what is bounded here.
            let time_control = 60 + control;
            prop_assert!(packets <= 30 + 10 + time_control, "{} packets", packets);
            prop_assert!(bytes <= 100_000 + 30_200 + 10 * 200 + control_bytes + 6_000, "{bytes} bytes");
        }
    }
}

#[test]
fn a_full_queue_drops_higher_temporal_layers_first_and_the_base_goes_on() {
    let config = RelayConfig {
        video_queue_bytes: 100_000,
        ..RelayConfig::default()
    };
    let mut world = World::new(1, config);
    let sender = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    world.frame(&sender, key(2, 1), 1_000);
    for number in (2..40).step_by(2) {
        let enhancement = videocall_types::view::Routing {
            temporal: 1,
            ..delta(2, number, 1)
        };
        world.frame(&sender, enhancement, 10_000);
        world.frame(&sender, delta(2, number + 1, 2), 1_000);
    }
    let numbers = world.drain(&receiver).numbers(2);
    let base: Vec<u64> = numbers.iter().copied().filter(|n| n % 2 == 1).collect();
    assert_eq!(base, (1..40).step_by(2).collect::<Vec<u64>>());
    assert!(world.counters.drops(DropReason::QueueFull) > 0);
}

#[test]
fn room_is_made_also_for_a_keyframe_of_a_stream_that_was_started_anew() {
    let config = RelayConfig {
        video_queue_bytes: 100_000,
        ..RelayConfig::default()
    };
    let mut world = World::new(1, config);
    let sender = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    world.drain(&receiver);
    world.frame(&sender, key(2, 1), 1_000);
    for number in 2..=10 {
        world.frame(&sender, delta(2, number, 1), 10_000);
    }
    // Lower layers, so that each leaves the one before it.
    for (stream_id, spatial) in [(2, 1), (3, 0)] {
        let anew = videocall_types::view::Routing {
            stream_id,
            ..key(spatial, 1)
        };
        world.frame(&sender, anew, 30_000);
        let (bytes, _) = receiver.egress.waiting();
        assert!(bytes <= 100_000, "{bytes} bytes");
    }
    let got = world.drain(&receiver).frames();
    assert_eq!(got.last().map(|frame| frame.stream_id), Some(3));
}

#[test]
fn after_a_drop_the_newest_keyframe_that_waits_is_kept_even_across_layers() {
    let mut world = World::new(1, RelayConfig::default());
    let sender = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    // The small layer has counted further than the large one, which is entered later.
    for number in 1..=50 {
        let frame = if number == 1 {
            key(0, 1)
        } else {
            delta(0, number, 1)
        };
        world.frame(&sender, frame, 100);
    }
    world.advance(millis(200));
    world.frame(&sender, key(2, 1), 100);
    world.frame(&sender, delta(2, 2, 1), 100);
    world.advance(millis(400));
    world.frame(&sender, delta(2, 3, 2), 100);
    let got = world.drain(&receiver);
    assert_eq!(got.numbers(0), [] as [u64; 0]);
    assert_eq!(got.numbers(2), [1, 2, 3]);
}

#[test]
fn whoever_does_not_read_control_is_closed_and_only_that_one() {
    let mut world = World::new(
        1,
        RelayConfig {
            control_queue_bytes: 2_000,
            ..RelayConfig::default()
        },
    );
    let slow = world.join(0, 1);
    let other = world.join(0, 2);
    for token in 0..500 {
        let ping = Message::Ping(videocall_types::wire::Ping { token });
        world.send(&slow, ping.clone()).unwrap();
        world.send(&other, ping).unwrap();
        world.drain(&other);
    }
    world.advance(millis(1_500));
    assert_eq!(world.closed, [(slow.session, CloseReason::SlowConsumer)]);
}
