//! The native drivers against servers on real sockets.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message as WsMessage;
use videocall_client::{
    core::session::Event,
    native::{Client, JoinOptions, Placement, Servers, Trust},
};
use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    packet,
    view::{PacketView, Routing},
    wire::{Hello, MediaPacket, PublishState, Subscribe, Ticket, Welcome, control::Message},
};
use wtransport::{Connection, Endpoint, Identity, ServerConfig};

const PATIENCE: Duration = Duration::from_secs(20);

fn options(servers: Servers) -> JoinOptions {
    JoinOptions {
        servers: vec![servers],
        placement: Placement::Anywhere,
        meeting: "stand up/é".into(),
        user: "ann".into(),
        display_name: "Ann".into(),
        token: None,
        program: "test/1".into(),
        publish: PublishState::default(),
        subscribe: Subscribe::default(),
    }
}

fn routing(kind: MediaKind) -> Routing {
    Routing {
        kind,
        stream_id: 1,
        spatial: 0,
        temporal: 0,
        keyframe: kind == MediaKind::Video,
        depends_back: 0,
        frame_number: 1,
        capture_us: 1,
        audio_level: 0,
        encrypted: false,
    }
}

fn welcome(session_id: u64) -> Bytes {
    packet::control(Message::Welcome(Welcome {
        session_id,
        user_id: Bytes::from_static(b"ann"),
        heartbeat_interval_ms: 5000,
        ..Welcome::default()
    }))
}

fn control_of(bytes: &Bytes) -> Option<Message> {
    let view = PacketView::parse(bytes).unwrap();
    view.control.as_ref()?;
    packet::read_control(bytes, &view).unwrap()
}

