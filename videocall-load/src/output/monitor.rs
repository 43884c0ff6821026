//! Follows a run: takes a sample each second, keeps the course of the figures, and ends the run when
//! its limits can no longer be kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    frame::{Collected, Frame, Point, RunResult, warnings},
    threshold::Guard,
};
use crate::measure::{Figure, ServerSource, Snapshot, Unit, figures};

/// Between samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// Points that are kept; of a longer course every second one.
const MAX_POINTS: usize = 1200;
/// Shorter intervals tell nothing.
const SHORTEST: f64 = 0.2;

/// What a run is, for its reports.
#[derive(Clone, Debug)]
pub struct About {
    /// Server, without what may be secret.
    pub target: String,
    /// What is run, in words.
    pub description: String,
    /// How long.
    pub planned: Duration,
}

/// Where a run's snapshots come from.
pub type Source = Arc<dyn Fn() -> Collected + Send + Sync>;

/// Follows one run.
pub struct Monitor {
    source: Source,
    server: Option<ServerSource>,
    guard: Guard,
    abort_early: bool,
    about: About,
    /// What happens before is left out; its state and time at the end of that.
    warm_up: Duration,
    warm: (Snapshot, f64),
    frames: watch::Sender<Arc<Frame>>,
    series: Vec<Point>,
    before: Snapshot,
    before_at: f64,
    /// Mean and highest use of the server: CPU sum, samples, memory.
    server_use: (f64, u64, u64),
    tester_cpu: f64,
    aborted: Option<String>,
}

impl Monitor {
    /// Follows what `source` tells.
    pub fn new(
        source: Source,
        server: Option<ServerSource>,
        guard: Guard,
        abort_early: bool,
        about: About,
        warm_up: Duration,
    ) -> Self {
        let (frames, _) = watch::channel(Arc::new(Frame {
            planned: about.planned,
            ..Frame::default()
        }));
        Self {
            source,
            server,
            guard,
            abort_early,
            about,
            warm_up,
            warm: (Snapshot::default(), 0.0),
            frames,
            series: Vec::new(),
            before: Snapshot::default(),
            before_at: 0.0,
            server_use: (0.0, 0, 0),
            tester_cpu: 0.0,
            aborted: None,
        }
    }

    /// The states of the run, as they come.
    pub fn frames(&self) -> watch::Receiver<Arc<Frame>> {
        self.frames.subscribe()
    }

    /// Follows the run until `ended` resolves; `stop` ends the run early. Returns the result.
    pub async fn follow<T>(
        mut self,
        ended: impl Future<Output = T>,
        stop: &watch::Sender<bool>,
    ) -> (T, RunResult) {
        let started_ms = crate::clock::now_micros() / 1000;
        let start = Instant::now();
        let mut ticks = tokio::time::interval_at((start + INTERVAL).into(), INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if let Some(server) = &mut self.server {
            server.sample().await;
        }
        tokio::pin!(ended);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut ended => break outcome,
                _ = ticks.tick() => {
                    let frame = self.sample(start.elapsed(), false).await;
                    if self.abort_early
                        && self.aborted.is_none()
                        && let Some(why) = self.guard.judge(frame.elapsed, &frame.figures)
                    {
                        self.aborted = Some(why);
                        let _ = stop.send(true);
                    }
                }
            }
        };
        let frame = self.sample(start.elapsed(), true).await;
        if self.aborted.is_none() && *stop.borrow() {
            self.aborted = Some("interrupted".to_owned());
        }
        (outcome, self.result(&frame, started_ms))
    }

    async fn sample(&mut self, elapsed: Duration, last: bool) -> Arc<Frame> {
        let server = match &mut self.server {
            Some(server) => server.sample().await,
            None => None,
        };
        let mut collected = (self.source)();
        let seconds = elapsed.as_secs_f64();
        let mut judged_seconds = seconds;
        let cpu: f64 = collected
            .workers
            .iter()
            .map(|worker| worker.tester.cpu)
            .sum();
        let point = self.point(&collected, seconds, cpu, server.map(|server| server.cpu));
        if elapsed < self.warm_up + INTERVAL / 2 && !self.warm_up.is_zero() {
            self.warm = (collected.snapshot.clone(), seconds);
            (self.server_use, self.tester_cpu) = ((0.0, 0, 0), 0.0);
        } else {
            let (warm, at) = &self.warm;
            collected.snapshot = collected.snapshot.warmed_up(warm);
            judged_seconds = seconds - at;
        }
        let mut all = figures(&collected.snapshot, judged_seconds);
        if let Some(server) = server {
            self.server_use.0 += server.cpu;
            self.server_use.1 += 1;
            self.server_use.2 = self.server_use.2.max(server.memory);
        }
        self.tester_cpu = self.tester_cpu.max(
            (collected.workers.iter())
                .map(|worker| worker.tester.cpu_highest.max(worker.tester.cpu))
                .sum(),
        );
        let mut put = |name: &str, value: f64, unit| {
            all.insert(name.to_owned(), Figure { value, unit });
        };
        put("tester.cpu", 100.0 * self.tester_cpu, Unit::Percent);
        let memory: u64 = collected
            .workers
            .iter()
            .map(|worker| worker.tester.memory)
            .sum();
        put("tester.memory", memory as f64, Unit::Bytes);
        if self.server_use.1 > 0 {
            let mean = self.server_use.0 / self.server_use.1 as f64;
            put("server.cpu", 100.0 * mean, Unit::Percent);
            put("server.memory", self.server_use.2 as f64, Unit::Bytes);
        }
        let frame = Arc::new(Frame {
            elapsed,
            planned: self.about.planned,
            verdicts: self.guard.verdicts(&all),
            collected,
            figures: all,
            point,
            server,
            last,
        });
        self.frames.send_replace(frame.clone());
        frame
    }

    fn point(
        &mut self,
        collected: &Collected,
        second: f64,
        tester_cpu: f64,
        server_cpu: Option<f64>,
    ) -> Option<Point> {
        let length = second - self.before_at;
        if length < SHORTEST {
            return None;
        }
        let change = collected.snapshot.since(&self.before);
        let mut values: std::collections::BTreeMap<String, f64> = figures(&change, length)
            .into_iter()
            .filter(|(name, _)| name != "open" && !name.ends_with(".percent"))
            .map(|(name, figure)| (name, figure.value))
            .collect();
        values.insert("tester.cpu".to_owned(), 100.0 * tester_cpu);
        if let Some(cpu) = server_cpu {
            values.insert("server.cpu".to_owned(), 100.0 * cpu);
        }
        let point = Point {
            second,
            length,
            open: collected.snapshot.open() as f64,
            values,
        };
        self.before = collected.snapshot.clone();
        self.before_at = second;
        self.series.push(point.clone());
        if self.series.len() > MAX_POINTS {
            let mut place = 0;
            self.series.retain(|_| {
                place += 1;
                place % 2 == 0
            });
        }
        Some(point)
    }

    fn result(self, last: &Frame, started_ms: u64) -> RunResult {
        RunResult {
            format: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            target: self.about.target,
            description: self.about.description,
            started_ms,
            seconds: last.elapsed.as_secs_f64(),
            planned_seconds: self.about.planned.as_secs_f64(),
            aborted: self.aborted,
            warnings: warnings(&last.collected.workers),
            thresholds: last.verdicts.clone(),
            workers: last.collected.workers.clone(),
            figures: last.figures.clone(),
            series: self.series,
            snapshot: last.collected.snapshot.clone(),
        }
    }
}
