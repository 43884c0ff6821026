//! What the path to a receiver carries decides what it is given, and the receiver is told.

use videocall_relay::{BatchLimits, RelayConfig};
use videocall_types::{
    ids::MediaKind,
    wire::{Pong, ReceiverReport, StreamReport, control::Message},
};

use crate::world::{Client, Received, World, delta, key, millis};

/// Bytes of a frame of each layer: at 30 a second 120, 480 and 1,920 kbit/s.
const FRAME: [usize; 3] = [500, 2_000, 8_000];

/// A camera with three layers and a voice, and one who receives them over a path of a given rate.
struct Call {
    world: World,
    publisher: Client,
    receiver: Client,
    number: u64,
    wants_key: [bool; 3],
    /// Layers that the publisher was last told to encode.
    demand: u32,
    /// Bytes that the path can take now.
    credit: f64,
    answers_pings: bool,
}

impl Call {
    fn new() -> Self {
        let mut world = World::new(1, RelayConfig::default());
        let publisher = world.join_with_camera(0, 1);
        let receiver = world.join(0, 2);
        Self {
            world,
            publisher,
            receiver,
            number: 0,
            wants_key: [true; 3],
            demand: 7,
            credit: 0.0,
            answers_pings: true,
        }
    }

    /// Lets time pass, over a path of so many bits a second. Returns what came over it.
    fn run(&mut self, time_ms: u64, bps: f64) -> Received {
        let mut received = Vec::new();
        for _ in 0..time_ms / 33 {
            self.number += 1;
            for layer in 0..3u8 {
                if self.demand >> layer & 1 == 0 {
                    continue;
                }
                let at = usize::from(layer);
                let frame = if std::mem::take(&mut self.wants_key[at]) {
                    key(layer, self.number)
                } else {
                    delta(layer, self.number, 1)
                };
                self.world.frame(&self.publisher, frame, FRAME[at]);
            }
            self.world.audio(&self.publisher, 20);
            let told = self.world.drain(&self.publisher);
            for layer in told.keyframe_requests() {
                self.wants_key[layer as usize] = true;
            }
            self.demand = told.demands().last().copied().unwrap_or(self.demand);
            self.credit = (self.credit + bps * 0.033 / 8.0).min(bps / 8.0);
            while self.credit > 0.0 {
                let one = BatchLimits {
                    packets: 1,
                    ..BatchLimits::NONE
                };
                let taken = self.receiver.egress.take_batch(self.world.now, one);
                if taken.is_empty() {
                    break;
                }
                let bytes: usize = taken.iter().map(|it| it.packet.bytes().len()).sum();
                self.credit -= bytes as f64;
                self.answer(&taken);
                received.extend(taken);
            }
            self.world.advance(millis(33));
        }
        Received(received)
    }

    fn answer(&mut self, taken: &[videocall_relay::Outgoing]) {
        for message in Received(taken.to_vec()).messages() {
            if let Message::Ping(ping) = message
                && self.answers_pings
            {
                let pong = Message::Pong(Pong { token: ping.token });
                self.world.send(&self.receiver, pong).unwrap();
            }
        }
    }

    fn report(&mut self, received: u32, lost: u32) {
        let report = ReceiverReport {
            interval_ms: 1000,
            streams: vec![StreamReport {
                session_id: self.publisher.session.get(),
                kind: MediaKind::Audio.into(),
                received,
                lost,
                ..StreamReport::default()
            }],
            ..ReceiverReport::default()
        };
        self.world
            .send(&self.receiver, Message::ReceiverReport(report))
            .unwrap();
    }
}

/// Layers of the camera that the receiver was told of, `None` for a pause.
fn states(received: &Received) -> Vec<Option<u32>> {
    let state = |message| match message {
        Message::ForwardState(state) => Some(state.spatial),
        _ => None,
    };
    received.messages().into_iter().filter_map(state).collect()
}

fn highest_layer(received: &Received) -> Option<u8> {
    let frames = received.frames();
    let video = frames.iter().filter(|it| it.kind == MediaKind::Video);
    video.map(|frame| frame.spatial).max()
}

fn audio_packets(received: &Received) -> usize {
    let frames = received.frames();
    frames
        .iter()
        .filter(|frame| frame.kind == MediaKind::Audio)
        .count()
}

