//! What reading a packet's routing header costs.
//!
//! `cargo bench -p videocall-types --bench view`

#![allow(missing_docs)] // of functions that criterion makes

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use videocall_types::{
    ids::{MediaKind, SessionId},
    packet,
    view::{PacketView, Routing},
};

fn media(session: SessionId, bytes: usize) -> Bytes {
    let routing = Routing {
        kind: MediaKind::Video,
        stream_id: 1,
        spatial: 2,
        temporal: 1,
        keyframe: false,
        depends_back: 1,
        frame_number: 123_456,
        capture_us: 1_234_567_890,
        audio_level: 0,
        encrypted: true,
    };
    packet::sealed_media(session, &Bytes::new(), routing, vec![7; bytes].into())
}

fn view(criterion: &mut Criterion) {
    let Some(session) = SessionId::new(0x1234_5678_9abc) else {
        return;
    };
    let mut group = criterion.benchmark_group("view");
    group.throughput(Throughput::Elements(1));
    for (name, bytes) in [("media", 4000), ("large", 200_000)] {
        let packet = media(session, bytes);
        group.bench_function(name, |bencher| {
            bencher.iter(|| PacketView::parse(black_box(&packet)).map(|view| view.routing));
        });
    }
    group.finish();
}

criterion_group!(benches, view);
criterion_main!(benches);
