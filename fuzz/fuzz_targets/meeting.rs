//! Whatever participants and other nodes send, a meeting does not panic, its queues keep their
//! bounds, its timers advance, and nobody is given a frame without the one that it depends on.
#![no_main]

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use videocall_relay::{
    BatchLimits, Counters, Egress, Fatal, Joined, Meeting, Outgoing, Output, Packet, RelayConfig,
};
use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    packet,
    view::Routing,
    wire::{
        Control, Hello, LayerInfo, Message as _, Participant, PublishState, StreamInfo, Subscribe,
        Want,
        bus::{BusControl, NodeRoster, bus_control},
        control::Message,
    },
};

const PEOPLE: usize = 3;
/// Participants of another node have ids from here.
const FAR: u64 = 100;
/// What the longest input can become as one packet.
const LONGEST: usize = 10_000;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn config() -> RelayConfig {
    RelayConfig {
        video_queue_bytes: 20_000,
        video_queue_packets: 30,
        audio_queue_packets: 10,
        control_queue_bytes: 8_000,
        reorder_frames: 4,
        loudest: 1,
        max_violations: 200,
        ..RelayConfig::default()
    }
}

struct Person {
    session: SessionId,
    egress: Arc<Egress>,
    /// Frames that were delivered: publisher, kind, stream, layer, number.
    given: HashSet<(u64, MediaKind, u32, u8, u64)>,
    last: Option<Outgoing>,
    /// Newest frame and newest keyframe of each layer of its camera.
    sent: [(u64, u64); 3],
    /// Told that something was lost: what was on its way then may depend on it.
    lost: bool,
}

struct World {
    meeting: Meeting,
    config: Arc<RelayConfig>,
    now: Instant,
    unchecked: Vec<(SessionId, Bytes)>,
    people: [Option<Person>; PEOPLE],
    next: u64,
}

fn node(number: u8) -> NodeId {
    NodeId::from_random(u64::from(number % 2) + 2)
}

fn camera() -> PublishState {
    let layer = |(spatial, width, height)| LayerInfo {
        spatial,
        width,
        height,
        ..LayerInfo::default()
    };
    let stream = StreamInfo {
        kind: MediaKind::Video.into(),
        stream_id: 1,
        layers: [(0, 320, 180), (1, 640, 360), (2, 1280, 720)]
            .map(layer)
            .to_vec(),
        ..StreamInfo::default()
    };
    PublishState {
        streams: vec![stream],
    }
}

/// A frame that may make sense.
fn frame(u: &mut Unstructured<'_>) -> Result<Routing> {
    let kinds = [
        MediaKind::Audio,
        MediaKind::Video,
        MediaKind::Screen,
        MediaKind::ScreenAudio,
    ];
    let kind = *u.choose(&kinds)?;
    let is_picture = matches!(kind, MediaKind::Video | MediaKind::Screen);
    let number = u.arbitrary::<u8>()?.max(1);
    let mut layer = |layers: u8| {
        if is_picture {
            u.int_in_range(0..=layers)
        } else {
            Ok(0)
        }
    };
    let (spatial, temporal, back) = (layer(2)?, layer(1)?, layer(3)?);
    let depends_back = back.min(number - 1);
    Ok(Routing {
        kind,
        stream_id: u.int_in_range(0..=2)?,
        spatial,
        temporal,
        keyframe: is_picture && depends_back == 0,
        depends_back,
        frame_number: number.into(),
        capture_us: number.into(),
        audio_level: u.int_in_range(0..=127)?,
        encrypted: false,
    })
}

fn media(u: &mut Unstructured<'_>, session: u64) -> Result<Bytes> {
    let routing = frame(u)?;
    let length = usize::from(u.arbitrary::<u8>()?) * 16;
    let session = SessionId::new(session).unwrap_or(SessionId::from_random(0));
    Ok(packet::sealed_media(
        session,
        &Bytes::new(),
        routing,
        vec![0; length].into(),
    ))
}

fn raw(u: &mut Unstructured<'_>) -> Result<Bytes> {
    let length = usize::from(u.arbitrary::<u8>()?).min(u.len());
    Ok(Bytes::copy_from_slice(u.bytes(length)?))
}

fn message(u: &mut Unstructured<'_>, people: u64) -> Result<Message> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Message::Hello(Hello {
            protocol_version: 1,
            publish: u.arbitrary::<bool>()?.then(camera),
            ticket: match u.int_in_range(0..=3)? {
                0 => raw(u)?,
                1 => ticket(FAR + 1),
                2 => ticket(u.int_in_range(0..=people + 1)?),
                _ => Bytes::new(),
            },
            ..Hello::default()
        }),
        1 => Message::PublishState(if u.arbitrary()? {
            camera()
        } else {
            PublishState::default()
        }),
        2 => Message::Subscribe(Subscribe {
            all: u.arbitrary()?,
            wants: vec![Want {
                session_id: u.int_in_range(0..=people + 1)?,
                kind: u.int_in_range(0..=4)?,
                paused: u.arbitrary()?,
                width: u.arbitrary::<u16>()?.into(),
                height: 180,
                max_temporal: u.arbitrary()?,
                priority: u.arbitrary::<u8>()?.into(),
            }],
        }),
        // Whatever else can be said.
        _ => match Control::decode(raw(u)?) {
            Ok(Control {
                message: Some(message),
            }) => message,
            _ => Message::Pong(Default::default()),
        },
    })
}

