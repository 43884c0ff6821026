//! A session that is driven step by step.

use super::*;
use videocall_types::wire::{Compressed, ForwardState, LayerInfo, StreamInfo, Ticket, Warning};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn sent(session: &mut Session) -> Vec<Message> {
    std::iter::from_fn(|| session.poll_transmit())
        .filter_map(|transmit| {
            let view = PacketView::parse(&transmit.bytes).unwrap();
            packet::read_control(&transmit.bytes, &view).unwrap()
        })
        .collect()
}

fn events(session: &mut Session) -> Vec<String> {
    std::iter::from_fn(|| session.poll_event())
        .map(|event| {
            format!("{event:?}")
                .split([' ', '(', '{'])
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn welcome(session_id: u64) -> Bytes {
    packet::control(Message::Welcome(Welcome {
        session_id,
        user_id: Bytes::from_static(b"ann"),
        heartbeat_interval_ms: 5000,
        roster: Some(Roster {
            full: true,
            participants: vec![Participant {
                session_id: 2,
                ..Default::default()
            }],
            left: vec![],
        }),
        ..Default::default()
    }))
}

fn ticket(bytes: &'static [u8]) -> Bytes {
    packet::control(Message::Ticket(Ticket {
        ticket: Bytes::from_static(bytes),
    }))
}

fn closing(reason: CloseReason, retry_after_ms: u32) -> Bytes {
    packet::control(Message::Close(Close {
        code: reason.code(),
        retry_after_ms,
        ..Close::default()
    }))
}

/// Opens the next connection; returns the ticket that is brought there.
fn reopened(session: &mut Session) -> Bytes {
    let at = session.deadline().unwrap();
    session.handle_timeout(at);
    session.opened(at);
    events(session);
    match sent(session).pop() {
        Some(Message::Hello(hello)) => hello.ticket,
        other => panic!("no Hello, but {other:?}"),
    }
}

fn sound() -> (Routing, MediaPacket) {
    let routing = Routing {
        kind: MediaKind::Audio,
        stream_id: 1,
        spatial: 0,
        temporal: 0,
        keyframe: false,
        depends_back: 0,
        frame_number: 1,
        capture_us: 1,
        audio_level: 20,
        encrypted: false,
    };
    (routing, MediaPacket::default())
}

fn joined() -> Session {
    let mut session = Session::new("Ann".into(), "test".into(), 1);
    assert_eq!(events(&mut session), ["Connect"]);
    session.opened(ms(0));
    assert!(matches!(sent(&mut session)[..], [Message::Hello(_)]));
    session.receive(ms(10), welcome(1));
    assert_eq!(events(&mut session), ["Joined", "Roster"]);
    session.receive(ms(10), ticket(b"first"));
    sent(&mut session);
    session
}

#[test]
fn a_lost_connection_comes_back_with_the_newest_ticket() {
    let mut session = joined();
    session.receive(ms(900), ticket(b"newer"));
    session.lost(ms(1000), None, "network down");
    assert_eq!(events(&mut session), ["Reconnecting"]);
    assert!(session.deadline().unwrap() <= ms(1100));
    assert_eq!(reopened(&mut session), "newer");
    // Nobody knows whether the server had it: the next try brings it again.
    session.lost(ms(1200), None, "network down");
    assert_eq!(reopened(&mut session), "newer");
    session.receive(ms(1300), welcome(9));
    assert_eq!(session.id(), SessionId::new(9));
    // It is used up, and another one has not come yet.
    session.lost(ms(1400), None, "network down");
    assert_eq!(reopened(&mut session), "");
}

#[test]
fn media_follows_a_ticket_at_once_and_nothing_else_before_welcome() {
    let mut session = Session::new("Ann".into(), "test".into(), 1);
    session.opened(ms(0));
    let (routing, media) = sound();
    assert_eq!(session.send_media(routing, &media), None);
    let mut session = joined();
    session.set_publish(PublishState {
        streams: vec![StreamInfo {
            kind: MediaKind::Video.into(),
            layers: vec![LayerInfo::default(); 2],
            ..Default::default()
        }],
    });
    session.lost(ms(1000), None, "network down");
    assert_eq!(session.send_media(routing, &media), None);
    events(&mut session);
    session.try_now();
    session.opened(ms(1001));
    assert_eq!(
        events(&mut session),
        ["Connect", "KeyframeWanted", "KeyframeWanted"]
    );
    sent(&mut session);
    assert!(session.send_media(routing, &media).is_some());
    let first_flight = session.poll_transmit().unwrap();
    let view = PacketView::parse(&first_flight.bytes).unwrap();
    assert_eq!((view.session_id, view.routing), (0, Some(routing)));
    session.receive(ms(1100), welcome(9));
    sent(&mut session);
    session.send_media(routing, &media);
    let later = session.poll_transmit().unwrap();
    assert_eq!(PacketView::parse(&later.bytes).unwrap().session_id, 9);
}

#[test]
fn a_refused_ticket_is_thrown_away_and_costs_no_wait_but_once() {
    let mut session = joined();
    session.lost(ms(1000), None, "network down");
    reopened(&mut session);
    session.receive(ms(1200), closing(CloseReason::TicketRefused, 0));
    assert_eq!(session.deadline(), Some(ms(1200)));
    assert_eq!(reopened(&mut session), "");
    // A server that refuses what was not brought is not asked without a pause.
    for now in (2000..).step_by(10_000).take(5) {
        session.receive(ms(now), closing(CloseReason::TicketRefused, 0));
        assert!(session.deadline().unwrap() > ms(now));
        reopened(&mut session);
    }
}

#[test]
fn a_server_alone_is_given_the_time_that_it_asks_for_and_one_of_many_is_left() {
    let mut session = joined();
    session.receive(ms(1000), closing(CloseReason::GoingAway, 2000));
    let wait = session.deadline().unwrap();
    assert!((ms(3000)..=ms(4000)).contains(&wait), "{wait:?}");
    let mut session = joined();
    session.set_has_others(true);
    session.receive(ms(1000), closing(CloseReason::GoingAway, 2000));
    assert!(session.deadline().unwrap() <= ms(1100));
    // However long: no server keeps us away for ever.
    let mut session = joined();
    session.receive(ms(0), closing(CloseReason::Full, u32::MAX));
    assert!(session.deadline().unwrap() <= ms(450_000));
}

#[test]
fn what_the_server_warns_of_and_whom_it_names_is_told() {
    let mut session = joined();
    session.receive(
        ms(20),
        packet::control(Message::Warning(Warning {
            code: CloseReason::RateLimitExceeded.code(),
            text: "too much".into(),
        })),
    );
    assert!(matches!(
        session.poll_event(),
        Some(Event::Warned { reason: Some(CloseReason::RateLimitExceeded), text }) if text == "too much"
    ));
    session.receive(
        ms(30),
        packet::control(Message::Close(Close {
            code: CloseReason::GoingAway.code(),
            r#move: true,
            servers: vec!["https://b.example.org".into(); 100],
            ..Close::default()
        })),
    );
    assert!(matches!(
        session.poll_event(),
        Some(Event::Reconnecting { servers, .. }) if servers.len() == SERVERS
    ));
}

#[test]
fn what_changes_between_hello_and_welcome_is_told_after_it() {
    let mut session = Session::new("Ann".into(), "test".into(), 1);
    session.opened(ms(0));
    sent(&mut session);
    let publish = PublishState {
        streams: vec![Default::default()],
    };
    session.set_publish(publish.clone());
    session.set_subscribe(Subscribe {
        all: false,
        wants: Vec::new(),
    });
    assert!(sent(&mut session).is_empty());
    session.receive(ms(10), welcome(1));
    let told = sent(&mut session);
    assert!(told.contains(&Message::PublishState(publish)), "{told:?}");
    assert!(
        told.iter()
            .any(|message| matches!(message, Message::Subscribe(_))),
        "{told:?}"
    );
    session.set_subscribe(Subscribe {
        all: false,
        wants: Vec::new(),
    });
    assert!(sent(&mut session).is_empty());
}

#[test]
fn a_refusal_is_understood_also_before_the_connection_is_known_to_be_open() {
    let mut session = Session::new("Ann".into(), "test".into(), 7);
    session.receive(ms(1), welcome(1));
    session.receive(ms(2), closing(CloseReason::Unauthorized, 0));
    assert_eq!(events(&mut session), ["Connect", "Closed"]);
    session.lost(ms(3), None, "the connection is gone");
    assert!(events(&mut session).is_empty());
}

#[test]
fn a_final_close_is_final_and_another_is_not() {
    let close = |reason: CloseReason| packet::from_control(reason.to_control("why"));
    let mut session = joined();
    session.receive(ms(20), close(CloseReason::Removed));
    assert_eq!(events(&mut session), ["Closed"]);
    session.lost(ms(30), None, "end");
    session.receive(ms(40), packet::control(Message::Ping(Ping { token: 1 })));
    session.receive(ms(40), packet::control(Message::Roster(Roster::default())));
    assert!(events(&mut session).is_empty());
    assert!(sent(&mut session).is_empty());
    let mut session = joined();
    session.receive(ms(20), close(CloseReason::GoingAway));
    assert_eq!(events(&mut session), ["Reconnecting"]);
}

#[test]
fn silence_is_noticed_and_round_trips_are_measured() {
    let mut session = joined();
    session.handle_timeout(ms(5010));
    let Some(Message::Ping(ping)) = sent(&mut session).pop() else {
        panic!("no ping")
    };
    session.receive(
        ms(5050),
        packet::control(Message::Pong(Pong { token: ping.token })),
    );
    assert_eq!(session.rtt(), Some(ms(40)));
    session.handle_timeout(ms(20_040));
    assert!(!events(&mut session).contains(&"Reconnecting".to_owned()));
    session.handle_timeout(ms(20_050));
    assert_eq!(events(&mut session), ["Reconnecting"]);
}

/// In one raw block of a single segment: RFC 8878, sections 3.1.1.1 and 3.1.1.2.
fn compressed(message: Message) -> Bytes {
    let control = videocall_types::wire::Control {
        message: Some(message),
    };
    let content = videocall_types::wire::Message::encode_to_vec(&control);
    let size = u8::try_from(content.len()).unwrap();
    let block = (u32::from(size) << 3 | 1).to_le_bytes();
    let head = [
        0x28, 0xb5, 0x2f, 0xfd, 0x20, size, block[0], block[1], block[2],
    ];
    packet::control(Message::Compressed(Compressed {
        compression: Compression::Zstd.into(),
        size: size.into(),
        data: [&head[..], &content].concat().into(),
    }))
}

#[test]
fn compressed_messages_are_asked_for_and_understood() {
    let mut session = Session::new("Ann".into(), "test".into(), 7);
    session.opened(ms(0));
    let hello = sent(&mut session).remove(0);
    let Message::Hello(hello) = hello else {
        panic!("no Hello")
    };
    assert_eq!(hello.decompresses, [i32::from(Compression::Zstd)]);
    let welcome = Message::Welcome(Welcome {
        session_id: 5,
        ..Welcome::default()
    });
    session.receive(ms(10), compressed(welcome));
    assert!(session.is_joined());
    // One within another is nothing that a server sends.
    let roster = Message::Roster(Roster {
        participants: vec![Participant {
            session_id: 2,
            ..Participant::default()
        }],
        ..Roster::default()
    });
    let inner = compressed(roster.clone());
    let view = PacketView::parse(&inner).unwrap();
    let inner = packet::read_control(&inner, &view).unwrap().unwrap();
    session.receive(ms(20), compressed(inner));
    assert!(session.roster().is_empty());
    session.receive(ms(30), compressed(roster));
    assert_eq!(session.roster().len(), 1);
}

#[test]
fn the_roster_follows_changes_and_never_holds_ourselves() {
    let mut session = joined();
    let change = Roster {
        full: false,
        participants: [1, 3]
            .map(|id| Participant {
                session_id: id,
                ..Default::default()
            })
            .into(),
        left: vec![2],
    };
    session.receive(ms(20), packet::control(Message::Roster(change)));
    let ids: Vec<u64> = session.roster().iter().map(|p| p.session_id).collect();
    assert_eq!(ids, [3]);
}

#[test]
fn a_server_that_wants_a_pause_is_not_asked_before() {
    let mut session = joined();
    let close = Close {
        code: CloseReason::Full.code(),
        text: "full".to_owned(),
        retry_after_ms: 8000,
        ..Close::default()
    };
    session.receive(ms(100), packet::control(Message::Close(close)));
    let Some(Event::Reconnecting {
        close, retry_after, ..
    }) = session.poll_event()
    else {
        panic!("it comes back by itself");
    };
    assert_eq!((close, retry_after), (Some(CloseReason::Full), ms(8000)));
    let until = session.deadline().expect("it will try again");
    assert!(until >= ms(8100), "{until:?}");
    session.wait_until(until + ms(500));
    session.handle_timeout(until);
    assert!(events(&mut session).is_empty());
    session.handle_timeout(until + ms(500));
    assert_eq!(events(&mut session), ["Connect"]);
}

#[test]
fn what_the_path_carries_is_told() {
    let mut session = joined();
    let state = ForwardState {
        session_id: 2,
        kind: MediaKind::Video.into(),
        spatial: None,
    };
    session.receive(ms(20), packet::control(Message::ForwardState(state)));
    let Some(Event::Forwarding(told)) = session.poll_event() else {
        panic!("it is told");
    };
    assert_eq!((told.session_id, told.spatial), (2, None));
}
