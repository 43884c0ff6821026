//! Which server of an installation to join at.
//!
//! The server that the page came from, or that a program was given, is home; it tells of the others
//! (`/config.json`). The nearest is taken, by measured round trip; one that failed is left alone
//! for a while, so that the people of a server that died meet again on another.

use std::time::Duration;

/// Servers that are remembered; more are not believed.
const SERVERS: usize = 16;
/// Longest address.
const ADDRESS_BYTES: usize = 256;
/// Home is left for a server that is nearer by more than this, and by a third: measurements of a
/// moment differ by as much.
const NEARER: Duration = Duration::from_millis(10);
/// How long a server that failed is left alone, after the first failure and at most.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long a measurement is believed.
const BELIEVED: Duration = Duration::from_secs(300);

/// The servers that are known.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Home first.
    servers: Vec<Server>,
    measured: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Server {
    origin: String,
    /// `None` while nobody knows.
    rtt: Option<Duration>,
    failures: u32,
    rests_until: Duration,
}

impl Server {
    fn new(origin: String) -> Self {
        Self {
            origin,
            rtt: None,
            failures: 0,
            rests_until: Duration::ZERO,
        }
    }
}

impl Selection {
    /// Knows one server. Addresses are origins, such as `https://example.org:8443`.
    pub fn new(home: impl Into<String>) -> Self {
        Self {
            servers: vec![Server::new(home.into())],
            measured: None,
        }
    }

    /// Knows several, of which the first is home; their names are whatever tells them apart.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut servers: Vec<_> = names.into_iter().take(SERVERS).map(Server::new).collect();
        if servers.is_empty() {
            servers.push(Server::new(String::new()));
        }
        Self {
            servers,
            measured: None,
        }
    }

    /// A server told of these. Those that are known keep what is known of them.
    pub fn learn<T: AsRef<str>>(&mut self, origins: &[T]) {
        for origin in origins {
            let origin = origin.as_ref().trim_end_matches('/');
            let is_address = origin.starts_with("https://") || origin.starts_with("http://");
            let is_known = self.servers.iter().any(|server| server.origin == origin);
            if is_address
                && !is_known
                && origin.len() <= ADDRESS_BYTES
                && self.servers.len() < SERVERS
            {
                self.servers.push(Server::new(origin.to_owned()));
            }
        }
    }

    /// Those whose round trip is to be measured now: none where there is no choice.
    pub fn to_measure(&self, now: Duration) -> Vec<String> {
        let is_known = self.measured.is_some_and(|at| now < at + BELIEVED);
        if self.servers.len() < 2 || is_known {
            return Vec::new();
        }
        self.servers
            .iter()
            .filter(|server| server.rests_until <= now)
            .map(|server| server.origin.clone())
            .collect()
    }

    /// The round trip to a server; `None` if it did not answer in time.
    pub fn measured(&mut self, now: Duration, origin: &str, rtt: Option<Duration>) {
        self.measured = Some(now);
        if let Some(server) = self.find(origin) {
            server.rtt = rtt;
        }
    }

    /// Joined there.
    pub fn joined(&mut self, origin: &str) {
        if let Some(server) = self.find(origin) {
            server.failures = 0;
            server.rests_until = Duration::ZERO;
        }
    }

    /// It did not let us in, or lost us. `retry_after` is what it asked for, if it asked.
    pub fn failed(&mut self, now: Duration, origin: &str, retry_after: Duration) {
        if let Some(server) = self.find(origin) {
            let rest = FIRST_REST * (1 << server.failures.min(8));
            server.failures += 1;
            server.rests_until = now + rest.max(retry_after).min(LONGEST_REST);
        }
    }

    /// Where to go now: the nearest of those that do not rest, or else the one that has rested
    /// longest.
    pub fn choose(&self, now: Duration) -> &str {
        let home = &self.servers[0];
        let awake = || {
            self.servers
                .iter()
                .filter(|server| server.rests_until <= now)
        };
        let Some(nearest) = awake().min_by_key(|server| server.rtt.unwrap_or(Duration::MAX)) else {
            let soonest = self.servers.iter().min_by_key(|server| server.rests_until);
            return &soonest.unwrap_or(home).origin;
        };
        if home.rests_until <= now && !is_much_nearer(nearest, home) {
            return &home.origin;
        }
        &nearest.origin
    }

    fn find(&mut self, origin: &str) -> Option<&mut Server> {
        self.servers
            .iter_mut()
            .find(|server| server.origin == origin)
    }
}

