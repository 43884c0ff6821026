//! A session that is driven step by step.

use super::*;

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
        session_secret: Bytes::from_static(&[7; 16]),
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

fn joined() -> Session {
    let mut session = Session::new("Ann".into(), "test".into(), 1);
    assert_eq!(events(&mut session), ["Connect"]);
    session.opened(ms(0));
    assert!(matches!(sent(&mut session)[..], [Message::Hello(_)]));
    session.receive(ms(10), welcome(1));
    assert_eq!(events(&mut session), ["Joined", "Roster"]);
    sent(&mut session);
    session
}

#[test]
fn a_lost_connection_comes_back_with_proof_of_identity() {
    let mut session = joined();
    session.lost(ms(1000), None, "network down");
    assert_eq!(events(&mut session), ["Reconnecting"]);
    assert!(session.deadline().unwrap() <= ms(1100));
    session.handle_timeout(ms(1100));
    assert_eq!(events(&mut session), ["Connect"]);
    session.opened(ms(1150));
    let Some(Message::Hello(hello)) = sent(&mut session).pop() else {
        panic!("no Hello")
    };
    assert_eq!(hello.replaces_session, 1);
    assert_eq!(&hello.session_secret[..], [7; 16]);
    session.receive(ms(1160), welcome(9));
    assert_eq!(session.id(), SessionId::new(9));
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
