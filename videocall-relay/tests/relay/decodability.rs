//! Whatever happens, no receiver is given a frame that it cannot decode.

use std::collections::HashMap;

use proptest::prelude::*;
use videocall_relay::{BatchLimits, Outgoing, RelayConfig};
use videocall_types::{ids::MediaKind, view::Routing};

use crate::world::{Client, World, camera, delta, key, millis, subscribe_to};

const PUBLISHERS: usize = 2;
const RECEIVERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// The next frame of a layer; `sent` false: it is lost on its way in.
    Frame {
        publisher: usize,
        spatial: u8,
        keyframe: bool,
        temporal: u8,
        back: u8,
        length: usize,
        sent: bool,
    },
    /// The frame before the last comes again, or late.
    Again {
        publisher: usize,
        spatial: u8,
    },
    /// The camera is switched off and on.
    Restart {
        publisher: usize,
    },
    Drain {
        receiver: usize,
        packets: usize,
    },
    /// The transport gives up one of the frames taken last.
    Lose {
        receiver: usize,
        which: usize,
    },
    Subscribe {
        receiver: usize,
        publisher: usize,
        width: u32,
    },
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let frame = (
        0..PUBLISHERS,
        0..3u8,
        prop::bool::weighted(0.08),
        0..3u8,
        1..5u8,
        100..9_000usize,
        prop::bool::weighted(0.97),
    )
        .prop_map(
            |(publisher, spatial, keyframe, temporal, back, length, sent)| Step::Frame {
                publisher,
                spatial,
                keyframe,
                temporal,
                back,
                length,
                sent,
            },
        );
    let step = prop_oneof![
        40 => frame,
        2 => (0..PUBLISHERS, 0..3u8)
            .prop_map(|(publisher, spatial)| Step::Again { publisher, spatial }),
        1 => (0..PUBLISHERS).prop_map(|publisher| Step::Restart { publisher }),
        8 => (0..RECEIVERS, 1..12usize)
            .prop_map(|(receiver, packets)| Step::Drain { receiver, packets }),
        1 => (0..RECEIVERS, 0..12usize)
            .prop_map(|(receiver, which)| Step::Lose { receiver, which }),
        1 => (0..RECEIVERS, 0..PUBLISHERS, prop::sample::select(vec![200, 600, 1200]))
            .prop_map(|(receiver, publisher, width)| Step::Subscribe { receiver, publisher, width }),
        8 => (1..150u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 50..600)
}

/// What a publisher has sent of one layer.
#[derive(Default)]
struct Layer {
    /// Every frame since and with the last keyframe.
    group: Vec<Routing>,
    next: u64,
}

struct Publisher {
    client: Client,
    stream_id: u32,
    layers: [Layer; 3],
}

impl Publisher {
    /// A frame of a higher temporal layer is only depended on by such: of the frames that may be
    /// depended on, takes the one `back` before the last.
    fn next(
        &mut self,
        spatial: u8,
        keyframe: bool,
        temporal: u8,
        back: u8,
        lawful: bool,
    ) -> Routing {
        let layer = &mut self.layers[usize::from(spatial)];
        layer.next += 1;
        let number = layer.next;
        let needed = layer
            .group
            .iter()
            .rev()
            .filter(|frame| !lawful || frame.temporal <= temporal)
            .take(usize::from(back))
            .last()
            .map(|frame| number - frame.frame_number)
            .filter(|&distance| distance < 64);
        let frame = match needed {
            Some(distance) if !keyframe => Routing {
                temporal,
                ..delta(spatial, number, distance as u8)
            },
            _ => {
                layer.group.clear();
                key(spatial, number)
            }
        };
        let frame = Routing {
            stream_id: self.stream_id,
            ..frame
        };
        layer.group.push(frame);
        frame
    }
}

type StreamKey = (u64, u32, u8);

/// A receiver's decoder, for one that knows nothing but what it was given.
#[derive(Default)]
struct Decoder {
    current: HashMap<u64, StreamKey>,
    /// Frames that were decoded, each with the one that it needed.
    decoded: HashMap<(StreamKey, u64), Option<u64>>,
    last: Vec<Outgoing>,
    frames: usize,
}

impl Decoder {
    fn take(&mut self, batch: Vec<Outgoing>) -> Result<(), TestCaseError> {
        self.last.clear();
        for outgoing in batch {
            let Some(&frame) = outgoing.packet.routing() else {
                continue;
            };
            prop_assert_eq!(frame.kind, MediaKind::Video);
            let publisher = publisher_of(&outgoing);
            let stream = (publisher, frame.stream_id, frame.spatial);
            if frame.keyframe {
                self.current.insert(publisher, stream);
            } else {
                prop_assert_eq!(
                    self.current.get(&publisher),
                    Some(&stream),
                    "a layer is entered at a keyframe only: {:?}",
                    frame
                );
                let needed = (stream, frame.frame_number - u64::from(frame.depends_back));
                prop_assert!(
                    self.decoded.contains_key(&needed),
                    "undecodable: {:?}",
                    frame
                );
            }
            let before = self
                .decoded
                .insert((stream, frame.frame_number), frame.depends_on());
            prop_assert!(before.is_none(), "twice: {:?}", frame);
            self.last.push(outgoing);
            self.frames += 1;
        }
        Ok(())
    }

