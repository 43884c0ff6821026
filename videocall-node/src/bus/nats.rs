//! The bus over NATS: core subjects for packets and messages, a JetStream key-value bucket for the
//! roster.
//!
//! | subject | holds |
//! | --- | --- |
//! | `videocall.<meeting>.all.control` | a `BusControl` |
//! | `videocall.<meeting>.all.<session>.<kind>.<layer>` | sound, and what is no stream, as it came in |
//! | `videocall.<meeting>.picture.<session>.<kind>.<layer>` | the same of a camera or a screen |
//! | `videocall.probe` | nothing, heard by nobody: the server's answer tells how long the bus takes |
//!
//! A node has one subscription per meeting, `videocall.<meeting>.all.>`, and one for each layer that
//! its people watch (`interest.rs`), however many they are; the connection is opened with `no_echo`,
//! so its own messages never come back. The bucket is read when a meeting begins on a
//! node, not watched: what changes later comes as messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event, RequestErrorKind, Subject,
    connection::State,
    jetstream::{
        self,
        stream::{self as bucket, DiscardPolicy, StorageType},
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
    time,
};
use tracing::{info, warn};
use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    wire::{
        Message,
        bus::{BusControl, NodeRoster, bus_control},
    },
};

use super::{
    Bus, BusError, BusEvent, BusHealth, BusSubscription, MediaSubject,
    interest::{Interests, gather},
    nats_tickets::TicketBucket,
    queue,
};
use crate::tickets::{TicketError, TicketKeys};

/// Messages that may wait for the connection, and their bytes.
const QUEUE: usize = 8192;
const QUEUE_BYTES: usize = 32 << 20;
/// Messages that wait behind those, in the library, which does not count bytes.
const SENDING: usize = 64;
/// Messages that may wait for one meeting, and their bytes.
const SUBSCRIPTION: usize = 8192;
const SUBSCRIPTION_BYTES: usize = 32 << 20;
/// Subjects kept as text.
const SUBJECTS: usize = 10_000;
/// Nodes of one meeting whose rosters are read out of the bucket.
const SHARDS: usize = 1000;
/// How long until a bucket that could not be made is tried again.
const BUCKET_RETRY: Duration = Duration::from_secs(2);
/// How often the bus is measured, and how long an answer is waited for.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
const PROBE_SUBJECT: &str = "videocall.probe";
const BUCKET: &str = "videocall-roster";

/// How to reach NATS.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// `nats://user:password@host:port`, several separated by commas.
    pub url: String,
    /// How long a node's part of a roster outlives the node.
    pub roster_ttl: Duration,
    /// How long a resume ticket is good; alike on all nodes.
    pub ticket_lifetime: Duration,
}

impl NatsConfig {
    /// The usual times.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            roster_ttl: Duration::from_secs(15),
            ticket_lifetime: Duration::from_secs(3600),
        }
    }
}

