//! The least work that could do it: bytes in from one socket, out to all others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
    time,
};
use wtransport::{ClientConfig, Connection, Endpoint, Identity, ServerConfig};

use crate::{
    meeting::{Load, Transport, wait_for},
    per_delivery,
    process::{Process, beside},
};

/// Longest packet that goes as a datagram.
const DATAGRAM: usize = 1000;
/// What our protocol adds to a payload: the floor sends as many bytes as the server.
const HEADER: usize = 40;

/// TCP: each message behind its length. The first who connects publishes.
pub(crate) async fn tcp() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {}", listener.local_addr()?.port());
    let (mut publisher, _) = listener.accept().await?;
    let receivers = Arc::new(Mutex::new(Vec::new()));
    let arriving = receivers.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            arriving.lock().await.push(socket);
        }
    });
    loop {
        let mut length = [0; 4];
        publisher.read_exact(&mut length).await?;
        let mut packet = length.to_vec();
        packet.resize(4 + u32::from_be_bytes(length) as usize, 0);
        publisher.read_exact(&mut packet[4..]).await?;
        for socket in receivers.lock().await.iter_mut() {
            socket.write_all(&packet).await?;
        }
    }
}

/// QUIC: small packets as datagrams, large ones each on a stream, without anything above it.
pub(crate) async fn quic() -> Result<()> {
    let identity = Identity::self_signed(["localhost", "127.0.0.1"])?;
    let address = "127.0.0.1:0".parse()?;
    let config = ServerConfig::builder()
        .with_bind_address(address)
        .with_identity(identity)
        .build();
    let endpoint = Endpoint::server(config)?;
    println!("ready {}", endpoint.local_addr()?.port());
    let publisher = endpoint.accept().await.await?.accept().await?;
    let receivers = Arc::new(Mutex::new(Vec::new()));
    let arriving = receivers.clone();
    tokio::spawn(async move {
        loop {
            let Ok(request) = endpoint.accept().await.await else {
                continue;
            };
            if let Ok(connection) = request.accept().await {
                arriving.lock().await.push(connection);
            }
        }
    });
    loop {
        let packet: Bytes = tokio::select! {
            datagram = publisher.receive_datagram() => datagram?.payload(),
            stream = publisher.accept_uni() => {
                stream?.quic_stream_mut().read_to_end(1 << 20).await?.into()
            }
        };
        for connection in receivers.lock().await.iter() {
            send(connection, &packet).await?;
        }
    }
}

async fn send(connection: &Connection, packet: &Bytes) -> Result<()> {
    if packet.len() <= DATAGRAM {
        return connection.send_datagram(packet).context("send");
    }
    let mut stream = connection.open_uni().await?.await?;
    stream.quic_stream_mut().write_chunk(packet.clone()).await?;
    stream.quic_stream_mut().finish().context("finish")
}

/// Microseconds of the bare loop's time for each delivered packet.
pub(crate) async fn measure(transport: Transport, load: &Load) -> Result<f64> {
    let program = beside("videocall-bench")?;
    let mode = format!("floor-{}", transport.label());
    let (process, port) = Process::start(program, &[&mode], "ready ")?;
    let port: u16 = port.parse()?;
    let received = Arc::new(AtomicU64::new(0));
    match transport {
        Transport::WebSocket => over_tcp(&process, port, load, &received).await,
        Transport::WebTransport => over_quic(&process, port, load, &received).await,
    }
}

async fn over_tcp(
    process: &Process,
    port: u16,
    load: &Load,
    received: &Arc<AtomicU64>,
) -> Result<f64> {
    let mut publisher = TcpStream::connect(("127.0.0.1", port)).await?;
    publisher.set_nodelay(true)?;
    let mut receivers = JoinSet::new();
    for _ in 0..load.receivers {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        let received = received.clone();
        receivers.spawn(async move {
            let mut length = [0; 4];
            let mut packet = Vec::new();
            while socket.read_exact(&mut length).await.is_ok() {
                packet.resize(u32::from_be_bytes(length) as usize, 0);
                if socket.read_exact(&mut packet).await.is_err() {
                    return;
                }
                received.fetch_add(1, Relaxed);
            }
        });
    }
    let mut packet = ((load.bytes + HEADER) as u32).to_be_bytes().to_vec();
    packet.resize(4 + load.bytes + HEADER, 7);
    let (before, already) = {
        publisher.write_all(&packet).await?;
        // Receivers are taken one after the other: the first packet may miss the last of them.
        while wait_for_some(received, load.receivers).await.is_err() {
            publisher.write_all(&packet).await?;
        }
        (process.cpu_seconds()?, received.load(Relaxed))
    };
    let mut pace = time::interval(Duration::from_secs(1) / load.per_second);
    for _ in 0..load.packets {
        pace.tick().await;
        publisher.write_all(&packet).await?;
    }
    finish(process, before, already, load, received).await
}

async fn over_quic(
    process: &Process,
    port: u16,
    load: &Load,
    received: &Arc<AtomicU64>,
) -> Result<f64> {
    let url = format!("https://127.0.0.1:{port}/");
    let connect = || async {
        let config = ClientConfig::builder()
            .with_bind_default()
            .with_no_cert_validation()
            .build();
        Endpoint::client(config)?
            .connect(&url)
            .await
            .context("connect")
    };
    let publisher = connect().await?;
    let mut receivers = JoinSet::new();
    for _ in 0..load.receivers {
        let connection = connect().await?;
        let received = received.clone();
        receivers.spawn(async move {
            loop {
                tokio::select! {
                    datagram = connection.receive_datagram() => if datagram.is_err() { return },
                    stream = connection.accept_uni() => match stream {
                        Ok(mut stream) => {
                            if stream.quic_stream_mut().read_to_end(1 << 20).await.is_err() {
                                continue;
                            }
                        }
                        Err(_) => return,
                    },
                }
                received.fetch_add(1, Relaxed);
            }
        });
    }
    let packet = Bytes::from(vec![7; load.bytes + HEADER]);
    let publish = || send(&publisher, &packet);
    publish().await?;
    while wait_for_some(received, load.receivers).await.is_err() {
        publish().await?;
    }
    let (before, already) = (process.cpu_seconds()?, received.load(Relaxed));
    let mut pace = time::interval(Duration::from_secs(1) / load.per_second);
    for _ in 0..load.packets {
        pace.tick().await;
        publish().await?;
    }
    finish(process, before, already, load, received).await
}

async fn wait_for_some(received: &AtomicU64, count: usize) -> Result<()> {
    time::timeout(Duration::from_millis(300), wait_for(received, count as u64)).await?
}

async fn finish(
    process: &Process,
    before: f64,
    already: u64,
    load: &Load,
    received: &AtomicU64,
) -> Result<f64> {
    let sent = u64::from(load.packets) * load.receivers as u64;
    let _ = wait_for(received, already + sent).await;
    let delivered = received.load(Relaxed) - already;
    ensure!(
        delivered * 100 >= sent * 95,
        "only {delivered} of {sent} were delivered"
    );
    per_delivery(process, before, delivered)
}
