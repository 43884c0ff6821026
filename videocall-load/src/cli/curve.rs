//! Makes the curve of the flags: of one runner, of several behind each other, and of waves.

use std::time::Duration;

use clap::Parser;

use super::{CurveArguments, PlanArguments, RunnerName as R, UsageError};
use crate::{
    plan::PlanError,
    runner::{Runner, Stage},
    time_text,
};

/// Length of a run whose curve has none.
const DEFAULT_DURATION: Duration = Duration::from_secs(30);

/// A runner of `--then`.
#[derive(Parser, Clone, Debug)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub struct ThenArguments {
    /// Which curve.
    #[arg(value_enum)]
    pub runner: R,
    /// For how long.
    #[arg(long, value_parser = time_text::parse)]
    pub duration: Option<Duration>,
    /// Its numbers.
    #[command(flatten)]
    pub curve: CurveArguments,
}

/// Reads `linear:target-connections=0,ramp-duration=30s`: the flags of a runner, without dashes.
pub(super) fn parse_then(text: &str) -> Result<ThenArguments, String> {
    let (runner, flags) = text.split_once(':').unwrap_or((text, ""));
    let flags = flags.split(',').map(str::trim);
    let flags = flags.filter(|flag| !flag.is_empty());
    let words =
        std::iter::once(runner.trim().to_owned()).chain(flags.map(|flag| format!("--{flag}")));
    ThenArguments::try_parse_from(words).map_err(|error| {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    })
}

/// The curve and its length.
pub(super) fn whole(a: &PlanArguments) -> Result<(Runner, Duration), UsageError> {
    refuse_idle(a.runner, &a.curve)?;
    let first = one(a.runner, &a.curve, None)?;
    let (curve, length) = if a.then.is_empty() {
        let own = match (&first, first.length()) {
            // A ramp alone would end in the moment at which it has got there.
            (Runner::Linear { over, .. }, _) => *over + DEFAULT_DURATION,
            (_, Some(length)) => length,
            (_, None) => DEFAULT_DURATION,
        };
        (first, a.duration.unwrap_or(own))
    } else {
        sequence(a, first)?
    };
    waves(&a.curve, curve, length)
}

/// The first runner and those of `--then`; each begins with what the one before ends with.
fn sequence(a: &PlanArguments, first: Runner) -> Result<(Runner, Duration), UsageError> {
    let mut stages = vec![stage(first, a.duration)];
    for then in &a.then {
        refuse_idle(then.runner, &then.curve)?;
        if then.curve.connection_limit.is_some() {
            let text = "--connection-limit is of the whole run, and not of one runner of --then";
            return Err(UsageError::Contradiction(text.to_owned()));
        }
        let before = stages
            .last()
            .map_or(0, |stage| stage.runner.demand(stage.length).count());
        let runner = one(then.runner, &then.curve, Some(before))?;
        let next = stage(runner, then.duration);
        let (runner, length) = waves(&then.curve, next.runner, next.length)?;
        stages.push(Stage { runner, length });
    }
    let sequence = Runner::Sequence { stages };
    sequence.check().map_err(PlanError::from)?;
    let length = sequence.length().unwrap_or(DEFAULT_DURATION);
    Ok((sequence, length))
}

fn stage(runner: Runner, length: Option<Duration>) -> Stage {
    let length = length.or(runner.length()).unwrap_or(DEFAULT_DURATION);
    Stage { runner, length }
}

fn waves(
    c: &CurveArguments,
    curve: Runner,
    length: Duration,
) -> Result<(Runner, Duration), UsageError> {
    let Some(number) = c.waves_number else {
        return Ok((curve, length));
    };
    let waves = Runner::Waves {
        wave: Box::new(curve),
        length,
        number,
        pause: c.waves_pause.unwrap_or_default(),
    };
    waves.check().map_err(PlanError::from)?;
    let whole = waves.length().unwrap_or(length);
    Ok((waves, whole))
}

/// Each flag of a runner, whether it was given, and what it belongs to.
fn refuse_idle(runner: R, c: &CurveArguments) -> Result<(), UsageError> {
    let runner_flags: [(bool, &'static str, &[R], &'static str); 12] = [
        (
            c.connection_number.is_some(),
            "--connection-number",
            &[R::Flat, R::Exponential],
            "--runner flat or exponential (the others take --target-connections)",
        ),
        (
            c.target_connections.is_some(),
            "--target-connections",
            &[R::Linear, R::Steps, R::Exponential],
            "--runner linear, steps or exponential",
        ),
        (
            c.ramp_duration.is_some(),
            "--ramp-duration",
            &[R::Linear],
            "--runner linear",
        ),
        (
            c.step_size.is_some(),
            "--step-size",
            &[R::Steps],
            "--runner steps",
        ),
        (
            c.step_duration.is_some(),
            "--step-duration",
            &[R::Steps],
            "--runner steps",
        ),
        (
            c.growth_factor.is_some(),
            "--growth-factor",
            &[R::Exponential],
            "--runner exponential",
        ),
        (
            c.soaking_time.is_some(),
            "--soaking-time",
            &[R::Exponential],
            "--runner exponential",
        ),
        (
            c.min_connections.is_some(),
            "--min-connections",
            &[R::Sine],
            "--runner sine",
        ),
        (
            c.max_connections.is_some(),
            "--max-connections",
            &[R::Sine],
            "--runner sine",
        ),
        (c.period.is_some(), "--period", &[R::Sine], "--runner sine"),
        (
            c.arrivals_per_second.is_some(),
            "--arrivals-per-second",
            &[R::Open],
            "--runner open",
        ),
        (
            c.connection_limit.is_some(),
            "--connection-limit",
            &[R::Open],
            "--runner open",
        ),
    ];
    for (given, flag, owners, owner) in runner_flags {
        if given && !owners.contains(&runner) {
            return Err(UsageError::Idle { flag, owner });
        }
    }
    if c.waves_pause.is_some() && c.waves_number.is_none() {
        return Err(UsageError::Idle {
            flag: "--waves-pause",
            owner: "--waves-number",
        });
    }
    Ok(())
}

