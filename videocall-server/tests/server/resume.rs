//! Participants who come back with a ticket, over real sockets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;
use videocall_client::{
    core::session::Event,
    native::{Client as Native, Handle, JoinOptions, Placement, Servers, Trust},
};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    packet,
    view::{PacketView, Routing},
    wire::{MediaPacket, PublishState, Subscribe, control},
};

use crate::{
    clients::{BOTH_WAYS, Client, Way, resuming},
    delay::Delay,
    nats_server::NatsServer,
    process::Server,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

async fn is_refused(server: &Server, way: Way, path: &str, ticket: &Bytes, text: &str) {
    let thief = Client::saying(server, way, path, resuming(ticket)).await;
    let end = thief.ended().await;
    let expected = (CloseReason::TicketRefused.code(), text.to_owned());
    assert_eq!(end, expected, "{way:?} {path}");
}

const INVALID: &str = "the resume ticket is not valid";
const SPENT: &str = "the resume ticket was used before";

#[tokio::test]
async fn a_ticket_is_good_once_on_both_transports() {
    let server = Server::start(&[]);
    let mut watcher = Client::websocket(&server, "/lobby/ben/m").await;
    for (way, other) in [
        (Way::WebSocket, Way::WebTransport),
        (Way::WebTransport, Way::WebSocket),
    ] {
        let mut first = Client::join(&server, way, "/lobby/ann/m").await;
        watcher.sees(first.session).await;
        let ticket = first.ticket().await;
        is_refused(&server, way, "/lobby/eve/m", &ticket, INVALID).await;
        is_refused(&server, way, "/lobby/ann/n", &ticket, INVALID).await;
        is_refused(
            &server,
            way,
            "/lobby/ann/m",
            &Bytes::from_static(b"guessed"),
            INVALID,
        )
        .await;
        // What follows the ticket is heard although nothing was heard from the server yet.
        let mut second = Client::saying(&server, other, "/lobby/ann/m", resuming(&ticket)).await;
        second.send(first_flight()).await;
        let heard = watcher.media().await;
        second.welcomed().await;
        assert!(second.welcome.resumed);
        let session = PacketView::parse(&heard).unwrap().session_id;
        assert_eq!(session, second.session.get());
        let earlier = first.session;
        assert_eq!(first.ended().await.0, CloseReason::Replaced.code());
        watcher.misses(earlier).await;
        watcher.sees(second.session).await;
        for way in BOTH_WAYS {
            is_refused(&server, way, "/lobby/ann/m", &ticket, SPENT).await;
        }
    }
    assert_eq!(
        server.metric("videocall_tickets_total{result=\"taken\"}"),
        2.0
    );
    assert_eq!(server.metric(&refused("invalid")), 6.0);
    assert_eq!(server.metric(&refused("spent")), 4.0);
}

fn refused(reason: &str) -> String {
    format!("videocall_tickets_total{{result=\"refused\",reason=\"{reason}\"}}")
}

/// Sound of one who does not know the session's id yet.
fn first_flight() -> Bytes {
    packet::media_without_identity(sound(1), &MediaPacket::default())
}

pub(crate) fn sound(number: u64) -> Routing {
    Routing {
        kind: MediaKind::Audio,
        stream_id: 1,
        spatial: 0,
        temporal: 0,
        keyframe: false,
        depends_back: 0,
        frame_number: number,
        capture_us: number * 5_000,
        audio_level: 20,
        encrypted: false,
    }
}

#[tokio::test]
async fn a_server_that_starts_anew_takes_no_older_ticket_and_a_native_client_comes_back_anyway() {
    let server = Server::start(&[]);
    let ports = (server.http, server.media);
    let mut first = Client::websocket(&server, "/lobby/ann/m").await;
    let ticket = first.ticket().await;
    let mut native = Native::join(options(&server, Way::WebSocket, "dee"));
    let earlier = joined(&mut native).await;
    server.kill();
    let server = Server::start_on(ports, &[]);
    is_refused(&server, Way::WebSocket, "/lobby/ann/m", &ticket, INVALID).await;
    assert_ne!(joined(&mut native).await, earlier);
}

#[tokio::test]
async fn a_ticket_expires() {
    let server = Server::start(&["--ticket-seconds=1"]);
    let mut first = Client::websocket(&server, "/lobby/ann/m").await;
    let ticket = first.ticket().await;
    // Only the passing of time makes it so; that it passes is all that is waited for.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let text = "the resume ticket has expired";
    is_refused(&server, Way::WebSocket, "/lobby/ann/m", &ticket, text).await;
    assert_eq!(server.metric(&refused("expired")), 1.0);
}

#[tokio::test]
async fn a_ticket_is_good_once_on_all_nodes_and_after_they_start_anew() {
    let nats = NatsServer::start();
    let url = format!("--nats-url={}", nats.url());
    let start = || Server::start(&[&url]);
    let (here, there) = (start(), start());
    for server in [&here, &there] {
        server.is_well().await;
    }
    let mut first = Client::websocket(&here, "/lobby/ann/m").await;
    let used = first.ticket().await;
    let mut second =
        Client::saying(&there, Way::WebTransport, "/lobby/ann/m", resuming(&used)).await;
    second.welcomed().await;
    assert!(second.welcome.resumed);
    assert_eq!(first.ended().await.0, CloseReason::Replaced.code());
    let good = second.ticket().await;
    for server in [&here, &there] {
        for way in BOTH_WAYS {
            is_refused(server, way, "/lobby/ann/m", &used, SPENT).await;
        }
    }
    let ports = (here.http, here.media);
    here.kill();
    there.kill();
    drop(second);
    let here = Server::start_on(ports, &[&url]);
    here.is_well().await;
    is_refused(&here, Way::WebSocket, "/lobby/ann/m", &used, SPENT).await;
    let mut third = Client::saying(&here, Way::WebSocket, "/lobby/ann/m", resuming(&good)).await;
    third.welcomed().await;
    assert!(third.welcome.resumed);
}

pub(crate) fn options(server: &Server, way: Way, user: &str) -> JoinOptions {
    doors(vec![door(server, way)], user)
}

pub(crate) fn door(server: &Server, way: Way) -> Servers {
    door_at(way, server.http, server.media, server.certificate())
}

pub(crate) fn door_at(way: Way, http: u16, media: u16, hash: [u8; 32]) -> Servers {
    Servers {
        origin: None,
        webtransport: (way == Way::WebTransport).then(|| format!("https://127.0.0.1:{media}")),
        websocket: (way == Way::WebSocket).then(|| format!("ws://127.0.0.1:{http}")),
        trust: Trust::Hashes(vec![hash]),
    }
}

pub(crate) fn doors(servers: Vec<Servers>, user: &str) -> JoinOptions {
    JoinOptions {
        servers,
        placement: Placement::Anywhere,
        meeting: "m".into(),
        user: user.into(),
        display_name: user.into(),
        token: None,
        program: "test/1".into(),
        publish: PublishState::default(),
        subscribe: Subscribe::default(),
    }
}

pub(crate) async fn joined(client: &mut Native) -> SessionId {
    let wait = async {
        loop {
            match client.next_event().await {
                Some(Event::Joined(session)) => return session,
                Some(_) => {}
                None => panic!("the session is over"),
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("joined")
}

/// Speaks all the time, however the connection is.
pub(crate) fn speak(handle: Handle) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut each = tokio::time::interval(Duration::from_millis(5));
        for number in 1.. {
            each.tick().await;
            let media = MediaPacket::default();
            if handle.send_media(sound(number), media).await.is_err() {
                return;
            }
        }
    })
}

/// From the moment at which the client begins to connect until its first sound is heard.
async fn until_heard(watcher: &mut Client, begun: Instant) -> Duration {
    let reached = async { while watcher.media().await.is_empty() {} };
    timeout(PATIENCE, reached).await.expect("it is heard");
    begun.elapsed()
}

/// The first flight saves one round trip of those that a first join takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout)]
async fn a_ticket_saves_a_round_trip() {
    let one_way = Duration::from_millis(100);
    // Ann notices soon that nothing comes; whoever watches reads when it is time.
    let server = Server::start(&[
        "--heartbeat-seconds=1",
        "--heartbeat-missed=60",
        "--session-timeout-seconds=60",
    ]);
    for way in BOTH_WAYS {
        let mut best = [Duration::MAX; 2];
        // A machine that is busy makes some slower, never faster.
        for attempt in 0..5 {
            let relay = Delay::start(way, &server, one_way).await;
            let (http, media) = (relay.port, relay.port);
            let door = door_at(way, http, media, server.certificate());
            let meeting = format!("{way:?} {attempt}");
            let path = format!("/lobby/ben/{way:?}%20{attempt}");
            let mut watcher = Client::websocket(&server, &path).await;
            let begun = Instant::now();
            let mut ann = Native::join(JoinOptions {
                meeting,
                ..doors(vec![door], "ann")
            });
            let speaking = speak(ann.handle());
            best[0] = best[0].min(until_heard(&mut watcher, begun).await);
            joined(&mut ann).await;
            // The ticket is on its way behind Welcome: a pong comes behind it.
            tokio::time::sleep(one_way * 4).await;
            relay.cut();
            let wait = loop {
                match ann.next_event().await {
                    Some(Event::Reconnecting { wait, .. }) => break wait,
                    Some(_) => {}
                    None => panic!("the session is over"),
                }
            };
            let begun = Instant::now() + wait;
            relay.mend();
            // Nothing is left of what was sent before.
            let new = async {
                let first = sessions_of(&mut watcher).await;
                while sessions_of(&mut watcher).await == first {}
            };
            timeout(PATIENCE, new).await.expect("it is heard again");
            best[1] = best[1].min(begun.elapsed());
            speaking.abort();
        }
        let [cold, resumed] = best.map(|time| time.as_secs_f64() / (one_way * 2).as_secs_f64());
        println!("{way:?}: {cold:.2} round trips to join, {resumed:.2} to resume");
        assert!(cold - resumed > 0.6, "{way:?}: {cold:.2}, {resumed:.2}");
    }
}

async fn sessions_of(watcher: &mut Client) -> u64 {
    let packet = watcher.media().await;
    PacketView::parse(&packet).unwrap().session_id
}

/// A message that only a server sends, so that it is plain who refused what.
#[tokio::test]
async fn a_client_that_sends_a_ticket_message_breaks_the_protocol_and_nothing_else() {
    let server = Server::start(&[]);
    let mut ann = Client::websocket(&server, "/lobby/ann/m").await;
    let ticket = packet::control(control::Message::Ticket(Default::default()));
    ann.send(ticket).await;
    ann.send(packet::control(control::Message::Ping(Default::default())))
        .await;
    ann.control(|message| matches!(message, control::Message::Pong(_)).then_some(()))
        .await;
    assert_eq!(
        server.metric("videocall_violations_total{kind=\"control\"}"),
        1.0
    );
}
