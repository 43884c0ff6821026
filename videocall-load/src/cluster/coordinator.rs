//! The coordinator: gives workers their shares, merges what they record, and notes who is lost.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Client, Subscriber};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{interval, timeout},
};

use super::{
    BEAT, ClusterError, LOST_AFTER, check_name,
    messages::{Answer, Offer, Order, Report, Subjects, Task, decode, encode},
    nats,
};
use crate::{
    clock,
    engine::Outcomes,
    measure::Snapshot,
    output::{
        frame::{Collected, Worker},
        monitor::Source,
    },
    plan::{Plan, Share},
};

/// From the last worker that is ready to the common beginning.
const LEAD: Duration = Duration::from_millis(500);
/// How long a worker may take to answer its task.
const ANSWER: Duration = Duration::from_secs(30);

/// How a distributed run is led.
#[derive(Clone, Debug)]
pub struct CoordinateOptions {
    /// `nats://[user:password@]host:port`.
    pub nats_url: String,
    /// Workers of that group.
    pub group: String,
    /// How many.
    pub workers: usize,
    /// How long to wait for them.
    pub patience: Duration,
}

/// What is known of a worker.
#[derive(Debug)]
struct Known {
    worker: Worker,
    snapshot: Snapshot,
    heard: Instant,
    ended: Option<Result<(u64, u64), String>>,
}

/// Workers that are ready to begin.
#[derive(Debug)]
pub struct Cluster {
    client: Client,
    subjects: Subjects,
    run: String,
    reports: Subscriber,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
    /// Tells the time, and that the coordinator lives.
    helpers: Vec<AbortHandle>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for helper in &self.helpers {
            helper.abort();
        }
    }
}

/// Gathers workers and gives them their shares of the plan.
///
/// # Errors
/// When NATS cannot be reached, or there are not enough workers that can run the plan.
pub async fn coordinate(options: &CoordinateOptions, plan: &Plan) -> Result<Cluster, ClusterError> {
    check_name(&options.group)?;
    plan.check()?;
    let client = async_nats::connect(&options.nats_url).await.map_err(nats)?;
    let subjects = Subjects(options.group.clone());
    let run = format!("{:016x}", rand::random::<u64>());
    let cluster = Cluster {
        reports: client
            .subscribe(subjects.reports(&run))
            .await
            .map_err(nats)?,
        helpers: vec![
            tell_time(&client, subjects.clock(&run)).await?,
            beat(client.clone(), subjects.orders(&run)),
        ],
        client,
        subjects,
        run,
        known: Arc::default(),
    };
    let names = cluster.gather(options).await?;
    let tasks = names.iter().enumerate().map(|(index, name)| {
        let mut plan = plan.clone();
        plan.share = Share {
            index: index as u64,
            workers: names.len() as u64,
        };
        cluster.give(name.clone(), plan)
    });
    for known in futures_util::future::join_all(tasks).await {
        let known = known?;
        let name = known.worker.name.clone();
        cluster.known.lock().insert(name, known);
    }
    Ok(cluster)
}

async fn tell_time(client: &Client, subject: String) -> Result<AbortHandle, ClusterError> {
    let mut questions = client.subscribe(subject).await.map_err(nats)?;
    let client = client.clone();
    let task = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            if let Some(reply) = question.reply {
                let _ = client.publish(reply, encode(&clock::now_micros())).await;
            }
        }
    });
    Ok(task.abort_handle())
}

fn beat(client: Client, subject: String) -> AbortHandle {
    let task = tokio::spawn(async move {
        let mut beats = interval(BEAT);
        loop {
            beats.tick().await;
            let _ = client.publish(subject.clone(), encode(&Order::Beat)).await;
        }
    });
    task.abort_handle()
}

impl Cluster {
    /// Names of the first workers that offer themselves.
    async fn gather(&self, options: &CoordinateOptions) -> Result<Vec<String>, ClusterError> {
        let subject = self.subjects.offers();
        let mut offers = self.client.subscribe(subject).await.map_err(nats)?;
        let mut names: Vec<String> = Vec::new();
        let all = async {
            while names.len() < options.workers {
                let Some(message) = offers.next().await else {
                    return Err(nats("the connection was closed"));
                };
                let Some(offer) = decode::<Offer>(&message.payload) else {
                    continue;
                };
                check_name(&offer.name)?;
                if offer.version != env!("CARGO_PKG_VERSION") {
                    let text = format!("is of version {}", offer.version);
                    return Err(ClusterError::Refused(offer.name, text));
                }
                if !names.contains(&offer.name) {
                    names.push(offer.name);
                }
            }
            Ok(())
        };
        match timeout(options.patience, all).await {
            Ok(gathered) => gathered.map(|()| names),
            Err(_) => Err(ClusterError::Workers {
                found: names.len(),
                wanted: options.workers,
                names: names.join(", "),
            }),
        }
    }

