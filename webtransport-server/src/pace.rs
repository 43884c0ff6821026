//! When handshakes may begin: one after the other, so that many who come at once do not hold up
//! those who talk.
//!
//! A handshake takes a processor for a millisecond or so. A hundred at once would all be ready to
//! run before any packet that comes meanwhile; spread over time they leave room between each other.

use std::{num::NonZero, thread, time::Duration};

use parking_lot::Mutex;
use tokio::time::{self, Instant};

/// A processor begins another so long after the last: more than half of its time is left to those who
/// talk, and a thousand people who lost another server are in within a second on two processors,
/// before their clients give up on WebTransport.
const EACH: Duration = Duration::from_millis(2);

/// Turns, in order of asking.
#[derive(Debug)]
pub(crate) struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// For so many processors.
    pub(crate) fn new(processors: NonZero<usize>) -> Self {
        let processors = u32::try_from(processors.get()).unwrap_or(u32::MAX);
        Self {
            gap: EACH / processors,
            next: Mutex::new(Instant::now()),
        }
    }

    /// For this machine.
    pub(crate) fn of_machine() -> Self {
        Self::new(thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
    }

    /// Waits for a turn: none where nobody else waits. How many wait is bounded by who asks.
    pub(crate) async fn turn(&self) {
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock();
            let turn = now.max(*next);
            *next = turn + self.gap;
            turn
        };
        if turn > now {
            time::sleep_until(turn).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_is_let_in_at_once_and_many_one_after_the_other() {
        let pace = Pace::new(NonZero::new(2).unwrap());
        let start = Instant::now();
        pace.turn().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..100 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed(), EACH * 50);
        // Nothing is saved up.
        time::advance(Duration::from_secs(10)).await;
        let later = Instant::now();
        pace.turn().await;
        assert_eq!(later.elapsed(), Duration::ZERO);
        pace.turn().await;
        assert_eq!(later.elapsed(), EACH / 2);
    }
}
