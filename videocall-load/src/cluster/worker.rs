//! A worker: takes its share of a run, and tells what it records.

use std::time::{Duration, Instant};

use async_nats::{Client, Subscriber};
use futures_util::StreamExt;
use tokio::{
    sync::watch,
    time::{interval, sleep_until, timeout},
};

use super::{
    BEAT, ClusterError, LOST_AFTER, check_name,
    messages::{Answer, Offer, Order, Report, Subjects, Task, decode, encode},
    nats,
};
use crate::{
    cli::ensure_descriptors,
    clock, engine,
    measure::{Recorder, watch as watch_self},
};

/// Questions for the coordinator's time; the one with the shortest way counts.
const QUESTIONS: usize = 20;
/// Between offers.
const OFFER: Duration = Duration::from_millis(300);

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkOptions {
    /// `nats://[user:password@]host:port`.
    pub nats_url: String,
    /// Workers of a group serve coordinators of that group.
    pub group: String,
    /// Its name in reports.
    pub name: String,
}

/// Takes part in one run. Returns when that has ended.
///
/// # Errors
/// When NATS cannot be reached, the plan cannot be run, or the coordinator is lost.
pub async fn work(options: &WorkOptions) -> Result<(), ClusterError> {
    check_name(&options.name)?;
    check_name(&options.group)?;
    let client = async_nats::connect(&options.nats_url).await.map_err(nats)?;
    let subjects = Subjects(options.group.clone());
    let mut tasks = client
        .subscribe(subjects.tasks(&options.name))
        .await
        .map_err(nats)?;
    let offer = encode(&Offer {
        name: options.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let mut offers = interval(OFFER);
    let (task, reply) = loop {
        tokio::select! {
            message = tasks.next() => {
                let message = message.ok_or_else(|| nats("the connection was closed"))?;
                if let (Some(task), Some(reply)) = (decode::<Task>(&message.payload), message.reply) {
                    break (task, reply);
                }
            }
            _ = offers.tick() => {
                client.publish(subjects.offers(), offer.clone()).await.map_err(nats)?;
            }
        }
    };
    check_name(&task.run)?;
    let orders = client
        .subscribe(subjects.orders(&task.run))
        .await
        .map_err(nats)?;
    let checked = task.plan.check().map_err(|error| error.to_string());
    let files = || ensure_descriptors(task.plan.sockets()).map_err(|error| error.to_string());
    if let Err(text) = checked.and_then(|()| files()) {
        let answer = encode(&Answer::Refused(text.clone()));
        client.publish(reply, answer).await.map_err(nats)?;
        client.flush().await.map_err(nats)?;
        return Err(ClusterError::Refused(options.name.clone(), text));
    }
    let (offset_us, error_us) = align(&client, subjects.clock(&task.run)).await?;
    clock::set_offset(offset_us);
    let answer = encode(&Answer::Ready {
        offset_us,
        error_us,
    });
    client.publish(reply, answer).await.map_err(nats)?;
    take_part(&client, &subjects, options, task, orders).await
}

/// The correction of this clock and its uncertainty, in microseconds. As in NTP: the true time of
/// the answer lies within the way there and back, so that the shortest way tells most.
async fn align(client: &Client, subject: String) -> Result<(i64, u64), ClusterError> {
    clock::set_offset(0);
    let mut best: Option<(i64, u64)> = None;
    for _ in 0..QUESTIONS {
        let asked = clock::now_micros();
        let answer = timeout(BEAT, client.request(subject.clone(), "".into())).await;
        let now = clock::now_micros();
        let Ok(Ok(answer)) = answer else {
            continue;
        };
        let Some(theirs) = decode::<u64>(&answer.payload) else {
            continue;
        };
        let way = now.saturating_sub(asked);
        let offset = theirs as i64 - (asked + way / 2) as i64;
        if best.is_none_or(|(_, error)| way / 2 < error) {
            best = Some((offset, way / 2));
        }
    }
    best.ok_or(ClusterError::CoordinatorLost)
}

async fn take_part(
    client: &Client,
    subjects: &Subjects,
    options: &WorkOptions,
    task: Task,
    mut orders: Subscriber,
) -> Result<(), ClusterError> {
    let begin = loop {
        match next_order(&mut orders).await? {
            Order::Begin(at) => break at,
            Order::Stop => return Ok(()),
            Order::Beat => {}
        }
    };
    let wait = begin.saturating_sub(clock::now_micros());
    sleep_until((Instant::now() + Duration::from_micros(wait)).into()).await;
    let recorder = Recorder::default();
    let watched = watch_self(recorder.clone());
    let (stopper, stop) = watch::channel(false);
    let factory = task.plan.factory();
    let mut run = tokio::spawn(engine::run(task.plan, factory, recorder.clone(), stop));
    let mut beats = interval(BEAT);
    let mut lost = false;
    let subject = subjects.reports(&task.run);
    let report = |ended| {
        let snapshot = recorder.snapshot();
        let tester = watched.sample(&snapshot);
        encode(&Report {
            name: options.name.clone(),
            snapshot,
            tester,
            ended,
        })
    };
    let mut heard = Instant::now();
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            _ = beats.tick() => {
                client.publish(subject.clone(), report(None)).await.map_err(nats)?;
                if heard.elapsed() > LOST_AFTER && !lost {
                    lost = true;
                    let _ = stopper.send(true);
                }
            }
            order = orders.next() => match order.map(|order| decode(&order.payload)) {
                Some(Some(Order::Stop)) => { let _ = stopper.send(true); }
                Some(_) => heard = Instant::now(),
                None => {
                    let _ = stopper.send(true);
                    // The run's end is what is left to wait for.
                    let _ = (&mut run).await;
                    return Err(ClusterError::CoordinatorLost);
                }
            },
        }
    };
    let ended = match outcome {
        Ok(Ok(outcomes)) => Ok((outcomes.attempts, outcomes.opened)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    client
        .publish(subject, report(Some(ended)))
        .await
        .map_err(nats)?;
    client.flush().await.map_err(nats)?;
    if lost {
        return Err(ClusterError::CoordinatorLost);
    }
    Ok(())
}

async fn next_order(orders: &mut Subscriber) -> Result<Order, ClusterError> {
    loop {
        // Other workers may take a while to align their clocks; beats come meanwhile.
        let order = timeout(2 * LOST_AFTER, orders.next()).await;
        let order = order.ok().flatten().ok_or(ClusterError::CoordinatorLost)?;
        if let Some(order) = decode(&order.payload) {
            return Ok(order);
        }
    }
}
