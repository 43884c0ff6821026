//! What holds however the nodes are connected.

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time;
use videocall_node::bus::{Bus, BusEvent, BusSubscription, MediaSubject};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    view::{PacketView, Routing},
    wire::{Hello, Subscribe, bus::BusControl, control::Message},
};

use crate::{
    backend::{Backend, Embedded, Nats, PATIENCE, token, until},
    person::{Got, Person, hello, keyframe, resuming, wants, with_camera},
};

macro_rules! over_each_bus {
    ($($case:ident),* $(,)?) => {
        mod over_the_embedded_hub {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&super::Embedded::start()).await;
            })*
        }
        mod over_nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&super::Nats::start()).await;
            })*
        }
    };
}

over_each_bus!(
    media_crosses_only_when_it_is_wanted,
    what_a_node_sends_does_not_come_back,
    a_node_subscribes_once_to_a_meeting,
    a_roster_tells_of_people_on_other_nodes,
    demand_reaches_the_publisher_and_ends_with_the_receiver,
    speakers_are_known_on_other_nodes,
    a_keyframe_request_reaches_the_one_publisher,
    whoever_comes_back_on_another_node_replaces_the_earlier_session,
    a_ticket_is_good_once_for_its_user_and_meeting,
    a_meeting_may_end_and_begin_again_on_a_node,
);

/// Hears everything that goes from node to node in a meeting.
struct Wire(BusSubscription);

impl Wire {
    async fn tap(backend: &dyn Backend, meeting: &str) -> Self {
        let before = backend.subscriptions(meeting).await;
        let events = backend.tap(meeting).await;
        until("the tap is in place", || async {
            backend.subscriptions(meeting).await > before
        })
        .await;
        Self(events)
    }

    /// Media up to the audio with that number, which ends it.
    async fn media_until_audio(&mut self, number: u64) -> Vec<Routing> {
        let wait = async {
            let mut media = Vec::new();
            while let Some(event) = self.0.next().await {
                let BusEvent::Media(bytes) = event else {
                    continue;
                };
                let routing = PacketView::parse(&bytes).unwrap().routing.unwrap();
                if routing.is_audio() && routing.capture_us == number * 33_333 {
                    return media;
                }
                media.push(routing);
            }
            panic!("the bus goes on");
        };
        time::timeout(PATIENCE, wait).await.expect("the audio")
    }
}

fn layers(media: &[Routing]) -> Vec<u8> {
    media.iter().map(|routing| routing.spatial).collect()
}

fn video_layers(got: &[Got]) -> Vec<u8> {
    let layer = |got: &Got| match got {
        Got::Media(_, routing) if routing.kind == MediaKind::Video => Some(routing.spatial),
        _ => None,
    };
    got.iter().filter_map(layer).collect()
}

async fn media_crosses_only_when_it_is_wanted(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    let mut wire = Wire::tap(backend, "m").await;
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    let alone = [keyframe(0, 1), keyframe(1, 1), keyframe(2, 1)];
    alone.into_iter().for_each(|frame| ann.send(frame));
    ann.speak(1);

    let mut ben = Person::join(&there, "m", "Ben", hello()).await;
    ann.sees(&[ben.id()]).await;
    ben.sees(&[ann.id()]).await;
    // Until Ben's Hello the smallest layer was wanted for him, if his node knew of Ann by then.
    ben.subscribe(wants(ann.id(), 1280));
    ann.is_asked_for(0b100).await;
    ben.subscribe(Subscribe::default());
    ann.is_asked_for(0).await;
    let unwanted = [keyframe(0, 2), keyframe(1, 2), keyframe(2, 2)];
    unwanted.into_iter().for_each(|frame| ann.send(frame));
    ann.speak(2);
    let got = ben.hears(ann.id(), 2).await;
    assert_eq!(video_layers(&got), [] as [u8; 0]);
    let crossed = wire.media_until_audio(2).await;
    assert_eq!(crossed, [], "neither to nobody nor unwanted");

    ben.subscribe(wants(ann.id(), 320));
    ann.is_asked_for(0b001).await;
    let one_wanted = [keyframe(2, 3), keyframe(0, 3), keyframe(1, 3)];
    one_wanted.into_iter().for_each(|frame| ann.send(frame));
    ann.speak(3);
    ben.until("the layer that Ben wants", |got| match got {
        Got::Media(_, routing) => {
            (routing.kind == MediaKind::Video && routing.spatial == 0).then_some(())
        }
        _ => None,
    })
    .await;
    assert_eq!(layers(&wire.media_until_audio(3).await), [0]);

    ben.subscribe(Subscribe::default());
    ann.is_asked_for(0).await;
    ann.send(keyframe(0, 4));
    ann.speak(4);
    assert_eq!(wire.media_until_audio(4).await, []);
}

