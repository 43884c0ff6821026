//! Each receiver gets the layer that it shows and that its path carries; each publisher encodes
//! what anybody wants.

use videocall_relay::RelayConfig;
use videocall_types::{
    ids::MediaKind,
    view::Routing,
    wire::{Hello, PublishState, Subscribe, Want, control::Message},
};

use crate::world::{Client, World, camera, delta, hello, key, millis, subscribe_to};

/// Publishes `count` frames of every layer, 33 ms apart, a keyframe where one is asked for.
struct Camera {
    next: u64,
    wants_key: [bool; 3],
}

impl Camera {
    fn new() -> Self {
        Self {
            next: 1,
            wants_key: [true; 3],
        }
    }

    /// Returns the last frame that the reader got.
    fn run_with(
        &mut self,
        world: &mut World,
        (publisher, reader): (&Client, &Client),
        layers: &[u8],
        frames: usize,
    ) -> Option<Routing> {
        let mut last = None;
        for _ in 0..frames {
            self.run(world, publisher, layers, 500);
            last = world.drain(reader).frames().last().copied().or(last);
        }
        last
    }

    fn run(&mut self, world: &mut World, publisher: &Client, layers: &[u8], length: usize) {
        let number = self.next;
        self.next += 1;
        for &spatial in layers {
            let frame = if std::mem::take(&mut self.wants_key[usize::from(spatial)]) {
                key(spatial, number)
            } else {
                delta(spatial, number, 1)
            };
            world.frame(publisher, frame, length);
        }
        for layer in world.drain(publisher).keyframe_requests() {
            self.wants_key[layer as usize] = true;
        }
        world.advance(millis(33));
    }
}

#[test]
fn the_layer_is_the_smallest_that_covers_the_tile() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let widths = [(2, 300, 0), (3, 640, 1), (4, 1920, 2)];
    let receivers = widths.map(|(number, width, layer)| {
        let client = world.join(0, number);
        world
            .send(&client, subscribe_to(publisher.session, width))
            .unwrap();
        (client, layer)
    });
    for spatial in 0..3 {
        world.frame(&publisher, key(spatial, 1), 100);
        world.frame(&publisher, delta(spatial, 2, 1), 100);
    }
    for (client, layer) in receivers {
        let frames = world.drain(&client).frames();
        let last = frames.last().unwrap();
        assert_eq!((last.spatial, last.frame_number), (layer, 2));
    }
}

#[test]
fn a_layer_is_left_only_when_the_other_has_a_keyframe() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    world
        .send(&receiver, subscribe_to(publisher.session, 1280))
        .unwrap();
    world.frame(&publisher, key(2, 1), 100);
    world
        .send(&receiver, subscribe_to(publisher.session, 300))
        .unwrap();
    world.frame(&publisher, delta(0, 8, 1), 100);
    world.frame(&publisher, delta(2, 2, 1), 100);
    assert_eq!(world.drain(&receiver).numbers(2), [1, 2]);
    world.frame(&publisher, key(0, 9), 100);
    world.frame(&publisher, delta(2, 3, 1), 100);
    world.frame(&publisher, delta(0, 10, 1), 100);
    let got = world.drain(&receiver);
    assert_eq!((got.numbers(0), got.numbers(2)), (vec![9, 10], vec![]));
    let told = got
        .messages()
        .into_iter()
        .find_map(|message| match message {
            Message::ForwardState(state) => Some((state.session_id, state.spatial)),
            _ => None,
        });
    assert_eq!(told, Some((publisher.session.get(), Some(0))));
}

#[test]
fn a_queue_that_grows_steps_down_and_a_quiet_one_up_again() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let (slow, fast) = (world.join(0, 2), world.join(0, 3));
    let mut camera = Camera::new();
    let mut last = [2; 2];
    let mut run = |world: &mut World, frames: u64, slow_reads: bool| {
        for _ in 0..frames {
            camera.run(world, &publisher, &[0, 1, 2], 2_000);
            for (at, client) in [(0, &slow), (1, &fast)] {
                if (at == 1 || slow_reads)
                    && let Some(frame) = world.drain(client).frames().last()
                {
                    last[at] = frame.spatial;
                }
            }
        }
        last
    };
    assert_eq!(run(&mut world, 30, true), [2, 2]);
    run(&mut world, 60, false);
    assert_eq!(
        run(&mut world, 60, true)[1],
        2,
        "the others are not degraded"
    );
    assert_eq!(
        run(&mut world, 1, true)[0],
        0,
        "stepped down twice in two seconds"
    );
    assert_eq!(run(&mut world, 600, true), [2, 2]);
}

