//! A queue that is bounded by messages and by their bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::mpsc;

/// An empty queue.
pub(super) fn bounded<T>(messages: usize, bytes: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(messages);
    let waiting = Arc::new(AtomicUsize::new(0));
    let sender = Sender {
        queue: sender,
        waiting: waiting.clone(),
        most: bytes,
    };
    let receiver = Receiver {
        queue: receiver,
        waiting,
    };
    (sender, receiver)
}

#[derive(Debug)]
pub(super) struct Sender<T> {
    queue: mpsc::Sender<(usize, T)>,
    /// Bytes that are in the queue.
    waiting: Arc<AtomicUsize>,
    most: usize,
}

#[derive(Debug)]
pub(super) struct Receiver<T> {
    queue: mpsc::Receiver<(usize, T)>,
    waiting: Arc<AtomicUsize>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            waiting: self.waiting.clone(),
            most: self.most,
        }
    }
}

impl<T> Sender<T> {
    /// Puts in a message of so many bytes; `false` if there is no room for it. One that is longer
    /// than the queue finds room when it is empty.
    pub(super) fn offer(&self, bytes: usize, message: T) -> bool {
        let before = self.waiting.fetch_add(bytes, Relaxed);
        let has_room = before == 0 || before + bytes <= self.most;
        let taken = has_room && self.queue.try_send((bytes, message)).is_ok();
        if !taken {
            self.waiting.fetch_sub(bytes, Relaxed);
        }
        taken
    }

    /// Puts in a message that has next to no bytes, once there is room; `false` if nobody receives.
    pub(super) async fn send(&self, message: T) -> bool {
        self.queue.send((0, message)).await.is_ok()
    }

    /// Whether nobody receives any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Ready when nobody receives any more.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` once nobody sends any more.
    pub(super) async fn recv(&mut self) -> Option<T> {
        let (bytes, message) = self.queue.recv().await?;
        self.waiting.fetch_sub(bytes, Relaxed);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_and_messages_are_bounded_and_what_is_taken_makes_room() {
        let (sender, mut receiver) = bounded(3, 100);
        assert!(sender.offer(60, 1));
        assert!(!sender.offer(41, 2), "too many bytes");
        assert!(sender.offer(40, 3));
        assert!(sender.offer(0, 4));
        assert!(!sender.offer(0, 5), "too many messages");
        assert_eq!(receiver.recv().await, Some(1));
        assert!(sender.offer(60, 6));
        assert_eq!(receiver.recv().await, Some(3));
        assert_eq!(receiver.recv().await, Some(4));
        assert_eq!(receiver.recv().await, Some(6));
        assert!(sender.offer(1_000, 7), "a long one, alone");
        assert!(!sender.offer(1, 8));
        drop(receiver);
        assert!(!sender.send(9).await);
    }
}
