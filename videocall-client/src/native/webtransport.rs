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

use super::{
    link::{self, Incoming, Link, MAX_INCOMING, OpenError, Trust},
    sending::Sending,
};
use crate::core::{
    outbox::{Outgoing, Waits},
    session::{Delivery, Transmit},
};

/// Pictures being sent, or received, at once.
const STREAMS: usize = 64;
/// A picture that is not through by then is of no use.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// Order of the control stream among streams.
const CONTROL_PRIORITY: i32 = 1000;

pub(super) async fn open(base: &str, path: &str, trust: &Trust) -> Result<link::Opened, OpenError> {
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
    // Ahead of every picture.
    control_out.set_priority(CONTROL_PRIORITY);
    Ok(link::Opened::WebTransport(Box::new(Opened {
        connection,
        control_out,
        control_in,
    })))
}

/// A connection that nothing was sent on.
pub(super) struct Opened {
    connection: Connection,
    control_out: SendStream,
    control_in: RecvStream,
}

impl Opened {
    pub(super) fn start(self, sending: Arc<Sending>) -> Link {
        let (mut link, incoming) = Link::new();
        let connection = self.connection;
        link.spawn(read(connection.clone(), self.control_in, incoming));
        let number = sending.begin(Waits::Acknowledged);
        link.spawn(write(connection, self.control_out, sending, number));
        link
    }
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
    sending: Arc<Sending>,
    number: u64,
) {
    let mut pictures = JoinSet::new();
    while let Some(Outgoing { transmit, picture }) = sending.next(number).await {
        while pictures.try_join_next().is_some() {}
        let Transmit {
            bytes, delivery, ..
        } = transmit;
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
            let (connection, sending) = (connection.clone(), sending.clone());
            pictures.spawn(async move {
                let arrived = send_picture(connection, bytes, priority).await;
                sending.finished(number, picture, arrived);
            });
        } else {
            sending.finished(number, picture, false);
        }
    }
    // Returns when the server has all of it, Close included.
    let _ = control.finish().await;
    let code = VarInt::from_u32(CloseReason::Normal.code());
    connection.close(code, CloseReason::Normal.text().as_bytes());
}

/// Whether the server acknowledged all of it.
async fn send_picture(connection: Connection, bytes: Bytes, priority: i32) -> bool {
    let send = async {
        let stream = connection.open_uni().await.ok()?.await.ok()?;
        stream.set_priority(priority);
        let mut stream = ResetUnlessFinished(stream);
        let quic = stream.0.quic_stream_mut();
        quic.write_chunk(bytes).await.ok()?;
        stream.0.finish().await.ok()
    };
    matches!(time::timeout(STALE_AFTER, send).await, Ok(Some(())))
}

/// A picture that is given up must not look whole to the server.
struct ResetUnlessFinished(SendStream);

impl Drop for ResetUnlessFinished {
    fn drop(&mut self) {
        // Fails on one that is finished, which is as it should be.
        let _ = self.0.reset(VarInt::from_u32(0));
    }
}
