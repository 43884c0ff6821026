//! A relay that carries each byte later, for one transport.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, tcp},
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use crate::{clients::Way, process::Server};

/// Carries until it is dropped.
pub(crate) struct Delay {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    is_cut: AtomicBool,
    cut: Notify,
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

impl Delay {
    pub(crate) async fn start(way: Way, server: &Server, one_way: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let to = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (port, task) = match way {
            Way::WebSocket => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = listener.local_addr().unwrap().port();
                let carry = carry_tcp(listener, to(server.http), one_way, shared.clone());
                (port, tokio::spawn(carry))
            }
            Way::WebTransport => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let port = socket.local_addr().unwrap().port();
                let carry = carry_udp(socket, to(server.media), one_way, shared.clone());
                (port, tokio::spawn(carry))
            }
        };
        Self {
            port,
            shared,
            task: task.abort_handle(),
        }
    }

    /// Breaks what there is: TCP connections are closed, datagrams vanish.
    pub(crate) fn cut(&self) {
        self.shared.is_cut.store(true, SeqCst);
        self.shared.cut.notify_waiters();
    }

    /// Carries again what comes from now on.
    pub(crate) fn mend(&self) {
        self.shared.is_cut.store(false, SeqCst);
    }
}

async fn carry_tcp(listener: TcpListener, to: SocketAddr, one_way: Duration, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.is_cut.load(SeqCst) {
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move {
            let cut = shared.cut.notified();
            let server = TcpStream::connect(to).await.unwrap();
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = cut => {}
                () = copy_later(from_client, to_server, one_way) => {}
                () = copy_later(from_server, to_client, one_way) => {}
            }
        });
    }
}

async fn copy_later(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, one_way: Duration) {
    let (sender, mut late) = mpsc::channel::<(Instant, Vec<u8>)>(4096);
    let read = async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let packet = (Instant::now() + one_way, buffer[..length].to_vec());
            if sender.send(packet).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, bytes)) = late.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

async fn carry_udp(socket: UdpSocket, to: SocketAddr, one_way: Duration, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut servers: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    loop {
        // A client that is gone may be reported here.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if shared.is_cut.load(SeqCst) {
            // What is mended must not carry what was cut.
            servers.insert(client, Arc::new(dead_end().await));
            continue;
        }
        let server = match servers.get(&client) {
            Some(server) => server.clone(),
            None => {
                let server = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                server.connect(to).await.unwrap();
                servers.insert(client, server.clone());
                tokio::spawn(back(
                    server.clone(),
                    socket.clone(),
                    client,
                    one_way,
                    shared.clone(),
                ));
                server
            }
        };
        let packet = buffer[..length].to_vec();
        tokio::spawn(async move {
            tokio::time::sleep(one_way).await;
            let _ = server.send(&packet).await;
        });
    }
}

/// A socket that leads nowhere: to itself.
async fn dead_end() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).await.unwrap();
    socket
}

async fn back(
    server: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    one_way: Duration,
    shared: Arc<Shared>,
) {
    let cut = shared.cut.notified();
    let carry = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(length) = server.recv(&mut buffer).await {
            let (socket, packet) = (socket.clone(), buffer[..length].to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(one_way).await;
                let _ = socket.send_to(&packet, client).await;
            });
        }
    };
    tokio::select! {
        () = cut => {}
        () = carry => {}
    }
}
