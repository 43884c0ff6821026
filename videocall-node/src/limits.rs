//! How much a client may send, and how often an address may knock: token buckets.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Addresses that are told apart; all that come beyond share one bucket.
const ADDRESSES: usize = 65_536;

/// What a token bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come each second; 0 for no limit.
    pub per_second: u64,
    /// The time for which tokens are saved up while none are taken.
    pub burst: Duration,
}

impl Rate {
    /// Saves up for two seconds.
    pub const fn per_second(per_second: u64) -> Self {
        Self {
            per_second,
            burst: Duration::from_secs(2),
        }
    }
}

impl Rate {
    /// When a bucket will be full after so many tokens were taken.
    fn taken(self, full_at: u64, now: u64, amount: usize) -> u64 {
        if self.per_second == 0 {
            return now;
        }
        let cost = (amount as u64).saturating_mul(1_000_000_000) / self.per_second;
        // One that owes no more than this can come back from it.
        let most = now.saturating_add(nanos(self.burst) * 2);
        let full_at = full_at.max(now).saturating_add(cost);
        full_at.min(most.saturating_add(cost))
    }

    fn level(self, full_at: u64, now: u64) -> Level {
        let burst = nanos(self.burst);
        match full_at.saturating_sub(now) {
            used if used <= burst / 2 => Level::Light,
            used if used <= burst => Level::Within,
            used if used <= burst * 2 => Level::Over,
            _ => Level::Exceeded,
        }
    }
}

/// What clients may do to a node. The defaults fit three simulcast layers, audio and a screen,
/// several times over.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Packets of one connection.
    pub messages: Rate,
    /// Bytes of one connection.
    pub bytes: Rate,
    /// Packets of all connections.
    pub node_messages: Rate,
    /// Bytes of all connections.
    pub node_bytes: Rate,
    /// Connections that one address (IPv6: one /64) may begin.
    pub handshakes: Rate,
    /// WebTransport handshakes that may be unfinished at once.
    pub max_handshakes: usize,
    /// How long a handshake, up to the request to join, may take.
    pub handshake_timeout: Duration,
    /// Streams that a WebTransport client may have open at once.
    pub max_streams: u32,
    /// Bytes that a client may send on one stream before the node has read any of them.
    pub stream_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages: Rate::per_second(1_000),
            bytes: Rate::per_second(5_000_000),
            node_messages: Rate::per_second(200_000),
            node_bytes: Rate::per_second(500_000_000),
            handshakes: Rate {
                per_second: 200,
                burst: Duration::from_secs(10),
            },
            max_handshakes: 2_048,
            handshake_timeout: Duration::from_secs(10),
            max_streams: 100,
            stream_window: 1 << 20,
        }
    }
}

/// How a bucket stands after something was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// At least half of it is left.
    Light,
    /// There was enough.
    Within,
    /// It was empty; what is taken all the same is owed.
    Over,
    /// More is owed than the bucket holds.
    Exceeded,
}

/// A token bucket (as a GCRA): the time at which it will be full again, in nanoseconds.
#[derive(Debug, Default)]
struct Bucket(AtomicU64);

impl Bucket {
    /// Takes tokens, whether they are there or not.
    fn take(&self, rate: Rate, now: u64, amount: usize) -> Level {
        let taken = |full_at| rate.taken(full_at, now, amount);
        let before = self.0.fetch_update(Relaxed, Relaxed, |it| Some(taken(it)));
        rate.level(taken(before.unwrap_or_default()), now)
    }

    /// How it would stand after that.
    fn after(&self, rate: Rate, now: u64, amount: usize) -> Level {
        rate.level(rate.taken(self.0.load(Relaxed), now, amount), now)
    }

    fn is_full(&self, now: u64) -> bool {
        self.0.load(Relaxed) <= now
    }
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX / 4)
}

