//! The way from one publisher's clock to the recorder's.

use std::time::Duration;

/// How much of a longer way is believed, each packet: clocks drift apart by some tens of
/// microseconds a second, and there are about a hundred packets in one.
const DRIFT: f64 = 2e-6;
/// A jump of this many microseconds is another clock: the publisher came back.
const JUMP: f64 = 5_000_000.0;

/// Maps capture times to local ones by the packet that took the shortest way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// Microseconds from capture to the earliest arrival.
    shortest: Option<f64>,
}

impl Line {
    /// Before any packet.
    pub(super) const UNKNOWN: Self = Self { shortest: None };

    pub(super) fn arrived(&mut self, now: Duration, capture_us: u64) {
        let way = now.as_micros() as f64 - capture_us as f64;
        let shortest = self.shortest.get_or_insert(way);
        if way < *shortest || way - *shortest > JUMP {
            *shortest = way;
        } else {
            *shortest += (way - *shortest) * DRIFT;
        }
    }

    /// Local time in microseconds at which it would have come without waiting anywhere.
    pub(super) fn local_us(&self, capture_us: u64) -> i64 {
        (capture_us as f64 + self.shortest.unwrap_or(0.0)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_counts_until_the_clock_is_another() {
        let mut line = Line::default();
        let ms = Duration::from_millis;
        for (now, capture) in [(130, 9_000), (160, 9_040), (190, 9_080), (250, 9_120)] {
            line.arrived(ms(now), capture * 1000);
        }
        assert_eq!(line.local_us(9_200_000) / 1000, 9200 - 9_000 + 130 - 20);
        line.arrived(ms(300), 50_000);
        assert_eq!(line.local_us(50_000) / 1000, 300);
    }
}
