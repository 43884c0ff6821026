//! What one delivery costs inside the relay: packets of one publisher to a thousand receivers.
//!
//! `cargo bench -p videocall-relay --bench fan_out`

#![allow(missing_docs)] // of functions that criterion makes

use std::{
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use videocall_relay::{BatchLimits, Counters, Egress, Joined, Meeting, Outgoing, RelayConfig};
use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    packet,
    view::Routing,
};

const RECEIVERS: u64 = 1_000;

/// As much as a connection's writer takes.
const BATCH: BatchLimits = BatchLimits {
    packets: 64,
    bytes: 1 << 16,
    pictures: true,
};

/// A meeting with time of its own.
struct Bench {
    meeting: Meeting,
    publisher: SessionId,
    receivers: Vec<Arc<Egress>>,
    now: Instant,
    number: u64,
    out: Vec<Outgoing>,
}

impl Bench {
    fn new() -> Option<Self> {
        let now = Instant::now();
        let mut meeting = Meeting::new(
            NodeId::from_random(1),
            Arc::new(RelayConfig::default()),
            Arc::new(Counters::default()),
        );
        let publisher = SessionId::new(1)?;
        let mut receivers = Vec::new();
        for number in 1..=RECEIVERS + 1 {
            let joined = Joined {
                session: SessionId::new(number)?,
                user_id: String::from("user"),
                display_name: String::from("user"),
                joined_ms: 0,
            };
            let egress = meeting.join(now, joined);
            if number > 1 {
                receivers.push(egress);
            }
        }
        let mut bench = Self {
            meeting,
            publisher,
            receivers,
            now,
            number: 0,
            out: Vec::new(),
        };
        // The rosters of a thousand joins.
        bench.take();
        Some(bench)
    }

    fn packet(&mut self, kind: MediaKind) -> Bytes {
        self.number += 1;
        self.now += Duration::from_millis(20);
        let is_audio = kind == MediaKind::Audio;
        let routing = Routing {
            kind,
            stream_id: 1,
            spatial: 0,
            temporal: 0,
            keyframe: !is_audio && self.number == 1,
            depends_back: u8::from(!is_audio && self.number > 1),
            frame_number: self.number,
            capture_us: self.number * 20_000,
            audio_level: 30,
            encrypted: false,
        };
        let length = if is_audio { 120 } else { 4_000 };
        let payload = vec![0; length].into();
        packet::sealed_media(self.publisher, &Bytes::new(), routing, payload)
    }

    fn push(&mut self, packet: Bytes) {
        let sent = self.meeting.receive(self.now, self.publisher, packet);
        assert!(sent.is_ok(), "the packet is the publisher's own");
    }

    /// As writers do: until there is nothing left, so that the waker is set.
    fn take(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = 0;
        for egress in &self.receivers {
            while egress
                .poll_batch(&mut context, self.now, BATCH, &mut self.out)
                .is_ready()
            {}
            taken += self.out.len();
            self.out.clear();
        }
        taken
    }
}

fn fan_out(criterion: &mut Criterion) {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let Some(bench) = Bench::new() else { return };
        let bench = std::cell::RefCell::new(bench);
        let mut group = criterion.benchmark_group("push");
        group.throughput(Throughput::Elements(RECEIVERS));
        group.bench_function(kind.label(), |bencher| {
            bencher.iter_batched(
                || {
                    let mut bench = bench.borrow_mut();
                    bench.take();
                    bench.packet(kind)
                },
                |packet| bench.borrow_mut().push(packet),
                BatchSize::PerIteration,
            );
        });
        group.finish();
        let mut group = criterion.benchmark_group("take");
        group.throughput(Throughput::Elements(RECEIVERS));
        group.bench_function(kind.label(), |bencher| {
            bencher.iter_batched(
                || {
                    let mut bench = bench.borrow_mut();
                    let packet = bench.packet(kind);
                    bench.push(packet);
                },
                |()| assert!(bench.borrow_mut().take() >= RECEIVERS as usize),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