/// The session's number stands for one.
fn ticket(session: u64) -> Bytes {
    session.to_string().into()
}

fn bus_message(u: &mut Unstructured<'_>) -> Result<BusControl> {
    if u.arbitrary()? {
        return Ok(BusControl::decode(raw(u)?).unwrap_or_default());
    }
    let far = u.int_in_range(0..=3)?;
    let participant = |session_id| Participant {
        session_id,
        streams: camera().streams,
        ..Participant::default()
    };
    Ok(BusControl {
        node_id: node(u.arbitrary()?).as_str().to_owned(),
        message: Some(bus_control::Message::Roster(NodeRoster {
            participants: (FAR..FAR + far).map(participant).collect(),
            ..NodeRoster::default()
        })),
    })
}

impl World {
    fn new() -> Self {
        let config = Arc::new(config());
        let counters = Arc::<Counters>::default();
        Self {
            meeting: Meeting::new(NodeId::from_random(1), config.clone(), counters),
            config,
            now: *START,
            unchecked: Vec::new(),
            people: Default::default(),
            next: 1,
        }
    }

    fn join(&mut self, place: usize) {
        self.leave(place);
        let Some(session) = SessionId::new(self.next) else {
            return;
        };
        self.next += 1;
        let joined = Joined {
            session,
            user_id: format!("user {session}"),
            display_name: String::new(),
            joined_ms: 0,
        };
        self.people[place] = Some(Person {
            session,
            egress: self.meeting.join(self.now, joined),
            given: HashSet::new(),
            last: None,
            sent: [(0, 0); 3],
            lost: false,
        });
    }

    /// Joins as a client of ours, with a camera.
    fn join_with_camera(&mut self, place: usize) {
        self.join(place);
        let hello = Message::Hello(Hello {
            protocol_version: 1,
            publish: Some(camera()),
            ..Hello::default()
        });
        self.receive(place, packet::control(hello));
    }

    /// Sends frames as an encoder does, one after the other.
    fn film(&mut self, place: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let (spatial, temporal_layers) = (u.int_in_range(0..=2)?, u.int_in_range(1..=2)?);
        let length = usize::from(u.arbitrary::<u8>()?) * 16;
        let mut keyframe = u.arbitrary()?;
        for _ in 0..u.int_in_range(1..=40)? {
            let Some(person) = &mut self.people[place] else {
                return Ok(());
            };
            let (number, key) = &mut person.sent[usize::from(spatial)];
            *number += 1;
            keyframe |= *key == 0;
            if keyframe {
                *key = *number;
            }
            // Of two temporal layers every other frame is one on which none depends.
            let temporal = ((*number - *key) % temporal_layers) as u8;
            let base = temporal_layers as u8 - temporal;
            let routing = Routing {
                kind: MediaKind::Video,
                stream_id: 1,
                spatial,
                temporal,
                keyframe,
                depends_back: if keyframe { 0 } else { base },
                frame_number: *number,
                capture_us: *number,
                audio_level: 0,
                encrypted: false,
            };
            keyframe = false;
            let payload = vec![0; length].into();
            let bytes = packet::sealed_media(person.session, &Bytes::new(), routing, payload);
            self.receive(place, bytes);
            self.outputs();
            self.check();
        }
        Ok(())
    }

    fn leave(&mut self, place: usize) {
        if let Some(person) = self.people[place].take() {
            self.meeting.leave(self.now, person.session);
        }
    }

