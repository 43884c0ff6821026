//! What is recorded: by many threads, merged, sent and subtracted.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hdrhistogram::Histogram;
use proptest::prelude::*;
use videocall_load::measure::{
    EndReason, ErrorClass, MessageKind, Metric, Recorder, ServerSource, Snapshot, TesterState,
    figures, is_metric, watch,
};

fn rich() -> Recorder {
    let recorder = Recorder::default();
    for place in 0..100u64 {
        let time = Duration::from_micros(100 * (place + 1));
        recorder.connection_planned();
        recorder.connection_started();
        recorder.connected(time);
        for metric in Metric::ALL {
            recorder.latency(metric, 2 * time, time);
        }
        recorder.sent(MessageKind::Video, (place % 3) as u8, 1000);
        recorder.received(MessageKind::Audio, 0, 100);
        recorder.one_way(MessageKind::Audio, 0, time);
        recorder.scheduling_delay(time);
    }
    recorder.connection_late(Duration::from_millis(20));
    recorder.lost(MessageKind::Audio, 0, 25);
    recorder.reordered(MessageKind::Audio, 0, 2);
    recorder.duplicated(MessageKind::Video, 2, 3);
    recorder.freeze(MessageKind::Video, Duration::from_millis(300));
    recorder.failed(ErrorClass::Dns, &"first");
    recorder.failed(ErrorClass::Dns, &"second");
    recorder.failed(ErrorClass::CloseCode(1011), &"closed");
    recorder.connection_ended(EndReason::Failed);
    recorder.closed();
    recorder
}