#[test]
fn the_lower_layer_comes_before_anything_must_be_dropped() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let slow = world.join(0, 2);
    let mut camera = Camera::new();
    for _ in 0..30 {
        camera.run(&mut world, &publisher, &[0, 1, 2], 2_000);
        world.drain(&slow);
    }
    let before = camera.next;
    // Not read for long enough to be noticed, but not for so long that anything gets stale.
    for _ in 0..13 {
        camera.run(&mut world, &publisher, &[0, 1, 2], 2_000);
    }
    let got = world.drain(&slow);
    let numbers: Vec<u64> = got
        .frames()
        .iter()
        .map(|frame| frame.frame_number)
        .collect();
    assert_eq!(
        numbers,
        (before..camera.next).collect::<Vec<u64>>(),
        "no gap"
    );
    assert_eq!(got.frames().last().map(|frame| frame.spatial), Some(1));
}

#[test]
fn a_layer_that_its_publisher_gives_up_is_replaced_by_a_lower_one() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    let both = (&publisher, &receiver);
    let mut camera = Camera::new();
    let last = camera.run_with(&mut world, both, &[0, 2], 30).unwrap();
    assert_eq!(last.spatial, 2);
    let last = camera.run_with(&mut world, both, &[0], 40).unwrap();
    assert_eq!((last.spatial, last.frame_number), (0, camera.next - 1));
    let last = camera.run_with(&mut world, both, &[0, 2], 40).unwrap();
    assert_eq!(last.spatial, 2);
}

#[test]
fn a_joiner_is_shown_a_lower_layer_if_the_wanted_one_does_not_come() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let mut camera = Camera::new();
    camera.run(&mut world, &publisher, &[0], 500);
    let receiver = world.join(0, 2);
    // The request for a keyframe got lost.
    camera.wants_key = [false; 3];
    world.drain(&publisher);
    let last = camera.run_with(&mut world, (&publisher, &receiver), &[0], 40);
    assert_eq!(last.map(|frame| frame.frame_number), Some(camera.next - 1));
}

#[test]
fn a_publisher_is_told_what_is_wanted_at_once_and_what_is_not_after_a_while() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    assert_eq!(
        world.drain(&publisher).demands(),
        [0],
        "alone, nothing is encoded"
    );
    let receiver = world.join_silent(0, 2);
    world.hello(&receiver, {
        let Message::Subscribe(subscribe) = subscribe_to(publisher.session, 640) else {
            unreachable!()
        };
        videocall_types::wire::Hello {
            subscribe: Some(subscribe),
            ..crate::world::hello()
        }
    });
    let got = world.drain(&publisher);
    assert_eq!(*got.demands().last().unwrap() & 0b110, 0b010);
    assert!(
        got.keyframe_requests().contains(&1),
        "new layers come with a keyframe"
    );
    world.advance(millis(2_000));
    assert_eq!(
        world.drain(&publisher).demands(),
        [0b010],
        "what came before Hello is gone"
    );

    // A change that is undone soon is not told at all.
    world
        .send(&receiver, Message::Subscribe(Subscribe::default()))
        .unwrap();
    world.advance(millis(900));
    world
        .send(&receiver, subscribe_to(publisher.session, 640))
        .unwrap();
    world.advance(millis(5_000));
    assert!(world.drain(&publisher).demands().is_empty());

    world
        .send(&receiver, Message::Subscribe(Subscribe::default()))
        .unwrap();
    world.advance(millis(1_000));
    assert_eq!(world.drain(&publisher).demands(), [0]);
}

#[test]
fn demand_is_the_union_over_all_receivers() {
    let mut world = World::new(2, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let near = world.join(0, 2);
    let far = world.join(1, 3);
    world
        .send(&near, subscribe_to(publisher.session, 1280))
        .unwrap();
    world
        .send(&far, subscribe_to(publisher.session, 300))
        .unwrap();
    world.advance(millis(5_000));
    assert_eq!(world.drain(&publisher).demands().last(), Some(&0b101));
    world.leave(&near);
    world.advance(millis(5_000));
    assert_eq!(world.drain(&publisher).demands().last(), Some(&0b001));
    world.leave(&far);
    world.advance(millis(5_000));
    assert_eq!(world.drain(&publisher).demands().last(), Some(&0));
}

#[test]
fn a_paused_stream_is_not_forwarded() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    let paused = Want {
        session_id: publisher.session.get(),
        kind: MediaKind::Video.into(),
        paused: true,
        ..Want::default()
    };
    let subscribe = Subscribe {
        all: true,
        wants: vec![paused],
    };
    world.frame(&publisher, key(2, 1), 100);
    world
        .send(&receiver, Message::Subscribe(subscribe))
        .unwrap();
    world.frame(&publisher, key(2, 2), 100);
    world.audio(&publisher, 30);
    let kinds: Vec<MediaKind> = world
        .drain(&receiver)
        .frames()
        .iter()
        .map(|f| f.kind)
        .collect();
    assert_eq!(kinds, [MediaKind::Audio], "not even what waited");
}