    fn receive(&mut self, place: usize, bytes: Bytes) {
        if let Some(person) = &self.people[place]
            && let Err(fatal) = self.meeting.receive(self.now, person.session, bytes)
        {
            let Fatal { reason, .. } = fatal;
            self.meeting.close(person.session, Fatal::new(reason));
        }
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.meeting.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.meeting.handle_timeout(self.now);
            let next = self.meeting.deadline();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timer that does not advance"
            );
            self.outputs();
        }
        self.now = end;
    }

    /// What its owner does after each call.
    fn outputs(&mut self) {
        let mut number = 0;
        while let Some(output) = self.meeting.poll_output() {
            number += 1;
            assert!(number < 1000, "one call, a thousand outputs");
            match output {
                Output::Close { session, .. } => self.meeting.leave(self.now, session),
                Output::IssueTicket { session, .. } => {
                    self.meeting
                        .give_ticket(self.now, session, ticket(session.get()));
                }
                Output::CheckTicket {
                    session, ticket, ..
                } => self.unchecked.push((session, ticket)),
                _ => {}
            }
        }
    }

    /// Tickets are checked when the script says so.
    fn check_tickets(&mut self) {
        for (session, ticket) in std::mem::take(&mut self.unchecked) {
            let number = std::str::from_utf8(&ticket).ok().and_then(|it| it.parse().ok());
            let verdict = number.and_then(SessionId::new).ok_or("a bad ticket");
            self.meeting.ticket_checked(self.now, session, verdict);
        }
    }

    fn take(&mut self, place: usize, limits: BatchLimits) {
        let Some(person) = &mut self.people[place] else {
            return;
        };
        let batch = person.egress.take_batch(self.now, limits);
        let count = |class: fn(&Packet) -> bool| {
            let of_class = batch.iter().filter(|outgoing| class(&outgoing.packet));
            of_class
                .map(|outgoing| outgoing.packet.bytes().len())
                .collect::<Vec<_>>()
        };
        let pictures = count(|packet| !packet.is_control() && !packet.is_audio());
        assert!(
            pictures.len() <= self.config.video_queue_packets,
            "{pictures:?}"
        );
        let most = self.config.video_queue_bytes.max(LONGEST);
        assert!(pictures.iter().sum::<usize>() <= most, "{pictures:?}");
        assert!(count(Packet::is_audio).len() <= self.config.audio_queue_packets);
        for outgoing in batch {
            if let Some(routing) = outgoing.packet.routing() {
                let view = videocall_types::view::PacketView::parse(outgoing.packet.bytes());
                let publisher = view.expect("it came in as one").session_id;
                assert_ne!(publisher, person.session.get(), "an echo");
                if !routing.is_audio() {
                    person.given(publisher, routing);
                }
            }
            person.last = Some(outgoing);
        }
    }

    fn check(&mut self) {
        assert!(self.meeting.local_count() <= PEOPLE);
        for place in 0..PEOPLE {
            let Some(person) = &self.people[place] else {
                continue;
            };
            let (bytes, packets) = person.egress.waiting();
            let most = self.config.video_queue_bytes + self.config.control_queue_bytes;
            assert!(bytes <= most + (1 + self.config.audio_queue_packets) * LONGEST);
            if packets > self.config.video_queue_packets {
                self.take(place, BatchLimits::NONE);
            }
        }
    }
}

impl Person {
    fn given(&mut self, publisher: u64, frame: &Routing) {
        let key = |number| {
            (
                publisher,
                frame.kind,
                frame.stream_id,
                frame.spatial,
                number,
            )
        };
        if let Some(needed) = frame.depends_on() {
            let decodable = self.lost || self.given.contains(&key(needed));
            assert!(
                decodable,
                "frame {frame:?} without the one that it depends on"
            );
        }
        self.given.insert(key(frame.frame_number));
    }
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let mut world = World::new();
    world.join_with_camera(0);
    world.join(1);
    while !u.is_empty() {
        let place = u.int_in_range(0..=PEOPLE - 1)?;
        let session = world.people[place]
            .as_ref()
            .map_or(0, |person| person.session.get());
        match u.int_in_range(0..=16)? {
            0 => world.join(place),
            1 => world.leave(place),
            2 => {
                let bytes = raw(u)?;
                world.receive(place, bytes);
            }
            3..=5 => {
                let bytes = media(u, session)?;
                world.receive(place, bytes);
            }
            6 | 7 => {
                let message = message(u, world.next)?;
                world.receive(place, packet::control(message));
            }
            8 => {
                let message = bus_message(u)?;
                world.meeting.receive_bus_control(world.now, message);
            }
            9 => {
                let far = FAR + u.int_in_range(0..=3)?;
                let bytes = if u.arbitrary()? {
                    raw(u)?
                } else {
                    media(u, far)?
                };
                world.meeting.receive_bus_media(world.now, bytes);
            }
            10 => world.advance(Duration::from_millis(u.int_in_range(0..=2_000)?)),
            11 => {
                let limits = BatchLimits {
                    packets: u.int_in_range(0..=40)?,
                    bytes: u.arbitrary::<u16>()?.into(),
                    pictures: u.arbitrary()?,
                };
                world.take(place, limits);
            }
            12 | 13 => world.film(place, u)?,
            14 => world.join_with_camera(place),
            15 => world.check_tickets(),
            _ => match u.int_in_range(0..=3)? {
                0 => world.meeting.synchronize(),
                1 => world.meeting.refresh(),
                2 => world
                    .meeting
                    .remote_node_gone(world.now, &node(u.arbitrary()?)),
                _ => {
                    if let Some(person) = &mut world.people[place]
                        && let Some(last) = person.last.take()
                    {
                        person.lost = true;
                        person.egress.report_lost(&last);
                    }
                }
            },
        }
        world.outputs();
        world.check();
    }
    (0..PEOPLE).for_each(|place| world.take(place, BatchLimits::NONE));
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // An error means that the script is at its end.
    let _ = run(&mut Unstructured::new(bytes));
});
