//! Servers that are restarted in turn while people talk.

use std::time::{Duration, Instant};

use videocall_client::{
    core::session::Event,
    native::{Client as Native, JoinOptions},
};
use videocall_types::{close::CloseReason, ids::MediaKind, wire::control::Message};
use wtransport::Identity;

use crate::{
    clients::{BOTH_WAYS, Client, Way},
    nats_server::NatsServer,
    process::Server,
    resume::{door, door_at, doors, joined, speak},
};

/// Somebody who speaks all the time, with the longest silence of the other one.
async fn listen(client: &mut Native, silence: &mut Duration, until: impl Future<Output = ()>) {
    let mut until = std::pin::pin!(until);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            event = client.next_event() => match event {
                Some(Event::Media(media)) if media.routing.kind == MediaKind::Audio => {
                    *silence = (*silence).max(heard.elapsed());
                    heard = Instant::now();
                }
                Some(Event::Closed { text, .. }) => panic!("closed: {text}"),
                Some(_) => {}
                None => panic!("the session is over"),
            },
            () = &mut until => {
                *silence = (*silence).max(heard.elapsed());
                return;
            }
        }
    }
}

/// Waits until a server knows of the others: then it gives tickets.
async fn takes_part(server: &Server) {
    let mut probe = Client::webtransport(server, "/lobby/probe/probe").await;
    probe.ticket().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout)]
async fn servers_are_restarted_in_turn_and_talks_go_on() {
    let nats = NatsServer::start();
    let nats_url = format!("--nats-url={}", nats.url());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    // As an operator's: it stays the same when a server starts anew.
    let identity = Identity::self_signed(["localhost", "127.0.0.1"]).unwrap();
    let chain = identity.certificate_chain();
    chain.store_pemfile(&certificate).await.unwrap();
    identity
        .private_key()
        .store_secret_pemfile(&key)
        .await
        .unwrap();
    let hash = *chain.as_slice()[0].hash().as_ref();
    let tls = [
        format!("--tls-certificate={}", certificate.display()),
        format!("--tls-key={}", key.display()),
    ];
    for way in BOTH_WAYS {
        let mut settings = vec![nats_url.as_str(), "--drain-seconds=20"];
        if way == Way::WebTransport {
            settings.extend(tls.each_ref().map(String::as_str));
        }
        let mut servers = [Server::start(&settings), Server::start(&settings)];
        for server in &servers {
            takes_part(server).await;
        }
        let here = servers
            .each_ref()
            .map(|server| door_at(way, server.http, server.media, hash));
        let there = [here[1].clone(), here[0].clone()];
        let (ann_doors, ben_doors) = (here.to_vec(), there.to_vec());
        let meeting = format!("{way:?}");
        let join = |doors_of, user| {
            Native::join(JoinOptions {
                meeting: meeting.clone(),
                ..doors(doors_of, user)
            })
        };
        let (mut ann, mut ben) = (join(ann_doors, "ann"), join(ben_doors, "ben"));
        joined(&mut ann).await;
        joined(&mut ben).await;
        let speaking = [speak(ann.handle()), speak(ben.handle())];
        let (mut ann_missed, mut ben_missed) = (Duration::ZERO, Duration::ZERO);
        let a_while = || tokio::time::sleep(Duration::from_millis(500));
        // Until they hear each other, it is not counted.
        let mut before = Duration::ZERO;
        listen(&mut ann, &mut before, a_while()).await;
        listen(&mut ben, &mut before, a_while()).await;
        for at in [0, 1] {
            let ports = (servers[at].http, servers[at].media);
            servers[at].terminate();
            // Whoever was there moves; both hear each other all the time.
            let for_a_while = || tokio::time::sleep(Duration::from_secs(2));
            tokio::join!(
                listen(&mut ann, &mut ann_missed, for_a_while()),
                listen(&mut ben, &mut ben_missed, for_a_while()),
            );
            let again = Server::start_on(ports, &settings);
            let stopped = std::mem::replace(&mut servers[at], again);
            assert!(stopped.wait());
            takes_part(&servers[at]).await;
        }
        println!(
            "{way:?}: longest silence in a rolling restart {} ms and {} ms",
            ann_missed.as_millis(),
            ben_missed.as_millis()
        );
        let longest = ann_missed.max(ben_missed);
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        for task in speaking {
            task.abort();
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_away_names_its_peers() {
    let alone = Server::start(&[]);
    let peer = "--peer-urls=https://b.example.org";
    let one_of_two = Server::start(&[peer]);
    for (server, moves) in [(&alone, false), (&one_of_two, true)] {
        let mut people = Vec::new();
        for way in BOTH_WAYS {
            people.push(Client::join(server, way, "/lobby/ann/m").await);
        }
        server.terminate();
        for mut person in people {
            let close = person
                .control(|message| match message {
                    Message::Close(close) => Some(close),
                    _ => None,
                })
                .await;
            assert_eq!(close.code, CloseReason::GoingAway.code());
            assert_eq!(
                (close.r#move, close.servers.len()),
                (moves, usize::from(moves))
            );
            assert_eq!(close.retry_after_ms > 0, !moves);
        }
    }
}

#[tokio::test]
async fn a_native_client_gives_a_lone_server_the_time_that_it_asks_for() {
    let server = Server::start(&[]);
    let ports = (server.http, server.media);
    let mut ann = Native::join(doors(vec![door(&server, Way::WebSocket)], "ann"));
    let earlier = joined(&mut ann).await;
    server.terminate();
    let wait = loop {
        match ann.next_event().await {
            Some(Event::Reconnecting { wait, .. }) => break wait,
            Some(_) => {}
            None => panic!("the session is over"),
        }
    };
    assert!(wait >= Duration::from_secs(1), "{wait:?}");
    assert!(server.wait());
    let _server = Server::start_on(ports, &[]);
    assert_ne!(joined(&mut ann).await, earlier);
}