    async fn give(&self, name: String, plan: Plan) -> Result<Known, ClusterError> {
        let task = encode(&Task {
            run: self.run.clone(),
            plan,
        });
        let request = async_nats::Request::new()
            .payload(task)
            .timeout(Some(ANSWER));
        let answer = self
            .client
            .send_request(self.subjects.tasks(&name), request)
            .await;
        let refused = |text: String| ClusterError::Refused(name.clone(), text);
        let answer = answer.map_err(|error| refused(error.to_string()))?;
        match decode(&answer.payload) {
            Some(Answer::Ready {
                offset_us,
                error_us,
            }) => Ok(Known {
                worker: Worker {
                    name,
                    clock: Some((offset_us, error_us)),
                    ..Worker::default()
                },
                snapshot: Snapshot::default(),
                heard: Instant::now(),
                ended: None,
            }),
            Some(Answer::Refused(text)) => Err(refused(text)),
            None => Err(refused("gave an answer that makes no sense".to_owned())),
        }
    }

    /// What has been recorded so far, by all workers.
    pub fn source(&self) -> Source {
        let known = self.known.clone();
        Arc::new(move || {
            let known = known.lock();
            let mut snapshot = Snapshot::default();
            for worker in known.values() {
                snapshot.merge(&worker.snapshot);
            }
            Collected {
                snapshot,
                workers: known.values().map(|known| known.worker.clone()).collect(),
            }
        })
    }

    /// Lets the workers begin, and returns when each has ended or is lost.
    ///
    /// # Errors
    /// When NATS is lost, or a worker could not run its share.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<Outcomes, ClusterError> {
        let begin = clock::now_micros() + LEAD.as_micros() as u64;
        self.order(Order::Begin(begin)).await?;
        let start = Instant::now() + LEAD;
        for known in self.known.lock().values_mut() {
            known.heard = start;
        }
        let mut looks = interval(BEAT / 2);
        let mut stopped = false;
        loop {
            tokio::select! {
                report = self.reports.next() => {
                    let report = report.ok_or_else(|| nats("the connection was closed"))?;
                    if let Some(report) = decode::<Report>(&report.payload) {
                        self.note(report)?;
                    }
                }
                _ = looks.tick() => self.give_up(start),
                _ = stop.changed(), if !stopped => {
                    stopped = true;
                    self.order(Order::Stop).await?;
                }
            }
            let known = self.known.lock();
            let over = |known: &Known| known.ended.is_some() || known.worker.lost_at.is_some();
            if known.values().all(over) {
                let mut sum = Outcomes::default();
                for (attempts, opened) in known.values().map(|known| match &known.ended {
                    Some(Ok(outcomes)) => *outcomes,
                    _ => (known.snapshot.started, known.snapshot.connected),
                }) {
                    sum.attempts += attempts;
                    sum.opened += opened;
                }
                return Ok(sum);
            }
        }
    }

    async fn order(&self, order: Order) -> Result<(), ClusterError> {
        let subject = self.subjects.orders(&self.run);
        let published = self.client.publish(subject, encode(&order)).await;
        published.map_err(nats)?;
        self.client.flush().await.map_err(nats)
    }

    fn note(&self, report: Report) -> Result<(), ClusterError> {
        let mut known = self.known.lock();
        let Some(known) = known.get_mut(&report.name) else {
            return Ok(());
        };
        // One that was given up stays lost: its share was missing for a while.
        known.heard = Instant::now();
        known.snapshot = report.snapshot;
        known.worker.tester = report.tester;
        if let Some(Err(text)) = &report.ended {
            return Err(ClusterError::Refused(report.name, text.clone()));
        }
        if report.ended.is_some() {
            known.ended = report.ended;
        }
        Ok(())
    }

    fn give_up(&self, start: Instant) {
        for known in self.known.lock().values_mut() {
            let silent = known.heard.elapsed() > LOST_AFTER;
            if silent && known.ended.is_none() && known.worker.lost_at.is_none() {
                let heard = known.heard.saturating_duration_since(start);
                known.worker.lost_at = Some(heard.as_secs_f64());
                tracing::error!(worker = known.worker.name, "worker lost");
            }
        }
    }
}
