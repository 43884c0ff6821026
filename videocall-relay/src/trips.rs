//! Round trips to one receiver, measured by pings.

use std::time::{Duration, Instant};

/// For so long the shortest round trip is remembered, and at most twice as long.
const MEMORY: Duration = Duration::from_secs(30);

/// Round trips of one receiver.
#[derive(Debug, Default)]
pub(crate) struct Trips {
    asked: Option<(u64, Instant)>,
    /// Shortest of this period, and of the one before.
    shortest: [Option<Duration>; 2],
    period: Option<Instant>,
}

impl Trips {
    /// A ping goes out.
    pub(crate) fn ask(&mut self, now: Instant, token: u64) {
        self.asked = Some((token, now));
    }

    /// Whether a ping was not answered yet.
    pub(crate) fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// An answer came. Returns by how much longer the way was than at its best; nothing if it
    /// answers another ping than the last.
    pub(crate) fn answered(&mut self, now: Instant, token: u64) -> Option<Duration> {
        let (_, at) = self.asked.take_if(|(asked, _)| *asked == token)?;
        let trip = now.saturating_duration_since(at);
        let started = *self.period.get_or_insert(now);
        if now.saturating_duration_since(started) >= MEMORY {
            self.period = Some(now);
            self.shortest = [None, self.shortest[0]];
        }
        let this = &mut self.shortest[0];
        *this = Some(this.map_or(trip, |shortest| shortest.min(trip)));
        let base = self.shortest.iter().flatten().min()?;
        Some(trip.saturating_sub(*base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_is_compared_with_the_shortest_of_the_last_minute() {
        let start = Instant::now();
        let mut trips = Trips::default();
        let mut trip = |at_s: u64, ms: u64| {
            let at = start + Duration::from_secs(at_s);
            trips.ask(at, at_s);
            assert_eq!(trips.answered(at, 999), None, "of another ping");
            let grown = trips.answered(at + Duration::from_millis(ms), at_s);
            grown.map(|grown| grown.as_millis())
        };
        assert_eq!(trip(1, 40), Some(0));
        assert_eq!(trip(6, 500), Some(460));
        assert_eq!(trip(40, 500), Some(460), "still remembered");
        assert_eq!(trip(75, 500), Some(0), "another path by now");
    }
}