fn is_much_nearer(server: &Server, home: &Server) -> bool {
    match (server.rtt, home.rtt) {
        (Some(rtt), Some(home)) => rtt + NEARER < home && rtt < home * 2 / 3,
        // Home was asked and did not answer.
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const HOME: &str = "https://a";
    const NEAR: &str = "https://b";
    const FAR: &str = "https://c";

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Three servers, measured at the first moment.
    fn three(home: u64, near: u64, far: u64) -> Selection {
        let mut selection = Selection::new(HOME);
        selection.learn(&[NEAR, FAR]);
        for (origin, rtt) in [(HOME, home), (NEAR, near), (FAR, far)] {
            selection.measured(ms(1), origin, Some(ms(rtt)));
        }
        selection
    }

    #[test]
    fn one_server_is_never_measured_and_always_taken() {
        let mut selection = Selection::new(HOME);
        selection.learn(&[HOME, "https://a/"]);
        assert!(selection.to_measure(ms(0)).is_empty());
        selection.failed(ms(0), HOME, ms(0));
        assert_eq!(selection.choose(ms(1)), HOME);
    }

    #[test]
    fn home_is_left_only_for_one_that_is_much_nearer() {
        assert_eq!(three(30, 25, 90).choose(ms(2)), HOME);
        assert_eq!(three(12, 3, 90).choose(ms(2)), HOME);
        assert_eq!(three(90, 20, 30).choose(ms(2)), NEAR);
    }

    #[test]
    fn one_that_failed_is_left_alone_for_a_while() {
        let mut selection = three(20, 40, 90);
        selection.failed(ms(1000), HOME, ms(0));
        assert_eq!(selection.choose(ms(1000)), NEAR);
        selection.failed(ms(1100), NEAR, ms(0));
        assert_eq!(selection.choose(ms(1100)), FAR);
        // All of them failed: the one that rests the least.
        selection.failed(ms(1200), FAR, ms(0));
        assert_eq!(selection.choose(ms(1200)), HOME);
        assert_eq!(selection.choose(ms(6000)), HOME, "it has rested");
        // Again and again: it rests longer.
        selection.failed(ms(6000), HOME, ms(0));
        selection.joined(NEAR);
        assert_eq!(selection.choose(ms(15_000)), NEAR);
        assert_eq!(selection.choose(ms(16_000)), HOME);
    }

    #[test]
    fn a_server_is_given_the_time_that_it_asks_for() {
        let mut selection = three(20, 40, 90);
        selection.failed(ms(0), HOME, ms(30_000));
        assert_eq!(selection.choose(ms(29_999)), NEAR);
        assert_eq!(selection.choose(ms(30_000)), HOME);
        selection.failed(ms(30_000), HOME, Duration::from_secs(86_400));
        assert_eq!(selection.choose(ms(90_000)), HOME, "a minute is the most");
    }

    #[test]
    fn measurements_age() {
        let selection = three(20, 40, 90);
        assert!(selection.to_measure(ms(299_000)).is_empty());
        assert_eq!(selection.to_measure(ms(301_000)), [HOME, NEAR, FAR]);
    }

    #[test]
    fn one_that_did_not_answer_is_not_near() {
        let mut selection = three(20, 40, 90);
        selection.measured(ms(2), HOME, None);
        assert_eq!(selection.choose(ms(2)), NEAR);
    }

    #[test]
    fn what_a_server_tells_is_bounded() {
        let mut selection = Selection::new(HOME);
        let many: Vec<String> = (0..100).map(|n| format!("https://{n}")).collect();
        selection.learn(&many);
        selection.learn(&["javascript:alert(1)", "ftp://x", ""]);
        selection.learn(&[format!("https://{}", "x".repeat(300))]);
        assert_eq!(selection.servers.len(), SERVERS);
        assert!(selection.servers.iter().all(|it| it.origin.len() < 20));
    }

    proptest! {
        #[test]
        fn a_rested_server_is_taken_before_one_that_rests(
            steps in vec((0usize..3, 0u64..3, 0u64..200, 0u64..4000), 1..60),
        ) {
            let mut selection = three(20, 40, 90);
            let mut now = ms(1);
            for (which, action, value, passes) in steps {
                now += ms(passes);
                let origin = [HOME, NEAR, FAR][which];
                match action {
                    0 => selection.failed(now, origin, ms(value)),
                    1 => selection.joined(origin),
                    _ => selection.measured(now, origin, Some(ms(value))),
                }
                let chosen = selection.choose(now).to_owned();
                let rests = |server: &Server| server.rests_until > now;
                let any_awake = selection.servers.iter().any(|server| !rests(server));
                let chosen = selection.servers.iter().find(|server| server.origin == chosen);
                prop_assert!(chosen.is_some_and(|server| !any_awake || !rests(server)));
            }
        }
    }
}
