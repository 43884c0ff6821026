//! Which server of an installation to join at.
//!
//! The server that the page came from, or that a program was given, is home; it tells of the others
//! (`/config.json`). Of the nearest ones, by measured round trip, all people of a meeting take the
//! same, so that its media stays on one node; one that failed is left alone for a while, so that the
//! people of a server that died meet again on another, and again on the same.

use std::time::Duration;

use serde::Deserialize;
use videocall_types::ids::MeetingId;

use super::rendezvous;

/// Servers that are remembered; more are not believed.
const SERVERS: usize = 256;
/// Servers that are measured: home, and those where the meeting would rather be. Every client
/// measures, so that in a large installation none is asked by everybody.
const MEASURED: usize = 16;
/// Longest address.
const ADDRESS_BYTES: usize = 256;
/// A server is much nearer than another by more than this, and by a third: measurements of a moment
/// differ by as much.
const NEARER: Duration = Duration::from_millis(10);
/// How long a server that failed is left alone, after the first failure and at most.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long a measurement is believed.
const BELIEVED: Duration = Duration::from_secs(300);

/// Which of the servers that are about equally near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// The one that all people of the meeting choose.
    #[default]
    Meeting,
    /// Home, or else the nearest.
    Anywhere,
}

/// The servers that are known, for one meeting.
#[derive(Clone, Debug)]
pub struct Selection {
    meeting: String,
    placement: Placement,
    /// Home first.
    servers: Vec<Server>,
    measured: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Server {
    origin: String,
    /// The heaviest is where the meeting meets.
    weight: u64,
    /// `None` while nobody knows.
    rtt: Option<Duration>,
    failures: u32,
    rests_until: Duration,
    /// It asked not to be asked again before.
    closed_until: Duration,
}

impl Server {
    fn new(origin: String, meeting: &str) -> Self {
        Self {
            weight: rendezvous::weight(&origin, meeting),
            origin,
            rtt: None,
            failures: 0,
            rests_until: Duration::ZERO,
            closed_until: Duration::ZERO,
        }
    }
}

impl Selection {
    /// Knows one server. Addresses are origins, such as `https://example.org:8443`. The name of the
    /// meeting is that which people gave.
    pub fn new(home: impl Into<String>, meeting: &str) -> Self {
        Self::of([home.into()], meeting)
    }

    /// Knows several, of which the first is home.
    pub fn of(origins: impl IntoIterator<Item = String>, meeting: &str) -> Self {
        // As servers write it: two who type it differently mean the same meeting.
        let meeting = MeetingId::parse(meeting)
            .map_or_else(|_| meeting.to_owned(), |id| id.as_str().to_owned());
        let server = |origin| Server::new(origin, &meeting);
        let mut servers: Vec<_> = origins.into_iter().take(SERVERS).map(server).collect();
        if servers.is_empty() {
            servers.push(server(String::new()));
        }
        Self {
            meeting,
            placement: Placement::default(),
            servers,
            measured: None,
        }
    }

    /// The installation says how its servers are to be chosen.
    pub fn set_placement(&mut self, placement: Placement) {
        self.placement = placement;
    }

    /// A server told of these. Those that are known keep what is known of them.
    pub fn learn<T: AsRef<str>>(&mut self, origins: &[T]) {
        for origin in origins {
            let origin = origin.as_ref().trim_end_matches('/');
            let is_known = self.servers.iter().any(|server| server.origin == origin);
            if is_address(origin) && !is_known && self.servers.len() < SERVERS {
                let server = Server::new(origin.to_owned(), &self.meeting);
                self.servers.push(server);
            }
        }
    }

    /// A server says by which origin all know it; the people of a meeting must weigh the same
    /// names. Where it is the only server, nothing changes. Returns whether it goes by that name.
    pub fn name(&mut self, known_as: &str, origin: &str) -> bool {
        let is_home = self.servers[0].origin == known_as;
        if known_as == origin || self.servers.len() < 2 || !is_home || !is_address(origin) {
            return known_as == origin;
        }
        let (weight, origin) = (rendezvous::weight(origin, &self.meeting), origin.to_owned());
        self.servers.retain(|server| server.origin != origin);
        if let Some(home) = self.servers.first_mut() {
            (home.weight, home.origin) = (weight, origin);
        }
        true
    }

    /// Those whose round trip is to be measured now: none where there is no choice.
    pub fn to_measure(&self, now: Duration) -> Vec<String> {
        let is_known = self.measured.is_some_and(|at| now < at + BELIEVED);
        if self.servers.len() < 2 || is_known {
            return Vec::new();
        }
        let (home, others) = self.servers.split_at(1);
        let mut others: Vec<&Server> = others.iter().collect();
        others.sort_by_key(|server| std::cmp::Reverse(server.weight));
        home.iter()
            .chain(others)
            .filter(|server| server.rests_until <= now)
            .take(MEASURED)
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
            server.closed_until = Duration::ZERO;
        }
    }

