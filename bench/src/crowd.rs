//! A publisher and its receivers.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::{task::JoinSet, time};
use videocall_types::{
    ids::MediaKind,
    packet,
    view::{PacketView, Routing},
    wire::packet_wrapper::PacketType,
};

use crate::{
    peer::{Address, PATIENCE, Peer, Server},
    process,
};

/// What is published.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) receivers: usize,
    pub(crate) audio: bool,
    pub(crate) per_second: u32,
    pub(crate) packets: u32,
}

/// Deliveries a second that leave a processor idle for most of the time: thirty pictures a second
/// for two hundred.
const DELIVERIES: u32 = 6000;
/// Packets a second, at most.
const PACKETS: u32 = 250;
/// Measured this often, in turn with the floor; the round with the median ratio counts.
const ROUNDS: usize = 5;

impl Load {
    /// For a second.
    pub(crate) fn usual(receivers: usize, audio: bool) -> Self {
        let per_second = (DELIVERIES / receivers as u32).min(PACKETS);
        Self {
            receivers,
            audio,
            per_second,
            packets: per_second,
        }
    }

    /// Payload of a packet: 20 ms of Opus, or a frame of a small picture.
    fn bytes(&self) -> usize {
        if self.audio { 120 } else { 4000 }
    }

    pub(crate) fn kind(&self) -> &'static str {
        if self.audio { "audio" } else { "video" }
    }
}

/// What receivers saw.
#[derive(Default)]
struct Received {
    packets: AtomicU64,
    /// Receivers that had a packet at all.
    ready: AtomicU64,
    /// Microseconds from sending to receiving; empty where nobody asked.
    delays: Mutex<Option<Histogram<u64>>>,
}

/// What became of a load.
pub(crate) struct Outcome {
    pub(crate) delivered: u64,
    pub(crate) sent: u64,
    /// CPU seconds of this process, publisher and receivers together.
    pub(crate) client_seconds: f64,
}

pub(crate) struct Crowd {
    publisher: Peer,
    received: Arc<Received>,
    /// Ended with the crowd.
    _receivers: JoinSet<()>,
    number: u64,
}

impl Crowd {
    /// Publisher and receivers, all of them connected and served.
    pub(crate) async fn gather(
        publish_at: Address,
        receive_at: Address,
        load: &Load,
    ) -> Result<Self> {
        let publisher = Peer::join(publish_at, "bench", "publisher").await?;
        let received = Arc::new(Received::default());
        let mut receivers = JoinSet::new();
        for n in 0..load.receivers {
            let peer = Peer::join(receive_at, "bench", &format!("r{n}")).await?;
            receivers.spawn(receive(peer, received.clone()));
        }
        let mut crowd = Self {
            publisher,
            received,
            _receivers: receivers,
            number: 0,
        };
        let everybody = async {
            // Nodes and loops learn of a receiver some time after the receiver itself knows.
            while crowd.received.ready.load(Relaxed) < load.receivers as u64 {
                crowd.publish(load).await?;
                time::sleep(Duration::from_millis(20)).await;
            }
            crowd.settle(u64::MAX).await;
            Ok(())
        };
        let outcome: Result<()> = time::timeout(PATIENCE, everybody)
            .await
            .context("not every receiver was served")?;
        outcome?;
        Ok(crowd)
    }

    async fn publish(&mut self, load: &Load) -> Result<()> {
        self.number += 1;
        let number = self.number;
        let routing = Routing {
            kind: if load.audio {
                MediaKind::Audio
            } else {
                MediaKind::Video
            },
            stream_id: 1,
            spatial: 0,
            temporal: 0,
            keyframe: !load.audio && number == 1,
            depends_back: u8::from(!load.audio && number > 1),
            frame_number: number,
            capture_us: now_us(),
            audio_level: 30,
            encrypted: false,
        };
        let payload = Bytes::from(vec![7; load.bytes()]);
        let packet = packet::sealed_media(self.publisher.session, &Bytes::new(), routing, payload);
        self.publisher.publish(packet, load.audio).await
    }

    /// Publishes a load and waits until it has arrived, or nothing more comes.
    pub(crate) async fn carry(&mut self, load: &Load) -> Result<Outcome> {
        let already = self.received.packets.load(Relaxed);
        let cpu = process::cpu_seconds("self")?;
        let mut pace = time::interval(Duration::from_secs(1) / load.per_second);
        for _ in 0..load.packets {
            pace.tick().await;
            self.publish(load).await?;
        }
        let sent = u64::from(load.packets) * load.receivers as u64;
        self.settle(already + sent).await;
        let delivered = self.received.packets.load(Relaxed) - already;
        ensure!(
            delivered * 100 >= sent * 95,
            "only {delivered} of {sent} were delivered"
        );
        Ok(Outcome {
            delivered,
            sent,
            client_seconds: process::cpu_seconds("self")? - cpu,
        })
    }

    /// As [`Self::carry`], with how long the packets were on their way.
    pub(crate) async fn carry_timed(&mut self, load: &Load) -> Result<(Outcome, Histogram<u64>)> {
        *self.received.delays.lock() = Some(Histogram::new(3)?);
        let outcome = self.carry(load).await?;
        let delays = self.received.delays.lock().take();
        Ok((outcome, delays.context("no delays")?))
    }

    /// Waits for a number of packets, or until no more come: datagrams may be lost, also on the
    /// loopback interface.
    async fn settle(&self, count: u64) {
        let (mut last, mut quiet) = (0, 0);
        while quiet < 100 {
            let now = self.received.packets.load(Relaxed);
            if now >= count {
                return;
            }
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
            time::sleep(Duration::from_millis(3)).await;
        }
    }
}

/// CPU microseconds of a server for each delivered packet, and those of its floor.
pub(crate) async fn compare(servers: [&Server; 2], load: &Load) -> Result<(f64, f64)> {
    let mut crowds = Vec::new();
    for server in servers {
        crowds.push(Crowd::gather(server.address, server.address, load).await?);
    }
    // Receivers that never sleep: on a network nobody is woken by a packet that leaves, and what it
    // costs to wake a process of this machine would hide what it costs to send.
    let awake = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut costs = [0.0; 2];
        for ((cost, server), crowd) in costs.iter_mut().zip(servers).zip(&mut crowds) {
            let before = server.process.cpu_seconds()?;
            let outcome = crowd.carry(load).await?;
            let used = server.process.cpu_seconds()? - before;
            *cost = used * 1e6 / outcome.delivered as f64;
        }
        rounds.push((costs[0], costs[1]));
    }
    awake.abort();
    rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    Ok(rounds[ROUNDS / 2])
}

async fn receive(peer: Peer, received: Arc<Received>) {
    let mut first = true;
    peer.receive(|packet| {
        let Ok(view) = PacketView::parse(packet) else {
            return;
        };
        let Some(routing) = view.routing.filter(|_| view.is(PacketType::Media)) else {
            return;
        };
        if std::mem::take(&mut first) {
            received.ready.fetch_add(1, Relaxed);
        }
        received.packets.fetch_add(1, Relaxed);
        if let Some(delays) = received.delays.lock().as_mut() {
            delays.saturating_record(now_us().saturating_sub(routing.capture_us));
        }
    })
    .await;
}

/// Microseconds since this process first asked.
fn now_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64 + 1
}
