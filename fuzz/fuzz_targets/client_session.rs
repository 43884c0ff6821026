//! Whatever a server sends, a client's session does not panic, keeps its bounds, never answers
//! with what is no packet, and stays over once it is.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use videocall_client::core::session::{Delivery, Event, Session};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    packet,
    view::{PacketView, Routing},
    wire::{
        Control, MediaPacket, Message as _, Participant, PublishState, ReceiverReport, Roster,
        Subscribe, Want, Welcome, control::Message, packet_wrapper::PacketType,
    },
};

struct World {
    session: Session,
    now: Duration,
    over: bool,
}

fn raw(u: &mut Unstructured<'_>) -> Result<Bytes> {
    let length = usize::from(u.arbitrary::<u16>()?).min(u.len());
    Ok(Bytes::copy_from_slice(u.bytes(length)?))
}

fn number(u: &mut Unstructured<'_>) -> Result<u64> {
    if u.ratio(1, 8)? {
        u.arbitrary()
    } else {
        u.int_in_range(0..=5)
    }
}

fn roster(u: &mut Unstructured<'_>) -> Result<Roster> {
    let mut roster = Roster {
        full: u.arbitrary()?,
        ..Roster::default()
    };
    for _ in 0..u.int_in_range(0..=3)? {
        roster.participants.push(Participant {
            session_id: number(u)?,
            ..Participant::default()
        });
        roster.left.push(number(u)?);
    }
    Ok(roster)
}

fn message(u: &mut Unstructured<'_>) -> Result<Message> {
    Ok(match u.int_in_range(0..=4)? {
        0 | 1 => Message::Welcome(Welcome {
            session_id: number(u)?,
            heartbeat_interval_ms: u.arbitrary()?,
            roster: Some(roster(u)?),
            ..Welcome::default()
        }),
        2 => Message::Roster(roster(u)?),
        3 => {
            let reason = *u.choose(&CloseReason::ALL)?;
            let Some(close) = reason.to_control("why").message else {
                return Ok(Message::Close(Default::default()));
            };
            close
        }
        // Whatever else can be said.
        _ => match Control::decode(raw(u)?) {
            Ok(Control {
                message: Some(message),
            }) => message,
            _ => Message::Ping(Default::default()),
        },
    })
}

/// As an encoder of ours describes a frame.
fn routing(u: &mut Unstructured<'_>) -> Result<Routing> {
    let kind = *u.choose(&[MediaKind::Audio, MediaKind::Video, MediaKind::Screen])?;
    let is_audio = kind == MediaKind::Audio;
    Ok(Routing {
        kind,
        stream_id: u.arbitrary()?,
        spatial: if is_audio { 0 } else { u.int_in_range(0..=3)? },
        temporal: if is_audio { 0 } else { u.int_in_range(0..=3)? },
        keyframe: !is_audio,
        depends_back: 0,
        frame_number: u.arbitrary::<u32>()?.max(1).into(),
        capture_us: u.arbitrary::<u32>()?.into(),
        audio_level: u.int_in_range(0..=127)?,
        encrypted: u.arbitrary()?,
    })
}

impl World {
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        while let Some(due) = self.session.deadline().filter(|due| *due <= end) {
            // A wait may be very short, but not again and again.
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 4, "a timer that does not advance");
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.outputs();
        }
        self.now = end;
    }

    /// What its driver does after each call.
    fn outputs(&mut self) {
        for number in 0.. {
            let Some(transmit) = self.session.poll_transmit() else {
                break;
            };
            assert!(number < 1024, "one call, a thousand packets");
            let view = PacketView::parse(&transmit.bytes).expect("a packet");
            if transmit.delivery == Delivery::Control {
                let message = packet::read_control(&transmit.bytes, &view);
                let message = message.expect("a message").expect("one that we know");
                assert!(!self.over || matches!(message, Message::Close(_)));
            } else {
                assert!(view.is(PacketType::Media) && !self.over);
                assert_eq!(SessionId::new(view.session_id), self.session.id());
            }
        }
        for number in 0.. {
            let Some(event) = self.session.poll_event() else {
                break;
            };
            assert!(number < 16, "one call, many events");
            match event {
                Event::Closed { .. } => {
                    assert!(!self.over, "over twice");
                    self.over = true;
                    assert_eq!(self.session.deadline(), None);
                }
                Event::Connect | Event::Joined(_) | Event::Reconnecting { .. } => {
                    assert!(!self.over, "{event:?} after the end");
                }
                _ => {}
            }
        }
        let own = self.session.id().map(SessionId::get);
        let roster = self.session.roster();
        assert!(roster.len() <= 10_000);
        assert!(roster.iter().all(|other| Some(other.session_id) != own));
    }
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let mut world = World {
        session: Session::new("Ann".into(), "fuzz".into(), u.arbitrary()?),
        now: Duration::ZERO,
        over: false,
    };
    while !u.is_empty() {
        let session = &mut world.session;
        match u.int_in_range(0..=12)? {
            0 | 1 => session.opened(world.now),
            2 => {
                let reason = u.choose(&CloseReason::ALL)?;
                let reason = u.arbitrary::<bool>()?.then_some(*reason);
                session.lost(world.now, reason, "lost");
            }
            3 => session.receive(world.now, raw(u)?),
            4..=7 => session.receive(world.now, packet::control(message(u)?)),
            8 => {
                let id = SessionId::new(number(u)?).unwrap_or(SessionId::from_random(0));
                let bytes = packet::sealed_media(id, &Bytes::new(), routing(u)?, raw(u)?);
                session.receive(world.now, bytes);
            }
            9 => world.advance(Duration::from_millis(u.arbitrary::<u16>()?.into())),
            10 => {
                let sent = session.send_media(routing(u)?, &MediaPacket::default());
                assert_eq!(sent.is_some(), session.is_joined());
            }
            11 => match u.int_in_range(0..=5)? {
                0 => session.set_publish(PublishState {
                    streams: vec![Default::default(); u.int_in_range(0..=2)?],
                }),
                1 => session.set_subscribe(Subscribe {
                    all: u.arbitrary()?,
                    wants: vec![Want::default(); u.int_in_range(0..=2)?],
                }),
                2 => session.request_keyframe(SessionId::from_random(1), MediaKind::Video),
                3 => session.report(ReceiverReport::default()),
                _ => session.try_now(),
            },
            _ => {
                if u.ratio(1, 16)? {
                    session.leave();
                }
            }
        }
        world.outputs();
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // An error means that the script is at its end.
    let _ = run(&mut Unstructured::new(bytes));
});
