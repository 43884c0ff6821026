//! Runs one behaviour on one connection, in one task.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    time::{Instant as TokioInstant, Sleep, sleep_until},
};

use crate::{
    behaviour::{Behaviour, Commands, Context, Ending, Factory},
    errors::Failure,
    measure::{EndReason, MessageKind, Metric, Recorder},
    transport::{Connector, Incoming, Received, Socket},
};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The run wants it no more.
    Stopped,
    /// It ended by itself.
    Ended {
        /// By a failure.
        failed: bool,
        /// It wants to come back without a pause.
        at_once: bool,
    },
}

/// What one connection is told by the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// When it should be started.
    pub(crate) planned: Instant,
    /// How long it stays.
    pub(crate) duration: Option<Duration>,
}

enum Event {
    Stop,
    Timer,
    Message(Received),
    Closed,
    Failed(Failure),
}

/// Connects and stays until something ends it.
pub(crate) async fn run(
    connector: &Connector,
    factory: &dyn Factory,
    recorder: &Recorder,
    number: u64,
    timing: Timing,
    opened: &AtomicU64,
    stop: &mut oneshot::Receiver<()>,
) -> Outcome {
    let started = Instant::now();
    recorder.connection_started();
    // On the heap, so that the task of an idle connection is small.
    let connecting = Box::pin(connector.connect(number, factory.request(number)));
    let connected = tokio::select! {
        biased;
        _ = &mut *stop => {
            recorder.connection_ended(EndReason::Stopped);
            return Outcome::Stopped;
        }
        connected = connecting => connected,
    };
    let socket = match connected {
        Ok(socket) => socket,
        Err(failure) => {
            recorder.failed(failure.class, &failure.text);
            return Outcome::Ended {
                failed: true,
                at_once: false,
            };
        }
    };
    let now = Instant::now();
    opened.fetch_add(1, Relaxed);
    recorder.connected(now - started);
    recorder.latency(
        Metric::Connect,
        now.saturating_duration_since(timing.planned),
        now - started,
    );
    let open = Open {
        socket,
        behaviour: factory.behaviour(number),
        recorder,
        commands: Commands::default(),
        number,
        planned: timing.planned,
        started,
        leave_at: timing.duration.map(|duration| now + duration),
        broken: None,
    };
    let outcome = open.run(stop).await;
    recorder.closed();
    outcome
}

struct Open<'a> {
    socket: Socket,
    behaviour: Box<dyn Behaviour>,
    recorder: &'a Recorder,
    commands: Commands,
    number: u64,
    planned: Instant,
    started: Instant,
    leave_at: Option<Instant>,
    /// Sending failed; what the peer said before may still be read.
    broken: Option<Failure>,
}