async fn what_a_node_sends_does_not_come_back(backend: &impl Backend) {
    let meeting = token("m");
    let (one, two) = (backend.bus().await, backend.bus().await);
    let mut at_one = one.subscribe(&meeting).await.unwrap();
    let mut at_two = two.subscribe(&meeting).await.unwrap();
    until("both are subscribed", || async {
        backend.subscriptions("m").await == 2
    })
    .await;
    let send = |bus: &dyn Bus, word: &'static [u8]| {
        let subject = MediaSubject {
            session: SessionId::new(7).unwrap(),
            kind: MediaKind::Audio,
            layer: 0,
        };
        bus.publish_media(&meeting, subject, Bytes::from_static(word));
        bus.publish_control(
            &meeting,
            BusControl {
                node_id: String::from_utf8(word.to_vec()).unwrap(),
                message: None,
            },
        );
    };
    send(&*one, b"of one");
    for (events, word) in [(&mut at_two, "of one"), (&mut at_one, "of two")] {
        for _ in 0..2 {
            let event = time::timeout(PATIENCE, events.next()).await.unwrap();
            match event.unwrap() {
                BusEvent::Media(bytes) => assert_eq!(bytes, word),
                BusEvent::Control(message) => assert_eq!(message.node_id, word),
                other => panic!("{other:?}"),
            }
        }
        // Once what was sent is at the other end, it would have come back as well.
        send(&*two, b"of two");
    }
}

async fn a_node_subscribes_once_to_a_meeting(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    assert_eq!(backend.subscriptions("m").await, 0);
    let mut people = vec![Person::join(&here, "m", "first", hello()).await];
    until("the node is subscribed", || async {
        backend.subscriptions("m").await == 1
    })
    .await;
    for number in 2..=5 {
        people.push(Person::join(&here, "m", &format!("{number}"), hello()).await);
    }
    let far = Person::join(&there, "m", "far", hello()).await;
    let ids: Vec<SessionId> = people.iter().map(Person::id).collect();
    for (at, person) in people.iter_mut().enumerate() {
        let mut others = ids.clone();
        others[at] = far.id();
        person.sees(&others).await;
    }
    assert_eq!(backend.subscriptions("m").await, 2, "one for each node");
    drop(far);
    until("the other node is not subscribed", || async {
        backend.subscriptions("m").await == 1
    })
    .await;
    people.truncate(1);
    people[0].sees(&[]).await;
    assert_eq!(backend.subscriptions("m").await, 1);
    people.clear();
    until("nobody is subscribed", || async {
        backend.subscriptions("m").await == 0
    })
    .await;
    assert_eq!((here.meetings(), there.meetings()), (0, 0));
}

async fn a_roster_tells_of_people_on_other_nodes(backend: &impl Backend) {
    let [one, two, three] = backend.nodes().await;
    let mut ann = Person::join(&one, "m", "Ann", hello()).await;
    let named = Hello {
        display_name: "Ben the second".into(),
        ..with_camera()
    };
    let mut ben = Person::join(&two, "m", "Ben", named).await;
    let mut cyd = Person::join(&three, "m", "Cyd", hello()).await;
    let dan = Person::join(&two, "m", "Dan", hello()).await;
    let _elsewhere = Person::join(&two, "another meeting", "Eve", hello()).await;
    ann.sees(&[ben.id(), cyd.id(), dan.id()]).await;
    ben.sees(&[ann.id(), cyd.id(), dan.id()]).await;
    cyd.sees(&[ann.id(), ben.id(), dan.id()]).await;
    let known = ann.known(ben.id());
    assert_eq!(known.user_id, "Ben");
    assert_eq!(known.display_name, "Ben the second");
    assert_eq!(known.streams[0].layers.len(), 3);

    drop(dan);
    ann.sees(&[ben.id(), cyd.id()]).await;
    // The last one on its node.
    drop(ann);
    ben.sees(&[cyd.id()]).await;
    cyd.sees(&[ben.id()]).await;
}

async fn demand_reaches_the_publisher_and_ends_with_the_receiver(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    let ben = Person::join(&there, "m", "Ben", hello()).await;
    let stays = Person::join(&there, "m", "Cyd", hello()).await;
    ben.subscribe(wants(ann.id(), 1280));
    ann.is_asked_for(0b100).await;
    stays.subscribe(wants(ann.id(), 640));
    ann.is_asked_for(0b110).await;
    ben.subscribe(wants(ann.id(), 320));
    ann.is_asked_for(0b011).await;
    drop(ben);
    ann.is_asked_for(0b010).await;
    drop(stays);
    ann.is_asked_for(0).await;
}

async fn speakers_are_known_on_other_nodes(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", hello()).await;
    let mut ben = Person::join(&there, "m", "Ben", hello()).await;
    ann.sees(&[ben.id()]).await;
    ben.sees(&[ann.id()]).await;
    ann.speak(1);
    let speaking = |message| match message {
        Message::ActiveSpeakers(speakers) => Some(speakers.session_ids),
        _ => None,
    };
    let told = ben.control("who speaks", speaking).await;
    assert_eq!(told, [ann.id().get()]);
    // On the same node too.
    assert_eq!(ann.control("who speaks", speaking).await, told);
}