#[derive(Debug)]
enum Command {
    Media(String, MediaSubject, Bytes),
    Control(String, BusControl),
    Roster(String, NodeId, NodeRoster),
    /// A meeting begins here, and takes messages from this queue.
    Begin(String, queue::Sender<async_nats::Message>),
    /// To be answered by the NATS server itself.
    Probe(oneshot::Sender<()>),
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Media(_, _, bytes) => bytes.len(),
            Self::Control(_, message) => message.encoded_len(),
            Self::Roster(_, _, roster) => roster.encoded_len(),
            Self::Begin(..) | Self::Probe(_) => 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Status {
    bucket: AtomicBool,
    pub(super) dropped: AtomicU64,
    /// Of the last probe that was answered, in microseconds.
    lag_us: AtomicU64,
    /// When the first of those was sent that were not answered since.
    asked: Mutex<Option<time::Instant>>,
    /// Counts connections.
    epoch: watch::Sender<u64>,
}

/// A node's connection to NATS. It is kept, and sought again for ever when lost.
#[derive(Debug)]
pub struct NatsBus {
    client: Client,
    commands: queue::Sender<Command>,
    status: Arc<Status>,
    bucket: watch::Receiver<Option<bucket::Stream>>,
    tickets: TicketBucket,
    tasks: [AbortHandle; 4],
}

impl NatsBus {
    /// Starts connecting; does not wait until it is.
    ///
    /// # Errors
    /// The address makes no sense.
    pub async fn connect(config: NatsConfig) -> Result<Self, BusError> {
        let status = Arc::new(Status {
            bucket: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            lag_us: AtomicU64::new(0),
            asked: Mutex::default(),
            epoch: watch::Sender::new(0),
        });
        let servers: Vec<String> = config
            .url
            .split(',')
            .map(|server| server.trim().to_owned())
            .collect();
        let events = status.clone();
        let client = ConnectOptions::new()
            .name("videocall")
            .no_echo()
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(3))
            .ping_interval(Duration::from_secs(5))
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis((100 << attempts.min(5)) as u64)
            })
            .subscription_capacity(SUBSCRIPTION)
            .client_capacity(SENDING)
            .event_callback(move |event| {
                let status = events.clone();
                async move { status.note(&event) }
            })
            .connect(servers)
            .await
            .map_err(|error| BusError::Address {
                url: without_password(&config.url),
                error: error.to_string(),
            })?;
        let (commands, received) = queue::bounded(QUEUE, QUEUE_BYTES);
        let (store, bucket) = watch::channel(None);
        let tickets = TicketBucket::new(client.clone(), config.ticket_lifetime);
        let ticket_keeper = tokio::spawn(tickets.clone().keep(status.epoch.subscribe()));
        let keeper = tokio::spawn(keep_bucket(client.clone(), config, status.clone(), store));
        let sender = tokio::spawn(send(client.clone(), received, status.clone()));
        let prober = tokio::spawn(probe(commands.clone(), status.clone()));
        let tasks = [keeper, sender, ticket_keeper, prober].map(|task| task.abort_handle());
        Ok(Self {
            client,
            commands,
            status,
            bucket,
            tickets,
            tasks,
        })
    }

    fn command(&self, command: Command) {
        if !self.commands.offer(command.bytes(), command) {
            self.status.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for NatsBus {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Status {
    /// That of the last probe, or of the one that waits if that is more.
    fn lag(&self) -> Duration {
        let last = Duration::from_micros(self.lag_us.load(Relaxed));
        let waited = self.asked.lock().map(|asked| asked.elapsed());
        last.max(waited.unwrap_or_default())
    }

    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                info!("connected to NATS");
                self.epoch.send_modify(|epoch| *epoch += 1);
            }
            Event::Disconnected => {
                warn!("lost NATS: meetings go on, each node by itself");
                self.bucket.store(false, Relaxed);
            }
            Event::SlowConsumer(_) => {
                self.dropped.fetch_add(1, Relaxed);
            }
            other => warn!(event = %other, "NATS"),
        }
    }
}

/// Makes the bucket, again after each connection: a NATS server may come back without it.
async fn keep_bucket(
    client: Client,
    config: NatsConfig,
    status: Arc<Status>,
    store: watch::Sender<Option<bucket::Stream>>,
) {
    let mut epoch = status.epoch.subscribe();
    let jetstream = jetstream::new(client);
    let mut told = false;
    loop {
        let mut retry = None;
        if *epoch.borrow_and_update() > 0 {
            let made = make_bucket(&jetstream, config.roster_ttl).await;
            status.bucket.store(made.is_ok(), Relaxed);
            match made {
                Ok(made) => {
                    told = false;
                    store.send_replace(Some(made));
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        warn!(%error, "NATS has no JetStream: rosters go by messages alone");
                    }
                    store.send_replace(None);
                    retry = Some(time::sleep(BUCKET_RETRY));
                }
            }
        }
        let changed = async {
            match retry {
                // A server that has just started may not have its JetStream ready.
                Some(retry) => tokio::select! {
                    () = retry => Ok(()),
                    changed = epoch.changed() => changed,
                },
                None => epoch.changed().await,
            }
        };
        if changed.await.is_err() {
            return;
        }
    }
}

/// The library's own call asks for the account's limits first, in a form that servers before 2.10
/// do not answer; this makes the stream under the bucket as it would.
async fn make_bucket(
    jetstream: &jetstream::Context,
    ttl: Duration,
) -> Result<bucket::Stream, jetstream::context::CreateStreamError> {
    let config = bucket::Config {
        name: format!("KV_{BUCKET}"),
        subjects: vec![format!("$KV.{BUCKET}.>")],
        max_messages_per_subject: 1,
        max_bytes: -1,
        max_messages: -1,
        max_age: ttl,
        duplicate_window: ttl,
        storage: StorageType::Memory,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        num_replicas: 1,
        ..bucket::Config::default()
    };
    jetstream.get_or_create_stream(config).await
}

