//! Audio never waits behind video, nor control behind audio.

use proptest::prelude::*;
use videocall_relay::{BatchLimits, Class, RelayConfig};

use crate::world::{World, delta, key, millis};

#[derive(Clone, Debug)]
enum Step {
    Video(usize),
    Audio,
    Control,
    Take(usize),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (100..50_000usize).prop_map(Step::Video),
        Just(Step::Audio),
        Just(Step::Control),
        (1..6usize).prop_map(Step::Take),
        (1..60u64).prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn what_is_more_urgent_goes_first(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new(1, RelayConfig::default());
        let sender = world.join_with_camera(0, 1);
        let receiver = world.join(0, 2);
        let mut number = 0;
        for step in steps {
            match step {
                Step::Video(length) => {
                    number += 1;
                    let frame = if number == 1 { key(2, 1) } else { delta(2, number, 1) };
                    world.frame(&sender, frame, length);
                }
                Step::Audio => world.audio(&sender, 20),
                Step::Control => {
                    let ping = videocall_types::wire::control::Message::Ping(Default::default());
                    world.send(&receiver, ping).unwrap();
                }
                Step::Take(packets) => {
                    let taken = receiver.egress.take_batch(world.now, BatchLimits { packets, ..BatchLimits::NONE });
                    let rest = receiver.egress.take_batch(world.now, BatchLimits::NONE);
                    // What is taken first is never less urgent than anything that was left.
                    let rank = |class| match class {
                        Class::Control => 0,
                        Class::Audio => 1,
                        Class::Video | Class::Screen => 2,
                    };
                    let ranks: Vec<u8> = taken
                        .iter()
                        .chain(&rest)
                        .map(|outgoing| rank(outgoing.packet.class()))
                        .collect();
                    prop_assert!(ranks.is_sorted(), "{:?}", ranks);
                }
                Step::Advance(time) => world.advance(millis(time)),
            }
        }
    }
}

#[test]
fn audio_that_is_too_old_to_be_played_is_not_sent() {
    let mut world = World::new(1, RelayConfig::default());
    let sender = world.join(0, 1);
    let receiver = world.join(0, 2);
    world.audio(&sender, 20);
    world.advance(millis(300));
    world.audio(&sender, 20);
    world.advance(millis(200));
    assert_eq!(world.drain(&receiver).frames().len(), 1);
}
