//! The estimate against a simulated path: a queue that is emptied at a steady rate.

use proptest::prelude::*;

use super::*;

const STEP: Duration = Duration::from_millis(10);
/// Frames a second, and bytes of their framing.
const FRAME: Duration = Duration::from_millis(40);

/// A sender that always sends what it may, at most `most` bits a second, over a path.
struct Path {
    uplink: Uplink,
    now: Duration,
    capacity: f64,
    round_trip: Duration,
    most: f64,
    /// When each packet was sent, how large it is, and what is left of it.
    queue: std::collections::VecDeque<(Duration, usize, f64)>,
    next_frame: Duration,
    /// Longest wait of the last second of each run.
    longest: Duration,
    /// The machine does nothing until then.
    stalled: Duration,
}

impl Path {
    fn new(capacity: f64, round_trip_ms: u64) -> Self {
        Self {
            uplink: Uplink::default(),
            now: Duration::ZERO,
            capacity,
            round_trip: Duration::from_millis(round_trip_ms),
            most: 2_500_000.0,
            queue: Default::default(),
            next_frame: Duration::ZERO,
            longest: Duration::ZERO,
            stalled: Duration::ZERO,
        }
    }

    fn run(&mut self, seconds: f64) -> f64 {
        let end = self.now + Duration::from_secs_f64(seconds);
        self.longest = Duration::ZERO;
        while self.now < end {
            self.now += STEP;
            self.send();
            if self.now >= self.stalled {
                self.carry();
            }
            let oldest = self.queue.front().map(|(at, ..)| self.now - *at);
            self.uplink.tick(self.now, None, oldest);
        }
        self.uplink.bps() as f64
    }

    /// Runs in a machine that stalls for `stall` out of each `every`.
    fn run_in_stalls(&mut self, seconds: f64, every: f64, stall: impl Fn(u32) -> f64) -> f64 {
        let mut lowest = f64::MAX;
        for n in 0..(seconds / every) as u32 {
            self.stalled = self.now + Duration::from_secs_f64(stall(n));
            lowest = self.run(every).min(lowest);
        }
        lowest
    }

    fn send(&mut self) {
        if self.now < self.next_frame {
            return;
        }
        self.next_frame += FRAME;
        let bps = (self.uplink.bps() as f64).min(self.most);
        let bytes = (bps * FRAME.as_secs_f64() / 8.0) as usize;
        if bytes == 0 {
            return;
        }
        self.uplink.sent(self.now, bytes);
        self.queue.push_back((self.now, bytes, bytes as f64 * 8.0));
    }

    fn carry(&mut self) {
        let mut bits = self.capacity * STEP.as_secs_f64();
        while let Some((at, bytes, left)) = self.queue.front_mut() {
            let taken = bits.min(*left);
            *left -= taken;
            bits -= taken;
            if *left > 0.0 {
                break;
            }
            let wait = self.now - *at + self.round_trip;
            self.longest = self.longest.max(wait);
            self.uplink.delivered(self.now, *bytes);
            self.uplink.waited(self.now, wait);
            self.queue.pop_front();
        }
        // Its owner drops what waited too long, unless it is on its way.
        let now = self.now;
        let fresh = |at: Duration| now - at < Duration::from_millis(500);
        self.queue
            .retain(|(at, bytes, left)| fresh(*at) || *left < *bytes as f64 * 8.0);
    }
}

#[test]
fn a_wide_path_is_used_within_seconds_and_never_cut() {
    let mut path = Path::new(50_000_000.0, 30);
    assert!(path.run(2.0) >= path.most, "{}", path.uplink.bps());
    path.run(30.0);
    assert!(path.uplink.found.is_none());
}

#[test]
fn a_keyframe_and_a_lost_packet_are_forgiven() {
    let mut path = Path::new(4_000_000.0, 30);
    path.run(5.0);
    let before = path.uplink.bps();
    for _ in 0..10 {
        // 200 ms of the path at once.
        path.queue.push_back((path.now, 100_000, 800_000.0));
        path.run(3.0);
    }
    assert!(path.uplink.bps() >= before);
}

#[test]
fn a_machine_with_too_much_to_do_is_no_narrow_path() {
    // Of what a still picture takes, and of all that may be sent.
    for most in [110_000.0, 2_500_000.0] {
        let mut path = Path::new(50_000_000.0, 2);
        path.most = most;
        path.run(5.0);
        let before = path.uplink.bps() as f64;
        let stalls = |n: u32| 0.3 + 0.1 * f64::from(n % 5);
        let lowest = path.run_in_stalls(60.0, 1.3, stalls);
        assert!(lowest >= before, "{lowest} of {before}");
    }
}

#[test]
fn delays_that_pass_are_borne_for_as_long_as_such_took_before() {
    let mut path = Path::new(50_000_000.0, 2);
    path.run(5.0);
    for quarters in [2, 3, 4, 5, 6] {
        path.round_trip = Duration::from_millis(250);
        path.run(0.25 * f64::from(quarters));
        path.round_trip = Duration::from_millis(2);
        path.run(2.0);
    }
    assert!(path.uplink.cut.is_none(), "{:?}", path.uplink.cut);
}

