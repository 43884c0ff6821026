//! Identity, heartbeat, coming back, and clients of the older family.

use bytes::Bytes;
use prost::Message as _;
use videocall_relay::{DropReason, Fatal, RelayConfig, Violation};
use videocall_types::{
    close::CloseReason,
    ids::MediaKind,
    packet,
    view::PacketView,
    wire::{
        Hello, MediaPacket, PacketWrapper, Pong, control::Message, media_packet::MediaType,
        packet_wrapper::PacketType,
    },
};

use crate::{
    bounds::opaque,
    world::{
        self, Client, Received, World, camera, delta, frame_bytes, hello, id, key, millis, resuming,
    },
};

#[test]
fn a_packet_that_claims_another_identity_goes_nowhere_and_is_counted() {
    let mut world = World::new(1, RelayConfig::default());
    let sender = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    world
        .receive(&sender, frame_bytes(receiver.session, key(0, 1), 10))
        .unwrap();
    let mut wrapper = PacketWrapper::decode(frame_bytes(sender.session, key(0, 1), 10)).unwrap();
    wrapper.user_id = Bytes::from_static(b"somebody else");
    world
        .receive(&sender, wrapper.encode_to_vec().into())
        .unwrap();
    assert!(world.drain(&receiver).frames().is_empty());
    assert_eq!(world.counters.violations(Violation::Identity), 2);
    wrapper.user_id = Bytes::from_static(b"user 1");
    world
        .receive(&sender, wrapper.encode_to_vec().into())
        .unwrap();
    assert_eq!(world.drain(&receiver).frames().len(), 1);
}

#[test]
fn garbage_is_counted_and_too_much_of_it_ends_the_session_of_its_sender_only() {
    let mut world = World::new(1, RelayConfig::default());
    let sender = world.join(0, 1);
    let other = world.join(0, 2);
    let garbage = Bytes::from_static(&[0xff; 40]);
    let refusals = (0..60)
        .map(|_| world.receive(&sender, garbage.clone()))
        .position(|result| result.is_err());
    assert_eq!(refusals, Some(50));
    assert_eq!(world.counters.violations(Violation::Malformed), 51);
    world
        .receive(&other, packet::control(Message::Ping(Default::default())))
        .unwrap();
}

#[test]
fn a_fault_now_and_then_is_forgiven() {
    let mut world = World::new(1, RelayConfig::default());
    let sender = world.join(0, 1);
    for _ in 0..200 {
        world
            .receive(&sender, Bytes::from_static(&[0xff; 4]))
            .unwrap();
        world.advance(millis(1_100));
    }
}

#[test]
fn a_version_that_is_not_spoken_ends_the_session_and_says_so() {
    let mut world = World::new(1, RelayConfig::default());
    let client = world.join_silent(0, 1);
    let old = Hello {
        protocol_version: 99,
        ..Hello::default()
    };
    let fatal = world.send(&client, Message::Hello(old)).unwrap_err();
    assert_eq!(fatal.reason, CloseReason::Unsupported);
    assert!(fatal.text.contains("99"));
}

#[test]
fn silence_ends_a_session_and_answers_keep_it() {
    let mut world = World::new(1, RelayConfig::default());
    let dead = world.join(0, 1);
    let older = world.join_silent(0, 2);
    let alive = world.join(0, 3);
    for _ in 0..40 {
        world.advance(millis(1_000));
        world.send(&alive, Message::Pong(Pong::default())).unwrap();
    }
    let timeout = |client: &crate::world::Client| (client.session, CloseReason::Timeout);
    assert_eq!(world.closed, [timeout(&dead), timeout(&older)]);
    let told = world
        .drain(&alive)
        .messages()
        .into_iter()
        .filter_map(|message| match message {
            Message::Roster(roster) => Some(roster.left),
            _ => None,
        });
    assert_eq!(told.flatten().collect::<Vec<u64>>(), [1, 2]);
    let last = world.drain(&dead).messages();
    assert!(matches!(last.last(), Some(Message::Close(close)) if close.code == 3));
}

