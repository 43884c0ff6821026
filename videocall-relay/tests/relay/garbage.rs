//! No bytes and no message of a peer make the relay fail, and the others do not notice any.

use proptest::prelude::*;
use videocall_relay::RelayConfig;
use videocall_types::{
    packet,
    wire::{
        Hello, KeyframeRequest, LayerInfo, Participant, PublishState, StreamDemand, StreamInfo,
        Subscribe, Want,
        bus::{BusControl, NodeDemand, NodeRoster, PublisherDemand, ReplaceSession, bus_control},
        control::Message,
    },
};

use crate::world::{World, delta, key, millis};

/// Small numbers, which mean something here, and others.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![0..6u32, any::<u32>()]
}

prop_compose! {
    fn stream()(
        kind in 0..6i32,
        stream_id in number(),
        codec in "\\PC{0,80}",
        layers in prop::collection::vec((number(), number(), number()), 0..6),
    ) -> StreamInfo {
        let layer = |(spatial, width, height)| LayerInfo {
            spatial,
            width,
            height,
            ..LayerInfo::default()
        };
        StreamInfo {
            kind,
            stream_id,
            codec,
            layers: layers.into_iter().map(layer).collect(),
            muted: false,
        }
    }
}

prop_compose! {
    fn want()(
        session_id in number(),
        kind in 0..6i32,
        paused: bool,
        width in number(),
        height in number(),
        max_temporal: Option<u32>,
        priority in number(),
    ) -> Want {
        Want { session_id: session_id.into(), kind, paused, width, height, max_temporal, priority }
    }
}

fn message() -> impl Strategy<Value = Message> {
    let streams = prop::collection::vec(stream(), 0..10);
    let wants = prop::collection::vec(want(), 0..6);
    prop_oneof![
        (
            number(),
            ".{0,300}",
            // No number, which would be a good one.
            prop::collection::vec(128u8.., 0..4),
            prop::collection::vec(stream(), 0..3)
        )
            .prop_map(|(version, name, ticket, streams)| Message::Hello(Hello {
                protocol_version: version.min(2),
                display_name: name,
                publish: Some(PublishState { streams }),
                ticket: ticket.into(),
                ..Hello::default()
            })),
        streams.prop_map(|streams| Message::PublishState(PublishState { streams })),
        (any::<bool>(), wants)
            .prop_map(|(all, wants)| Message::Subscribe(Subscribe { all, wants })),
        (number(), 0..6i32, number()).prop_map(|(session, kind, spatial)| {
            Message::KeyframeRequest(KeyframeRequest {
                session_id: session.into(),
                kind,
                stream_id: 0,
                spatial,
            })
        }),
        Just(Message::Pong(Default::default())),
        Just(Message::Welcome(Default::default())),
    ]
}

fn bus_message() -> impl Strategy<Value = bus_control::Message> {
    let participants = prop::collection::vec((number(), stream()), 0..5);
    let publishers = prop::collection::vec((number(), 0..6i32, number()), 0..5);
    prop_oneof![
        participants.prop_map(|participants| {
            let participant = |(session, stream)| Participant {
                session_id: u64::from(session),
                streams: vec![stream],
                ..Participant::default()
            };
            let participants = participants.into_iter().map(participant).collect();
            bus_control::Message::Roster(NodeRoster {
                participants,
                ..NodeRoster::default()
            })
        }),
        publishers.prop_map(|publishers| {
            let publisher = |(session, kind, spatial_mask)| PublisherDemand {
                session_id: u64::from(session),
                streams: vec![StreamDemand {
                    kind,
                    stream_id: 0,
                    spatial_mask,
                }],
            };
            let publishers = publishers.into_iter().map(publisher).collect();
            bus_control::Message::Demand(NodeDemand { publishers })
        }),
        number().prop_map(|session| {
            bus_control::Message::ReplaceSession(ReplaceSession {
                // Nodes believe each other: of those who are well, none came back elsewhere.
                session_id: if [2, 3].contains(&session) {
                    1
                } else {
                    session.into()
                },
            })
        }),
        Just(bus_control::Message::Sync(Default::default())),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Control(Box<Message>),
    Bus(Box<bus_control::Message>, String),
    BusBytes(Vec<u8>),
    Frame(u8, u64, u8),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let node = prop_oneof![Just("00000000000000aa".to_owned()), ".{0,20}"];
    prop_oneof![
        1 => bytes().prop_map(Step::Bytes),
        8 => message().prop_map(|message| Step::Control(Box::new(message))),
        4 => (bus_message(), node)
            .prop_map(|(message, node)| Step::Bus(Box::new(message), node)),
        1 => bytes().prop_map(Step::BusBytes),
        4 => (0..4u8, 1..200u64, 0..64u8).prop_map(|(s, n, b)| Step::Frame(s, n, b)),
        2 => (0..2_000u64).prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn nothing_that_a_peer_says_harms_the_others(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new(1, RelayConfig { max_violations: 1_000, ..Default::default() });
        let bad = world.join_silent(0, 1);
        let speaker = world.join(0, 2);
        let listener = world.join(0, 3);
        for step in steps {
            let now = world.now;
            match step {
                // It may be refused, if only that.
                Step::Bytes(bytes) => drop(world.receive(&bad, bytes.into())),
                Step::Control(message) => drop(world.send(&bad, *message)),
                Step::Bus(message, node_id) => {
                    let message = BusControl { node_id, message: Some(*message) };
                    world.nodes[0].meeting.receive_bus_control(now, message);
                }
                Step::BusBytes(bytes) => {
                    world.nodes[0].meeting.receive_bus_media(now, bytes.into());
                }
                Step::Frame(spatial, number, back) => {
                    let back = u64::from(back).min(number - 1) as u8;
                    let frame = if back == 0 { key(spatial, number) } else { delta(spatial, number, back) };
                    let _ = world.receive(&bad, crate::world::frame_bytes(bad.session, frame, 50));
                }
                Step::Advance(time) => world.advance(millis(time)),
            }
            world.pump();
            // Whoever is well keeps talking.
            for client in [&speaker, &listener] {
                let pong = packet::control(Message::Pong(Default::default()));
                world.receive(client, pong).unwrap();
                world.drain(client);
            }
        }
        world.drain(&listener);
        world.audio(&speaker, 10);
        prop_assert_eq!(world.drain(&listener).frames().len(), 1);
        prop_assert!(world.closed.iter().all(|(session, _)| *session == bad.session));
    }
}
