//! Runs a plan: opens and closes connections as its runner says.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant as TokioInstant, sleep_until, timeout},
};

use crate::{
    behaviour::Factory,
    connection::{self, Outcome, Timing},
    measure::Recorder,
    plan::{Plan, PlanError},
    runner::{Change, Schedule},
    transport::Connector,
};

/// A connection that failed comes back after this at the earliest.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long all connections together have to say good-bye.
const GRACE: Duration = Duration::from_secs(5);
/// Handles of ended connections that are not worth looking for.
const CLEAN_AT_LEAST: usize = 1024;
/// A start that is later than this is counted as late.
const LATE: Duration = Duration::from_millis(10);

/// What became of a run, beside what was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Attempts to connect.
    pub attempts: u64,
    /// Those that led to an open connection.
    pub opened: u64,
}

#[derive(Debug, Default)]
struct Counts {
    attempts: AtomicU64,
    opened: AtomicU64,
}

/// What the tasks of a run share.
struct Shared {
    connector: Connector,
    factory: Arc<dyn Factory>,
    recorder: Recorder,
    plan: Plan,
    counts: Counts,
    /// Connections that are open or being opened, against the limit of the open model.
    places: Option<tokio::sync::Semaphore>,
}

/// Runs a plan to its end, or until `stop` becomes true. Returns when all connections are closed.
///
/// # Errors
/// When the plan contradicts itself or its target cannot be used; never because of the server.
pub async fn run(
    plan: Plan,
    factory: Arc<dyn Factory>,
    recorder: Recorder,
    mut stop: watch::Receiver<bool>,
) -> Result<Outcomes, PlanError> {
    plan.check()?;
    let connector = Connector::new(&plan.url, plan.transport.clone(), plan.peak())?;
    let places = plan
        .connection
        .limit
        .map(|limit: NonZeroU64| tokio::sync::Semaphore::new(limit.get() as usize));
    let start = Instant::now();
    let mut schedule = Schedule::new(plan.shared_runner(), plan.duration);
    let shared = Arc::new(Shared {
        connector,
        factory,
        recorder,
        counts: Counts::default(),
        places,
        plan,
    });
    let mut run = Run {
        shared: shared.clone(),
        start,
        tasks: JoinSet::new(),
        kept: Vec::new(),
        others: Vec::new(),
        clean_at: CLEAN_AT_LEAST,
    };
    loop {
        let now = start.elapsed();
        if schedule.is_over(now) {
            break;
        }
        while let Some(change) = schedule.poll(start.elapsed()) {
            run.apply(change);
        }
        let due = start + schedule.next_due();
        tokio::select! {
            () = sleep_until(TokioInstant::from_std(due)) => {
                // How late this task is shows how late all the others are.
                shared.recorder.scheduling_delay(due.elapsed());
            }
            () = stopped(&mut stop) => break,
        }
        while run.tasks.try_join_next().is_some() {}
    }
    run.end().await;
    Ok(Outcomes {
        attempts: shared.counts.attempts.load(Relaxed),
        opened: shared.counts.opened.load(Relaxed),
    })
}

/// Resolves when the run is to be stopped; never if nobody is left who could.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

/// The connections of a run.
struct Run {
    shared: Arc<Shared>,
    start: Instant,
    tasks: JoinSet<()>,
    /// Stops the connection of each place; dropping one stops it too.
    kept: Vec<oneshot::Sender<()>>,
    /// Those of the open model.
    others: Vec<oneshot::Sender<()>>,
    /// Those of connections that have ended are dropped when there are so many.
    clean_at: usize,
}

impl Run {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Start {
                planned,
                number,
                keep,
            } => {
                self.shared.recorder.connection_planned();
                let (sender, stop) = oneshot::channel();
                let number = self.shared.plan.global_number(number);
                let place = Place {
                    shared: self.shared.clone(),
                    number,
                    planned: self.start + planned,
                    stop,
                };
                if keep {
                    self.kept.push(sender);
                    self.tasks.spawn(place.keep());
                } else {
                    if self.others.len() >= self.clean_at {
                        self.others.retain(|other| !other.is_closed());
                        self.clean_at = 2 * self.others.len() + CLEAN_AT_LEAST;
                    }
                    self.others.push(sender);
                    self.tasks.spawn(place.once());
                }
            }
            Change::Stop { .. } => {
                self.kept.pop();
            }
        }
    }

    async fn end(mut self) {
        self.kept.clear();
        self.others.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(GRACE, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// One place in the run, filled by one connection at a time.
struct Place {
    shared: Arc<Shared>,
    number: u64,
    planned: Instant,
    stop: oneshot::Receiver<()>,
}

impl Place {
    /// Closed model: a connection that ends is replaced.
    async fn keep(mut self) {
        let mut planned = self.planned;
        loop {
            self.note_late(planned);
            let outcome = self.connect(planned).await;
            let Outcome::Ended {
                failed, at_once, ..
            } = outcome
            else {
                return;
            };
            let mut pause = if at_once {
                Duration::ZERO
            } else {
                self.shared.plan.connection.pause
            };
            if failed {
                pause = pause.max(PAUSE_AFTER_FAILURE);
            }
            planned = Instant::now() + pause;
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    _ = &mut self.stop => return,
                    () = sleep_until(TokioInstant::from_std(planned)) => {}
                }
            }
            self.shared.recorder.connection_planned();
        }
    }

    /// Open model: one connection, as soon as the limit has a place for it.
    async fn once(mut self) {
        let shared = self.shared.clone();
        let _place = match &shared.places {
            None => None,
            Some(places) => tokio::select! {
                biased;
                _ = &mut self.stop => return,
                place = places.acquire() => place.ok(),
            },
        };
        self.note_late(self.planned);
        self.connect(self.planned).await;
    }

    fn note_late(&self, planned: Instant) {
        let late = planned.elapsed();
        if late > LATE {
            self.shared.recorder.connection_late(late);
        }
    }

    async fn connect(&mut self, planned: Instant) -> Outcome {
        let shared = &self.shared;
        shared.counts.attempts.fetch_add(1, Relaxed);
        let timing = Timing {
            planned,
            duration: shared.plan.connection.duration,
        };
        connection::run(
            &shared.connector,
            &*shared.factory,
            &shared.recorder,
            self.number,
            timing,
            &shared.counts.opened,
            &mut self.stop,
        )
        .await
    }
}