/// One curve; `before`: how many connections are open when it begins, where it does not begin the run.
fn one(runner: R, c: &CurveArguments, before: Option<u64>) -> Result<Runner, UsageError> {
    let need = |value: Option<u64>, flag| value.ok_or(UsageError::Missing(flag));
    let need_time = |value: Option<Duration>, flag| value.ok_or(UsageError::Missing(flag));
    let from = before.unwrap_or(0);
    let runner = match runner {
        R::Flat => Runner::Flat {
            connections: c.connection_number.or(before).unwrap_or(10),
        },
        R::Linear => Runner::Linear {
            from,
            connections: need(c.target_connections, "--target-connections")?,
            over: need_time(c.ramp_duration, "--ramp-duration")?,
        },
        R::Steps => Runner::Steps {
            from,
            connections: need(c.target_connections, "--target-connections")?,
            size: need(c.step_size, "--step-size")?,
            every: need_time(c.step_duration, "--step-duration")?,
        },
        R::Exponential => Runner::Exponential {
            connections: need(c.target_connections, "--target-connections")?,
            start: c.connection_number.unwrap_or(from.max(1)),
            factor: c.growth_factor.unwrap_or(2.0),
            soak: need_time(c.soaking_time, "--soaking-time")?,
        },
        R::Sine => Runner::Sine {
            min: c.min_connections.unwrap_or(0),
            max: need(c.max_connections, "--max-connections")?,
            period: need_time(c.period, "--period")?,
        },
        R::Open => Runner::Arrivals {
            per_second: c
                .arrivals_per_second
                .ok_or(UsageError::Missing("--arrivals-per-second"))?,
        },
    };
    runner.check().map_err(PlanError::from)?;
    Ok(runner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Arguments;

    fn curve(flags: &[&str]) -> Result<(Runner, Duration), String> {
        let words = ["videocall-load"].iter().chain(flags);
        let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
        whole(&arguments.plan).map_err(|error| error.to_string())
    }

    /// What is open in the middle of each second.
    fn seconds(flags: &[&str]) -> Vec<u64> {
        let (runner, length) = curve(flags).unwrap();
        let at = |second| Duration::from_millis(second * 1000 + 500);
        (0..length.as_secs())
            .map(|second| runner.demand(at(second)).count())
            .collect()
    }

    #[test]
    fn runners_follow_each_other_and_go_on_from_what_is_open() {
        let open = seconds(&[
            "--runner=linear",
            "--target-connections=4",
            "--ramp-duration=4s",
            "--then=flat:duration=2s",
            "--then=steps: target-connections=9, step-size=2, step-duration=1s",
            "--then=linear:target-connections=1,ramp-duration=4s",
            "--then=exponential:target-connections=8,soaking-time=1s",
        ]);
        assert_eq!(open, [1, 2, 3, 4, 4, 4, 6, 8, 9, 8, 6, 4, 2, 1, 2, 4, 8]);
    }

    #[test]
    fn waves_are_around_one_runner_or_around_all() {
        let open = seconds(&[
            "--connection-number=3",
            "--duration=1s",
            "--then=flat:connection-number=5,duration=1s,waves-number=2,waves-pause=1s",
            "--then=flat:connection-number=1,duration=1s",
        ]);
        assert_eq!(open, [3, 5, 0, 5, 1]);
        let open = seconds(&[
            "--connection-number=3",
            "--duration=1s",
            "--then=flat:connection-number=5,duration=1s",
            "--waves-number=2",
            "--waves-pause=1s",
        ]);
        assert_eq!(open, [3, 5, 0, 3, 5]);
    }

    #[test]
    fn arrivals_change_their_rate() {
        let flags = ["--runner=open", "--arrivals-per-second=2", "--duration=2s"];
        let then = ["--then=open:arrivals-per-second=10,duration=1s"];
        let (runner, length) = curve(&[&flags[..], &then[..]].concat()).unwrap();
        assert_eq!(length, Duration::from_secs(3));
        let arrived = |millis| runner.demand(Duration::from_millis(millis)).count();
        assert_eq!([arrived(1999), arrived(2000), arrived(2950)], [4, 5, 14]);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |then: &str, word: &str| {
            let error = curve(&["--connection-number=3", "--then", then]).unwrap_err();
            assert!(error.contains(word), "`{word}` in: {error}");
        };
        wrong("falt", "falt");
        wrong("linear:ramp-duration=3s", "--target-connections");
        wrong("linear:ramp=3s", "--ramp");
        wrong("flat:period=3s", "--runner sine");
        wrong("flat:connection-number=x", "--connection-number");
        wrong("flat:connection-limit=3", "--runner open");
        wrong("open:arrivals-per-second=3", "open model");
    }
}