    /// It did not let us in, or lost us. `retry_after` is what it asked for, if it asked.
    pub fn failed(&mut self, now: Duration, origin: &str, retry_after: Duration) {
        if let Some(server) = self.find(origin) {
            let rest = FIRST_REST * (1 << server.failures.min(8));
            server.failures += 1;
            server.rests_until = now + rest.max(retry_after).min(LONGEST_REST);
            server.closed_until = now + retry_after.min(LONGEST_REST);
        }
    }

    /// A server that goes away says that these serve: what was wrong with them before is over.
    /// Those that are not known by that name stay unknown.
    pub fn recommended<T: AsRef<str>>(&mut self, origins: &[T]) {
        for origin in origins {
            let origin = origin.as_ref().trim_end_matches('/');
            if let Some(server) = self.find(origin) {
                server.rests_until = Duration::ZERO;
            }
        }
    }

    /// Whether there is more than one.
    pub fn has_others(&self) -> bool {
        self.servers.len() > 1
    }

    /// When the first of the servers may be asked again, of those that asked for a pause.
    pub fn open_at(&self) -> Duration {
        let times = self.servers.iter().map(|server| server.closed_until);
        times.min().unwrap_or_default()
    }

    /// Where to go now: one of the nearest of those that do not rest, or else the one that has
    /// rested longest.
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
        let mut near = awake().filter(|server| !is_much_nearer(nearest, server));
        let chosen = match self.placement {
            Placement::Meeting => near.max_by_key(|server| server.weight),
            Placement::Anywhere => near.find(|server| server.origin == home.origin),
        };
        &chosen.unwrap_or(nearest).origin
    }

    fn find(&mut self, origin: &str) -> Option<&mut Server> {
        self.servers
            .iter_mut()
            .find(|server| server.origin == origin)
    }
}

fn is_address(origin: &str) -> bool {
    let is_web = origin.starts_with("https://") || origin.starts_with("http://");
    is_web && origin.len() <= ADDRESS_BYTES
}