#[test]
fn a_path_that_carries_no_picture_gets_sound_alone_and_is_tried_again() {
    let mut call = Call::new();
    assert_eq!(states(&call.run(1_000, 1e7)).last(), Some(&Some(2)));
    let starved = call.run(12_000, 60_000.0);
    assert_eq!(states(&starved).last(), Some(&None), "it is told");
    assert_eq!(call.demand, 0, "nobody wants the picture any more");
    assert!(
        audio_packets(&call.run(1_000, 60_000.0)) >= 29,
        "sound goes on"
    );
    // Still too narrow: each attempt ends in a pause, ever longer.
    let tried = states(&call.run(60_000, 60_000.0));
    let attempts = tried.iter().filter(|state| state.is_some()).count();
    assert!((1..=8).contains(&attempts), "{tried:?}");
    assert_eq!(tried.last(), Some(&None));
    // It gets better: the picture comes back, layer by layer.
    let better = states(&call.run(120_000, 1e7));
    assert_eq!(better.last(), Some(&Some(2)), "{better:?}");
    assert!(better.is_sorted(), "never too fast: {better:?}");
}

#[test]
fn of_several_pictures_the_least_important_are_paused() {
    let mut call = Call::new();
    let other = call.world.join_with_camera(0, 3);
    let wants = [(&call.publisher, 9), (&other, 1)].map(|(publisher, priority)| {
        videocall_types::wire::Want {
            session_id: publisher.session.get(),
            kind: MediaKind::Video.into(),
            width: 320,
            height: 180,
            priority,
            ..Default::default()
        }
    });
    let subscribe = Message::Subscribe(videocall_types::wire::Subscribe {
        all: false,
        wants: wants.to_vec(),
    });
    call.world.send(&call.receiver.clone(), subscribe).unwrap();
    let mut paused = Vec::new();
    for second in 0..30 {
        for number in 1..=30 {
            let number = second * 30 + number;
            let frame = if number % 15 == 1 {
                key(0, number)
            } else {
                delta(0, number, 1)
            };
            call.world.frame(&other, frame, FRAME[0]);
            // Room for one of the two.
            let got = call.run(33, 200_000.0);
            paused.extend(got.messages().into_iter().filter_map(|message| {
                let Message::ForwardState(state) = message else {
                    return None;
                };
                state.spatial.is_none().then_some(state.session_id)
            }));
        }
    }
    assert!(!paused.is_empty());
    assert!(
        paused.iter().all(|id| *id == other.session.get()),
        "{paused:?}"
    );
}

#[test]
fn sound_that_is_lost_lowers_the_layer_and_never_pauses() {
    let mut call = Call::new();
    call.run(1_000, 1e7);
    call.report(30, 0);
    for _ in 0..20 {
        call.run(1_000, 1e7);
        // A quarter of 30 packets a second.
        call.report(22, 8);
    }
    let lossy = call.run(1_000, 1e7);
    assert_eq!(highest_layer(&lossy), Some(0));
    assert_eq!(states(&lossy), [], "and it stays so");
    for _ in 0..60 {
        call.run(1_000, 1e7);
        call.report(30, 0);
    }
    assert_eq!(highest_layer(&call.run(1_000, 1e7)), Some(2));
}

#[test]
fn a_report_of_losses_that_nobody_misses_changes_nothing() {
    let mut call = Call::new();
    call.run(1_000, 1e7);
    for _ in 0..10 {
        call.run(1_000, 1e7);
        call.report(30, 5_000);
    }
    assert_eq!(highest_layer(&call.run(1_000, 1e7)), Some(2));
}

#[test]
fn a_round_trip_that_grows_lowers_the_layer() {
    let mut call = Call::new();
    call.run(12_000, 1e7);
    assert_eq!(highest_layer(&call.run(1_000, 1e7)), Some(2));
    // The queue is before this path, where the relay does not see it: only its pings take longer.
    call.answers_pings = false;
    let mut late = Vec::new();
    for _ in 0..20 {
        let got = call.run(600, 1e7);
        for token in late.drain(..) {
            let pong = Message::Pong(Pong { token });
            call.world.send(&call.receiver.clone(), pong).unwrap();
        }
        late.extend(got.messages().into_iter().filter_map(|message| {
            let Message::Ping(ping) = message else {
                return None;
            };
            Some(ping.token)
        }));
    }
    assert!(highest_layer(&call.run(1_000, 1e7)) < Some(2));
}