#[test]
fn temporal_layers_above_the_wanted_are_left_out() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    let want = Want {
        session_id: publisher.session.get(),
        kind: MediaKind::Video.into(),
        max_temporal: Some(0),
        ..Want::default()
    };
    let wants = vec![want];
    world
        .send(
            &receiver,
            Message::Subscribe(Subscribe { all: false, wants }),
        )
        .unwrap();
    world.frame(&publisher, key(2, 1), 100);
    for number in (2..10).step_by(2) {
        let enhancement = Routing {
            temporal: 1,
            ..delta(2, number, 1)
        };
        world.frame(&publisher, enhancement, 100);
        world.frame(&publisher, delta(2, number + 1, 2), 100);
    }
    assert_eq!(world.drain(&receiver).numbers(2), [1, 3, 5, 7, 9]);
}

#[test]
fn switching_a_camera_off_and_on_does_not_lose_the_demand_of_other_nodes() {
    let mut world = World::new(2, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let far = world.join(1, 2);
    world.advance(millis(5_000));
    let publish = |state| Message::PublishState(state);
    world
        .send(&publisher, publish(PublishState::default()))
        .unwrap();
    world.send(&publisher, publish(camera())).unwrap();
    world.frame(&publisher, key(2, 1), 100);
    world.advance(millis(100));
    assert_eq!(world.drain(&far).numbers(2), [1]);
}

#[test]
fn a_stream_that_was_never_announced_reaches_other_nodes_as_well() {
    let mut world = World::new(2, RelayConfig::default());
    let publisher = world.join(0, 1);
    let far = world.join(1, 2);
    world.advance(millis(1_000));
    world.frame(&publisher, key(0, 1), 100);
    world.frame(&publisher, delta(0, 2, 1), 100);
    assert_eq!(world.drain(&far).numbers(0), [1, 2]);
}

#[test]
fn frames_that_the_transport_gives_up_step_down_as_well() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    let mut camera = Camera::new();
    let both = (&publisher, &receiver);
    let last = camera.run_with(&mut world, both, &[0, 1, 2], 30).unwrap();
    assert_eq!(last.spatial, 2);
    camera.run(&mut world, &publisher, &[0, 1, 2], 500);
    for outgoing in world.drain(&receiver).0 {
        receiver.egress.report_lost(&outgoing);
    }
    let last = camera.run_with(&mut world, both, &[0, 1, 2], 30).unwrap();
    assert_eq!((last.spatial, last.frame_number), (1, camera.next - 1));
}

#[test]
fn the_least_important_stream_is_degraded_first() {
    let mut world = World::new(1, RelayConfig::default());
    let publishers = [world.join_with_camera(0, 1), world.join_with_camera(0, 2)];
    let receiver = world.join(0, 3);
    let want = |publisher: &Client, priority| Want {
        session_id: publisher.session.get(),
        kind: MediaKind::Video.into(),
        priority,
        ..Want::default()
    };
    let wants = vec![want(&publishers[0], 9), want(&publishers[1], 1)];
    let subscribe = Subscribe { all: false, wants };
    world
        .send(&receiver, Message::Subscribe(subscribe))
        .unwrap();
    let mut cameras = [Camera::new(), Camera::new()];
    for frame in 0..60 {
        for (camera, publisher) in cameras.iter_mut().zip(&publishers) {
            camera.run(&mut world, publisher, &[0, 1, 2], 500);
        }
        // For 300 ms it is not read.
        if !(30..35).contains(&frame) {
            world.drain(&receiver);
        }
    }
    world.drain(&publishers[0]);
    for publisher in &publishers {
        for spatial in 0..3 {
            world.frame(publisher, key(spatial, 1_000), 100);
        }
    }
    let session = |out: &videocall_relay::Outgoing| {
        let view = videocall_types::view::PacketView::parse(out.packet.bytes()).unwrap();
        (view.session_id, view.routing.unwrap().spatial)
    };
    let got: Vec<(u64, u8)> = world.drain(&receiver).0.iter().map(session).collect();
    assert_eq!(got, [(1, 2), (2, 1)]);
}

#[test]
fn frames_that_overtake_hello_do_not_keep_a_publisher_from_being_told() {
    let mut world = World::new(1, RelayConfig::default());
    world.join(0, 2);
    let publisher = world.join_silent(0, 1);
    world.frame(&publisher, key(0, 1), 100);
    let publish = Some(camera());
    world.hello(&publisher, Hello { publish, ..hello() });
    assert_eq!(
        world
            .drain(&publisher)
            .demands()
            .last()
            .map(|mask| mask & 4),
        Some(4)
    );

    let publisher = world.join_silent(0, 3);
    world.frame(&publisher, key(0, 1), 100);
    world.hello(&publisher, hello());
    assert_eq!(world.drain(&publisher).demands(), [1]);
}
