//! Each curve at chosen moments, and what holds for all of them.

use std::time::Duration;

use proptest::prelude::*;

use super::{Demand, Runner, Stage};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn open(runner: &Runner, at: f64) -> u64 {
    match runner.demand(Duration::from_secs_f64(at)) {
        Demand::Open(open) => open,
        Demand::Arrived(_) => panic!("the open model"),
    }
}

fn points(runner: &Runner, at: &[f64]) -> Vec<u64> {
    at.iter().map(|at| open(runner, *at)).collect()
}

#[test]
fn flat_is_all_at_once() {
    assert_eq!(
        points(&Runner::Flat { connections: 7 }, &[0.0, 9.0]),
        [7, 7]
    );
}

#[test]
fn linear_rises_evenly_and_stays() {
    let runner = Runner::Linear {
        from: 0,
        connections: 10,
        over: s(10),
    };
    assert_eq!(
        points(&runner, &[0.0, 0.9, 1.0, 5.5, 9.0, 10.0, 60.0]),
        [1, 1, 2, 6, 10, 10, 10]
    );
    assert_eq!(runner.length(), Some(s(10)));
}

#[test]
fn steps_rise_at_once_and_hold() {
    let runner = Runner::Steps {
        from: 0,
        connections: 25,
        size: 10,
        every: s(5),
    };
    assert_eq!(
        points(&runner, &[0.0, 4.99, 5.0, 9.99, 10.0, 99.0]),
        [10, 10, 20, 20, 25, 25]
    );
    assert_eq!(runner.length(), Some(s(15)));
}

#[test]
fn exponential_multiplies() {
    let runner = Runner::Exponential {
        connections: 100,
        start: 3,
        factor: 2.0,
        soak: s(1),
    };
    assert_eq!(
        points(&runner, &[0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6]),
        [3, 3, 6, 12, 24, 48, 96, 100, 100]
    );
    assert_eq!(runner.length(), Some(s(7)));
}

#[test]
fn sine_swings_between_its_ends() {
    let runner = Runner::Sine {
        min: 10,
        max: 30,
        period: s(8),
    };
    assert_eq!(
        points(&runner, &[0.0, 2.0, 4.0, 6.0, 8.0, 12.0]),
        [10, 20, 30, 20, 10, 30]
    );
}

#[test]
fn arrivals_go_on_whatever_happens() {
    let runner = Runner::Arrivals { per_second: 10.0 };
    let arrived = |at| runner.demand(Duration::from_millis(at));
    assert_eq!(arrived(0), Demand::Arrived(1));
    assert_eq!(arrived(99), Demand::Arrived(1));
    assert_eq!(arrived(100), Demand::Arrived(2));
    assert_eq!(arrived(60_000), Demand::Arrived(601));
}

#[test]
fn waves_repeat_any_curve() {
    let runner = Runner::Waves {
        wave: Box::new(Runner::Steps {
            from: 0,
            connections: 20,
            size: 10,
            every: s(1),
        }),
        length: s(2),
        number: 2,
        pause: s(3),
    };
    assert_eq!(
        points(&runner, &[0.0, 1.0, 2.0, 4.9, 5.0, 6.0, 7.0, 10.0, 11.0]),
        [10, 20, 0, 0, 10, 20, 0, 0, 0]
    );
    assert_eq!(runner.length(), Some(s(7)));
}

#[test]
fn waves_of_arrivals_count_on() {
    let runner = Runner::Waves {
        wave: Box::new(Runner::Arrivals { per_second: 2.0 }),
        length: s(2),
        number: 2,
        pause: s(1),
    };
    let at = |millis| runner.demand(Duration::from_millis(millis)).count();
    assert_eq!(
        [at(0), at(1999), at(2500), at(3000), at(3500)],
        [1, 4, 4, 5, 6]
    );
    assert_eq!([at(5000), at(60_000)], [8, 8]);
}

#[test]
fn a_sequence_goes_from_one_to_the_next() {
    let runner = Runner::Sequence {
        stages: vec![
            Stage {
                runner: Runner::Flat { connections: 5 },
                length: s(2),
            },
            Stage {
                runner: Runner::Sine {
                    min: 1,
                    max: 3,
                    period: s(2),
                },
                length: s(4),
            },
        ],
    };
    assert_eq!(points(&runner, &[0.0, 1.9, 2.0, 3.0, 9.0]), [5, 5, 1, 3, 3]);
}

