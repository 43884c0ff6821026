//! Grammar and judgement of thresholds.

use std::time::Duration;

use proptest::prelude::*;
use videocall_load::{
    measure::{Figures, MessageKind, Metric, Recorder, figures},
    output::threshold::{Guard, Operator, Threshold},
};

use crate::support::recorder;

fn read(text: &str) -> Threshold {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn limits_are_read() {
    let limit = read(" one_way.audio.p99 <= 0.05 s ");
    assert_eq!(limit.names, ["one_way.audio.p99"]);
    assert_eq!((limit.operator, limit.limit), (Operator::AtMost, 50.0));
    assert_eq!(read("p99<50ms").names[0], "round_trip.p99");
    assert_eq!(read("join<300ms").names, ["join.p99"]);
    assert_eq!(read("round_trip.p99.9<1s").names, ["round_trip.p999"]);
    assert_eq!(read("lost.audio<0.1%").names, ["lost.audio.percent"]);
    assert_eq!(read("received>1000/s").names, ["received.rate"]);
    let memory = read("server.memory<2MiB");
    assert_eq!(
        (memory.names[0].as_str(), memory.limit),
        ("server.memory", 2_097_152.0)
    );
    assert_eq!(read("received_bytes>=1MB/s").names, ["received_bytes.rate"]);
    assert_eq!(read("errors<1").limit, 1.0);
}

#[test]
fn mistakes_are_named_with_their_column() {
    for (text, column, word) in [
        ("", 1, "metric"),
        ("p98<50ms", 1, "`p98`"),
        ("one_way.sound.p99<50ms", 1, "one_way.sound.p99"),
        ("p99 50ms", 5, "<="),
        ("p99=50ms", 4, "<="),
        ("p99<ms", 5, "number"),
        ("p99<1.2.3ms", 5, "number"),
        ("p99<50", 7, "ms"),
        ("p99<50 %", 8, "`%`"),
        ("lost<1ms", 7, "`ms`"),
        ("open<1%", 7, "`%`"),
        ("errors<1 dozen", 10, "dozen"),
        ("server.memory<1/s", 16, "`/s`"),
    ] {
        let error = text.parse::<Threshold>().unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.message.contains(word), "{text}: {error}");
        // The caret stands below the column.
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines[2].find('^'), Some(column + 1), "{error}");
    }
}

#[test]
fn limits_are_judged_by_what_was_measured() {
    let figures = figures(&recorder().snapshot(), 10.0);
    for (text, kept) in [
        ("round_trip.p50<101ms", true),
        ("round_trip.p50<99ms", false),
        ("round_trip.raw.p50<51ms", true),
        ("lost.audio<7%", false),
        ("lost.audio<8%", true),
        ("lost<=77", true),
        ("lost<77", false),
        ("sent>=100/s", true),
        ("sent>100/s", false),
        ("errors.dns<1", false),
        ("errors.tls<1", true),
        ("freezes.video<=1", true),
        ("late<1%", true),
        ("sent_bytes>99kB/s", true),
    ] {
        assert_eq!(read(text).judge(&figures).kept, kept, "{text}");
    }
}

#[test]
fn what_was_not_measured_is_not_kept() {
    let figures = figures(&Recorder::default().snapshot(), 10.0);
    for text in ["p99<50ms", "one_way.audio.p99<50ms", "lost.audio<0.1%"] {
        let verdict = read(text).judge(&figures);
        assert!(!verdict.kept && verdict.value.is_none(), "{text}");
    }
}

fn lossy(lost: u64, slow: bool) -> Figures {
    let recorder = Recorder::default();
    recorder.received(MessageKind::Audio, 0, 1);
    recorder.lost(MessageKind::Audio, 0, lost);
    let time = Duration::from_millis(if slow { 900 } else { 1 });
    recorder.latency(Metric::RoundTrip, time, time);
    figures(&recorder.snapshot(), 1.0)
}

#[test]
fn a_run_ends_early_only_when_there_is_no_hope() {
    let second = Duration::from_secs;
    let guard = |text: &str| Guard::new(vec![read(text)], second(10));
    // A counter never falls.
    let mut of_counter = guard("lost<5");
    assert_eq!(of_counter.judge(second(1), &lossy(4, false)), None);
    let why = of_counter.judge(second(2), &lossy(5, false)).unwrap();
    assert!(why.contains("lost<5"), "{why}");
    // A percentile may recover, and has time for it.
    let mut of_percentile = guard("round_trip.p99<50ms");
    assert_eq!(of_percentile.judge(second(1), &lossy(0, true)), None);
    assert_eq!(of_percentile.judge(second(9), &lossy(0, false)), None);
    assert_eq!(of_percentile.judge(second(12), &lossy(0, true)), None);
    assert_eq!(of_percentile.judge(second(21), &lossy(0, true)), None);
    assert!(of_percentile.judge(second(22), &lossy(0, true)).is_some());
    // Its maximum does not.
    assert!(
        guard("round_trip.max<50ms")
            .judge(second(1), &lossy(0, true))
            .is_some()
    );
    // Lower limits are for the end, and so is what was not measured.
    assert_eq!(
        guard("sent>100/s").judge(second(60), &lossy(0, false)),
        None
    );
    assert_eq!(guard("join<50ms").judge(second(60), &lossy(0, false)), None);
}

proptest! {
    #[test]
    fn any_text_is_borne(text in "\\PC{0,40}") {
        if let Err(error) = text.parse::<Threshold>() {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
            let _ = error.to_string();
        }
    }

    #[test]
    fn near_misses_are_borne(text in "[a-z_]{0,8}(\\.(p99|audio|raw|max|0)){0,3} ?[<>=]{0,2} ?[0-9.]{0,5} ?(ms|s|%|/s|MB)?") {
        if let Ok(limit) = text.parse::<Threshold>() {
            prop_assert!(limit.limit.is_finite() && limit.limit >= 0.0);
            prop_assert!(!limit.names.is_empty());
        }
    }

    #[test]
    fn blanks_do_not_matter(
        name in prop::sample::select(vec!["one_way.audio.p99", "round_trip", "join.max", "p50"]),
        operator in prop::sample::select(vec!["<", "<=", ">", ">="]),
        number in 0.0f64..1e6,
        unit in prop::sample::select(vec!["us", "ms", "s"]),
        blank in " {0,3}",
    ) {
        let tight = read(&format!("{name}{operator}{number}{unit}"));
        let loose = read(&format!("{blank}{name}{blank}{operator}{blank}{number}{blank}{unit}{blank}"));
        prop_assert_eq!((tight.names, tight.operator, tight.limit), (loose.names, loose.operator, loose.limit));
    }
}
