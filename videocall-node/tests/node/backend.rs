//! The ways by which nodes can be connected, alike for a test.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future::ready};
use tokio::time;
use videocall_node::{
    GuestAdmission, Node, NodeConfig, RelayConfig,
    bus::{Bus, BusEvent, BusSubscription, EmbeddedHub, NatsBus, NatsConfig},
};
use videocall_types::ids::MeetingId;

use crate::nats_server::NatsServer;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[async_trait]
pub(crate) trait Backend: Sync {
    /// One node's end.
    async fn bus(&self) -> Arc<dyn Bus>;

    /// Hears everything that nodes send in a meeting.
    async fn tap(&self, meeting: &str) -> BusSubscription {
        let bus = self.bus().await;
        let events = bus.subscribe(&token(meeting)).await.unwrap();
        // The bus ends with the last who holds it.
        Box::pin(events.map(move |event| {
            let _ = &bus;
            event
        }))
    }

    /// Subscriptions of all nodes to a meeting, those to single layers not counted.
    async fn subscriptions(&self, meeting: &str) -> usize;

    /// A node that is connected.
    async fn node(&self) -> Node {
        node_on(self.bus().await, config())
    }

    async fn nodes<const N: usize>(&self) -> [Node; N]
    where
        Self: Sized,
    {
        let mut nodes = Vec::new();
        for _ in 0..N {
            nodes.push(self.node().await);
        }
        nodes.try_into().ok().unwrap()
    }
}

/// Nothing is healed by being told again, and delays are short.
pub(crate) fn config() -> NodeConfig {
    NodeConfig {
        relay: RelayConfig {
            demand_removal_delay: Duration::from_millis(50),
            keyframe_interval: Duration::ZERO,
            ..RelayConfig::default()
        },
        roster_refresh: Duration::from_secs(600),
        node_timeout: Duration::from_secs(1800),
        ..NodeConfig::default()
    }
}

pub(crate) fn node_on(bus: Arc<dyn Bus>, config: NodeConfig) -> Node {
    Node::new(config, bus, Arc::new(GuestAdmission { allowed: true }))
}

/// Polls until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    let result = time::timeout(PATIENCE, wait).await;
    assert!(result.is_ok(), "waited in vain until {what}");
}

pub(crate) struct Embedded(EmbeddedHub);

impl Embedded {
    pub(crate) fn start() -> Self {
        Self(EmbeddedHub::default())
    }
}

#[async_trait]
impl Backend for Embedded {
    async fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.0.connect())
    }

    async fn subscriptions(&self, meeting: &str) -> usize {
        self.0.subscriptions(token(meeting).as_str())
    }
}

pub(crate) struct Nats(pub(crate) NatsServer);

impl Nats {
    pub(crate) fn start() -> Self {
        Self(NatsServer::start())
    }

    /// Not necessarily connected yet.
    pub(crate) async fn connecting(&self) -> Arc<NatsBus> {
        Arc::new(
            NatsBus::connect(NatsConfig::new(self.0.url()))
                .await
                .unwrap(),
        )
    }
}

#[async_trait]
impl Backend for Nats {
    async fn bus(&self) -> Arc<dyn Bus> {
        let bus = self.connecting().await;
        until("the node is connected to NATS", || async {
            bus.health().problems.is_empty()
        })
        .await;
        bus
    }

    async fn subscriptions(&self, meeting: &str) -> usize {
        let prefix = format!("videocall.{}.", token(meeting));
        let connections = self.0.subscriptions().await;
        let all = connections.into_iter().flatten();
        all.filter(|subject| subject.starts_with(&prefix) && subject.ends_with('>'))
            .count()
    }

    /// Not as a node, which would hear only what it wants.
    async fn tap(&self, meeting: &str) -> BusSubscription {
        let client = async_nats::connect(self.0.url()).await.unwrap();
        let subject = format!("videocall.{}.>", token(meeting));
        let messages = client.subscribe(subject).await.unwrap();
        let media = |message: &async_nats::Message| !message.subject.ends_with(".control");
        let media = messages.filter(move |message| ready(media(message)));
        Box::pin(media.map(move |message| {
            let _ = &client;
            BusEvent::Media(message.payload)
        }))
    }
}

/// As subjects name the meeting.
pub(crate) fn token(meeting: &str) -> String {
    MeetingId::parse(meeting).unwrap().token().to_owned()
}
