//! Comparison of two runs.

use videocall_load::output::{
    compare::{Significance, compare, table},
    frame::RunResult,
};

use crate::support::{point, result};

/// A run whose 99th percentile of the round trip goes up and down by 2 ms around a value.
fn run(p99: f64, points: u32) -> RunResult {
    let mut run = result();
    run.figures.get_mut("round_trip.p99").unwrap().value = p99;
    let value = |n: u32| p99 - 2.0 + f64::from(n % 5);
    run.series = (1..=points)
        .map(|n| point(f64::from(n), &[("round_trip.p99", value(n))]))
        .collect();
    run
}

fn of_p99(a: &RunResult, b: &RunResult) -> Significance {
    let changes = compare(a, b);
    let change = changes
        .iter()
        .find(|change| change.name == "round_trip.p99");
    change.unwrap().significance
}

#[test]
fn what_is_beyond_noise_is_told_from_noise() {
    assert_eq!(of_p99(&run(50.0, 30), &run(50.5, 30)), Significance::Noise);
    assert_eq!(of_p99(&run(50.0, 30), &run(53.0, 30)), Significance::Beyond);
    assert_eq!(of_p99(&run(50.0, 4), &run(90.0, 30)), Significance::Unknown);
}

#[test]
fn the_table_shows_the_change() {
    let text = table(&run(50.0, 30), &run(60.0, 30), false);
    let line = text
        .lines()
        .find(|line| line.starts_with("round_trip.p99 "))
        .unwrap();
    for part in ["50.00 ms", "60.00 ms", "+20.0 %", "beyond noise"] {
        assert!(line.contains(part), "`{part}` in {line}");
    }
    assert!(
        !text.contains("join.p50"),
        "what did not change is left out"
    );
    assert!(table(&run(50.0, 30), &run(60.0, 30), true).contains("join.p50"));
    let mut other = run(50.0, 30);
    other.description = "another".to_owned();
    assert!(table(&run(50.0, 30), &other, false).contains("not of the same plan"));
}
