//! Limits of connections that are only begun.

use std::{io::ErrorKind, net::SocketAddr, pin::pin};

use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream, UdpSocket},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    clients::{Client, connect_to, try_connect_from},
    process::Server,
    resume::PATIENCE,
};

/// Another address of this machine, so that nobody else is limited with it.
fn from(last: u8) -> SocketAddr {
    ([127, 0, 0, last], 0).into()
}

async fn knock(server: &Server, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from(last)).unwrap();
    let address = ([127, 0, 0, 1], server.http).into();
    socket.connect(address).await.unwrap()
}

async fn is_closed(mut stream: TcpStream) -> bool {
    let mut buffer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut buffer))
        .await
        .is_ok()
        && buffer.is_empty()
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_turned_away_and_no_other() {
    // Ten are saved up.
    let server = Server::start(&["--handshakes-per-second=1"]);
    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(knock(&server, 2).await);
    }
    assert!(is_closed(streams.pop().unwrap()).await);
    assert!(server.metric("videocall_handshakes_refused_total") >= 1.0);
    let refused = server.metric("videocall_handshakes_refused_total");
    let mut turned_away = 0;
    for _ in 0..40 {
        let attempt = try_connect_from(&server, "/lobby/eve/m", from(2));
        turned_away += u32::from(attempt.await.is_err());
    }
    assert!(turned_away > 0, "over WebTransport as well");
    assert!(server.metric("videocall_handshakes_refused_total") > refused);
    try_connect_from(&server, "/lobby/ann/m", from(3))
        .await
        .unwrap();
}

/// Connections that begin to ask and go no further.
async fn slow(server: &Server, number: usize) -> Vec<TcpStream> {
    let mut slow = Vec::new();
    for _ in 0..number {
        let stream = knock(server, 2).await;
        stream
            .try_write(b"GET /lobby/eve/m HTTP/1.1\r\nhost: a")
            .unwrap();
        slow.push(stream);
    }
    slow
}

#[tokio::test]
async fn whoever_takes_for_ever_to_ask_is_cut_off() {
    let patient = Server::start(&["--handshake-seconds=600"]);
    let server = Server::start(&["--handshake-seconds=1"]);
    // Begun before the others, and still there after them: it is the setting that ends those.
    let waits = slow(&patient, 1).await.remove(0);
    let cut_off = slow(&server, 50).await;
    let _ann = Client::websocket(&server, "/lobby/ann/m").await;
    for mut stream in cut_off {
        let mut said = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "cut off");
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 408"),
            "{said}"
        );
    }
    let end = waits.try_read(&mut [0; 64]).expect_err("it is still open");
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
}

/// A client that is never heard of again after its first flight.
struct Stalled {
    connecting: JoinHandle<()>,
    _listener: UdpSocket,
}

impl Stalled {
    async fn begin(server: &Server) -> Self {
        let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connecting = tokio::spawn(async move {
            let from = ([127, 0, 0, 1], 0).into();
            let _ = connect_to(port, "/lobby/eve/m", from).await;
        });
        let mut packet = vec![0; 65_536];
        let (length, _) = listener.recv_from(&mut packet).await.unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], server.media));
        listener.send_to(&packet[..length], to).await.unwrap();
        Self {
            connecting,
            _listener: listener,
        }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}

#[tokio::test]
async fn unfinished_handshakes_give_way_to_others_in_time() {
    // In one there is room for no more than stall.
    let full = Server::start(&["--handshake-seconds=5", "--max-handshakes=2"]);
    let roomy = Server::start(&["--handshake-seconds=5", "--max-handshakes=10"]);
    let mut stalled = Vec::new();
    for server in [&full, &roomy] {
        for _ in 0..2 {
            stalled.push(Stalled::begin(server).await);
        }
    }
    // Finds no room at first; QUIC tries again by itself.
    let waits = timeout(PATIENCE, Client::webtransport(&full, "/lobby/ann/m"));
    let mut waits = pin!(waits);
    let others = async {
        for _ in 0..3 {
            Client::webtransport(&roomy, "/lobby/ann/m").await;
        }
    };
    tokio::select! {
        biased;
        _ = &mut waits => panic!("there was room for one more than may be unfinished"),
        () = others => {}
    }
    assert!(waits.await.is_ok(), "in the end there is room");
}