/// The next event that is of interest.
async fn event<T>(client: &mut Client, mut choose: impl FnMut(Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            let event = client.next_event().await.expect("the session goes on");
            if let Some(chosen) = choose(event) {
                return chosen;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the event comes")
}

async fn joined(client: &mut Client) -> u64 {
    event(client, |event| match event {
        Event::Joined(session) => Some(session.get()),
        _ => None,
    })
    .await
}

async fn media(client: &mut Client) -> (MediaKind, Bytes) {
    event(client, |event| match event {
        Event::Media(media) => Some((media.routing.kind, media.payload)),
        _ => None,
    })
    .await
}

/// Welcomes connections 1, 2, … and echoes media; the first connection ends without a word at its
/// first media packet if `fickle`. Hellos, Closes and reports are told.
async fn websocket_server(fickle: bool) -> (String, mpsc::Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel(64);
    tokio::spawn(async move {
        for number in 1u64.. {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                // Somebody looked how far it is.
                continue;
            };
            while let Some(Ok(message)) = socket.next().await {
                let WsMessage::Binary(bytes) = message else {
                    continue;
                };
                match control_of(&bytes) {
                    Some(hello @ Message::Hello(_)) => {
                        tell.send(hello).await.unwrap();
                        let welcome = welcome(number);
                        // Both at once: what follows may end the connection.
                        socket.feed(WsMessage::Binary(welcome)).await.unwrap();
                        let ticket = Bytes::from(number.to_string());
                        let ticket = packet::control(Message::Ticket(Ticket { ticket }));
                        socket.send(WsMessage::Binary(ticket)).await.unwrap();
                    }
                    Some(told @ (Message::Close(_) | Message::ReceiverReport(_))) => {
                        tell.send(told).await.unwrap();
                    }
                    Some(_) => {}
                    None if fickle && number == 1 => break,
                    None => socket.send(WsMessage::Binary(bytes)).await.unwrap(),
                }
            }
        }
    });
    (url, told)
}

/// What was told to the server, until it is what is looked for.
async fn told<T>(
    messages: &mut mpsc::Receiver<Message>,
    mut choose: impl FnMut(Message) -> Option<T>,
) -> T {
    let wait = async {
        loop {
            let message = messages.recv().await.expect("the server goes on");
            if let Some(chosen) = choose(message) {
                return chosen;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("it is told")
}

async fn hello(messages: &mut mpsc::Receiver<Message>) -> Hello {
    told(messages, |message| match message {
        Message::Hello(hello) => Some(hello),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_lost_websocket_comes_back_as_the_same_participant_and_leaves_with_a_word() {
    let (url, mut messages) = websocket_server(true).await;
    let mut client = Client::join(options(Servers {
        websocket: Some(url),
        ..Servers::default()
    }));
    assert_eq!(joined(&mut client).await, 1);
    assert_eq!(hello(&mut messages).await.ticket, "");
    let handle = client.handle();
    let packet = MediaPacket {
        data: Bytes::from_static(b"frame"),
        ..MediaPacket::default()
    };
    let send = || handle.send_media(routing(MediaKind::Video), packet.clone());
    send().await.unwrap();
    assert_eq!(joined(&mut client).await, 2);
    let second = hello(&mut messages).await;
    assert_eq!(second.ticket, "1");
    send().await.unwrap();
    let (kind, payload) = media(&mut client).await;
    assert_eq!(kind, MediaKind::Video);
    assert!(payload.windows(5).any(|bytes| bytes == b"frame"));
    handle.leave().await.unwrap();
    let reason = event(&mut client, |event| match event {
        Event::Closed { reason, .. } => Some(reason),
        _ => None,
    })
    .await;
    assert_eq!(reason, Some(CloseReason::Normal));
    told(&mut messages, |message| match message {
        Message::Close(close) => Some(close),
        _ => None,
    })
    .await;
    let end = timeout(PATIENCE, client.next_event()).await.unwrap();
    assert!(end.is_none());
}

#[tokio::test]
async fn the_server_is_told_what_was_lost() {
    let (url, mut messages) = websocket_server(false).await;
    let mut client = Client::join(options(Servers {
        websocket: Some(url),
        ..Servers::default()
    }));
    joined(&mut client).await;
    let handle = client.handle();
    // The server echoes; of five packets the third was never sent.
    for frame_number in [1, 2, 4, 5] {
        let routing = Routing {
            frame_number,
            ..routing(MediaKind::Audio)
        };
        let packet = MediaPacket::default();
        handle.send_media(routing, packet).await.unwrap();
        media(&mut client).await;
    }
    let session = SessionId::new(1).unwrap();
    handle.concealed(session, MediaKind::Audio, Duration::from_millis(20));
    let (mut received, mut lost, mut impaired) = (0, 0, 0);
    told(&mut messages, |message| {
        let Message::ReceiverReport(report) = message else {
            return None;
        };
        assert!(report.interval_ms > 0);
        for stream in report.streams {
            assert_eq!((stream.session_id, stream.kind()), (1, MediaKind::Audio));
            received += stream.received;
            lost += stream.lost;
            impaired += stream.impaired_ms;
        }
        (received == 4 && lost == 1 && impaired == 20).then_some(())
    })
    .await;
    let figures = handle.reception(session, MediaKind::Audio).unwrap();
    assert_eq!((figures.received, figures.lost), (4, 1));
}

#[tokio::test]
async fn a_server_that_swallows_udp_is_joined_over_websocket() {
    // Bound and never read: as a firewall that drops.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (url, _told) = websocket_server(false).await;
    let mut client = Client::join(options(Servers {
        webtransport: Some(format!("https://{}", silent.local_addr().unwrap())),
        websocket: Some(url),
        trust: Trust::Hashes(vec![[0; 32]]),
        ..Servers::default()
    }));
    assert_eq!(joined(&mut client).await, 1);
}

async fn read_framed(stream: &mut wtransport::RecvStream) -> Bytes {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut packet).await.unwrap();
    packet.into()
}

/// Welcomes one client, sends its sound back as a datagram and its picture on a stream, and then
/// removes it.
async fn serve_webtransport(connection: Connection) {
    let (mut control, mut control_in) = connection.accept_bi().await.unwrap();
    let hello = read_framed(&mut control_in).await;
    assert!(matches!(control_of(&hello), Some(Message::Hello(_))));
    let welcome = welcome(7);
    let length = (welcome.len() as u32).to_be_bytes();
    control.write_all(&length).await.unwrap();
    control.write_all(&welcome).await.unwrap();
    let sound = connection.receive_datagram().await.unwrap().payload();
    connection.send_datagram(&sound).unwrap();
    let mut stream = connection.accept_uni().await.unwrap();
    let picture = stream.quic_stream_mut().read_to_end(100_000).await.unwrap();
    assert_eq!(
        PacketView::parse(&picture).unwrap().session_id,
        SessionId::new(7).unwrap().get()
    );
    let mut back = connection.open_uni().await.unwrap().await.unwrap();
    back.write_all(&picture).await.unwrap();
    back.finish().await.unwrap();
    // A request that comes after the picture arrived there.
    while !matches!(
        control_of(&read_framed(&mut control_in).await),
        Some(Message::KeyframeRequest(_))
    ) {}
    connection.close(CloseReason::Removed.code().into(), b"by the host");
    connection.closed().await;
}

#[tokio::test]
async fn webtransport_carries_control_sound_and_pictures_and_the_reason_of_its_end() {
    let identity = Identity::self_signed(["localhost", "127.0.0.1"]).unwrap();
    let hash = *identity.certificate_chain().as_slice()[0].hash().as_ref();
    let config = ServerConfig::builder()
        .with_bind_address(SocketAddr::from(([127, 0, 0, 1], 0)))
        .with_identity(identity)
        .build();
    let server = Endpoint::server(config).unwrap();
    let address = server.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let request = server.accept().await.await.unwrap();
        assert_eq!(request.path(), "/lobby/ann/stand%20up%2F%C3%A9");
        Box::pin(serve_webtransport(request.accept().await.unwrap())).await;
    });
    let mut client = Client::join(options(Servers {
        webtransport: Some(format!("https://{address}")),
        websocket: None,
        trust: Trust::Hashes(vec![hash]),
        ..Servers::default()
    }));
    assert_eq!(joined(&mut client).await, 7);
    let handle = client.handle();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let data = match kind {
            MediaKind::Audio => Bytes::from_static(&[1; 100]),
            _ => Bytes::from_static(&[2; 50_000]),
        };
        let packet = MediaPacket {
            data,
            ..MediaPacket::default()
        };
        handle.send_media(routing(kind), packet).await.unwrap();
        assert_eq!(media(&mut client).await.0, kind);
    }
    let publisher = SessionId::new(3).unwrap();
    handle
        .request_keyframe(publisher, MediaKind::Video)
        .await
        .unwrap();
    let (reason, text) = event(&mut client, |event| match event {
        Event::Closed { reason, text } => Some((reason, text)),
        _ => None,
    })
    .await;
    assert_eq!(
        (reason, text.as_str()),
        (Some(CloseReason::Removed), "by the host")
    );
    timeout(PATIENCE, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_is_left_for_another() {
    let (first, mut told_first) = websocket_server(true).await;
    let (second, mut told_second) = websocket_server(false).await;
    let door = |url: String| Servers {
        websocket: Some(url),
        ..Servers::default()
    };
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("ws://{}", dead.local_addr().unwrap());
    drop(dead);
    let mut options = options(door(first));
    options.servers.extend([door(nobody), door(second)]);
    let mut client = Client::join(options);
    joined(&mut client).await;
    hello(&mut told_first).await;

    // The first server ends the connection; the next one that answers is taken.
    let handle = client.handle();
    let sound = routing(MediaKind::Audio);
    handle
        .send_media(sound, MediaPacket::default())
        .await
        .unwrap();
    joined(&mut client).await;
    let hello = hello(&mut told_second).await;
    assert!(!hello.ticket.is_empty(), "it is the same participant");
}

/// Joins, tells which of the servers took it, and goes: those servers serve one after the other.
async fn join_one_of(
    servers: Vec<Servers>,
    placement: Placement,
    meeting: &str,
    told: &mut [mpsc::Receiver<Message>],
) -> usize {
    let mut options = options(Servers::default());
    (options.servers, options.placement) = (servers, placement);
    options.meeting = meeting.to_owned();
    let mut client = Client::join(options);
    joined(&mut client).await;
    let took = told.iter_mut().position(|told| told.try_recv().is_ok());
    took.expect("one of them heard the Hello")
}

#[tokio::test]
async fn the_people_of_a_meeting_choose_the_same_server() {
    let (first, told_first) = websocket_server(false).await;
    let (second, told_second) = websocket_server(false).await;
    let mut told = [told_first, told_second];
    let door = |name: &str, url: &String| Servers {
        origin: Some(format!("https://{name}.example.org")),
        websocket: Some(url.clone()),
        ..Servers::default()
    };
    // Two people, each with another server as home.
    let of_ann = vec![door("a", &first), door("b", &second)];
    let of_ben = vec![door("b", &second), door("a", &first)];
    let mut taken = [0, 0];
    for n in 0..12 {
        let meeting = format!("meeting {n}");
        let join = (Placement::Meeting, meeting.as_str());
        let ann = join_one_of(of_ann.clone(), join.0, join.1, &mut told).await;
        let ben = join_one_of(of_ben.clone(), join.0, join.1, &mut told).await;
        assert_eq!(ann, ben, "{meeting}");
        taken[ann] += 1;
    }
    assert!(
        taken[0] > 0 && taken[1] > 0,
        "meetings are on both: {taken:?}"
    );
    let anywhere = Placement::Anywhere;
    let ann = join_one_of(of_ann, anywhere, "m", &mut told).await;
    let ben = join_one_of(of_ben, anywhere, "m", &mut told).await;
    assert_eq!((ann, ben), (0, 1), "each at home");
}