async fn a_keyframe_request_reaches_the_one_publisher(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    let mut bystander = Person::join(&here, "m", "Cyd", with_camera()).await;
    let mut ben = Person::join(&there, "m", "Ben", hello()).await;
    bystander.sees(&[ann.id(), ben.id()]).await;
    ben.subscribe(wants(ann.id(), 640));
    ann.is_asked_for(0b010).await;
    ann.send(keyframe(1, 1));
    ben.until("Ann's picture", |got| match got {
        Got::Media(from, routing) => {
            (*from == ann.id() && routing.kind == MediaKind::Video).then_some(())
        }
        _ => None,
    })
    .await;
    // The layer that Ben gets; the node's own requests are answered by now.
    ben.speak(1);
    ann.hears(ben.id(), 1).await;
    ben.ask_for_keyframe(ann.id());
    ben.speak(2);
    let (request, before) = ann
        .until("a keyframe request", |got| match got {
            Got::Control(Message::KeyframeRequest(request)) => Some(*request),
            _ => None,
        })
        .await;
    assert_eq!((request.kind(), request.spatial), (MediaKind::Video, 1));
    let heard = before.iter().any(|got| matches!(got, Got::Media(..)));
    assert!(!heard, "the request came before the audio behind it");
    let got = bystander.hears(ben.id(), 2).await;
    let asked = got
        .iter()
        .any(|got| matches!(got, Got::Control(Message::KeyframeRequest(_))));
    assert!(!asked, "{got:?}");
}

async fn whoever_comes_back_on_another_node_replaces_the_earlier_session(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", hello()).await;
    let mut ben = Person::join(&here, "m", "Ben", hello()).await;
    ben.sees(&[ann.id()]).await;
    // The first one there: that node knows of nobody yet.
    let again = resuming(&ann.ticket().await);
    let mut again = Person::join(&there, "m", "Ann", again).await;
    let (fatal, told) = ann.ended().await;
    assert_eq!(fatal.reason, CloseReason::Replaced);
    let is_close = |got: &Got| match got {
        Got::Control(Message::Close(close)) => close.code == CloseReason::Replaced.code(),
        _ => false,
    };
    assert!(told.iter().any(is_close));
    ben.sees(&[again.id()]).await;
    again.sees(&[ben.id()]).await;
    // And back, where both nodes know each other.
    let back = resuming(&again.ticket().await);
    let mut back = Person::join(&here, "m", "Ann", back).await;
    assert_eq!(again.ended().await.0.reason, CloseReason::Replaced);
    ben.sees(&[back.id()]).await;
    back.sees(&[ben.id()]).await;
}

async fn a_ticket_is_good_once_for_its_user_and_meeting(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", hello()).await;
    let ticket = ann.ticket().await;
    let refused = async |node, meeting, user, ticket: &Bytes, text| {
        let mut thief = Person::silent(node, meeting, user).await.unwrap();
        thief.say(Message::Hello(resuming(ticket)));
        // The first flight goes nowhere.
        let _ = thief.try_speak(1);
        let (fatal, told) = thief.ended().await;
        assert_eq!(
            (fatal.reason, fatal.text.as_str()),
            (CloseReason::TicketRefused, text)
        );
        let welcomed = |got: &Got| matches!(got, Got::Control(Message::Welcome(_)));
        assert!(!told.iter().any(welcomed), "{told:?}");
    };
    let invalid = "the resume ticket is not valid";
    let mut changed = ticket.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    for node in [&here, &there] {
        refused(node, "m", "Eve", &ticket, invalid).await;
        refused(node, "another", "Ann", &ticket, invalid).await;
        refused(node, "m", "Ann", &Bytes::from_static(b"guessed"), invalid).await;
        refused(node, "m", "Ann", &changed.clone().into(), invalid).await;
    }
    // All that was in vain.
    ann.sees(&[]).await;
    let mut back = Person::join(&there, "m", "Ann", resuming(&ticket)).await;
    assert_eq!(ann.ended().await.0.reason, CloseReason::Replaced);
    for node in [&here, &there, &backend.node().await] {
        refused(
            node,
            "m",
            "Ann",
            &ticket,
            "the resume ticket was used before",
        )
        .await;
    }
    back.sees(&[]).await;
    back.speak(1);
}

async fn a_meeting_may_end_and_begin_again_on_a_node(backend: &impl Backend) {
    let [here, there] = backend.nodes().await;
    let mut ann = Person::join(&here, "m", "Ann", with_camera()).await;
    for number in 0..20 {
        let mut ben = Person::join(&there, "m", "Ben", hello()).await;
        ben.sees(&[ann.id()]).await;
        ann.sees(&[ben.id()]).await;
        // Another layer each time, so that it must be told.
        let (width, mask) = [(320, 0b001), (1280, 0b100)][number % 2];
        ben.subscribe(wants(ann.id(), width));
        ann.is_asked_for(mask).await;
        // The next one comes at once, before the node is through with this one.
        drop(ben);
    }
    ann.sees(&[]).await;
}
