//! What nodes share of resume tickets, in a JetStream bucket.
//!
//! | key | holds |
//! | --- | --- |
//! | `key.<epoch>` | 32 random bytes, written by whichever node needed them first |
//! | `used.<session>` | nothing: that a ticket of that session was used |
//!
//! Both are written only if they are not there yet. They share a bucket on disk, so that neither a
//! restart nor a loss can bring the keys back without the marks: a NATS server that comes back
//! without its store gives new keys, with which no older ticket opens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Client,
    connection::State,
    jetstream::{
        self, Context,
        context::PublishErrorKind,
        message::PublishMessage,
        stream::{self as bucket, DiscardPolicy, LastRawMessageErrorKind, StorageType},
    },
};
use bytes::Bytes;
use tokio::{sync::watch, time};
use tracing::warn;
use videocall_types::ids::SessionId;

use crate::tickets::{KEY, TicketError, TicketKeys, unix_ms};

const BUCKET: &str = "videocall-tickets";
/// Bytes that the bucket may take; beyond, tickets are refused.
const BUCKET_BYTES: i64 = 64 << 20;
/// How long until what failed is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Refreshes of the keys in the lifetime of a ticket.
const REFRESHES: u32 = 8;

/// A node's view of the bucket.
#[derive(Clone, Debug)]
pub(super) struct TicketBucket {
    client: Client,
    jetstream: Context,
    pub(super) keys: TicketKeys,
    ready: Arc<AtomicBool>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl TicketBucket {
    pub(super) fn new(client: Client, lifetime: Duration) -> Self {
        Self {
            jetstream: jetstream::new(client.clone()),
            client,
            keys: TicketKeys::new(lifetime),
            ready: Arc::default(),
        }
    }

    /// Whether tickets can be sealed and used.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Relaxed) && self.keys.is_ready(unix_ms())
    }

    /// Keeps the keys up to date; `connections` counts.
    pub(super) async fn keep(self, mut connections: watch::Receiver<u64>) {
        let mut told = false;
        loop {
            let mut wait = self.keys.lifetime() / REFRESHES;
            if *connections.borrow_and_update() > 0 {
                let refreshed = self.refresh().await;
                self.ready.store(refreshed.is_ok(), Relaxed);
                if let Err(error) = refreshed {
                    wait = RETRY;
                    if !std::mem::replace(&mut told, true) {
                        warn!(%error, "NATS has no store for tickets: sessions cannot be resumed");
                    }
                } else {
                    told = false;
                }
            }
            tokio::select! {
                () = time::sleep(wait) => {}
                changed = connections.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    async fn refresh(&self) -> Result<(), Failure> {
        let stream = self.open().await?;
        let [previous, current, next] = self.keys.epochs(unix_ms());
        let mut keys = Vec::new();
        if let Some(key) = read(&stream, previous).await? {
            keys.push((previous, key));
        }
        for epoch in [current, next] {
            keys.push((epoch, self.read_or_make(&stream, epoch).await?));
        }
        self.keys.set(keys);
        Ok(())
    }

    async fn open(&self) -> Result<bucket::Stream, Failure> {
        let config = bucket::Config {
            name: format!("KV_{BUCKET}"),
            subjects: vec![format!("$KV.{BUCKET}.>")],
            max_messages_per_subject: 1,
            max_bytes: BUCKET_BYTES,
            max_messages: -1,
            // A key is made up to an epoch early, seals for one, and opens for one more.
            max_age: self.keys.lifetime() * 4,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            deny_delete: true,
            num_replicas: 1,
            ..bucket::Config::default()
        };
        Ok(self.jetstream.get_or_create_stream(config).await?)
    }

    async fn read_or_make(
        &self,
        stream: &bucket::Stream,
        epoch: u64,
    ) -> Result<[u8; KEY], Failure> {
        if let Some(key) = read(stream, epoch).await? {
            return Ok(key);
        }
        let key: [u8; KEY] = rand::random();
        if self.create(&key_subject(epoch), &key).await? {
            return Ok(key);
        }
        // Another node was first.
        let theirs = read(stream, epoch).await?;
        theirs.ok_or_else(|| "the key of another node vanished".into())
    }

    /// Writes what is not there yet; `false` if it is.
    async fn create(&self, subject: &str, value: &[u8]) -> Result<bool, Failure> {
        let message = PublishMessage::build()
            .payload(Bytes::copy_from_slice(value))
            .expected_last_subject_sequence(0);
        let sent = self
            .jetstream
            .send_publish(subject.to_owned(), message)
            .await?;
        match sent.await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn spend(&self, session: SessionId) -> Result<(), TicketError> {
        // Not now and answered with an error, to be carried out after all when NATS is back.
        if self.client.connection_state() != State::Connected {
            return Err(TicketError::Unavailable);
        }
        let subject = format!("$KV.{BUCKET}.used.{session}");
        match self.create(&subject, b"").await {
            Ok(true) => Ok(()),
            Ok(false) => Err(TicketError::Spent),
            Err(_) => Err(TicketError::Unavailable),
        }
    }
}

fn key_subject(epoch: u64) -> String {
    format!("$KV.{BUCKET}.key.{epoch}")
}

async fn read(stream: &bucket::Stream, epoch: u64) -> Result<Option<[u8; KEY]>, Failure> {
    let subject = key_subject(epoch);
    match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => Ok(Some(message.payload[..].try_into()?)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