/// Whether `server` is so much nearer than `other` that who is there does not go elsewhere.
fn is_much_nearer(server: &Server, other: &Server) -> bool {
    match (server.rtt, other.rtt) {
        (Some(rtt), Some(other)) => rtt + NEARER < other && rtt < other * 2 / 3,
        // The other was asked and did not answer.
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
        let mut selection = Selection::new(HOME, "m");
        selection.set_placement(Placement::Anywhere);
        selection.learn(&[NEAR, FAR]);
        for (origin, rtt) in [(HOME, home), (NEAR, near), (FAR, far)] {
            selection.measured(ms(1), origin, Some(ms(rtt)));
        }
        selection
    }

    #[test]
    fn one_server_is_never_measured_and_always_taken() {
        let mut selection = Selection::new(HOME, "m");
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
    fn one_that_is_recommended_is_tried_again() {
        let mut selection = three(20, 40, 90);
        selection.failed(ms(0), NEAR, ms(30_000));
        selection.failed(ms(0), HOME, ms(30_000));
        assert_eq!(selection.choose(ms(1)), FAR);
        selection.recommended(&["https://b/", "https://nobody.knows"]);
        assert_eq!(selection.choose(ms(1)), NEAR);
        assert!(selection.has_others());
    }

    #[test]
    fn nobody_is_asked_while_all_want_a_pause() {
        let mut selection = Selection::new(HOME, "hall");
        selection.failed(ms(0), HOME, ms(0));
        assert_eq!(selection.open_at(), ms(0), "it asked for none");
        selection.failed(ms(100), HOME, ms(8000));
        assert_eq!(selection.open_at(), ms(8100));
        selection.learn(&[NEAR]);
        assert_eq!(selection.open_at(), ms(0), "another may be asked");
        selection.failed(ms(200), NEAR, ms(3000));
        assert_eq!(selection.open_at(), ms(3200));
        selection.joined(NEAR);
        assert_eq!(selection.open_at(), ms(0));
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
        let mut selection = Selection::new(HOME, "m");
        let many: Vec<String> = (0..1000).map(|n| format!("https://{n}")).collect();
        selection.learn(&many);
        selection.learn(&["javascript:alert(1)", "ftp://x", ""]);
        selection.learn(&[format!("https://{}", "x".repeat(300))]);
        assert_eq!(selection.servers.len(), SERVERS);
        assert!(selection.servers.iter().all(|it| it.origin.len() < 20));
        let asked = selection.to_measure(ms(0));
        assert_eq!(asked.len(), MEASURED);
        assert_eq!(asked[0], HOME);
    }

    /// Somebody of a meeting whose own server is one of four in the same place.
    fn one_of(home: usize, meeting: &str, rtts: &[u64; 4]) -> Selection {
        let origins: Vec<String> = (0..4).map(|n| format!("https://node-{n}")).collect();
        let mut selection = Selection::new(origins[home].clone(), meeting);
        selection.learn(&origins);
        for (origin, rtt) in origins.iter().zip(rtts) {
            selection.measured(ms(1), origin, Some(ms(*rtt)));
        }
        selection
    }

    #[test]
    fn the_people_of_a_meeting_meet_wherever_they_come_from() {
        let mut chosen = std::collections::HashSet::new();
        for n in 0..100 {
            let meeting = format!("meeting {n}");
            let ann = one_of(0, &meeting, &[3, 9, 4, 7]);
            let ben = one_of(2, &meeting, &[11, 5, 6, 8]);
            assert_eq!(ann.choose(ms(2)), ben.choose(ms(2)), "{meeting}");
            chosen.insert(ann.choose(ms(2)).to_owned());
        }
        assert_eq!(chosen.len(), 4, "and meetings are on all servers");
    }

    #[test]
    fn a_meeting_goes_by_its_name_however_it_is_typed() {
        let choice = |meeting: String| one_of(0, &meeting, &[5; 4]).choose(ms(2)).to_owned();
        for n in 0..20 {
            assert_eq!(
                choice(format!(" Café {n} ")),
                choice(format!("Cafe\u{301} {n}"))
            );
        }
    }

    #[test]
    fn nobody_goes_far_to_meet() {
        for n in 0..50 {
            let far_from_two = one_of(0, &format!("meeting {n}"), &[10, 90, 12, 80]);
            let chosen = far_from_two.choose(ms(2));
            assert!(
                ["https://node-0", "https://node-2"].contains(&chosen),
                "{chosen}"
            );
        }
    }

    #[test]
    fn people_of_a_server_that_is_full_or_gone_meet_again_on_one() {
        for n in 0..50 {
            let meeting = format!("meeting {n}");
            let mut ann = one_of(0, &meeting, &[3, 9, 4, 7]);
            let mut ben = one_of(3, &meeting, &[8, 9, 2, 1]);
            for person in [&mut ann, &mut ben] {
                let full = person.choose(ms(2)).to_owned();
                person.failed(ms(2), &full, ms(30_000));
                assert_ne!(person.choose(ms(3)), full);
            }
            assert_eq!(ann.choose(ms(3)), ben.choose(ms(3)));
        }
    }

    #[test]
    fn home_goes_by_the_name_that_others_know() {
        let mut selection = one_of(0, "m", &[5; 4]);
        // A page that was loaded by another name, such as that of a load balancer.
        let mut other = Selection::new("https://meet", "m");
        assert!(!other.name("https://meet", "https://node-0"));
        assert_eq!(other.choose(ms(0)), "https://meet", "there is no other");
        other.learn(&[
            "https://node-0",
            "https://node-1",
            "https://node-2",
            "https://node-3",
        ]);
        assert!(other.name("https://meet", "https://node-0"));
        assert!(!other.name("https://node-0", "javascript:alert(1)"));
        assert_eq!(other.servers.len(), 4);
        for origin in other.to_measure(ms(0)) {
            other.measured(ms(1), &origin, Some(ms(6)));
        }
        assert_eq!(other.choose(ms(2)), selection.choose(ms(2)));
        selection.set_placement(Placement::Anywhere);
        other.set_placement(Placement::Anywhere);
        assert_eq!(selection.choose(ms(2)), "https://node-0");
        assert_eq!(other.choose(ms(2)), "https://node-0");
    }

    proptest! {
        #[test]
        fn one_that_fails_moves_nobody_of_the_others(meeting in ".{1,20}", gone in 0usize..4) {
            let mut selection = one_of(0, &meeting, &[5; 4]);
            let before = selection.choose(ms(2)).to_owned();
            let gone = format!("https://node-{gone}");
            selection.failed(ms(2), &gone, ms(0));
            if before != gone {
                prop_assert_eq!(selection.choose(ms(3)), before);
            }
        }

        #[test]
        fn a_rested_server_is_taken_before_one_that_rests(
            steps in vec((0usize..3, 0u64..3, 0u64..200, 0u64..4000), 1..60),
            together: bool,
        ) {
            let mut selection = three(20, 40, 90);
            if together {
                selection.set_placement(Placement::Meeting);
            }
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
