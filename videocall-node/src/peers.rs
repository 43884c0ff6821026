//! Which other nodes take part in a meeting, and whether they still live.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use videocall_types::ids::NodeId;

#[derive(Debug)]
struct Peer {
    heard: Instant,
    /// Of its newest roster.
    version: u64,
    /// Whether that roster held anybody.
    present: bool,
}

/// The other nodes of one meeting.
#[derive(Debug)]
pub(crate) struct Peers {
    timeout: Duration,
    heard: FxHashMap<NodeId, Peer>,
    /// Not later than the next node has been silent for too long.
    deadline: Option<Instant>,
}

impl Peers {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            heard: FxHashMap::default(),
            deadline: None,
        }
    }

    /// Something came from a node.
    pub(crate) fn heard(&mut self, now: Instant, node: &NodeId) {
        if let Some(peer) = self.heard.get_mut(node) {
            peer.heard = now;
        }
    }

    /// A roster came; tells whether it is news. `grace` is how long to believe it if the node is
    /// not heard of again.
    pub(crate) fn roster(
        &mut self,
        now: Instant,
        grace: Duration,
        node: &NodeId,
        version: u64,
        present: bool,
    ) -> bool {
        let early = self.timeout.saturating_sub(grace);
        let heard = now.checked_sub(early).unwrap_or(now);
        let Some(peer) = self.heard.get_mut(node) else {
            let peer = Peer {
                heard,
                version,
                present,
            };
            self.heard.insert(node.clone(), peer);
            let silent = heard + self.timeout;
            self.deadline = Some(self.deadline.map_or(silent, |at| at.min(silent)));
            return true;
        };
        let is_news = version == 0 || version > peer.version;
        if is_news {
            peer.heard = peer.heard.max(heard);
            peer.version = peer.version.max(version);
            peer.present = present;
        }
        is_news
    }

    /// Silence until now does not count.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.heard.values_mut().for_each(|peer| peer.heard = now);
        self.set_deadline();
    }

    /// When to call [`take_silent`](Self::take_silent); asked at every packet.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn set_deadline(&mut self) {
        let heard = self.heard.values().map(|peer| peer.heard).min();
        self.deadline = heard.map(|heard| heard + self.timeout);
    }

    /// Forgets nodes that were silent for too long; returns those that had people in the meeting.
    pub(crate) fn take_silent(&mut self, now: Instant) -> Vec<NodeId> {
        let mut gone = Vec::new();
        self.heard.retain(|node, peer| {
            let alive = now < peer.heard + self.timeout;
            if !alive && peer.present {
                gone.push(node.clone());
            }
            alive
        });
        self.set_deadline();
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(15);

    #[test]
    fn an_older_roster_is_no_news_and_proves_no_life() {
        let node = NodeId::from_random(1);
        let start = Instant::now();
        let mut peers = Peers::new(TIMEOUT);
        assert!(peers.roster(start, TIMEOUT, &node, 2, true));
        let later = start + Duration::from_secs(5);
        assert!(!peers.roster(later, TIMEOUT, &node, 1, true));
        assert!(!peers.roster(later, TIMEOUT, &node, 2, true));
        assert_eq!(peers.deadline(), Some(start + TIMEOUT));
        assert!(peers.roster(later, TIMEOUT, &node, 3, true));
        assert!(peers.take_silent(start + TIMEOUT).is_empty());
        assert_eq!(peers.deadline(), Some(later + TIMEOUT));
    }

    #[test]
    fn the_silent_are_gone_and_whoever_left_before_is_not_missed() {
        let [silent, left, alive] = [1, 2, 3].map(NodeId::from_random);
        let start = Instant::now();
        let mut peers = Peers::new(TIMEOUT);
        for node in [&silent, &left, &alive] {
            peers.roster(start, TIMEOUT, node, 1, node != &left);
        }
        peers.heard(start + Duration::from_secs(1), &alive);
        assert_eq!(peers.take_silent(start + TIMEOUT), [silent]);
        assert_eq!(
            peers.take_silent(start + TIMEOUT + Duration::from_secs(1)),
            [alive]
        );
        assert_eq!(peers.deadline(), None);
    }

    #[test]
    fn a_roster_out_of_the_store_is_believed_for_a_short_time_only() {
        let node = NodeId::from_random(1);
        let later = Instant::now() + 10 * TIMEOUT;
        let grace = Duration::from_secs(5);
        let mut peers = Peers::new(TIMEOUT);
        peers.roster(later, grace, &node, 1, true);
        assert!(peers.take_silent(later).is_empty());
        assert_eq!(peers.take_silent(later + grace), [node]);
    }
}