/// Of one connection.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    messages: Bucket,
    bytes: Bucket,
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    /// Drop it: its sender sends too much.
    Drop,
    /// Drop it, unless it is a control message: all together send too much.
    Busy,
    /// Its sender did not stop.
    End,
}

#[derive(Debug, Default)]
struct Addresses {
    buckets: FxHashMap<IpAddr, Bucket>,
    /// When those that are full may be looked for again: never more than once a second.
    prune_at: u64,
}

impl Addresses {
    /// The bucket of an address, or the one that many share.
    fn bucket(&mut self, now: u64, address: IpAddr) -> &Bucket {
        let mut address = network(address);
        if self.buckets.len() >= ADDRESSES && !self.buckets.contains_key(&address) {
            if now >= self.prune_at {
                self.prune_at = now + 1_000_000_000;
                self.buckets.retain(|_, bucket| !bucket.is_full(now));
            }
            if self.buckets.len() >= ADDRESSES {
                address = Ipv6Addr::UNSPECIFIED.into();
            }
        }
        self.buckets.entry(address).or_default()
    }
}

/// Guards a node against its clients.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) limits: Limits,
    start: Instant,
    all: Usage,
    addresses: Mutex<Addresses>,
    dropped: AtomicU64,
    dropped_busy: AtomicU64,
    handshakes_refused: AtomicU64,
}

impl Guard {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            start: now,
            all: Usage::default(),
            addresses: Mutex::default(),
            dropped: AtomicU64::new(0),
            dropped_busy: AtomicU64::new(0),
            handshakes_refused: AtomicU64::new(0),
        }
    }

    fn elapsed(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start))
    }

    /// A connection sends a packet of so many bytes.
    pub(crate) fn judge(&self, now: Instant, usage: &Usage, bytes: usize) -> Verdict {
        let now = self.elapsed(now);
        let limits = &self.limits;
        let own = usage.messages.take(limits.messages, now, 1);
        let own = own.max(usage.bytes.take(limits.bytes, now, bytes));
        match own {
            Level::Exceeded => return self.count(Verdict::End),
            Level::Over => return self.count(Verdict::Drop),
            Level::Light | Level::Within => {}
        }
        let all = self.all.messages.after(limits.node_messages, now, 1);
        let all = all.max(self.all.bytes.after(limits.node_bytes, now, bytes));
        // Those who send little are served longer than the others.
        if all > Level::Over || (all == Level::Over && own != Level::Light) {
            return self.count(Verdict::Busy);
        }
        self.all.messages.take(limits.node_messages, now, 1);
        self.all.bytes.take(limits.node_bytes, now, bytes);
        Verdict::Take
    }

    fn count(&self, verdict: Verdict) -> Verdict {
        let counter = match verdict {
            Verdict::Busy => &self.dropped_busy,
            _ => &self.dropped,
        };
        counter.fetch_add(1, Relaxed);
        verdict
    }

    /// Somebody begins a connection; `false` if that address began too many.
    pub(crate) fn knock(&self, now: Instant, address: IpAddr) -> bool {
        let rate = self.limits.handshakes;
        if rate.per_second == 0 {
            return true;
        }
        let now = self.elapsed(now);
        let mut addresses = self.addresses.lock();
        let level = addresses.bucket(now, address).take(rate, now, 1);
        drop(addresses);
        let is_admitted = level <= Level::Within;
        if !is_admitted {
            self.handshakes_refused.fetch_add(1, Relaxed);
        }
        is_admitted
    }

    /// Packets dropped since the start because of their sender, and because of all.
    pub(crate) fn dropped(&self) -> (u64, u64) {
        let dropped = self.dropped.load(Relaxed);
        (dropped, self.dropped_busy.load(Relaxed))
    }

    /// Connections refused since the start.
    pub(crate) fn handshakes_refused(&self) -> u64 {
        self.handshakes_refused.load(Relaxed)
    }
}