#[test]
fn a_good_ticket_continues_the_earlier_session_and_a_bad_one_is_refused() {
    let mut world = World::new(1, RelayConfig::default());
    let earlier = world.join(0, 1);
    let thief = world.join_silent(0, 2);
    let bad = Hello {
        ticket: Bytes::from_static(b"guessed"),
        ..hello()
    };
    world.hello(&thief, bad);
    assert_eq!(world.closed, [(thief.session, CloseReason::TicketRefused)]);
    let told = world.drain(&thief).messages();
    assert!(matches!(told.last(), Some(Message::Close(close)) if close.text == "a bad ticket"));
    let again = world.join_silent(0, 3);
    world.hello(&again, resuming(earlier.session));
    assert_eq!(
        world.closed[1..],
        [(earlier.session, CloseReason::Replaced)]
    );
    assert_eq!(world.nodes[0].meeting.local_count(), 1);
    let told = world.drain(&again).messages();
    let is_resumed = |it: &Message| matches!(it, Message::Welcome(welcome) if welcome.resumed);
    assert!(told.iter().any(is_resumed), "{told:?}");
}

#[test]
fn what_is_sent_behind_a_ticket_waits_until_it_is_checked() {
    let mut world = World::new(1, RelayConfig::default());
    let earlier = world.join_with_camera(0, 1);
    let near = world.join(0, 2);
    world.checks_slowly = true;
    let again = world.join_silent(0, 3);
    let thief = world.join_silent(0, 4);
    let hello = Hello {
        publish: Some(camera()),
        ..resuming(earlier.session)
    };
    world.hello(&again, hello);
    let bad = Hello {
        ticket: Bytes::from_static(b"guessed"),
        ..world::hello()
    };
    world.hello(&thief, bad);
    world.drain(&near);
    for client in [&again, &thief] {
        world.frame(client, key(0, 1), 10);
        world.audio(client, 20);
    }
    assert!(world.drain(&near).frames().is_empty());
    world.check_tickets();
    let got = world.drain(&near).frames();
    let kinds: Vec<MediaKind> = got.iter().map(|frame| frame.kind).collect();
    assert_eq!(
        kinds,
        [MediaKind::Audio, MediaKind::Video],
        "of one of them"
    );
    assert_eq!(
        world.closed,
        [
            (earlier.session, CloseReason::Replaced),
            (thief.session, CloseReason::TicketRefused)
        ]
    );
}

#[test]
fn what_waits_for_a_ticket_is_bounded() {
    let mut world = World::new(1, RelayConfig::default());
    let (earlier, near) = (world.join(0, 1), world.join(0, 2));
    world.checks_slowly = true;
    let again = world.join_silent(0, 3);
    world.hello(&again, resuming(earlier.session));
    world.drain(&near);
    for _ in 0..1_000 {
        world.audio(&again, 20);
    }
    assert_eq!(world.counters.drops(DropReason::QueueFull), 744);
    world.check_tickets();
    assert_eq!(world.drain(&near).frames().len(), 256);
}

#[test]
fn a_ticket_follows_welcome_and_is_renewed_in_time() {
    let mut world = World::new(1, RelayConfig::default());
    world.issues_tickets = true;
    let older = world.join_silent(0, 1);
    let ann = world.join(0, 2);
    let told = world.drain(&ann).messages();
    let welcome = told.iter().position(|it| matches!(it, Message::Welcome(_)));
    let ticket = told.iter().position(|it| matches!(it, Message::Ticket(_)));
    assert!(welcome < ticket, "{told:?}");
    assert_eq!(world.issued, [ann.session]);
    for _ in 0..1_801 {
        world.advance(millis(1_000));
        for client in [&older, &ann] {
            world.send(client, Message::Pong(Pong::default())).unwrap();
            world.drain(client);
        }
    }
    assert_eq!(world.issued, [ann.session; 2]);
    // While none can be had it is asked for again and again.
    world.issues_tickets = false;
    let late = world.join(0, 3);
    world.issues_tickets = true;
    world.advance(millis(2_000));
    assert_eq!(world.issued[2..], [late.session]);
}