/// Sends everything in the order it was given.
async fn send(client: Client, mut commands: queue::Receiver<Command>, status: Arc<Status>) {
    let mut subjects: FxHashMap<(String, MediaSubject), Subject> = FxHashMap::default();
    let mut interests = Interests::default();
    while let Some(command) = commands.recv().await {
        let is_connected = client.connection_state() == State::Connected;
        let (subject, payload) = match command {
            Command::Begin(meeting, queue) => {
                interests.begin(meeting, queue);
                continue;
            }
            Command::Probe(_) if !is_connected => continue,
            // Old media is of no use, and the rest is told anew after the connection is back.
            _ if !is_connected => {
                status.dropped.fetch_add(1, Relaxed);
                continue;
            }
            Command::Media(meeting, subject, bytes) => {
                if subjects.len() > SUBJECTS {
                    subjects.clear();
                }
                let subject = subjects
                    .entry((meeting, subject))
                    .or_insert_with_key(|(meeting, subject)| media_subject(meeting, subject).into())
                    .clone();
                (subject, bytes)
            }
            Command::Control(meeting, message) => {
                if let Some(bus_control::Message::Demand(demand)) = &message.message {
                    interests.change(&client, &status, &meeting, demand).await;
                }
                (
                    format!("videocall.{meeting}.all.control").into(),
                    message.encode_to_vec().into(),
                )
            }
            Command::Roster(meeting, node, roster) => {
                if !status.bucket.load(Relaxed) {
                    continue;
                }
                // No answer is waited for: what was not written is written again soon.
                (
                    format!("{}{node}", shard_prefix(&meeting)).into(),
                    roster.encode_to_vec().into(),
                )
            }
            Command::Probe(answered) => {
                tokio::spawn(ask_server(client.clone(), answered));
                continue;
            }
        };
        if client.publish(subject, payload).await.is_err() {
            status.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Measures how long what is sent takes through the queue, to the server and back.
async fn probe(commands: queue::Sender<Command>, status: Arc<Status>) {
    let mut probes = time::interval(PROBE_INTERVAL);
    probes.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        probes.tick().await;
        let (answered, answer) = oneshot::channel();
        let start = time::Instant::now();
        status.asked.lock().get_or_insert(start);
        if !commands.send(Command::Probe(answered)).await {
            return;
        }
        if let Ok(Ok(())) = time::timeout(PROBE_TIMEOUT, answer).await {
            let lag = start.elapsed().as_micros() as u64;
            status.lag_us.store(lag, Relaxed);
            *status.asked.lock() = None;
        }
    }
}

/// Nobody listens there, so that the server itself answers at once, behind what it was sent before.
async fn ask_server(client: Client, answered: oneshot::Sender<()>) {
    let asked = client.request(PROBE_SUBJECT, Bytes::new());
    let is_answer = match time::timeout(PROBE_TIMEOUT, asked).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == RequestErrorKind::NoResponders,
        Err(_) => false,
    };
    if is_answer {
        let _ = answered.send(());
    }
}

/// Of the keys of a meeting in the bucket, as subjects.
fn shard_prefix(meeting: &str) -> String {
    format!("$KV.{BUCKET}.{meeting}.")
}

pub(super) fn media_subject(meeting: &str, subject: &MediaSubject) -> String {
    let MediaSubject {
        session,
        kind,
        layer,
    } = subject;
    let to = match kind {
        MediaKind::Video | MediaKind::Screen => "picture",
        _ => "all",
    };
    format!(
        "videocall.{meeting}.{to}.{session}.{}.{layer}",
        kind.label()
    )
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 < at => {
            format!("{}…{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}

/// What the subscriptions to a meeting bring, to be taken when it has the time.
fn packets(received: queue::Receiver<async_nats::Message>) -> impl Stream<Item = BusEvent> + Send {
    let received = stream::unfold(received, |mut received| async move {
        Some((received.recv().await?, received))
    });
    received.filter_map(|message| async move {
        if message.subject.ends_with(".control") {
            // Another version may say what we cannot read.
            return BusControl::decode(message.payload)
                .ok()
                .map(BusEvent::Control);
        }
        Some(BusEvent::Media(message.payload))
    })
}

/// What the bucket holds of a meeting now.
fn shards(bucket: bucket::Stream, meeting: &str) -> impl Stream<Item = BusEvent> + Send + use<> {
    let subject = format!("{}>", shard_prefix(meeting));
    let next = move |from: u64| {
        let (bucket, subject) = (bucket.clone(), subject.clone());
        async move {
            let found = bucket
                .direct_get_next_for_subject(subject, Some(from))
                .await;
            // Also the end of what there is comes as an error.
            let shard = found.ok()?;
            let after = shard.sequence + 1;
            Some((shard, after))
        }
    };
    stream::unfold(1, next)
        .take(SHARDS)
        .filter_map(|shard| async move {
            let node = NodeId::parse(shard.subject.rsplit('.').next()?)?;
            let roster = NodeRoster::decode(shard.payload).ok()?;
            Some(BusEvent::RosterShard(node, roster))
        })
}

fn reconnections(epoch: watch::Receiver<u64>) -> impl Stream<Item = BusEvent> + Send {
    stream::unfold(epoch, |mut epoch| async move {
        epoch.changed().await.ok()?;
        Some((BusEvent::Reconnected, epoch))
    })
}

#[async_trait]
impl Bus for NatsBus {
    async fn subscribe(&self, meeting: &str) -> Result<BusSubscription, BusError> {
        let mut epoch = self.status.epoch.subscribe();
        epoch.mark_unchanged();
        let subscriber = self
            .client
            .subscribe(format!("videocall.{meeting}.all.>"))
            .await
            .map_err(|error| BusError::Disconnected(error.to_string()))?;
        let (queue, received) = queue::bounded(SUBSCRIPTION, SUBSCRIPTION_BYTES);
        // Before any demand of the meeting, which comes by the same way.
        self.commands
            .send(Command::Begin(meeting.to_owned(), queue.clone()))
            .await;
        tokio::spawn(gather(subscriber, queue, self.status.clone()));
        let bucket = self.bucket.borrow().clone();
        let shards = match bucket.filter(|_| self.status.bucket.load(Relaxed)) {
            Some(bucket) => shards(bucket, meeting).left_stream(),
            None => stream::empty().right_stream(),
        };
        Ok(Box::pin(stream::select(
            packets(received),
            stream::select(shards, reconnections(epoch)),
        )))
    }

    fn publish_media(&self, meeting: &str, subject: MediaSubject, bytes: Bytes) {
        self.command(Command::Media(meeting.to_owned(), subject, bytes));
    }

    fn publish_control(&self, meeting: &str, message: BusControl) {
        self.command(Command::Control(meeting.to_owned(), message));
    }

    fn put_roster(&self, meeting: &str, node: &NodeId, roster: NodeRoster) {
        self.command(Command::Roster(meeting.to_owned(), node.clone(), roster));
    }

    fn ticket_keys(&self) -> TicketKeys {
        self.tickets.keys.clone()
    }

    async fn spend_ticket(&self, session: SessionId) -> Result<(), TicketError> {
        self.tickets.spend(session).await
    }

    fn health(&self) -> BusHealth {
        let mut problems = Vec::new();
        let connected = self.client.connection_state() == State::Connected;
        if !connected {
            problems.push("not connected to NATS: nodes cannot hear each other".to_owned());
        } else if !self.status.bucket.load(Relaxed) {
            problems.push(
                "NATS has no JetStream: start it with `-js` so that the roster outlives messages"
                    .to_owned(),
            );
        } else if !self.tickets.is_ready() {
            problems.push("NATS does not keep resume tickets: who comes back is new".to_owned());
        }
        BusHealth {
            connected,
            problems,
            dropped: self.status.dropped.load(Relaxed),
            lag: self.status.lag(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_password() {
        assert_eq!(
            without_password("nats://a:b@host:4222"),
            "nats://…@host:4222"
        );
        assert_eq!(without_password("nats://host:4222"), "nats://host:4222");
    }

    /// The runtime has one thread, which sends nothing before the test waits.
    #[tokio::test]
    async fn bytes_that_wait_for_the_connection_are_bounded() {
        let nobody = NatsConfig::new("nats://127.0.0.1:1");
        let bus = NatsBus::connect(nobody).await.expect("an address");
        let before = bus.health().dropped;
        let packet = Bytes::from(vec![7; 1 << 20]);
        let subject = MediaSubject {
            session: SessionId::new(7).expect("valid"),
            kind: MediaKind::Video,
            layer: 0,
        };
        for _ in 0..40 {
            bus.publish_media("ab", subject, packet.clone());
        }
        assert_eq!(bus.health().dropped - before, 8);
    }

    #[test]
    fn subjects_tell_publisher_kind_and_layer() {
        let session = SessionId::new(7).expect("valid");
        let subject = MediaSubject {
            session,
            kind: MediaKind::Video,
            layer: 2,
        };
        assert_eq!(
            media_subject("ab", &subject),
            "videocall.ab.picture.7.video.2"
        );
    }
}