/// What one customer of a network usually has: an address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(prefix).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(limits: Limits) -> (Guard, Instant) {
        let now = Instant::now();
        (Guard::new(limits, now), now)
    }

    fn ten_a_second() -> Limits {
        Limits {
            messages: Rate::per_second(10),
            ..Limits::default()
        }
    }

    fn judge_many(guard: &Guard, now: Instant, usage: &Usage, number: usize) -> Vec<Verdict> {
        (0..number).map(|_| guard.judge(now, usage, 1)).collect()
    }

    #[test]
    fn a_burst_is_taken_what_is_over_dropped_and_a_flood_ended() {
        let (guard, now) = guard(ten_a_second());
        let (flood, other) = (Usage::default(), Usage::default());
        let verdicts = judge_many(&guard, now, &flood, 41);
        let expected = [
            [Verdict::Take; 20].as_slice(),
            &[Verdict::Drop; 20],
            &[Verdict::End],
        ];
        assert_eq!(verdicts, expected.concat());
        assert_eq!(guard.dropped(), (21, 0));
        assert_eq!(guard.judge(now, &other, 1), Verdict::Take);
    }

    #[test]
    fn tokens_come_back_with_time_and_never_more_than_a_burst() {
        let (guard, start) = guard(ten_a_second());
        let usage = Usage::default();
        judge_many(&guard, start, &usage, 30);
        // Ten are owed: after a second there is none, after another tenth one.
        let later = start + Duration::from_millis(1_100);
        let verdicts = judge_many(&guard, later, &usage, 2);
        assert_eq!(verdicts, [Verdict::Take, Verdict::Drop]);
        let much_later = start + Duration::from_secs(3600);
        let verdicts = judge_many(&guard, much_later, &usage, 21);
        assert_eq!(verdicts[19..], [Verdict::Take, Verdict::Drop]);
    }

    #[test]
    fn one_who_sends_steadily_within_the_rate_is_never_dropped() {
        let (guard, start) = guard(ten_a_second());
        let usage = Usage::default();
        for number in 0..10_000 {
            let now = start + Duration::from_millis(100) * number;
            assert_eq!(guard.judge(now, &usage, 1), Verdict::Take);
        }
    }

    /// Packets of one stream: how often, how long, and how long every so manieth.
    struct Sends {
        interval_ms: u64,
        bytes: usize,
        keyframe: (u64, usize),
    }

    impl Sends {
        const fn new(interval_ms: u64, bytes: usize, every: u64, keyframe: usize) -> Self {
            Self {
                interval_ms,
                bytes,
                keyframe: (every, keyframe),
            }
        }

        fn at(&self, ms: u64) -> Option<usize> {
            let number = ms
                .is_multiple_of(self.interval_ms)
                .then(|| ms / self.interval_ms)?;
            let (every, keyframe) = self.keyframe;
            Some(if number.is_multiple_of(every) {
                keyframe
            } else {
                self.bytes
            })
        }
    }

    /// More than cameras and screens send: 180p, 360p and 720p with 0.3, 0.8 and 3 Mbit/s, a screen
    /// of 1440p with 5 Mbit/s, keyframes every two seconds, sound of both, and control messages.
    const PUBLISHES: [Sends; 7] = [
        Sends::new(33, 1_200, 60, 20_000),
        Sends::new(33, 3_300, 60, 60_000),
        Sends::new(33, 12_500, 60, 200_000),
        Sends::new(33, 20_000, 60, 600_000),
        Sends::new(20, 120, 1_000_000, 120),
        Sends::new(20, 320, 1_000_000, 320),
        Sends::new(100, 300, 1_000_000, 300),
    ];

    #[test]
    fn the_defaults_fit_three_layers_with_sound_and_a_screen() {
        let (guard, start) = guard(Limits::default());
        let publisher = Usage::default();
        for ms in 0..60_000 {
            let now = start + Duration::from_millis(ms);
            for bytes in PUBLISHES.iter().filter_map(|sends| sends.at(ms)) {
                let verdict = guard.judge(now, &publisher, bytes);
                assert_eq!(verdict, Verdict::Take, "{bytes} bytes after {ms} ms");
            }
        }
    }

    #[test]
    fn bytes_count_as_well() {
        let limits = Limits {
            bytes: Rate::per_second(1_000),
            ..Limits::default()
        };
        let (guard, now) = guard(limits);
        let usage = Usage::default();
        assert_eq!(guard.judge(now, &usage, 2_000), Verdict::Take);
        assert_eq!(guard.judge(now, &usage, 1), Verdict::Drop);
        assert_eq!(guard.judge(now, &usage, 1_000_000), Verdict::End);
    }

    #[test]
    fn when_all_together_send_too_much_those_who_send_little_are_served() {
        let limits = Limits {
            messages: Rate::per_second(100),
            node_messages: Rate::per_second(100),
            ..Limits::default()
        };
        let (guard, now) = guard(limits);
        let (much, little) = (Usage::default(), Usage::default());
        assert!(
            judge_many(&guard, now, &much, 200)
                .iter()
                .all(|it| *it == Verdict::Take)
        );
        assert_eq!(guard.judge(now, &little, 1), Verdict::Take);
        let third = Usage::default();
        let verdicts = judge_many(&guard, now, &third, 200);
        let expected = [[Verdict::Take; 100], [Verdict::Busy; 100]];
        assert_eq!(verdicts, expected.concat());
        // What was dropped is not owed by all.
        assert_eq!(guard.judge(now, &little, 1), Verdict::Take);
        assert_eq!(guard.dropped(), (0, 100));
    }

    #[test]
    fn zero_is_no_limit() {
        let none = Rate::per_second(0);
        let (guard, now) = guard(Limits {
            messages: none,
            bytes: none,
            node_messages: none,
            node_bytes: none,
            handshakes: none,
            ..Limits::default()
        });
        let usage = Usage::default();
        for _ in 0..100_000 {
            assert_eq!(guard.judge(now, &usage, 1_000_000), Verdict::Take);
            assert!(guard.knock(now, IpAddr::from([127, 0, 0, 1])));
        }
    }

    #[test]
    fn each_address_has_a_bucket_and_an_ipv6_network_one_for_all() {
        let (guard, start) = guard(Limits {
            handshakes: Rate::per_second(1),
            ..Limits::default()
        });
        let knock = |now, address: &str| guard.knock(now, address.parse().unwrap());
        for expected in [true, true, false] {
            assert_eq!(knock(start, "192.0.2.1"), expected);
        }
        assert!(!knock(start, "::ffff:192.0.2.1"), "the same, mapped");
        assert!(knock(start, "192.0.2.2"));
        for (address, expected) in [("1", true), ("2", true), ("3", false)] {
            assert_eq!(knock(start, &format!("2001:db8::{address}")), expected);
        }
        assert!(knock(start, "2001:db8:0:1::1"));
        assert_eq!(guard.handshakes_refused(), 3);
        // Refused ones are owed as well: whoever goes on is not let in.
        let later = start + Duration::from_secs(3);
        assert!(knock(later, "192.0.2.1"));
    }

    #[test]
    fn addresses_are_bounded_and_forgotten() {
        let (guard, start) = guard(Limits {
            handshakes: Rate::per_second(1),
            ..Limits::default()
        });
        for number in 0..ADDRESSES as u32 + 10 {
            guard.knock(start, IpAddr::from(number.to_be_bytes()));
        }
        assert_eq!(guard.addresses.lock().buckets.len(), ADDRESSES + 1);
        let later = start + Duration::from_secs(60);
        assert!(guard.knock(later, IpAddr::from([203, 0, 113, 1])));
        assert_eq!(guard.addresses.lock().buckets.len(), 1);
    }
}