    fn lose(&mut self, outgoing: &Outgoing) {
        let Some(frame) = outgoing.packet.routing() else {
            return;
        };
        let stream = (publisher_of(outgoing), frame.stream_id, frame.spatial);
        let mut lost = vec![frame.frame_number];
        while let Some(number) = lost.pop() {
            self.decoded.remove(&(stream, number));
            let dependents = self
                .decoded
                .iter()
                .filter(|((of, _), needed)| *of == stream && **needed == Some(number));
            lost.extend(dependents.map(|((_, dependent), _)| *dependent));
        }
    }
}

fn publisher_of(outgoing: &Outgoing) -> u64 {
    let bytes = outgoing.packet.bytes();
    videocall_types::view::PacketView::parse(bytes)
        .unwrap()
        .session_id
}

fn run(steps: Vec<Step>, lawful: bool) -> Result<usize, TestCaseError> {
    // Small, so that a few frames are too much.
    let config = RelayConfig {
        video_queue_bytes: 60_000,
        video_queue_packets: 24,
        ..RelayConfig::default()
    };
    let mut world = World::new(1, config);
    let mut publishers: Vec<Publisher> = (0..PUBLISHERS)
        .map(|at| Publisher {
            client: world.join_with_camera(0, 1 + at as u64),
            stream_id: 1,
            layers: Default::default(),
        })
        .collect();
    let receivers: Vec<Client> = (0..RECEIVERS)
        .map(|at| world.join(0, 101 + at as u64))
        .collect();
    let mut decoders: Vec<Decoder> = receivers.iter().map(|_| Decoder::default()).collect();
    for step in steps {
        match step {
            Step::Frame {
                publisher,
                spatial,
                keyframe,
                temporal,
                back,
                length,
                sent,
            } => {
                let publisher = &mut publishers[publisher];
                let frame = publisher.next(spatial, keyframe, temporal, back, lawful);
                if sent {
                    let client = publisher.client.clone();
                    world.frame(&client, frame, length);
                }
            }
            Step::Again { publisher, spatial } => {
                let publisher = &publishers[publisher];
                let group = &publisher.layers[usize::from(spatial)].group;
                if let Some(&frame) = group.iter().rev().nth(1) {
                    world.frame(&publisher.client.clone(), frame, 500);
                }
            }
            Step::Restart { publisher } => {
                let publisher = &mut publishers[publisher];
                publisher.stream_id += 1;
                publisher.layers = Default::default();
                let mut state = camera();
                state.streams[0].stream_id = publisher.stream_id;
                let message = videocall_types::wire::control::Message::PublishState(state);
                world.send(&publisher.client.clone(), message).unwrap();
            }
            Step::Drain { receiver, packets } => {
                let batch = receivers[receiver].egress.take_batch(
                    world.now,
                    BatchLimits {
                        packets,
                        ..BatchLimits::NONE
                    },
                );
                decoders[receiver].take(batch)?;
            }
            Step::Lose { receiver, which } if lawful => {
                let decoder = &mut decoders[receiver];
                if let Some(outgoing) = decoder.last.get(which).cloned() {
                    receivers[receiver].egress.report_lost(&outgoing);
                    decoder.lose(&outgoing);
                }
            }
            Step::Lose { .. } => {}
            Step::Subscribe {
                receiver,
                publisher,
                width,
            } => {
                let wanted = subscribe_to(publishers[publisher].client.session, width);
                world.send(&receivers[receiver], wanted).unwrap();
            }
            Step::Advance(time) => world.advance(millis(time)),
        }
    }
    for (receiver, decoder) in receivers.iter().zip(&mut decoders) {
        decoder.take(receiver.egress.take_batch(world.now, BatchLimits::NONE))?;
    }
    Ok(decoders.iter().map(|decoder| decoder.frames).sum())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nobody_is_given_what_it_cannot_decode(steps in steps()) {
        run(steps, true)?;
    }

    #[test]
    fn not_even_of_publishers_that_depend_on_what_they_must_not(steps in steps()) {
        run(steps, false)?;
    }
}

#[test]
fn the_property_is_about_frames_that_flow() {
    let frame = |keyframe| Step::Frame {
        publisher: 0,
        spatial: 2,
        keyframe,
        temporal: 0,
        back: 1,
        length: 1000,
        sent: true,
    };
    let mut steps = vec![frame(true)];
    for _ in 0..99 {
        steps.push(frame(false));
        steps.extend((0..RECEIVERS).map(|receiver| Step::Drain {
            receiver,
            packets: 9,
        }));
    }
    assert_eq!(run(steps, true).unwrap(), 100 * RECEIVERS);
}