#[test]
fn ramps_go_on_from_where_they_begin_and_fall() {
    let up = Runner::Linear {
        from: 10,
        connections: 20,
        over: s(10),
    };
    assert_eq!(
        points(&up, &[0.0, 0.9, 1.0, 9.0, 10.0]),
        [11, 11, 12, 20, 20]
    );
    let down = Runner::Linear {
        from: 10,
        connections: 0,
        over: s(10),
    };
    assert_eq!(
        points(&down, &[0.0, 0.9, 1.0, 9.9, 10.0, 60.0]),
        [10, 10, 9, 1, 0, 0]
    );
    assert_eq!(down.peak(), 10);
    let steps = Runner::Steps {
        from: 10,
        connections: 25,
        size: 10,
        every: s(5),
    };
    assert_eq!(points(&steps, &[0.0, 4.9, 5.0, 99.0]), [20, 20, 25, 25]);
    assert_eq!(steps.length(), Some(s(10)));
}

#[test]
fn nonsense_is_refused() {
    let bad = Runner::Exponential {
        connections: 5,
        start: 1,
        factor: 1.0,
        soak: s(1),
    };
    let message = bad.check().unwrap_err().to_string();
    assert_eq!(message, "the growth factor must be greater than 1");
    let waves = Runner::Waves {
        wave: Box::new(bad),
        length: s(1),
        number: 1,
        pause: s(0),
    };
    assert!(waves.check().is_err());
}

fn any_ramp() -> impl Strategy<Value = Runner> {
    let millis = || (1u64..100_000).prop_map(Duration::from_millis);
    prop_oneof![
        (1u64..5000).prop_map(|connections| Runner::Flat { connections }),
        (1u64..5000, millis()).prop_map(|(connections, over)| Runner::Linear {
            from: 0,
            connections,
            over
        }),
        (1u64..5000, 1u64..500, millis()).prop_map(|(connections, size, every)| {
            Runner::Steps {
                from: 0,
                connections,
                size,
                every,
            }
        }),
        (1u64..5000, 1.01f64..9.0, millis()).prop_map(|(connections, factor, soak)| {
            Runner::Exponential {
                connections,
                start: 1,
                factor,
                soak,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn ramps_never_fall_and_end_at_their_target(runner in any_ramp(), mut at in prop::collection::vec(0u64..1_000_000, 2..40)) {
        at.sort_unstable();
        let values: Vec<u64> = at.iter().map(|at| runner.demand(Duration::from_millis(*at)).count()).collect();
        prop_assert!(values.is_sorted());
        prop_assert!(values.iter().all(|value| (1..=runner.peak()).contains(value)));
        let end = runner.length().unwrap_or(Duration::ZERO);
        prop_assert_eq!(runner.demand(end).count(), runner.peak());
    }

    #[test]
    fn a_sine_stays_between_its_ends(min in 0u64..100, more in 1u64..100, period in 1u64..100_000, at in 0u64..1_000_000) {
        let runner = Runner::Sine { min, max: min + more, period: Duration::from_millis(period) };
        let open = runner.demand(Duration::from_millis(at)).count();
        prop_assert!((min..=min + more).contains(&open));
    }

    #[test]
    fn the_shares_of_all_workers_make_the_whole(runner in any_ramp(), workers in 1u64..9, at in 0u64..200_000) {
        let at = Duration::from_millis(at);
        let sum: u64 = (0..workers)
            .map(|index| Runner::Share { of: Box::new(runner.clone()), index, workers }.demand(at).count())
            .sum();
        prop_assert_eq!(sum, runner.demand(at).count());
    }

    #[test]
    fn waves_of_arrivals_never_fall(rate in 0.1f64..50.0, length in 1u64..5000, pause in 0u64..5000, number in 1u32..5, mut at in prop::collection::vec(0u64..60_000, 2..40)) {
        let runner = Runner::Waves {
            wave: Box::new(Runner::Arrivals { per_second: rate }),
            length: Duration::from_millis(length),
            number,
            pause: Duration::from_millis(pause),
        };
        at.sort_unstable();
        let values: Vec<u64> = at.iter().map(|at| runner.demand(Duration::from_millis(*at)).count()).collect();
        prop_assert!(values.is_sorted());
    }
}
