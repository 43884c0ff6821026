//! Servers that are restarted in turn while people talk.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;
use videocall_client::{
    core::session::Event,
    native::{Client as Native, JoinOptions, Servers},
};
use videocall_types::{close::CloseReason, ids::MediaKind, wire::control::Message};
use wtransport::Identity;

use crate::{
    clients::{BOTH_WAYS, Client, Way},
    nats_server::NatsServer,
    process::Server,
    resume::{PATIENCE, door, door_at, doors, joined, speak},
};

/// Those who listen beside those who speak.
const LISTENERS: usize = 20;

/// Somebody in the meeting, with the longest time in which nothing was heard.
struct Person {
    client: Native,
    missed: Duration,
}

impl Person {
    async fn joins(options: JoinOptions) -> Self {
        let mut client = Native::join(options);
        joined(&mut client).await;
        let missed = Duration::ZERO;
        Self { client, missed }
    }

    /// Waits until something is heard.
    async fn hears(&mut self) {
        while !self.heard().await {}
    }

    /// Whether what happened next is that something was heard.
    async fn heard(&mut self) -> bool {
        match self.client.next_event().await {
            Some(Event::Media(media)) => media.routing.kind == MediaKind::Audio,
            Some(Event::Closed { text, .. }) => panic!("closed: {text}"),
            Some(_) => false,
            None => panic!("the session is over"),
        }
    }

    async fn listens(&mut self, time: Duration) {
        let mut until = std::pin::pin!(tokio::time::sleep(time));
        let mut last = Instant::now();
        loop {
            tokio::select! {
                heard = self.heard() => if heard {
                    self.missed = self.missed.max(last.elapsed());
                    last = Instant::now();
                },
                () = &mut until => break,
            }
        }
        self.missed = self.missed.max(last.elapsed());
    }
}

async fn all_listen(people: &mut [Person], time: Duration) {
    join_all(people.iter_mut().map(|person| person.listens(time))).await;
}

async fn all_hear(people: &mut [Person]) {
    let all = join_all(people.iter_mut().map(Person::hears));
    timeout(PATIENCE, all).await.expect("all hear something");
}

fn longest(people: &[Person]) -> Duration {
    let missed = people.iter().map(|person| person.missed);
    missed.max().unwrap_or_default()
}

/// Waits until a server knows of the others: then it gives tickets.
async fn takes_part(server: &Server) {
    let mut probe = Client::webtransport(server, "/lobby/probe/probe").await;
    probe.ticket().await;
}

/// A certificate as an operator's: it stays the same when a server starts anew.
struct Certificate {
    folder: tempfile::TempDir,
    hash: [u8; 32],
}

impl Certificate {
    async fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::self_signed(["localhost", "127.0.0.1"]).unwrap();
        let (chain, key) = (identity.certificate_chain(), identity.private_key());
        let file = |name| folder.path().join(name);
        chain.store_pemfile(file("c.pem")).await.unwrap();
        key.store_secret_pemfile(file("k.pem")).await.unwrap();
        let hash = *chain.as_slice()[0].hash().as_ref();
        Self { folder, hash }
    }

    fn settings(&self) -> [String; 2] {
        let file = |name| self.folder.path().join(name).display().to_string();
        [
            format!("--tls-certificate={}", file("c.pem")),
            format!("--tls-key={}", file("k.pem")),
        ]
    }
}

/// Two servers that know each other, and how to get in.
struct Pair {
    way: Way,
    settings: Vec<String>,
    servers: [Server; 2],
    doors: [Servers; 2],
}

