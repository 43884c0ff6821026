//! What one delivery costs inside the relay: packets of one publisher to a thousand receivers.
//!
//! `cargo bench -p videocall-relay --bench fan_out`

use std::{
    io::Write,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use videocall_relay::{Counters, Egress, Joined, Meeting, RelayConfig};
use videocall_types::{
    ids::{MediaKind, NodeId, SessionId},
    packet,
    view::Routing,
};

const RECEIVERS: u64 = 1_000;
const ROUNDS: u64 = 400;
/// Packets that wait when a receiver's writer gets its turn.
const PACKETS_PER_ROUND: u64 = 4;

struct Bench {
    meeting: Meeting,
    publisher: SessionId,
    receivers: Vec<Arc<Egress>>,
    now: Instant,
    number: u64,
    out: Vec<videocall_relay::Outgoing>,
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
                secret: [0; 16],
                joined_ms: 0,
            };
            let egress = meeting.join(now, joined);
            if number > 1 {
                receivers.push(egress);
            }
        }
        Some(Self {
            meeting,
            publisher,
            receivers,
            now,
            number: 0,
            out: Vec::new(),
        })
    }

    fn packet(&mut self, kind: MediaKind) -> Bytes {
        self.number += 1;
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

    /// Nanoseconds for each delivery, pushing and taking.
    fn run(&mut self, kind: MediaKind) -> (f64, f64) {
        let (mut pushing, mut taking) = (Duration::ZERO, Duration::ZERO);
        self.number = 0;
        let mut taken = 0;
        for _ in 0..ROUNDS {
            let packets: Vec<Bytes> = (0..PACKETS_PER_ROUND).map(|_| self.packet(kind)).collect();
            self.now += Duration::from_millis(20);
            let start = Instant::now();
            for packet in packets {
                let sent = self.meeting.receive(self.now, self.publisher, packet);
                assert!(sent.is_ok(), "the packet is the publisher's own");
            }
            pushing += start.elapsed();
            let mut context = Context::from_waker(Waker::noop());
            let start = Instant::now();
            for egress in &self.receivers {
                // Until there is nothing left, as a writer does, and so the waker is set.
                while egress
                    .poll_batch(&mut context, self.now, 64, 1 << 16, &mut self.out)
                    .is_ready()
                {}
                taken += self
                    .out
                    .iter()
                    .filter(|out| !out.packet.is_control())
                    .count() as u64;
                self.out.clear();
            }
            taking += start.elapsed();
        }
        assert_eq!(taken, RECEIVERS * PACKETS_PER_ROUND * ROUNDS, "all arrive");
        let each = |time: Duration| time.as_nanos() as f64 / taken as f64;
        (each(pushing), each(taking))
    }
}

fn main() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    let mut stdout = std::io::stdout();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        // Once to warm up.
        bench.run(kind);
        if kind == MediaKind::Video
            && let Some(fresh) = Bench::new()
        {
            bench = fresh;
        }
        let (push, take) = bench.run(kind);
        let _ = writeln!(
            stdout,
            "{}: {push:.0} ns to push and {take:.0} ns to take, for each of {RECEIVERS} receivers",
            kind.label(),
        );
    }
}
