//! The floors: packets of a publisher to the same number of sockets from a bare loop.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};
use wtransport::{Connection, Endpoint, Identity, ServerConfig};

/// Longest packet that goes as a datagram.
const DATAGRAM: usize = 1000;

/// Copies the packets of the first connection, each behind its length, to all others.
pub(crate) async fn tcp() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {}", listener.local_addr()?.port());
    let (mut publisher, _) = listener.accept().await?;
    publisher.write_u8(0).await?;
    let receivers = Arc::new(Mutex::new(Vec::new()));
    let arriving = receivers.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            let mut receivers = arriving.lock().await;
            if socket.write_u8(0).await.is_ok() {
                receivers.push(socket);
            }
        }
    });
    loop {
        let mut length = [0; 4];
        if publisher.read_exact(&mut length).await.is_err() {
            return Ok(());
        }
        let mut packet = length.to_vec();
        packet.resize(4 + u32::from_be_bytes(length) as usize, 0);
        publisher.read_exact(&mut packet[4..]).await?;
        for socket in receivers.lock().await.iter_mut() {
            socket.write_all(&packet).await?;
        }
    }
}

/// Copies datagrams, and streams that hold a packet each, of the first connection to all others.
pub(crate) async fn quic() -> Result<()> {
    let identity = Identity::self_signed(["localhost", "127.0.0.1"])?;
    let config = ServerConfig::builder()
        .with_bind_address("127.0.0.1:0".parse()?)
        .with_identity(identity)
        .build();
    let endpoint = Endpoint::server(config)?;
    println!("ready {}", endpoint.local_addr()?.port());
    let publisher = endpoint.accept().await.await?.accept().await?;
    let receivers = Arc::new(Mutex::new(Vec::new()));
    let arriving = receivers.clone();
    tokio::spawn(async move {
        loop {
            let incoming = endpoint.accept().await;
            let arriving = arriving.clone();
            tokio::spawn(async move {
                let Ok(request) = incoming.await else { return };
                if let Ok(connection) = request.accept().await {
                    arriving.lock().await.push(connection);
                }
            });
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