impl Pair {
    async fn start(way: Way, nats: &NatsServer, certificate: &Certificate) -> Self {
        let mut settings = vec![
            format!("--nats-url={}", nats.url()),
            "--drain-seconds=20".to_owned(),
            "--heartbeat-seconds=1".to_owned(),
        ];
        if way == Way::WebTransport {
            settings.extend(certificate.settings());
        }
        let given: Vec<&str> = settings.iter().map(String::as_str).collect();
        let servers = [Server::start(&given), Server::start(&given)];
        for server in &servers {
            takes_part(server).await;
        }
        let doors = servers
            .each_ref()
            .map(|server| door_at(way, server.http, server.media, certificate.hash));
        Self {
            way,
            settings,
            servers,
            doors,
        }
    }

    fn again(&self, (http, media): (u16, u16)) -> Server {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        Server::start_on((http, media), &settings)
    }

    /// Joins at that server, and goes to the other when it must.
    async fn joins(&self, at: usize, user: &str) -> Person {
        let ways = vec![self.doors[at].clone(), self.doors[1 - at].clone()];
        self.joins_by(ways, user).await
    }

    async fn joins_by(&self, ways: Vec<Servers>, user: &str) -> Person {
        let meeting = format!("{:?}", self.way);
        let options = doors(ways, user);
        Person::joins(JoinOptions { meeting, ..options }).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout)]
async fn servers_are_restarted_in_turn_and_talks_go_on() {
    let nats = NatsServer::start();
    let certificate = Certificate::make().await;
    for way in BOTH_WAYS {
        let mut pair = Pair::start(way, &nats, &certificate).await;
        let mut people = vec![pair.joins(0, "ann").await, pair.joins(1, "ben").await];
        let speaking = people.iter().map(|person| speak(person.client.handle()));
        let speaking: Vec<_> = speaking.collect();
        for number in 0..LISTENERS {
            people.push(pair.joins(number % 2, &format!("listener {number}")).await);
        }
        all_hear(&mut people).await;
        for at in [0, 1] {
            let ports = (pair.servers[at].http, pair.servers[at].media);
            pair.servers[at].terminate();
            // Whoever was there moves; all hear somebody all the time.
            all_listen(&mut people, Duration::from_secs(2)).await;
            let again = pair.again(ports);
            let stopped = std::mem::replace(&mut pair.servers[at], again);
            assert!(stopped.wait());
            takes_part(&pair.servers[at]).await;
        }
        let longest = longest(&people);
        println!(
            "{way:?}: {} people, longest silence in a rolling restart {} ms",
            people.len(),
            longest.as_millis()
        );
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        speaking.iter().for_each(|task| task.abort());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout)]
async fn what_dies_elsewhere_interrupts_no_talk_here() {
    let mut nats = NatsServer::start();
    let certificate = Certificate::make().await;
    for way in BOTH_WAYS {
        let mut pair = Pair::start(way, &nats, &certificate).await;
        // Ann speaks at the second server, where half of the others are, too.
        let ann = pair.joins(1, "ann").await;
        let speaking = speak(ann.client.handle());
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for number in 0..LISTENERS / 2 {
            here.push(pair.joins(1, &format!("here {number}")).await);
            there.push(pair.joins(0, &format!("there {number}")).await);
        }
        all_hear(&mut here).await;
        all_hear(&mut there).await;
        let ports = (pair.servers[0].http, pair.servers[0].media);
        pair.servers[0].kill_now();
        // Those of the dead one come over; those who were here hear all the time.
        tokio::join!(all_listen(&mut here, Duration::from_secs(2)), async {
            for person in &mut there {
                joined(&mut person.client).await;
            }
            all_hear(&mut there).await;
        });
        nats.kill();
        here.append(&mut there);
        all_listen(&mut here, Duration::from_secs(2)).await;
        nats.restart();
        all_listen(&mut here, Duration::from_secs(1)).await;
        let longest = longest(&here);
        println!(
            "{way:?}: longest silence while another server and NATS died {} ms",
            longest.as_millis()
        );
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        // What is told over NATS arrives again.
        pair.servers[0] = pair.again(ports);
        let mut late = vec![pair.joins_by(vec![pair.doors[0].clone()], "late").await];
        all_hear(&mut late).await;
        speaking.abort();
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