#[test]
fn an_earlier_session_on_another_node_is_replaced_too() {
    let mut world = World::new(2, RelayConfig::default());
    let earlier = world.join_with_camera(0, 1);
    let near = world.join(0, 2);
    let again = world.join_silent(1, 4);
    world.hello(&again, resuming(earlier.session));
    assert_eq!(world.closed, [(earlier.session, CloseReason::Replaced)]);
    world.advance(millis(100));
    assert_eq!(world.nodes[0].meeting.local_count(), 1);
    assert_eq!(world.nodes[1].meeting.count(), 2);
    let told = world.drain(&near).messages();
    let left = |message: &Message| matches!(message, Message::Roster(roster) if roster.left == [1]);
    assert!(told.iter().any(left));
}

#[test]
fn an_earlier_session_on_a_node_that_died_is_replaced_at_once() {
    let mut world = World::new(2, RelayConfig::default());
    let earlier = world.join_with_camera(0, 1);
    let near = world.join(1, 2);
    world.advance(millis(100));
    world.drain(&near);
    world.partitioned = true;
    let again = world.join_silent(1, 4);
    world.hello(&again, resuming(earlier.session));
    assert_eq!(world.nodes[1].meeting.count(), 2);
    world.advance(millis(100));
    // In one message: nobody sees two of the same person, or none.
    let replaced = |message: &Message| match message {
        Message::Roster(roster) => {
            roster.left.contains(&1) && roster.participants.iter().any(|p| p.session_id == 4)
        }
        _ => false,
    };
    assert!(world.drain(&near).messages().iter().any(replaced));
    // It was not dead after all, and did not hear of it.
    world.partitioned = false;
    world.nodes[0].meeting.synchronize();
    world.pump();
    assert_eq!(world.closed, [(earlier.session, CloseReason::Replaced)]);
    world.advance(millis(100));
    assert_eq!(world.nodes[1].meeting.count(), 2);
}

#[test]
fn an_earlier_session_is_replaced_as_soon_as_its_node_can_be_heard() {
    let mut world = World::new(2, RelayConfig::default());
    let earlier = world.join(0, 1);
    world.partitioned = true;
    let again = world.join_silent(1, 2);
    world.hello(&again, resuming(earlier.session));
    world.partitioned = false;
    for node in &mut world.nodes {
        node.meeting.synchronize();
    }
    world.pump();
    assert_eq!(world.closed, [(earlier.session, CloseReason::Replaced)]);
}

