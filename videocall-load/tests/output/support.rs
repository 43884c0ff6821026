//! A run with something of everything.

use std::{collections::BTreeMap, time::Duration};

use videocall_load::{
    measure::{ErrorClass, MessageKind, Metric, Recorder, ServerSample, TesterState, figures},
    output::{
        frame::{Collected, Frame, Point, RunResult, Worker, warnings},
        threshold::Verdict,
    },
};

/// A text as a server may choose it.
pub(crate) const HOSTILE: &str = "<script>alert(\"1\")</script>";

pub(crate) fn recorder() -> Recorder {
    let recorder = Recorder::default();
    for place in 1..=1000u64 {
        let time = Duration::from_micros(100 * place);
        recorder.connection_planned();
        recorder.connection_started();
        recorder.connected(time);
        for metric in Metric::ALL {
            recorder.latency(metric, 2 * time, time);
        }
        recorder.sent(MessageKind::Video, 2, 1000);
        recorder.received(MessageKind::Audio, 0, 100);
        recorder.one_way(MessageKind::Audio, 0, time);
        recorder.scheduling_delay(time);
    }
    recorder.connection_late(Duration::from_millis(20));
    recorder.lost(MessageKind::Audio, 0, 77);
    recorder.reordered(MessageKind::Audio, 0, 2);
    recorder.duplicated(MessageKind::Video, 2, 3);
    recorder.freeze(MessageKind::Video, Duration::from_millis(1300));
    recorder.failed(ErrorClass::Dns, &HOSTILE);
    recorder
}

pub(crate) fn frame() -> Frame {
    let snapshot = recorder().snapshot();
    let tester = TesterState {
        cpu: 1.9,
        cpu_highest: 1.9,
        cores: 2,
        memory: 12_345_678,
        delay_p99_ms: 99.0,
        bottleneck: Vec::new(),
    };
    let workers = vec![
        Worker {
            name: "north".to_owned(),
            tester: tester.judge(),
            ..Worker::default()
        },
        Worker {
            name: "south".to_owned(),
            lost_at: Some(4.25),
            clock: Some((-120, 40)),
            ..Worker::default()
        },
    ];
    Frame {
        elapsed: Duration::from_secs(10),
        planned: Duration::from_secs(20),
        figures: figures(&snapshot, 10.0),
        collected: Collected { snapshot, workers },
        point: Some(point(
            10.0,
            &[("sent.rate", 100.0), ("round_trip.p99", 42.0)],
        )),
        server: Some(ServerSample {
            cpu: 0.75,
            memory: 4096,
        }),
        verdicts: verdicts(),
        last: false,
    }
}

fn verdicts() -> Vec<Verdict> {
    vec![Verdict {
        threshold: "lost.audio<0.1%".to_owned(),
        value: Some(7.149),
        kept: false,
    }]
}

pub(crate) fn point(second: f64, values: &[(&str, f64)]) -> Point {
    let values = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value));
    Point {
        second,
        length: 1.0,
        open: 5.0,
        values: values.collect::<BTreeMap<_, _>>(),
    }
}

pub(crate) fn result() -> RunResult {
    let frame = frame();
    RunResult {
        format: 1,
        version: "0".to_owned(),
        target: "ws://example.org/".to_owned(),
        description: "Meeting & more".to_owned(),
        started_ms: 0,
        seconds: 10.0,
        planned_seconds: 20.0,
        aborted: Some("interrupted".to_owned()),
        warnings: warnings(&frame.collected.workers),
        thresholds: verdicts(),
        workers: frame.collected.workers,
        figures: frame.figures,
        series: (1..=10)
            .map(|n| point(f64::from(n), &[("round_trip.p99", 40.0 + f64::from(n % 3))]))
            .collect(),
        snapshot: frame.collected.snapshot,
    }
}