#[test]
fn a_cut_that_shortens_no_wait_is_taken_back_and_such_waits_are_borne() {
    let mut path = Path::new(50_000_000.0, 2);
    path.most = 110_000.0;
    path.run(5.0);
    let before = path.uplink.bps();
    path.round_trip = Duration::from_millis(200);
    let mut lower = 0;
    // Less than what the idle path's wait is remembered for.
    for _ in 0..40 {
        path.run(0.25);
        lower += u32::from(path.uplink.bps() < before);
    }
    assert!((1..=6).contains(&lower), "{lower} quarters of a second");
}

#[test]
fn a_stall_that_is_too_long_to_be_borne_is_made_good_where_little_is_sent() {
    let mut path = Path::new(50_000_000.0, 2);
    path.most = 110_000.0;
    path.run(5.0);
    let before = path.uplink.bps();
    path.run_in_stalls(3.0, 3.0, |_| 2.5);
    assert!(path.uplink.bps() < before, "it was cut");
    path.run(6.0);
    assert_eq!(path.uplink.bps(), before);
}

#[test]
fn less_is_sent_at_once_when_the_path_gets_narrow_and_more_when_it_gets_wide() {
    let mut path = Path::new(5_000_000.0, 20);
    path.run(5.0);
    path.capacity = 300_000.0;
    path.run(6.0);
    assert!(path.uplink.bps() < 330_000, "{}", path.uplink.bps());
    path.run(20.0);
    assert!(
        path.longest < Duration::from_millis(700),
        "{:?}",
        path.longest
    );
    path.capacity = 5_000_000.0;
    path.run(60.0);
    assert!(path.uplink.bps() > 2_000_000, "{}", path.uplink.bps());
}

#[test]
fn a_path_that_got_longer_is_not_taken_for_a_narrow_one_for_ever() {
    let mut path = Path::new(5_000_000.0, 20);
    path.run(5.0);
    path.round_trip = Duration::from_millis(250);
    path.run(60.0);
    assert!(path.uplink.bps() > 1_500_000, "{}", path.uplink.bps());
}

#[test]
fn nothing_sent_proves_nothing() {
    let mut path = Path::new(300_000.0, 20);
    path.run(10.0);
    path.most = 0.0;
    path.run(120.0);
    assert!(path.uplink.bps() < 400_000, "{}", path.uplink.bps());
    path.most = 70_000.0; // Sound alone.
    path.run(50.0);
    assert!((150_000..450_000).contains(&path.uplink.bps()));
}

#[test]
fn a_still_picture_is_not_kept_small_for_ever_by_what_was_too_much_once() {
    let mut path = Path::new(300_000.0, 20);
    path.run(10.0);
    path.capacity = 50_000_000.0;
    path.most = 110_000.0;
    path.run(40.0);
    assert!(path.uplink.bps() < 300_000, "{}", path.uplink.bps());
    path.run(3.0 * 60.0);
    assert!(path.uplink.bps() >= 1_000_000, "{}", path.uplink.bps());
    // A cut that is taken back was no failure, though what may be sent was in use.
    path.most = 20_000_000.0;
    path.run(1.0);
    path.round_trip = Duration::from_millis(200);
    path.run(10.0);
    assert!(path.uplink.cut.is_some_and(|cut| cut.at > path.now - SOON));
    assert!(path.uplink.unproven.bps >= 800_000.0);
}

#[test]
fn a_path_that_stays_narrow_is_tried_ever_more_rarely() {
    let mut path = Path::new(300_000.0, 20);
    let mut attempts = Vec::new();
    let mut most = 70_000.0;
    for second in 0..40 * 60 {
        // A larger picture as soon as there seems to be room for one.
        let before = std::mem::replace(
            &mut most,
            if path.uplink.bps() > 350_000 {
                2e6
            } else {
                70_000.0
            },
        );
        if most > before {
            attempts.push(second);
        }
        path.most = most;
        path.run(1.0);
    }
    let gaps: Vec<i32> = attempts
        .windows(2)
        .skip(1)
        .map(|two| two[1] - two[0])
        .collect();
    assert!(gaps.len() >= 3 && gaps.is_sorted(), "{attempts:?}");
    assert!((4..=9).contains(&attempts.len()), "{attempts:?}");
}

#[test]
fn a_meter_forgets_after_half_a_second() {
    let mut meter = Meter::default();
    let at = |ms| Duration::from_millis(ms);
    meter.add(at(50), 1000);
    meter.add(at(300), 1000);
    assert_eq!(meter.bps(at(400)), 32_000.0);
    assert_eq!(meter.bps(at(600)), 16_000.0);
    assert_eq!(meter.bps(at(100_000)), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a path carries: most of it is used, and no queue stands.
    #[test]
    fn the_estimate_settles_below_what_the_path_carries(
        capacity in 120_000.0..2_400_000.0f64,
        round_trip_ms in 1..200u64,
    ) {
        let mut path = Path::new(capacity, round_trip_ms);
        path.run(15.0);
        let mut below = 0;
        for _ in 0..30 {
            let bps = path.run(1.0);
            prop_assert!(bps > capacity * 0.3, "{bps} of {capacity}");
            below += u32::from(bps < capacity * 1.02);
            let wait = path.longest.saturating_sub(path.round_trip);
            prop_assert!(wait < Duration::from_millis(900), "{wait:?}");
        }
        prop_assert!(below >= 24, "{below} of 30 seconds");
    }
}