#[test]
fn a_server_that_goes_away_says_who_serves_or_when_it_is_back() {
    let close = |world: &World, client: &Client| {
        let told = world.drain(client).messages();
        match told.last() {
            Some(Message::Close(close)) => close.clone(),
            other => panic!("no Close, but {other:?}"),
        }
    };
    let away = || Fatal::new(CloseReason::GoingAway);
    let mut alone = World::new(1, RelayConfig::default());
    let ann = alone.join(0, 1);
    alone.nodes[0].meeting.close(ann.session, away());
    let told = close(&alone, &ann);
    assert_eq!((told.r#move, told.retry_after_ms), (false, 1000));
    let mut one_of_many = World::new(
        1,
        RelayConfig {
            others_serve: true,
            other_servers: vec!["https://b.example.org".to_owned()],
            ..RelayConfig::default()
        },
    );
    let ann = one_of_many.join(0, 1);
    one_of_many.nodes[0].meeting.close(ann.session, away());
    let told = close(&one_of_many, &ann);
    assert_eq!((told.r#move, told.retry_after_ms), (true, 0));
    assert_eq!(told.servers, ["https://b.example.org"]);
}

#[test]
fn an_older_client_gets_everything_and_its_packets_reach_all() {
    let mut world = World::new(2, RelayConfig::default());
    let older = world.join_silent(0, 1);
    let near = world.join(0, 2);
    let far = world.join(1, 3);
    let camera = world.join_with_camera(1, 4);
    world.advance(millis(1_000));
    world.drain(&older);
    // Without session id: it is appended, the rest stays as it was.
    let packet = PacketWrapper {
        packet_type: PacketType::Media.into(),
        user_id: Bytes::from_static(b"user 1"),
        data: Bytes::from_static(b"payload"),
        ..PacketWrapper::default()
    };
    let bytes: Bytes = packet.encode_to_vec().into();
    world.receive(&older, bytes.clone()).unwrap();
    for client in [&near, &far] {
        let got = world.drain(client).bytes();
        let got = got.last().unwrap();
        assert!(got.starts_with(&bytes));
        assert_eq!(PacketView::parse(got).unwrap().session_id, 1);
    }
    world.frame(&camera, key(2, 1), 10);
    world.frame(&camera, delta(2, 2, 1), 10);
    let got = world.drain(&older);
    assert_eq!(got.numbers(2), [1, 2]);
    assert!(
        got.messages()
            .iter()
            .all(|m| matches!(m, Message::Ping(_) | Message::Close(_)))
    );
}

#[test]
fn a_probe_is_echoed_to_its_sender_alone() {
    let mut world = World::new(2, RelayConfig::default());
    let (older, near, far) = (world.join_silent(0, 1), world.join(0, 2), world.join(1, 3));
    for client in [&older, &near, &far] {
        world.drain(client);
    }
    let probe = MediaPacket {
        media_type: MediaType::Rtt.into(),
        timestamp: 1234.5,
        ..MediaPacket::default()
    };
    let packet = PacketWrapper {
        packet_type: PacketType::Media.into(),
        data: probe.encode_to_vec().into(),
        ..PacketWrapper::default()
    };
    let bytes: Bytes = packet.encode_to_vec().into();
    world.receive(&older, bytes.clone()).unwrap();
    assert_eq!(world.drain(&older).bytes(), [bytes]);
    assert!(world.drain(&near).bytes().is_empty() && world.drain(&far).bytes().is_empty());
}

#[test]
fn older_clients_packets_are_bounded_by_age() {
    let mut world = World::new(1, RelayConfig::default());
    let (sender, receiver) = (world.join_silent(0, 1), world.join(0, 2));
    world.drain(&receiver);
    world.receive(&sender, opaque(id(1), 100)).unwrap();
    world.advance(millis(600));
    world.receive(&sender, opaque(id(1), 100)).unwrap();
    let media = |out: &&videocall_relay::Outgoing| !out.packet.is_control();
    assert_eq!(world.drain(&receiver).0.iter().filter(media).count(), 1);
}

/// The codecs that are told of somebody's camera.
fn told_of(received: &Received, of: u64) -> Vec<String> {
    let messages = received.messages();
    let rosters = messages.into_iter().filter_map(|message| match message {
        Message::Roster(roster) => Some(roster),
        _ => None,
    });
    rosters
        .flat_map(|roster| roster.participants)
        .filter(|participant| participant.session_id == of)
        .filter_map(|participant| Some(participant.streams.first()?.codec.clone()))
        .collect()
}

fn offer(world: &mut World, client: &Client, codec: &str) {
    let mut publish = camera();
    publish.streams[0].codec = codec.to_owned();
    world.send(client, Message::PublishState(publish)).unwrap();
}

#[test]
fn who_changes_what_it_offers_all_the_time_is_told_of_twice_a_second() {
    let mut world = World::new(2, RelayConfig::default());
    let restless = world.join_with_camera(0, 1);
    let calm = world.join_with_camera(0, 2);
    let near = world.join(0, 3);
    let far = world.join(1, 4);
    world.advance(millis(2_000));
    for client in [&near, &far] {
        world.drain(client);
    }
    // The first change is told at once.
    offer(&mut world, &restless, "first");
    world.advance(millis(50));
    assert_eq!(told_of(&world.drain(&near), 1), ["first"]);
    assert_eq!(told_of(&world.drain(&far), 1), ["first"]);
    for number in 0..1_000 {
        offer(&mut world, &restless, &number.to_string());
        world.advance(millis(2));
    }
    // One that changes once meanwhile does not wait.
    offer(&mut world, &calm, "other");
    world.advance(millis(50));
    for client in [&near, &far] {
        let told = world.drain(client);
        let [of_restless, of_calm] = [1, 2].map(|of| told_of(&told, of));
        assert!((3..=5).contains(&of_restless.len()), "{of_restless:?}");
        assert_eq!(of_calm, ["other"]);
    }
    // The last state is told, without another change.
    offer(&mut world, &restless, "last");
    world.advance(millis(1_000));
    for client in [&near, &far] {
        let told = told_of(&world.drain(client), 1);
        assert_eq!(told.last().map(String::as_str), Some("last"));
    }
}