#[test]
fn threads_record_without_losing_anything() {
    let recorder = Recorder::default();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let recorder = recorder.clone();
            std::thread::spawn(move || {
                for place in 0..5_000 {
                    recorder.sent(MessageKind::Other, 0, 10);
                    recorder.latency(
                        Metric::RoundTrip,
                        Duration::from_micros(place),
                        Duration::from_micros(place),
                    );
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let snapshot = recorder.snapshot();
    assert_eq!(snapshot.sent[&(MessageKind::Other, 0)], (40_000, 400_000));
    assert_eq!(snapshot.latencies[&Metric::RoundTrip].raw.len(), 40_000);
}

#[test]
fn a_snapshot_survives_being_sent() {
    let snapshot = rich().snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    let read: Snapshot = serde_json::from_str(&text).unwrap();
    assert!(read == snapshot);
    assert!(
        text.contains("HISTFAAAA"),
        "the common form of HdrHistogram"
    );
    assert!(serde_json::from_str::<Snapshot>(&text.replace("HISTFAAAA", "SISTFAAAA")).is_err());
}

#[test]
fn every_number_has_its_name() {
    let figures = figures(&rich().snapshot(), 10.0);
    for (name, value) in [
        ("planned", 100.0),
        ("late", 1.0),
        ("open", 99.0),
        ("errors", 3.0),
        ("errors.dns", 2.0),
        ("errors.close_code_1011", 1.0),
        ("sent.video", 100.0),
        ("sent.video.0", 34.0),
        ("sent.rate", 10.0),
        ("sent_bytes", 100_000.0),
        ("received.audio", 100.0),
        ("lost.audio", 25.0),
        ("lost.audio.percent", 20.0),
        ("reordered", 2.0),
        ("duplicated.video.2", 3.0),
        ("freezes.video", 1.0),
        ("frozen", 300.0),
    ] {
        assert_eq!(figures[name].value, value, "{name}");
    }
    let near = |name: &str, value: f64| {
        let found = figures[name].value;
        assert!((found - value).abs() < 0.02 * value, "{name}: {found}");
    };
    near("round_trip.p50", 10.0);
    near("round_trip.raw.p50", 5.0);
    near("one_way.audio.p99", 9.9);
    near("one_way.audio.0.max", 10.0);
    near("tester.delay.p99", 9.9);
    for name in figures.keys() {
        let base = name.trim_end_matches(".rate").trim_end_matches(".percent");
        assert!(is_metric(base), "{name}");
    }
    for wrong in [
        "",
        "lost.sound",
        "one_way.raw.audio.p99",
        "join",
        "p99",
        "errors.x",
        "tester",
    ] {
        assert!(!is_metric(wrong), "{wrong}");
    }
}

#[test]
fn one_example_of_each_class_is_kept_and_nothing_grows_without_bound() {
    let recorder = Recorder::default();
    for code in 0..=u16::MAX {
        recorder.failed(ErrorClass::CloseCode(code), &"x\u{7}".repeat(10_000 / 2));
    }
    let snapshot = recorder.snapshot();
    assert!(snapshot.errors.len() <= 65, "{}", snapshot.errors.len());
    assert_eq!(snapshot.error_count(), 65_536, "all are counted");
    for (_, example) in snapshot.errors.values() {
        assert!(example.len() <= 300 && !example.contains('\u{7}'));
    }
    let snapshot = rich().snapshot();
    assert_eq!(snapshot.errors[&ErrorClass::Dns], (2, "first".to_owned()));
}

#[test]
fn a_tester_that_is_too_slow_is_called_the_bottleneck() {
    let fine = TesterState {
        cpu_highest: 1.6,
        cores: 2,
        delay_p99_ms: 9.0,
        ..TesterState::default()
    };
    assert!(fine.clone().judge().bottleneck.is_empty());
    let busy = TesterState {
        cpu_highest: 1.8,
        ..fine.clone()
    };
    assert!(busy.judge().bottleneck[0].contains("90 %"));
    let late = TesterState {
        delay_p99_ms: 12.0,
        ..fine
    };
    assert!(late.judge().bottleneck[0].contains("12.0 ms late"));
}

#[tokio::test]
async fn a_runtime_that_is_blocked_shows_in_the_delay_of_timers() {
    let recorder = Recorder::default();
    let watch = watch(recorder.clone());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        // This test's runtime has one thread, which is now busy.
        let busy_until = std::time::Instant::now() + Duration::from_millis(60);
        while std::time::Instant::now() < busy_until {
            std::hint::spin_loop();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let state = watch.sample(&recorder.snapshot());
        if !state.bottleneck.is_empty() {
            assert!(state.delay_p99_ms > 10.0, "{state:?}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{state:?}");
    }
}

#[tokio::test]
async fn a_server_tells_its_use_by_its_metrics() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(async move {
        // A server that has used a thousand seconds more each time.
        for seconds in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /metrics HTTP/1."));
            let answer = format!(
                "HTTP/1.0 200 OK\r\n\r\nprocess_cpu_seconds_total {seconds}000\n\
                 process_resident_memory_bytes 4096\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut source = ServerSource::metrics(&url).unwrap();
    assert_eq!(
        source.sample().await,
        None,
        "there is no time before the first"
    );
    let sample = source.sample().await.unwrap();
    assert!(sample.cpu > 10.0, "{sample:?}");
    assert_eq!(sample.memory, 4096);
    let mut own = ServerSource::process(std::process::id()).unwrap();
    own.sample().await;
    assert!(own.sample().await.unwrap().memory > 1 << 20);
}

fn recorded(times: &[u64]) -> Snapshot {
    let recorder = Recorder::default();
    for micros in times {
        let time = Duration::from_micros(*micros);
        recorder.latency(Metric::OneWay, 2 * time, time);
        recorder.one_way(MessageKind::Video, 1, time);
        recorder.received(MessageKind::Video, 1, *micros as usize);
        recorder.lost(MessageKind::Video, 1, micros % 3);
    }
    recorder.snapshot()
}

fn count_at(times: &Histogram<u64>, time: u64) -> u64 {
    // Beyond its end a histogram tells of its last bucket.
    if time > times.max() {
        return 0;
    }
    times.count_at(time)
}

/// How often each of the times was recorded. (Comparing histograms would also compare how far they
/// have grown.)
fn counts(of: &Snapshot, times: &[u64]) -> Vec<u64> {
    let one_way = &of.latencies[&Metric::OneWay];
    let layer = &of.one_way[&(MessageKind::Video, 1)];
    let each = times.iter().flat_map(|time| {
        [
            count_at(&one_way.corrected, 2 * time),
            count_at(&one_way.raw, *time),
            count_at(layer, *time),
        ]
    });
    each.chain([one_way.corrected.len(), one_way.raw.len(), layer.len()])
        .collect()
}

proptest! {
    #[test]
    fn merging_is_recording_together(
        mine in prop::collection::vec(1u64..10_000_000, 1..50),
        theirs in prop::collection::vec(1u64..10_000_000, 1..50),
    ) {
        let times: Vec<u64> = mine.iter().chain(&theirs).copied().collect();
        let whole = recorded(&times);
        let (mine, theirs) = (recorded(&mine), recorded(&theirs));
        let mut merged = mine.clone();
        merged.merge(&theirs);
        prop_assert_eq!(counts(&merged, &times), counts(&whole, &times));
        prop_assert_eq!(&merged.received, &whole.received);
        prop_assert_eq!(&merged.delivery, &whole.delivery);
        // And taking one part away leaves the other.
        let rest = whole.since(&mine);
        prop_assert_eq!(counts(&rest, &times), counts(&theirs, &times));
        prop_assert_eq!(&rest.received, &theirs.received);
        prop_assert_eq!(rest.delivery_in_all(), theirs.delivery_in_all());
    }
}
