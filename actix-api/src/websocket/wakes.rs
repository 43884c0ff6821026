//! Wakes the writers of one worker thread together.
//!
//! A worker polls its connections on one thread. Waking one of them from another thread costs a
//! system call, and a packet wakes as many as it has receivers. So the tasks to be woken are put in
//! the worker's list, and only the first of a list wakes the worker, which then wakes the others at
//! home, where it costs next to nothing (`docs/performance.md`).

use std::{
    cell::OnceCell,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

thread_local! {
    static WORKER: OnceCell<Arc<Worker>> = const { OnceCell::new() };
}

/// A thread that runs connections.
#[derive(Default)]
struct Worker {
    /// At most one for each connection: a queue forgets its waker when it uses it.
    to_wake: Mutex<Vec<Arc<WriterWaker>>>,
    runner: AtomicWaker,
}

impl Worker {
    /// That of this thread. Made, and its list attended to, from the first connection on.
    fn of_this_thread() -> Arc<Self> {
        WORKER.with(|worker| {
            let worker = worker.get_or_init(|| {
                let worker = Arc::<Self>::default();
                let runner = worker.clone();
                let mut list = Vec::new();
                actix_web::rt::spawn(std::future::poll_fn(move |cx| runner.run(cx, &mut list)));
                worker
            });
            worker.clone()
        })
    }

    fn is_this_thread(&self) -> bool {
        WORKER
            .try_with(|worker| {
                worker
                    .get()
                    .is_some_and(|worker| std::ptr::eq(worker.as_ref(), self))
            })
            .unwrap_or(false)
    }

    /// `empty` is a list to go on with, and gets back the memory of the one that was there.
    fn run(&self, cx: &mut Context<'_>, empty: &mut Vec<Arc<WriterWaker>>) -> Poll<()> {
        // First registered, then looked: what comes in between wakes again.
        self.runner.register(cx.waker());
        std::mem::swap(&mut *self.to_wake.lock(), empty);
        for writer in empty.drain(..) {
            writer.task.wake();
        }
        Poll::Pending
    }
}

/// The waker of one connection's writer, for those on other threads.
pub(crate) struct WriterWaker {
    worker: Arc<Worker>,
    task: AtomicWaker,
}

impl WriterWaker {
    /// For a connection of this thread.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            worker: Worker::of_this_thread(),
            task: AtomicWaker::new(),
        })
    }

    /// Wakes this task from now on.
    pub(crate) fn register(&self, task: &Waker) {
        self.task.register(task);
    }
}

impl Wake for WriterWaker {
    fn wake(self: Arc<Self>) {
        if self.worker.is_this_thread() {
            return self.task.wake();
        }
        let worker = self.worker.clone();
        let mut to_wake = worker.to_wake.lock();
        to_wake.push(self);
        let is_first = to_wake.len() == 1;
        drop(to_wake);
        if is_first {
            worker.runner.wake();
        }
    }
}
