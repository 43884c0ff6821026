//! WebTransport: control on one bidirectional stream, sound in datagrams, each picture on a
//! unidirectional stream of its own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time,
};
use videocall_types::close::CloseReason;
use wtransport::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, VarInt,
    error::{ConnectingError, ConnectionError},
    tls::Sha256Digest,
};

use super::link::{Incoming, Link, MAX_INCOMING, OpenError, Trust};
use crate::core::session::{Delivery, Transmit};

/// Pictures being sent, or received, at once.
const STREAMS: usize = 64;
/// A picture that is not through by then is of no use.
const STALE_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn open(base: &str, path: &str, trust: &Trust) -> Result<Link, OpenError> {
    let builder = ClientConfig::builder().with_bind_default();
    let config = match trust {
        Trust::System => builder.with_native_certs(),
        Trust::Hashes(hashes) => builder
            .with_server_certificate_hashes(hashes.iter().map(|hash| Sha256Digest::new(*hash))),
    }
    .build();
    let endpoint = Endpoint::client(config).map_err(failed)?;
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let connection = endpoint.connect(url).await.map_err(|error| match error {
        ConnectingError::ConnectionError(end) => refused(&end),
        other => failed(other),
    })?;
    let opening = connection.open_bi().await.map_err(|end| refused(&end))?;
    let (control_out, control_in) = opening.await.map_err(failed)?;
    let (mut link, ends) = Link::new();
    link.spawn(read(connection.clone(), control_in, ends.incoming));
    link.spawn(write(connection, control_out, ends.outgoing));
    Ok(link)
}

fn failed(error: impl ToString) -> OpenError {
    OpenError::WebTransport(error.to_string())
}

fn refused(end: &ConnectionError) -> OpenError {
    match told(end) {
        (Some(reason), text) => OpenError::Refused { reason, text },
        (None, text) => OpenError::WebTransport(text),
    }
}

/// Reason and text of the end of a connection.
fn told(end: &ConnectionError) -> (Option<CloseReason>, String) {
    let ConnectionError::ApplicationClosed(close) = end else {
        return (None, end.to_string());
    };
    let reason = u32::try_from(close.code().into_inner())
        .ok()
        .and_then(CloseReason::from_code);
    let text = String::from_utf8_lossy(close.reason()).into_owned();
    (reason, text)
}

async fn read(connection: Connection, control: RecvStream, incoming: mpsc::Sender<Incoming>) {
    // Until the connection ends or nobody listens any more; the readers themselves never end it.
    tokio::select! {
        () = read_datagrams(&connection, &incoming) => {}
        () = read_streams(&connection, &incoming) => {}
        () = read_control(control, &incoming) => {}
        () = incoming.closed() => return,
    }
    let end = connection.closed().await;
    let (reason, text) = told(&end);
    let _ = incoming.send(Incoming::Ended(reason, text)).await;
}

async fn read_datagrams(connection: &Connection, incoming: &mpsc::Sender<Incoming>) {
    while let Ok(datagram) = connection.receive_datagram().await {
        // Sound that nobody takes in time is not worth waiting for.
        let _ = incoming.try_send(Incoming::Packet(datagram.payload()));
    }
}

async fn read_streams(connection: &Connection, incoming: &mpsc::Sender<Incoming>) {
    let places = Arc::new(Semaphore::new(STREAMS));
    let mut readers = JoinSet::new();
    while let Ok(mut stream) = connection.accept_uni().await {
        while readers.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let incoming = incoming.clone();
        readers.spawn(async move {
            let _place = place;
            // One that is reset was given up by the server.
            if let Ok(packet) = stream.quic_stream_mut().read_to_end(MAX_INCOMING).await {
                let _ = incoming.send(Incoming::Packet(packet.into())).await;
            }
        });
    }
}

async fn read_control(mut control: RecvStream, incoming: &mpsc::Sender<Incoming>) {
    let mut length = [0; 4];
    while control.read_exact(&mut length).await.is_ok() {
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_INCOMING {
            return;
        }
        let mut packet = vec![0; length];
        if control.read_exact(&mut packet).await.is_err()
            || incoming
                .send(Incoming::Packet(packet.into()))
                .await
                .is_err()
        {
            return;
        }
    }
}

async fn write(
    connection: Connection,
    mut control: SendStream,
    mut outgoing: mpsc::Receiver<Transmit>,
) {
    let mut pictures = JoinSet::new();
    while let Some(Transmit { bytes, delivery }) = outgoing.recv().await {
        while pictures.try_join_next().is_some() {}
        let priority = match delivery {
            Delivery::Control => {
                let length = (bytes.len() as u32).to_be_bytes();
                if control.write_all(&length).await.is_err()
                    || control.write_all(&bytes).await.is_err()
                {
                    return;
                }
                continue;
            }
            Delivery::Datagram if connection.send_datagram(&bytes).is_ok() => continue,
            Delivery::Datagram => 0,
            Delivery::Stream { priority } => priority,
        };
        if pictures.len() < STREAMS {
            pictures.spawn(send_picture(connection.clone(), bytes, priority));
        }
    }
    // Returns when the server has all of it, Close included.
    let _ = control.finish().await;
    let code = VarInt::from_u32(CloseReason::Normal.code());
    connection.close(code, CloseReason::Normal.text().as_bytes());
}

async fn send_picture(connection: Connection, bytes: Bytes, priority: i32) {
    let send = async {
        let stream = connection.open_uni().await.ok()?.await.ok()?;
        stream.set_priority(priority);
        let mut stream = ResetUnlessFinished(stream);
        let quic = stream.0.quic_stream_mut();
        quic.write_chunk(bytes).await.ok()?;
        stream.0.finish().await.ok()
    };
    let _ = time::timeout(STALE_AFTER, send).await;
}

/// A picture that is given up must not look whole to the server.
struct ResetUnlessFinished(SendStream);

impl Drop for ResetUnlessFinished {
    fn drop(&mut self) {
        // Fails on one that is finished, which is as it should be.
        let _ = self.0.reset(VarInt::from_u32(0));
    }
}
