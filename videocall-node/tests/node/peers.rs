//! What a node makes of what others say and do not say: rosters that overtake each other, silence.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time;
use videocall_node::{
    NodeConfig, TicketError, TicketKeys,
    bus::{Bus, BusError, BusEvent, BusHealth, BusSubscription, EmbeddedBus, MediaSubject},
};
use videocall_types::{
    ids::{NodeId, SessionId},
    wire::{
        Participant,
        bus::{BusControl, NodeRoster, bus_control::Message},
    },
};

use crate::{
    backend::{config, node_on},
    person::{Person, hello},
};

/// Tells the node what the test says, and keeps what the node says.
struct Script {
    events: Mutex<Option<mpsc::Receiver<BusEvent>>>,
    said: mpsc::UnboundedSender<NodeRoster>,
    connected: AtomicBool,
}

#[async_trait]
impl Bus for Script {
    async fn subscribe(&self, _: &str) -> Result<BusSubscription, BusError> {
        let Some(events) = self.events.lock().take() else {
            return Ok(Box::pin(futures_util::stream::pending()));
        };
        Ok(Box::pin(futures_util::stream::unfold(
            events,
            |mut events| async { events.recv().await.map(|event| (event, events)) },
        )))
    }

    fn publish_media(&self, _: &str, _: MediaSubject, _: Bytes) {}

    fn publish_control(&self, _: &str, message: BusControl) {
        if let Some(Message::Roster(roster)) = message.message {
            let _ = self.said.send(roster);
        }
    }

    fn put_roster(&self, _: &str, _: &NodeId, roster: NodeRoster) {
        let _ = self.said.send(roster);
    }

    fn ticket_keys(&self) -> TicketKeys {
        EmbeddedBus::default().ticket_keys()
    }

    async fn spend_ticket(&self, _: SessionId) -> Result<(), TicketError> {
        Err(TicketError::Unavailable)
    }

    fn health(&self) -> BusHealth {
        BusHealth {
            connected: self.connected.load(Relaxed),
            ..BusHealth::default()
        }
    }
}

fn script() -> (
    Arc<Script>,
    mpsc::Sender<BusEvent>,
    mpsc::UnboundedReceiver<NodeRoster>,
) {
    let (say, events) = mpsc::channel(100);
    let (said, heard) = mpsc::unbounded_channel();
    let events = Mutex::new(Some(events));
    let script = Script {
        events,
        said,
        connected: AtomicBool::new(true),
    };
    (Arc::new(script), say, heard)
}

fn id(number: u64) -> SessionId {
    SessionId::new(number).unwrap()
}

fn roster(version: u64, sessions: &[u64]) -> NodeRoster {
    let participant = |&session_id: &u64| Participant {
        session_id,
        ..Participant::default()
    };
    NodeRoster {
        participants: sessions.iter().map(participant).collect(),
        version,
    }
}

fn message(node: &NodeId, roster: NodeRoster) -> BusEvent {
    BusEvent::Control(BusControl {
        node_id: node.as_str().to_owned(),
        message: Some(Message::Roster(roster)),
    })
}

#[tokio::test]
async fn an_older_roster_changes_nothing_whichever_way_it_comes() {
    let (bus, say, _heard) = script();
    let node = node_on(bus, config());
    let mut ann = Person::join(&node, "m", "Ann", hello()).await;
    let other = NodeId::from_random(7);
    let another = NodeId::from_random(8);
    for event in [
        message(&other, roster(5, &[50, 51])),
        BusEvent::RosterShard(other.clone(), roster(4, &[40])),
        message(&other, roster(3, &[30])),
        // Versions of one node say nothing of another's.
        BusEvent::RosterShard(another.clone(), roster(2, &[20])),
    ] {
        say.send(event).await.unwrap();
    }
    let settled = |got: &crate::person::Got| match got {
        crate::person::Got::Control(videocall_types::wire::control::Message::Roster(roster)) => {
            assert_eq!(roster.left, [] as [u64; 0]);
            roster
                .participants
                .iter()
                .any(|p| p.session_id == 20)
                .then_some(())
        }
        _ => None,
    };
    ann.until("the last roster", settled).await;
    ann.sees(&[id(20), id(50), id(51)]).await;
    // Whoever left is not brought back by what was kept of it.
    say.send(message(&another, roster(3, &[]))).await.unwrap();
    let kept = BusEvent::RosterShard(another, roster(2, &[20]));
    say.send(kept).await.unwrap();
    say.send(message(&other, roster(6, &[60]))).await.unwrap();
    ann.sees(&[id(60)]).await;
}

#[tokio::test]
async fn what_a_node_tells_of_a_meeting_counts_up_also_when_it_begins_anew() {
    let (bus, _say, mut heard) = script();
    let node = node_on(bus, config());
    for user in ["Ann", "Ben", "Cyd"] {
        let person = Person::join(&node, "m", user, hello()).await;
        tokio::task::yield_now().await;
        drop(person);
    }
    drop(node);
    let mut versions = Vec::new();
    while let Ok(roster) = heard.try_recv() {
        versions.push(roster.version);
    }
    assert!(versions.len() >= 6, "{versions:?}");
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

/// The clock stands still but for the timers that are waited for.
#[tokio::test(start_paused = true)]
async fn silence_means_death_only_while_others_can_be_heard() {
    let (bus, say, _heard) = script();
    let node_timeout = Duration::from_secs(1);
    let config = NodeConfig {
        node_timeout,
        ..config()
    };
    let node = node_on(bus.clone(), config);
    let mut ann = Person::join(&node, "m", "Ann", hello()).await;
    let other = NodeId::from_random(7);
    say.send(message(&other, roster(1, &[50]))).await.unwrap();
    ann.sees(&[id(50)]).await;
    bus.connected.store(false, Relaxed);
    time::sleep(5 * node_timeout).await;
    let mut ben = Person::join(&node, "m", "Ben", hello()).await;
    ben.sees(&[ann.id(), id(50)]).await;
    bus.connected.store(true, Relaxed);
    let back = time::Instant::now();
    ben.sees(&[ann.id()]).await;
    assert!(back.elapsed() <= node_timeout + Duration::from_millis(100));
    // It was only slow: what it says next brings its people back.
    say.send(message(&other, roster(2, &[50]))).await.unwrap();
    ben.sees(&[ann.id(), id(50)]).await;
}
