//! What a node receives of other nodes' pictures over NATS: the layers that its people watch.
//!
//! Each layer of a camera or a screen has a subject of its own. What a node wants of them it tells
//! the nodes of their publishers; the same message says what to subscribe to. NATS heeds what comes
//! over one connection in order, so a subscription is there before the demand for it is told.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use async_nats::{Client, Message};
use futures_util::StreamExt;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::task::AbortHandle;
use videocall_types::{
    ids::{MediaKind, SessionId},
    wire::bus::NodeDemand,
};

use super::{
    MediaSubject,
    nats::{Status, media_subject},
    queue,
};

/// Layers of one meeting that a node can receive: four of the camera and of the screen of each of the
/// two thousand people that a meeting can have.
const LAYERS: usize = 16_000;

/// The meetings of a node.
#[derive(Debug, Default)]
pub(super) struct Interests(FxHashMap<String, Interest>);

#[derive(Debug)]
struct Interest {
    queue: queue::Sender<Message>,
    layers: FxHashMap<MediaSubject, AbortHandle>,
}

impl Drop for Interest {
    fn drop(&mut self) {
        for layer in self.layers.values() {
            layer.abort();
        }
    }
}

impl Interests {
    /// Pictures of a meeting go into this queue from now on, until nobody takes them out.
    pub(super) fn begin(&mut self, meeting: String, queue: queue::Sender<Message>) {
        self.0.retain(|_, interest| !interest.queue.is_closed());
        let layers = FxHashMap::default();
        self.0.insert(meeting, Interest { queue, layers });
    }

    /// Subscribes to what is wanted now, and to nothing else.
    pub(super) async fn change(
        &mut self,
        client: &Client,
        status: &Arc<Status>,
        meeting: &str,
        demand: &NodeDemand,
    ) {
        let Some(interest) = self.0.get_mut(meeting) else {
            return;
        };
        let wanted = wanted(demand);
        interest.layers.retain(|layer, task| {
            let stays = wanted.contains(layer);
            if !stays {
                task.abort();
            }
            stays
        });
        for layer in wanted {
            if interest.layers.contains_key(&layer) {
                continue;
            }
            let subject = media_subject(meeting, &layer);
            let Ok(subscriber) = client.subscribe(subject).await else {
                status.dropped.fetch_add(1, Relaxed);
                continue;
            };
            let task = tokio::spawn(gather(subscriber, interest.queue.clone(), status.clone()));
            interest.layers.insert(layer, task.abort_handle());
        }
    }
}

fn wanted(demand: &NodeDemand) -> FxHashSet<MediaSubject> {
    let mut wanted = FxHashSet::default();
    for publisher in &demand.publishers {
        let Some(session) = SessionId::new(publisher.session_id) else {
            continue;
        };
        for stream in &publisher.streams {
            let kind = stream.kind();
            if !matches!(kind, MediaKind::Video | MediaKind::Screen) {
                continue;
            }
            let layers =
                (0..u32::BITS as u8).filter(|&layer| stream.spatial_mask >> layer & 1 == 1);
            wanted.extend(layers.map(|layer| MediaSubject {
                session,
                kind,
                layer,
            }));
        }
        if wanted.len() > LAYERS {
            break;
        }
    }
    wanted
}

/// Takes messages from the library, which counts them but not their bytes.
pub(super) async fn gather(
    mut subscriber: async_nats::Subscriber,
    queue: queue::Sender<Message>,
    status: Arc<Status>,
) {
    loop {
        let message = tokio::select! {
            message = subscriber.next() => message,
            () = queue.closed() => None,
        };
        let Some(message) = message else { return };
        if !queue.offer(message.payload.len(), message) {
            status.dropped.fetch_add(1, Relaxed);
        }
    }
}