impl Open<'_> {
    async fn run(mut self, stop: &mut oneshot::Receiver<()>) -> Outcome {
        let subprotocol = self.socket.subprotocol().map(str::to_owned);
        let (behaviour, mut context) = self.hooks(Instant::now());
        context.subprotocol = subprotocol.as_deref();
        behaviour.on_open(&mut context);
        drop(subprotocol);
        // One timer for everything, set anew only when the time changes.
        let mut timer = pin!(sleep_until(TokioInstant::now()));
        let mut armed = None;
        loop {
            if self.commands.ending.is_some() {
                return self.obey().await;
            }
            let deadline = self.deadline();
            if deadline != armed {
                if let Some(at) = deadline {
                    timer.as_mut().reset(TokioInstant::from_std(at));
                }
                armed = deadline;
            }
            match self.next(stop, timer.as_mut(), deadline.is_some()).await {
                Event::Stop => return self.leave(Outcome::Stopped, EndReason::Stopped).await,
                Event::Timer => {
                    armed = None;
                    let now = Instant::now();
                    if self.leave_at.is_some_and(|at| at <= now) {
                        return self.leave(regular(false), EndReason::Stopped).await;
                    }
                    self.wake(now);
                }
                Event::Message(message) => self.receive(message),
                Event::Closed => {
                    let (behaviour, mut context) = self.hooks(Instant::now());
                    behaviour.on_close(&mut context, None);
                    self.recorder.connection_ended(EndReason::ClosedByServer);
                    return regular(self.commands.reconnect_at_once);
                }
                Event::Failed(failure) => return self.failed(failure),
            }
        }
    }

    /// The next time at which something is to be done.
    fn deadline(&self) -> Option<Instant> {
        [
            self.commands.wake,
            self.commands.reading_paused_until,
            self.leave_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    async fn next(
        &mut self,
        stop: &mut oneshot::Receiver<()>,
        mut timer: Pin<&mut Sleep>,
        timed: bool,
    ) -> Event {
        poll_fn(|cx| {
            if Pin::new(&mut *stop).poll(cx).is_ready() {
                return Poll::Ready(Event::Stop);
            }
            // Before the socket: a flood of messages must not delay what is planned.
            if timed && timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Timer);
            }
            if self.broken.is_none() {
                let recorder = self.recorder;
                let mut sent = |message: &crate::transport::Outgoing| {
                    recorder.sent(message.kind, message.layer, message.payload.len());
                };
                let queue = &mut self.commands.queue;
                if let Poll::Ready(Err(failure)) = self.socket.poll_send(cx, queue, &mut sent) {
                    self.broken = Some(failure);
                }
            }
            if self.commands.reading_paused_until.is_some() {
                return Poll::Pending;
            }
            self.socket.poll_receive(cx).map(|incoming| match incoming {
                Incoming::Message(message) => Event::Message(message),
                Incoming::Closed => match self.broken.take() {
                    Some(failure) => Event::Failed(failure),
                    None => Event::Closed,
                },
                Incoming::Failed(failure) => Event::Failed(failure),
            })
        })
        .await
    }

    fn wake(&mut self, now: Instant) {
        if self
            .commands
            .reading_paused_until
            .is_some_and(|at| at <= now)
        {
            self.commands.reading_paused_until = None;
        }
        if let Some(planned) = self.commands.wake.filter(|at| *at <= now) {
            self.recorder.scheduling_delay(now - planned);
            self.commands.wake = None;
            let (behaviour, mut context) = self.hooks(now);
            behaviour.on_wake(&mut context, planned);
        }
    }

    fn receive(&mut self, message: Received) {
        let bytes = message.payload.len();
        self.commands.classified = None;
        let (behaviour, mut context) = self.hooks(message.at);
        behaviour.on_message(&mut context, message);
        let classified = self.commands.classified;
        let (kind, layer) = classified.unwrap_or((MessageKind::Other, 0));
        self.recorder.received(kind, layer, bytes);
    }

    fn hooks(&mut self, now: Instant) -> (&mut dyn Behaviour, Context<'_>) {
        let context = Context::new(
            self.recorder,
            &mut self.commands,
            self.number,
            self.planned,
            self.started,
            now,
        );
        (&mut *self.behaviour, context)
    }

    /// Ends as the behaviour asked.
    async fn obey(mut self) -> Outcome {
        let at_once = self.commands.reconnect_at_once;
        match self.commands.ending.take() {
            Some(Ending::Fail(failure)) => self.failed(failure),
            Some(Ending::Abort) => {
                let (behaviour, mut context) = self.hooks(Instant::now());
                behaviour.on_close(&mut context, None);
                self.recorder.connection_ended(EndReason::Stopped);
                self.socket.abort();
                regular(at_once)
            }
            Some(Ending::Close(code, text)) => {
                self.flush().await;
                let (behaviour, mut context) = self.hooks(Instant::now());
                behaviour.on_close(&mut context, None);
                self.socket.close(code, &text).await;
                self.recorder.connection_ended(EndReason::Stopped);
                regular(at_once)
            }
            None => regular(at_once),
        }
    }

    /// Sends what is queued, for a moment.
    async fn flush(&mut self) {
        let (queue, recorder) = (&mut self.commands.queue, self.recorder);
        let mut sent = |message: &crate::transport::Outgoing| {
            recorder.sent(message.kind, message.layer, message.payload.len());
        };
        let flushed = poll_fn(|cx| self.socket.poll_send(cx, queue, &mut sent));
        let _ = tokio::time::timeout(Duration::from_secs(1), flushed).await;
    }

    async fn leave(mut self, outcome: Outcome, reason: EndReason) -> Outcome {
        let (behaviour, mut context) = self.hooks(Instant::now());
        behaviour.on_close(&mut context, None);
        self.socket.close(1000, "").await;
        self.recorder.connection_ended(reason);
        outcome
    }

    fn failed(mut self, failure: Failure) -> Outcome {
        let (behaviour, mut context) = self.hooks(Instant::now());
        behaviour.on_close(&mut context, Some(&failure));
        let at_once = self.commands.reconnect_at_once;
        self.recorder.failed(failure.class, &failure.text);
        self.recorder.connection_ended(EndReason::Failed);
        Outcome::Ended {
            failed: true,
            at_once,
        }
    }
}

const fn regular(at_once: bool) -> Outcome {
    Outcome::Ended {
        failed: false,
        at_once,
    }
}
